"""One trial: a run trained in its folder and evaluated, whatever was there of it before."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaekit.errors import TrainingFailed, UserError
from vaekit.metrics.base import METRICS, lacking
from vaekit.recipes.base import RECIPES
from vaekit.runs.data import load_for
from vaekit.runs.folder import RECORD, VALUES, WEIGHTS, read_record
from vaekit.runs.loading import load
from vaekit.runs.run import Run
from vaekit.runs.train import train
from vaekit.studies.definition import Definition
from vaekit.studies.points import Point, Trial, is_share, nested, source_of
from vaekit.studies.storage import Outcome

KEPT = ("value", "stderr", "interval", "unit", "n", "refused", "k", "number_of")
"""What an outcome keeps of a number in evaluation.json."""
FACTS = ("steps", "seconds", "parameters", "elbo", "refused", "warnings")
"""What an outcome keeps of the result in run.json."""


class Pruned(Exception):
    """Training was given up, since it went worse than others at the same point."""


@dataclass(frozen=True)
class Bench:
    """What all trials of a study share: the definition, where runs are kept, the device, and data given in memory.

    `functions` are metrics that were given as such.
    """

    study: Definition
    folder: Path
    device: str = "auto"
    data: Any = None
    functions: Mapping[str, Callable[..., Any]] | None = None

    def source(self, point: Point) -> Any:
        """Return the data of a point."""
        return source_of(point) if self.data is None or point.data is not None else self.data


def run_trial(bench: Bench, trial: Trial, steps: int | None, callback: Callable[..., Any] | None = None) -> Outcome:
    """Train and evaluate a trial, going on where a killed one was; a failure is an outcome too, with its reason."""
    target, began = bench.folder / trial.name, time.monotonic()
    told = {"trial": trial.name, "point": trial.point.name, "seed": trial.seed, "at": dict(trial.point.at)}
    try:
        with quiet():
            run = _trained(bench, trial, target, steps, callback)
            numbers, left_out = evaluated(bench, run)
    except Pruned as why:
        shutil.rmtree(target, ignore_errors=True)
        return Outcome(**told, status="pruned", reason=str(why))
    except (UserError, TrainingFailed) as error:
        return Outcome(**told, status="failed", reason=str(error))
    except Exception as error:
        return Outcome(**told, status="failed", reason=f"{type(error).__name__}: {error}")
    result = run.record["result"]
    facts = {name: result[name] for name in FACTS if name in result}
    facts["recipe"], facts["data"] = run.recipe, run.info.name
    facts["wall_seconds"] = round(time.monotonic() - began, 2)
    return Outcome(**told, status="done", numbers=numbers, left_out=left_out, facts=facts)


def values_of(bench: Bench, outcome: Outcome) -> Path | None:
    """Return the file of the values of the trial's test examples, None where there is none."""
    path = bench.folder / outcome.trial / VALUES
    return path if outcome.status == "done" and path.is_file() else None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep a trial's warnings to its run's record, which holds them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _trained(bench: Bench, trial: Trial, target: Path, steps: int | None, callback: Callable[..., Any] | None) -> Run:
    """Return the trained run: the one in the folder, gone on with if it is not done, or a new one."""
    begun = (target / RECORD).is_file()
    if begun and read_record(target).get("status") == "done" and (target / WEIGHTS).is_file():
        return load(target, bench.device, data=_again(bench, target))
    source = bench.source(trial.point)
    settings = settled(trial.point, source) | ({"data.seed": trial.seed} if bench.study.resplit else {})
    own = {
        name.removeprefix("train."): settings.pop(name) for name in ("train.steps", "train.epochs") if name in settings
    }
    length: dict[str, Any] = own if steps is None else {"steps": steps}
    callbacks = () if callback is None else (callback,)
    return train(
        trial.point.recipe,
        source,
        out=target,
        resume=begun,
        set=settings,
        seed=trial.seed,
        device=bench.device,
        pictures=False,
        progress=False,
        callbacks=callbacks,
        **length,
    )


def _again(bench: Bench, target: Path) -> Any:
    """Return the data of a run that was trained on arrays in memory."""
    return bench.data if read_record(target)["data"]["source"] == "memory" else None


def settled(point: Point, source: Any) -> dict[str, Any]:
    """Return a point's settings with a share of the training examples as their number."""
    settings = dict(point.settings)
    share: Any = settings.get("data.limit")
    if not is_share("data.limit", share):
        return settings
    del settings["data.limit"]
    recipe = RECIPES[point.recipe].part
    dataset, _ = load_for(recipe, recipe.settings(nested(settings)), source, {})
    if share != "100%":
        settings["data.limit"] = max(2, round(float(share[:-1]) / 100 * len(dataset.train)))
    return settings


def evaluated(bench: Bench, run: Run) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the numbers of a run, and the metrics that it does not have, with the reason."""
    study, own = bench.study, dict(bench.functions or {})
    named = [one for one in study.metrics if ".py:" not in one]
    own |= {one.rpartition(":")[2]: function_of(one) for one in study.metrics if ".py:" in one}
    options: dict[str, Any] = {"k": study.k, "limit": study.limit, "options": study.options}
    subject = run.subject(limit=study.limit)
    left_out, asked = {}, []
    for name in named:
        lack = lacking(subject, METRICS[name].facts["needs"]) if name in METRICS.names else None
        if lack:
            left_out[name] = lack
        else:
            asked.append(name)
    if asked:
        run.evaluate(asked, **options)
    if own:
        run.evaluate(own, **options)
    numbers = {name: {key: entry[key] for key in KEPT if key in entry} for name, entry in run.evaluation().items()}
    return numbers, left_out


def function_of(place: str) -> Callable[..., Any]:
    """Return the function that FILE.py:NAME names; the file is run.

    Raises:
        UserError: there is no such file or function, or the file fails.
    """
    file, _, name = place.rpartition(":")
    spec = importlib.util.spec_from_file_location(f"_vaekit_study_{Path(file).stem}", file)
    if not Path(file).is_file() or spec is None or spec.loader is None:
        raise UserError(f"the metric {place}: there is no file {file}")
    module = importlib.util.module_from_spec(spec)
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"the metric {place}: {file} fails: {type(error).__name__}: {error}") from None
    finally:
        sys.dont_write_bytecode = before
    function = getattr(module, name, None)
    if not callable(function):
        raise UserError(f"the metric {place}: {file} has no function {name}")
    return function


def check_metrics(names: Sequence[str]) -> None:
    """Raise a UserError for a metric or group that is not known, or a function that is not there."""
    groups = {entry.facts["group"] for entry in METRICS}
    for name in names:
        if ".py:" in name:
            function_of(name)
        elif name not in groups and name != "all":
            METRICS[name]
