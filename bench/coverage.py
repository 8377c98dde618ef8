"""Coverage of 95% intervals: over repeated draws of data, the share of them that hold what they are intervals of.

`python bench/coverage.py` writes bench/results/coverage.json; tests/metrics/test_coverage.py checks the same cases.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import norm

from vaekit import intervals
from vaekit.data.info import DataInfo
from vaekit.metrics import interventions, samples
from vaekit.metrics.base import Metric, Result, Subject
from vaekit.metrics.disentanglement import accuracy_of

RESULTS = Path(__file__).parent / "results" / "coverage.json"
NOMINAL, LEAST, MOST = 0.95, 0.90, 0.98


@dataclass(frozen=True)
class Case:
    """Numbers whose interval is made one way, and data to see what it covers.

    `draw(seed)` gives the numbers of one draw of data. What their intervals should hold is `truth`, or else what the
    numbers are on average over test sets of this size: the mean over the draws. `numbers` are those of an evaluation
    that the case stands for. Where fewer than `least` or more than `most` are expected, `situation` says why.
    """

    numbers: tuple[str, ...]
    situation: str
    draw: Callable[[int], Mapping[str, Result]]
    truth: float | None = None
    draws: int = 200
    least: float = LEAST
    most: float = MOST

    @property
    def id(self) -> str:
        """A name of the case."""
        return f"{self.numbers[0]}: {self.situation}"


def ends(result: Result) -> tuple[float, float]:
    """Return a result's interval, or ± 1.96 standard errors."""
    if result.interval is not None:
        return result.interval
    assert result.value is not None and result.stderr is not None, "no interval and no standard error"
    return result.value - 1.96 * result.stderr, result.value + 1.96 * result.stderr


def coverage(case: Case) -> dict[str, float]:
    """Return the share of intervals that hold the truth, by number."""
    found: dict[str, list[Result]] = {}
    for seed in range(case.draws):
        for name, result in case.draw(seed).items():
            found.setdefault(name, []).append(result)
    out = {}
    for name, results in found.items():
        truth = np.mean([result.value or 0.0 for result in results]) if case.truth is None else case.truth
        out[name] = sum(bool(low <= truth <= high) for low, high in map(ends, results)) / len(results)
    return out


# -- rankings ----------------------------------------------------------------------------------------------------------


def ranking(positives: int, area: float, width: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores of positives, of deviation `width`, and of 100 negatives, and which are positive."""
    rng = np.random.default_rng([seed, positives])
    above = width * rng.standard_normal(positives) + math.hypot(1, width) * norm.ppf(area)
    return np.concatenate([above, rng.standard_normal(100)]), np.arange(positives + 100) < positives


def _areas() -> Iterator[Case]:
    for width, few in ((1.0, (2, 3, 5, 10, 50)), (3.0, (2, 5, 10, 50))):
        for positives in few:
            for area in (0.5, 0.8, 0.95):

                def draw(seed: int, m: int = positives, area: float = area, width: float = width) -> dict[str, Result]:
                    score, truth = ranking(m, area, width, seed)
                    interval = intervals.auroc_interval(score, truth)
                    return {"auroc": Result(intervals.auroc(score, truth), "of 1", 100, interval=interval)}

                unlike, least = "", LEAST
                if width > 1:
                    unlike = f", spread {width:g} times as widely"
                    least = 0.85 if positives >= 5 else 0.70
                situation = f"{positives} positives, 100 negatives, area {area}{unlike}"
                yield Case(("auroc", "auc", "c2st_auroc"), situation, draw, area, 400, least)


def _precisions() -> Iterator[Case]:
    for positives in (2, 3, 5, 10, 50):
        for area in (0.5, 0.8, 0.95):

            def draw(seed: int, m: int = positives, area: float = area) -> dict[str, Result]:
                score, truth = ranking(m, area, 1.0, seed)
                interval = intervals.average_precision_interval(score, truth)
                return {"aupr": Result(intervals.average_precision(score, truth), "of 1", 100, interval=interval)}

            situation = f"{positives} positives, 100 negatives, area {area}; conservative"
            yield Case(("aupr", "ap"), situation, draw, draws=400, most=1.0)


# -- samples -----------------------------------------------------------------------------------------------------------


def compared(seed: int, n: int = 150, width: int = 6) -> samples.Compared:
    """Return features of normal examples, and of samples that are narrower and beside them."""
    generator = torch.Generator().manual_seed(seed)
    real = torch.randn(n, width, generator=generator)
    fake = 0.8 * torch.randn(n, width, generator=generator) + 0.3
    return samples.Compared(real, fake, real, fake, {})


def of_features(function: Metric) -> Callable[[int], Mapping[str, Result]]:
    """Return a metric of samples as a function of the seed of `compared`."""
    info = DataInfo("toy", (1, 4, 4), "unit", 2, 1, 1, 1, ())

    def draw(seed: int) -> Mapping[str, Result]:
        model: Any = torch.nn.Identity()
        return function(Subject(model, info, torch.zeros(1), shared={"compared": compared(seed)}))

    return draw


def _samples() -> Iterator[Case]:
    situation = "150 examples and samples of 6 features"
    yield Case(("precision", "recall"), situation, of_features(samples.precision_recall))
    yield Case(("density", "coverage"), situation, of_features(samples.density_coverage))
    yield Case(("kid",), situation, of_features(samples.kid))
    yield Case(("fid", "fid_extrapolated"), situation, of_features(samples.fid))


# -- factors -----------------------------------------------------------------------------------------------------------


def _accuracies() -> Iterator[Case]:
    """Batches are drawn from the same examples again and again: the examples are what must be resampled."""
    for name in ("beta_vae_score", "factor_vae_score"):
        score = getattr(interventions, name)

        def draw(seed: int, name: str = name, score: Callable[..., np.ndarray] = score) -> dict[str, Result]:
            generator = np.random.default_rng(seed)
            factors = generator.integers(0, 4, (160, 3))
            codes = factors + 1.3 * generator.normal(size=(160, 3)) + 0.8 * np.roll(factors, 1, axis=1)
            return {name: accuracy_of(lambda c, f: score(c, f, batch=16, train=150, test=150), codes, factors)}

        yield Case((name,), "160 examples, three noisy factors", draw)


def cases() -> list[Case]:
    """Return every case."""
    return [*_areas(), *_precisions(), *_samples(), *_accuracies()]


def rows() -> Iterator[dict[str, Any]]:
    """Yield a row for each number of each case."""
    for case in cases():
        for name, share in coverage(case).items():
            within = {"least": case.least, "most": case.most}
            facts = {"nominal": NOMINAL, "covered": round(share, 4), "draws": case.draws, **within}
            yield {"metric": name, "situation": case.situation, **facts, "stands_for": list(case.numbers)}


def main() -> None:
    """Measure all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    out, started, found = parser.parse_args().out, time.perf_counter(), []
    for row in rows():
        found.append(row)
        print(f"{row['covered']:.3f}  {row['metric']}: {row['situation']}", flush=True)
    out.write_text(json.dumps({"rows": found}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{out.name}: {len(found)} rows, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
