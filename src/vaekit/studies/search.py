"""Points drawn where earlier ones were good: optuna's tree-structured Parzen estimator, for one goal or several.

Source: Bergstra et al. 2011, 'Algorithms for hyper-parameter optimization'; Akiba et al. 2019, arXiv:1907.10902.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from vaekit.errors import optional
from vaekit.runs.folder import LOG
from vaekit.studies.definition import Definition, Range, Search
from vaekit.studies.points import Point, Trial, searched_point
from vaekit.studies.storage import Outcome, Storage, turn
from vaekit.studies.trial import Bench, Pruned

NEEDS_OPTUNA = "a search by tpe needs optuna: pip install 'vaekit[studies]'"
Attempt = Callable[[Trial, Any], Outcome | None]
"""attempt(trial, callback): run a trial and record its outcome, unless it has one."""


def points_of(study: Definition, outcomes: Mapping[str, Outcome]) -> list[Point]:
    """Return the points that a search has tried."""
    tried = {one.point: one for one in outcomes.values()}
    return [searched_point(study, int(name), tried[name].at) for name in sorted(tried)]


def search(bench: Bench, storage: Storage, attempt: Attempt, pause: float) -> None:
    """Draw and run points until the search has its trials, taking again those whose worker died."""
    optuna: Any = optional("optuna", NEEDS_OPTUNA)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    wanted = bench.study.search
    assert wanted is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optuna warns of what is experimental in it
        drawer = _Drawer(optuna, bench.study, wanted, storage)
        while not drawer.over():
            with drawer.taken() as drawn:
                if drawn is None:
                    time.sleep(pause)  # others have them all
                    continue
                point = searched_point(bench.study, drawn.number, drawer.values(drawn))
                outcomes = _all_seeds(bench, storage, point, drawn, attempt)
                drawer.tell(drawn, outcomes)


def _all_seeds(bench: Bench, storage: Storage, point: Point, drawn: Any, attempt: Attempt) -> list[Outcome]:
    """Run a point with every seed, until one is pruned; the first is watched, if the search prunes."""
    outcomes = []
    assert bench.study.search is not None
    for i, seed in enumerate(bench.study.seeds):
        trial = Trial(point, seed)
        watched = bench.study.search.prune and i == 0
        attempt(trial, _Watched(bench, trial, drawn) if watched else None)
        outcomes.append(storage.outcomes()[trial.name])
        if outcomes[-1].status == "pruned":
            break
    return outcomes


class _Drawer:
    """optuna's study: draws points, and is told what they gave."""

    def __init__(self, optuna: Any, study: Definition, wanted: Search, storage: Storage) -> None:
        self._optuna, self._wanted, self._storage = optuna, wanted, storage
        goals = [goal.replace("ise", "ize") for goal in wanted.goals.values()]
        pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)
        with turn(storage, "ask"):
            self._study = optuna.create_study(
                storage=storage.for_search(optuna),
                study_name=study.key,
                load_if_exists=True,
                directions=goals,
                pruner=pruner,
            )

    def _all(self) -> list[Any]:
        return self._study.get_trials(deepcopy=False)

    def _running(self) -> list[Any]:
        return [one for one in self._all() if one.state == self._optuna.trial.TrialState.RUNNING]

    def over(self) -> bool:
        """Return whether every point of the search has been tried to its end."""
        return len(self._all()) >= self._wanted.trials and not self._running()

    @contextmanager
    def taken(self) -> Iterator[Any]:
        """Yield a point that is this process's for the length of the block: one whose worker died, or a new one."""
        with ExitStack() as held:
            with turn(self._storage, "ask"):
                drawn = self._abandoned(held) or self._new(held)
            yield drawn

    def _abandoned(self, held: ExitStack) -> Any:
        for one in self._running():
            with ExitStack() as mine:
                if mine.enter_context(self._storage.claim(f"point-{one.number:04d}")):
                    held.push(mine.pop_all())
                    return self._optuna.trial.Trial(self._study, one._trial_id)
        return None

    def _new(self, held: ExitStack) -> Any:
        count = len(self._all())
        if count >= self._wanted.trials:
            return None
        # Seeded by how far the search is, so that one of a single job can be repeated.
        self._study.sampler = self._optuna.samplers.TPESampler(seed=count, constant_liar=True)
        drawn = self._study.ask()
        held.enter_context(self._storage.claim(f"point-{drawn.number:04d}"))
        self.values(drawn)
        return drawn

    def values(self, drawn: Any) -> dict[str, Any]:
        """Return a point's settings; those that it has already stay as they are."""
        out: dict[str, Any] = {}
        for name, values in self._wanted.space.items():
            if not isinstance(values, Range):
                out[name] = drawn.suggest_categorical(name, values)
            elif values.whole:
                out[name] = drawn.suggest_int(name, int(values.low), int(values.high), log=values.log)
            else:
                out[name] = drawn.suggest_float(name, values.low, values.high, log=values.log)
        return out

    def tell(self, drawn: Any, outcomes: list[Outcome]) -> None:
        """Tell what a point gave: each goal's mean over the seeds, or that it was pruned or failed."""
        state = self._optuna.trial.TrialState
        if any(one.status == "pruned" for one in outcomes):
            self._study.tell(drawn, state=state.PRUNED)
            return
        means = []
        for goal in self._wanted.goals:
            values = [one.numbers.get(goal, {}).get("value") for one in outcomes]
            known = [value for value in values if value is not None]
            means.append(sum(known) / len(known) if len(known) == len(values) else None)
        if any(mean is None for mean in means):
            self._study.tell(drawn, state=state.FAIL)
        else:
            self._study.tell(drawn, means)


class _Watched:
    """Reports a run's held-out ELBO after each epoch, and ends the run where it is below the median of others."""

    def __init__(self, bench: Bench, trial: Trial, drawn: Any) -> None:
        self._log, self._drawn, self._epoch = bench.folder / trial.name / LOG, drawn, 0

    def __call__(self, info: Any) -> None:
        epoch = int(info.epoch)
        if epoch == self._epoch or not self._log.is_file():
            return
        self._epoch = epoch
        scores = [json.loads(line).get("valid.elbo") for line in self._log.read_text("utf-8").splitlines() if line]
        known = [score for score in scores if score is not None]
        if not known:
            return
        self._drawn.report(known[-1], len(known))
        if self._drawn.should_prune():
            raise Pruned(f"after {len(known)} epochs its held-out ELBO, {known[-1]:.4g}, was below the others' median")
