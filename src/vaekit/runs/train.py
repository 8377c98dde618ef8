"""Training a recipe on data, into a run folder or in memory."""

from __future__ import annotations

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
from vaekit.data.dataset import DataSet
from vaekit.data.info import DataInfo
from vaekit.devices import choose_device
from vaekit.errors import UserError
from vaekit.recipes.base import RECIPES, Built, Recipe
from vaekit.recipes.own import CUSTOM, own_recipe, own_stages
from vaekit.recipes.settings import Nested, Settings, merge, parse_assignments
from vaekit.report import notebook
from vaekit.runs import folder as files
from vaekit.runs.base import build, describe_source
from vaekit.runs.data import contents_record, default_source, load_for, recipe_for, resumed_data
from vaekit.runs.going_on import longer, settings_to_go_on
from vaekit.runs.initial import Initial
from vaekit.runs.outcome import each_once, result_of, without_latents
from vaekit.runs.own import meet_data, model_record
from vaekit.runs.run import Run
from vaekit.runs.target import Place, placed
from vaekit.training import checkpoint
from vaekit.training.data_source import DataSource
from vaekit.training.dtensor import is_sharded, whole
from vaekit.training.hooks import Callback, Metric
from vaekit.training.log import LOGGERS, Kept
from vaekit.training.loop import fit
from vaekit.training.plan import Plan
from vaekit.training.progress import Notebook, Progress, for_terminal, in_notebook
from vaekit.training.saved import steps_taken

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
    freeze: Sequence[str] | str | None


class Options(Shortcuts, total=False):
    """What `train` takes by name, beside where the run is kept."""

    valid: Any
    test: Any
    objective: Any
    metrics: Mapping[str, Metric] | Iterable[Metric]
    callbacks: Iterable[Callback]
    set: Mapping[str, Any] | Sequence[str]
    progress: bool | None
    loggers: Sequence[str]
    pictures: bool
    changed_data: bool


@dataclass(frozen=True)
class Training:
    """A run about to be trained: its parts, data and record, the folder it is kept in, and how it is shown."""

    built: Built
    dataset: DataSet
    settings: Settings
    record: dict[str, Any]
    place: Place
    options: Options
    news: str | None = None


def train(
    recipe: str | nn.Module | None = None,
    data: Any = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    init: Run | str | Path | None = None,
    **options: Unpack[Options],
) -> Run:
    """Train `recipe` (default "vae") on `data` (default "digits"), in whatever form they are.

    Under torchrun the processes train one run, as one process would for the same noise, and the first alone writes.

    Args:
        recipe: the variant's name, which `vaekit recipes` lists; or a model of one's own, a `vaekit.VAE` of any modules
            or another `vaekit.Model`, which is trained in place from the weights that it has.
        data: a known set, a path, arrays or tensors x or (x, y), {"x_train": x, "x_test": …}, data frames, sparse
            matrices, a PyTorch `Dataset` or `DataLoader`, a Hugging Face dataset, texts, or a `DataSet` of vaekit.
        out: the folder that keeps record, weights, log, figures, report and checkpoints; None keeps the run in memory.
        resume: go on with the run in `out`: one that was cut short, or, with more `epochs` or `steps`, one that ended.
        overwrite: replace the run in `out`.
        init: a run, or its folder, whose weights this one starts from, where names and shapes agree. Recipe, model
            settings and data are that run's unless given.
        options: `valid` and `test` are data in any such form, in place of splits drawn from `data`. `epochs`, `steps`,
            `batch_size`, `lr`, `seed`, `device`, `precision` and `freeze` (parts that stay as `init` has them, e.g.
            "encoder") are settings of training; `set` changes any setting, {"objective.beta": 4} or
            ["objective.beta=4"]. `progress` shows a bar, as notebooks do unless it is
            False; `loggers` names further ones ("tensorboard", "mlflow", "wandb", "trackio");
            `pictures=False` draws no figures and writes no report; `changed_data` resumes though the data have changed.
            `metrics` and `callbacks` are functions as
            `vaekit.fit` takes them, and so is `objective`, for a model of one's own.

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
    named = [str(part) for part in (data, *_held_out(options).values()) if isinstance(part, str | Path)]
    with placed(None if out is None else Path(out), resume, overwrite, named) as place:
        if resume or place.begun:
            return _resume(place, recipe, data, given, options)
        return _begin(place, recipe, data, given, init, options)


def _begin(place: Place, recipe: Any, data: Any, given: Nested, init: Any, options: Options) -> Run:
    _check_loggers(options.get("loggers", ()))
    start = None if init is None else Initial.of(init)
    chosen = _recipe(start.recipe if recipe is None and start else recipe, options)
    _check_own(chosen, given, options)
    source = (default_source(chosen.name) if start is None else start.source) if data is None else data
    chosen = recipe_for(chosen, source)
    under = None if start is None else start.settings(chosen)
    settings = chosen.settings(given, under)
    if settings.train.freeze and start is None and chosen.name != CUSTOM:
        raise UserError("train.freeze keeps weights that are random: name the run to take them from (--init RUN)")
    held_out = _held_out(options)
    dataset, settings = _load(chosen, settings, given, (source, held_out), under)
    built = _watched(build(chosen, settings, dataset.info), options)
    record = {
        "recipe": chosen.name,
        **({"model": model_record(built.model)} if chosen.name == CUSTOM else {}),
        "settings": settings.model_dump(mode="json"),
        "given": given,
        "data": {
            "source": describe_source(source),
            **({"held_out": {name: describe_source(part) for name, part in held_out.items()}} if held_out else {}),
            "info": dataset.info.to_dict(),
            "prepare": dataset.prepare.to_dict(),
            **contents_record(dataset),
        },
        "seed": settings.train.seed,
        "versions": files.versions(),
        "command": _command(),
        **_processes(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "status": "running",
    }
    choose_device(settings.train.device)
    news = _start(chosen, built, dataset, start, record)
    return _run(Training(built, dataset, settings, record, place, options, news))


def _run(job: Training) -> Run:
    """Train, and draw; what fails leaves its reason in the record, or nothing where no step was taken."""
    place, main = job.place, distributed.is_main()
    if main:
        place.begin(job.record)
    try:
        run = _fit(job)
    except Exception as error:
        if main:
            place.failed(job.record, error)
        raise
    if run.path is not None:
        pictures = job.options.get("pictures", True)
        if pictures or job.record["data"]["source"] == "memory":  # data in memory cannot be read again
            run.keep_reference()
        if pictures:
            run.write_figures()
            run.write_report()
    return run


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
            raise UserError(f"the logger '{name}' needs its package: pip install 'vaekit[{name}]'")


def _config(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a tracker shows of a run beside its numbers: recipe, data and settings, by section.name."""
    own = {"recipe": record["recipe"], "data": record["data"]["info"]["name"]}
    sections = record["settings"].items()
    return own | {f"{section}.{name}": value for section, part in sections for name, value in part.items()}


def _held_out(options: Options) -> dict[str, Any]:
    """Return the user's own validation and test data, by split."""
    given = {"valid": options.get("valid"), "test": options.get("test")}
    return {name: source for name, source in given.items() if source is not None}


def _load(
    recipe: Recipe, settings: Settings, given: Nested, source: tuple[Any, dict[str, Any]], under: Nested | None = None
) -> tuple[DataSet, Settings]:
    """Load the data, and those held out, as the recipe wants them, and settle what "auto" stands for."""
    dataset, name = load_for(recipe, settings, *source)
    return dataset, recipe.settings(merge(given, {"model": {"likelihood": name}}), under)


def _start(chosen: Recipe, built: Built, dataset: DataSet, start: Initial | None, record: dict[str, Any]) -> str | None:
    """Let the model start from the training data (their mean, some examples where it wants any), or from a run.

    A hand-made model starts as it is, once it has seen that the data fit it. What was taken from a run goes into the
    record; the sentence that says so is returned.
    """
    if chosen.name == CUSTOM:
        meet_data(built.model, dataset)
    else:
        _meet_examples(built, dataset)
    if start is None:
        return None
    record["init"], sentence = start.give(built.model, tuple(record["settings"]["train"]["freeze"]))
    other = start.other_meanings(dataset.info)
    for doubt in ([sentence] if record["init"]["anew"] else []) + ([other] if other else []):
        warnings.warn(doubt, stacklevel=3)
    return None if record["init"]["anew"] else sentence


def _meet_examples(built: Built, dataset: DataSet) -> None:
    if dataset.info.is_array:
        built.model.start_from(dataset.train_mean())
    wanted = built.model.examples_wanted
    if wanted:
        order = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(START_SEED))
        some = dataset.prepare.fixed(dataset.train.take(order[:wanted]), START_SEED)
        built.model.start_from_examples(some.inputs)


def _source(built: Built, dataset: DataSet, settings: Settings) -> DataSource:
    """Return the training batches, as the recipe takes them."""
    return DataSource(dataset) if built.source is None else built.source(dataset, seed=settings.data.seed)


def _fit(job: Training) -> Run:
    """Train, and keep the weights and the result."""
    built, settings, folder, options = job.built, job.settings, job.place.now, job.options
    source, main = _source(built, job.dataset, settings), distributed.is_main()
    kept = Kept()
    loggers = [name for name in options.get("loggers", ()) if name != "jsonl" and main]
    shown = _progress(options.get("progress"))
    started = time.monotonic()
    if job.news is not None:
        shown.note(job.news)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", UserWarning)
        result = fit(
            built.model,
            built.stages,
            source,
            settings.train,
            folder=folder,
            loggers=[
                *(LOGGERS[name].part(folder or Path(), _config(job.record)) for name in loggers),
                *([] if folder else [kept]),
            ],
            progress=shown,
            resume=job.place.begun,
        )
    notes = each_once([*(str(w.message) for w in caught), *result.warnings])
    for note in notes:
        shown.note(f"warning: {note}")
    if is_sharded(built.model):
        built = _whole(built, settings, job.record)
    built.model.eval()
    wall, per_epoch = time.monotonic() - started, source.steps(settings.train.batch_size)
    ended = result_of(built, job.dataset.info, result, notes, wall, per_epoch)
    if main and ended["elbo"] is not None:
        ended |= without_latents(built, job.dataset)
    record = {key: value for key, value in job.record.items() if key != "failed"} | {
        "status": "done",
        "result": ended,
    }
    if main:
        before = (job.record.get("result") or {}).get("steps")
        gone = () if before in (None, result.position.step) else (files.EVALUATION, files.VALUES)  # of weights before
        record = job.place.finish(checkpoint.model_tensors(built.model), record, gone)
    run = Run(job.place.target if main else None, record, built, settings, job.dataset)
    run.records = kept.records
    return run


def _progress(wanted: bool | None) -> Progress:
    """Return what shows how training goes: a bar in a notebook unless it is not wanted, elsewhere if it is."""
    if in_notebook() and wanted is not False:
        return Notebook(notebook.bar)
    return for_terminal() if wanted else Progress()


def _whole(built: Built, settings: Settings, record: dict[str, Any]) -> Built:
    """Return the run's parts anew, on the processor, with the weights that the processes have shared out."""
    tensors = {name: whole(value).cpu() for name, value in checkpoint.model_tensors(built.model).items()}
    fresh = build(RECIPES[record["recipe"]].part, settings, DataInfo.from_dict(record["data"]["info"]))
    checkpoint.load_model(fresh.model, tensors, "the trained model")
    return fresh


def _resume(place: Place, recipe: Any, data: Any, given: Nested, options: Options) -> Run:
    target = place.now
    if target is None:
        raise UserError("to resume, name the folder of the run to go on with")
    record = distributed.from_main(lambda: files.read_record(target))
    own = recipe is not None and not isinstance(recipe, str)
    if record["recipe"] == CUSTOM and not own:
        raise UserError(f"{target} is a run of a hand-made model: resume it with vaekit.train(model, resume=True, …)")
    chosen = _recipe(recipe if own else record["recipe"], options)
    asked = CUSTOM if own else recipe
    if asked is not None and record["recipe"] not in (asked, None if own else RECIPES[asked].part.on_tables):
        ours = record["recipe"]
        raise UserError(f"{target} is a run of '{ours}', not of '{asked}'; resume it without naming a recipe")
    settings, changes = settings_to_go_on(target, record, given, chosen)
    source = record["data"]["source"] if data is None else data
    held_out = record["data"].get("held_out", {}) | _held_out(options)
    if any(isinstance(part, str) and part == "memory" for part in (source, *held_out.values())):
        raise UserError(f"{target} was trained on arrays in memory: resume from Python and pass the same data")
    dataset, data_record = resumed_data(
        chosen, settings, (source, held_out), target, record["data"], options.get("changed_data", False)
    )
    record = record | {"data": data_record if data is None else data_record | {"source": describe_source(data)}}
    built = _watched(build(chosen, settings, dataset.info), options)
    per_epoch = _source(built, dataset, settings).steps(settings.train.batch_size)
    record = longer(target, record, settings, changes, Plan(settings.train, (1.0,), per_epoch))
    again = "init" in record and steps_taken(target) == 0
    _start(chosen, built, dataset, Initial.again(record["init"]["from"]) if again else None, record)
    return _run(Training(built, dataset, settings, record, place, options))


def _command() -> str:
    words = sys.argv
    if words and Path(words[0]).name in ("vaekit", "__main__.py"):
        import shlex

        return "vaekit " + shlex.join(words[1:])
    return ""
