"""Training a recipe on data, into a run folder or in memory."""

from __future__ import annotations

import shutil
import sys
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch
from torch import nn

from vaekit import distributed
from vaekit.atomic import finite
from vaekit.data.dataset import DataSet
from vaekit.data.info import DataInfo
from vaekit.devices import choose_device
from vaekit.errors import UserError
from vaekit.recipes.base import RECIPES, Built, Recipe
from vaekit.recipes.own import CUSTOM, own_recipe, own_stages
from vaekit.recipes.settings import Nested, Settings, merge, parse_assignments
from vaekit.runs import folder as files
from vaekit.runs.base import build, describe_source
from vaekit.runs.data import default_source, load_for, recipe_for
from vaekit.runs.own import meet_data, model_record
from vaekit.runs.run import Run
from vaekit.training import checkpoint
from vaekit.training.data_source import DataSource
from vaekit.training.dtensor import is_sharded, whole
from vaekit.training.hooks import Callback, Metric
from vaekit.training.labelled_source import LabelledSource
from vaekit.training.log import LOGGERS, Kept
from vaekit.training.loop import fit
from vaekit.training.progress import Progress, for_terminal
from vaekit.training.state import FitResult

START_SEED = 774


class Shortcuts(TypedDict, total=False):
    """Settings of training by their own names; None leaves a setting as it is."""

    epochs: int | None
    steps: int | None
    batch_size: int | None
    lr: float | None
    seed: int | None
    device: str | None
    precision: str | None


class Options(Shortcuts, total=False):
    """What `train` takes by name, beside where the run is kept."""

    objective: Any
    metrics: Mapping[str, Metric] | Iterable[Metric]
    callbacks: Iterable[Callback]
    set: Mapping[str, Any] | Sequence[str]
    progress: bool
    loggers: Sequence[str]
    pictures: bool


@dataclass(frozen=True)
class Training:
    """A run about to be trained: its parts, data and record, and where it is kept and shown."""

    built: Built
    dataset: DataSet
    settings: Settings
    record: dict[str, Any]
    target: Path | None
    options: Options


def train(
    recipe: str | nn.Module | None = None,
    data: Any = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    **options: Unpack[Options],
) -> Run:
    """Train `recipe` (default "vae") on `data` (default "digits": a name, a path, arrays x or (x, y), or a `DataSet`).

    Under torchrun the processes train one run, as one process would for the same noise, and the first alone writes.

    Args:
        recipe: the variant's name, which `vaekit recipes` lists; or a model of one's own, a `vaekit.VAE` of any modules
            or another `vaekit.Model`, which is trained in place from the weights that it has.
        data: a known set, a path, arrays, frames or texts.
        out: the folder that keeps record, weights, log, figures, report and checkpoints; None keeps the run in memory.
        resume: go on with the run in `out`, which was cut short.
        overwrite: replace the run in `out`.
        options: `epochs`, `steps`, `batch_size`, `lr`, `seed`, `device` and `precision` are settings of training; `set`
            changes any setting, {"objective.beta": 4} or ["objective.beta=4"]. `progress` shows a bar, `loggers` names
            further ones ("tensorboard"), `pictures=False` draws no figures and writes no report.
            `metrics` and `callbacks` are functions as `vaekit.fit` takes them, and so is `objective`, for a model of
            one's own.

    Returns:
        The run; its held-out ELBO is in `run.record["result"]`.

    Raises:
        UserError: data or settings are wrong; nothing is written then.

    >>> run = train("vae", "digits", epochs=1, seed=0)
    >>> run.sample(4).shape
    torch.Size([4, 1, 8, 8])
    """
    distributed.start()
    given = given_settings(options)
    target = None if out is None else Path(out)
    if resume or _goes_on(target):
        return _resume(target, recipe, data, given, options)
    distributed.from_main(lambda: files.check_target(target, overwrite))
    _check_loggers(options.get("loggers", ()))
    chosen = _recipe(recipe, options)
    _check_own(chosen, given, options)
    source = default_source(chosen.name) if data is None else data
    chosen = recipe_for(chosen, source)
    settings = chosen.settings(given)
    dataset, settings = _load(chosen, settings, given, source)
    built = _watched(build(chosen, settings, dataset.info), options)
    record = {
        "recipe": chosen.name,
        **({"model": model_record(built.model)} if chosen.name == CUSTOM else {}),
        "settings": settings.model_dump(mode="json"),
        "given": given,
        "data": {
            "source": describe_source(source),
            "info": dataset.info.to_dict(),
            "prepare": dataset.prepare.to_dict(),
        },
        "seed": settings.train.seed,
        "versions": files.versions(),
        "command": _command(),
        **_processes(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "status": "running",
    }
    choose_device(settings.train.device)
    _start(chosen, built, dataset)
    if target is not None and distributed.is_main():
        if overwrite and target.exists():
            shutil.rmtree(target)
        files.write_record(target, record)
    try:
        return _fit(Training(built, dataset, settings, record, target, options), resume=False)
    except UserError:
        # Parts that do not go together may show only at the first step: no run was begun, so none is left behind.
        if target is not None and distributed.is_main() and not (target / files.CHECKPOINTS).exists():
            shutil.rmtree(target)
        raise


def _recipe(recipe: Any, options: Options) -> Recipe:
    """Return the recipe of a name, or the one that a hand-made model stands in for."""
    if recipe is None or isinstance(recipe, str):
        if options.get("objective") is not None:
            raise UserError("an objective goes with a model of your own; a recipe has its own, which settings change")
        return RECIPES[recipe or "vae"].part
    return own_recipe(recipe, options.get("objective"))


def _check_own(chosen: Recipe, given: Nested, options: Options) -> None:
    """Refuse settings that a hand-made model has no use for."""
    if chosen.name != CUSTOM:
        return
    if given.get("model"):
        raise UserError(f"model.{next(iter(given['model']))} is a setting of recipes; change the model itself instead")
    if given.get("objective") and options.get("objective") is not None:
        name = next(iter(given["objective"]))
        raise UserError(f"objective.{name} is a setting of the negative ELBO, and the objective is your own")
    if given.get("train", {}).get("shard"):
        raise UserError("the weights of a hand-made model cannot be shared out over processes; leave train.shard out")


def _watched(built: Built, options: Options) -> Built:
    """Return the parts with the caller's metrics and callbacks in every stage."""
    metrics, callbacks = options.get("metrics", ()), options.get("callbacks", ())
    return replace(built, stages=own_stages(list(built.stages), metrics, callbacks))


def _goes_on(target: Path | None) -> bool:
    """Whether this launch of several processes began the run in `target`, and was started again."""

    def begun() -> bool:
        return target is not None and (target / files.RECORD).is_file() and _launch(target) == distributed.launch()

    return distributed.restarted() and distributed.from_main(begun)


def _launch(target: Path) -> str | None:
    return files.read_record(target).get("launch")


def _processes() -> dict[str, Any]:
    """Return what the record says of the processes, where a launcher started them."""
    started = distributed.launch()
    return ({"processes": distributed.world()} if distributed.world() > 1 else {}) | (
        {"launch": started} if started else {}
    )


def given_settings(options: Options) -> Nested:
    """Return the settings that the options give, by section."""
    changes, sets = options.get("set", ()), Nested()
    if isinstance(changes, Mapping):
        for name, value in changes.items():
            section, dot, rest = name.partition(".")
            if not dot:
                raise UserError(f"set {name!r}: write section.name, e.g. 'objective.beta'")
            sets.setdefault(section, {})[rest] = value
    else:
        sets = parse_assignments(changes)
    names = Shortcuts.__annotations__
    short = {name: value for name, value in options.items() if name in names and value is not None}
    return merge(sets, {"train": short} if short else {})


def _check_loggers(names: Sequence[str]) -> None:
    """Refuse a logger that is not known, or whose package is not here."""
    for name in names:
        package = LOGGERS[name].facts.get("package")
        if package is not None and find_spec(package) is None:
            raise UserError(f"the logger '{name}' needs its package: pip install 'vaekit[track]'")


def _load(
    recipe: Recipe, settings: Settings, given: Nested, source: Any, under: Nested | None = None
) -> tuple[DataSet, Settings]:
    """Load the data as the recipe wants them, and settle what "auto" stands for."""
    dataset, name = load_for(recipe, settings, source)
    return dataset, recipe.settings(merge(given, {"model": {"likelihood": name}}), under)


def _start(chosen: Recipe, built: Built, dataset: DataSet) -> None:
    """Let the model start from the training data: their mean, and some examples where it wants any.

    A hand-made model starts as it is, once it has seen that the data fit it.
    """
    if chosen.name == CUSTOM:
        meet_data(built.model, dataset)
        return
    if dataset.info.is_array:
        built.model.start_from(dataset.train_mean())
    wanted = built.model.examples_wanted
    if wanted:
        order = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(START_SEED))
        some = dataset.prepare.fixed(dataset.train.take(order[:wanted]), START_SEED)
        built.model.start_from_examples(some.inputs)


def _source(built: Built, dataset: DataSet, settings: Settings) -> DataSource:
    """Return the training batches; a recipe that says how many labels it may see is shown no more."""
    if built.labelled is None:
        return DataSource(dataset)
    return LabelledSource.of(dataset, built.labelled, settings.data.seed)


def _fit(job: Training, resume: bool) -> Run:
    """Train, keep the weights and the result, and draw."""
    built, settings, target, options = job.built, job.settings, job.target, job.options
    source, main = _source(built, job.dataset, settings), distributed.is_main()
    kept = Kept()
    loggers = [name for name in options.get("loggers", ()) if name != "jsonl" and main]
    shown = for_terminal() if options.get("progress") else Progress()
    started = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        result = fit(
            built.model,
            built.stages,
            source,
            settings.train,
            folder=target,
            loggers=[*(LOGGERS[name].part(target or Path()) for name in loggers), *([] if target else [kept])],
            progress=shown,
            resume=resume,
        )
    notes = [str(w.message) for w in caught] + result.warnings
    for note in notes:
        shown.note(f"warning: {note}")
    if is_sharded(built.model):
        built = _whole(built, settings, job.record)
    built.model.eval()
    wall, per_epoch = time.monotonic() - started, source.steps(settings.train.batch_size)
    record = job.record | {"status": "done", "result": _result(built, result, notes, wall, per_epoch)}
    run = Run(target if main else None, record, built, settings, job.dataset)
    run.records = kept.records
    if target is not None and main:
        checkpoint.save(target / files.WEIGHTS, checkpoint.model_tensors(built.model), {"recipe": record["recipe"]})
        files.write_record(target, record)
        if options.get("pictures", True):
            run.write_figures()
            run.write_report()
    return run


def _whole(built: Built, settings: Settings, record: dict[str, Any]) -> Built:
    """Return the run's parts anew, on the processor, with the weights that the processes have shared out."""
    tensors = {name: whole(value).cpu() for name, value in checkpoint.model_tensors(built.model).items()}
    fresh = build(RECIPES[record["recipe"]].part, settings, DataInfo.from_dict(record["data"]["info"]))
    checkpoint.load_model(fresh.model, tensors, "the trained model")
    return fresh


def _result(built: Built, result: FitResult, notes: list[str], wall: float, steps_per_epoch: int) -> dict[str, Any]:
    at, held_out = result.position, result.held_out
    refusal = {} if held_out.elbo is not None else {"refused": held_out.refused, "held_out_loss": held_out.loss}
    numbers: dict[str, Any] = {
        "epochs": at.step // steps_per_epoch,
        "steps": at.step,
        "seconds": round(at.seconds, 3),
        "wall_seconds": round(wall, 3),
        "examples_per_second": round(at.examples / max(at.seconds, 1e-9), 1),
        "parameters": sum(p.numel() for p in built.model.parameters()),
        "elbo": held_out.elbo,
        "elbo_stderr": held_out.stderr,
        "held_out_n": held_out.n,
        "skipped_steps": result.skipped,
        "precision": result.precision,
        "warnings": notes,
        **({"metrics": held_out.metrics} if held_out.metrics else {}),
    }
    return finite(numbers | refusal)


def _resume(target: Path | None, recipe: Any, data: Any, given: Nested, options: Options) -> Run:
    if target is None:
        raise UserError("to resume, name the folder of the run to go on with")
    record = distributed.from_main(lambda: files.read_record(target))
    own = recipe is not None and not isinstance(recipe, str)
    if record["recipe"] == CUSTOM and not own:
        raise UserError(f"{target} is a run of a hand-made model: resume it with vaekit.train(model, resume=True, …)")
    chosen = _recipe(recipe if own else record["recipe"], options)
    asked = CUSTOM if own else recipe
    if asked is not None and record["recipe"] not in (asked, None if own else RECIPES[asked].part.on_tables):
        raise UserError(
            f"{target} is a run of '{record['recipe']}', not of '{asked}'; resume it without naming a recipe"
        )
    settings = chosen.settings(given, record["settings"])
    asked = settings.model_dump(mode="json")
    for section, values in given.items():
        for name, value in values.items():
            before = record["settings"].get(section, {}).get(name)
            if (section, name) == ("train", "device"):
                continue  # a run goes on wherever there is a device
            if asked[section].get(name) != before and record["given"].get(section, {}).get(name) != value:
                raise UserError(
                    f"{section}.{name}={value} differs from the run's {before}; resume without it, or train anew"
                )
    moved: Nested = {"train": {name: value for name, value in given.get("train", {}).items() if name == "device"}}
    settings = chosen.settings(moved, record["settings"])
    source = record["data"]["source"] if data is None else data
    if source == "memory":
        raise UserError(f"{target} was trained on arrays in memory: resume from Python and pass the same data")
    dataset, settings = _load(chosen, settings, moved, source, record["settings"])
    if dataset.info.to_dict() | {"source": ""} != record["data"]["info"] | {"source": ""}:
        raise UserError(f"the data {describe_source(source)} are not what {target} was trained on; give the same data")
    built = _watched(build(chosen, settings, dataset.info), options)
    _start(chosen, built, dataset)
    return _fit(Training(built, dataset, settings, record, target, options), resume=True)


def _command() -> str:
    words = sys.argv
    if words and Path(words[0]).name in ("vaekit", "__main__.py"):
        import shlex

        return "vaekit " + shlex.join(words[1:])
    return ""
