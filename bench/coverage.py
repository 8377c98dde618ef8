"""Coverage of 95% intervals: over repeated draws of data, the share of them that hold what they are intervals of.

`python bench/coverage.py --jobs 4` writes bench/results/coverage.json; tests/metrics/test_coverage.py checks the
same cases.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from scipy.stats import norm

from vaekit import bounds, intervals
from vaekit.data.info import DataInfo
from vaekit.distributions.normal import StandardNormalFamily
from vaekit.intervals import auroc
from vaekit.metrics import disentanglement, interventions, kl_decomposition, samples
from vaekit.metrics.ais import Bracket
from vaekit.metrics.base import Metric, Result, Subject, mean_of
from vaekit.metrics.disentanglement import accuracy_of
from vaekit.metrics.gradient_noise import signal_to_noise
from vaekit.metrics.kl_decomposition import AggregatePosterior
from vaekit.metrics.mcc import mcc
from vaekit.metrics.molecules import explained, internal_diversity, uniqueness
from vaekit.metrics.named_features import cmmd
from vaekit.metrics.probes import clustering, holes_of
from vaekit.metrics.sequences import per_token
from vaekit.metrics.sharpness import ratio
from vaekit.metrics.synthetic import c2st_of
from vaekit.metrics.tables import over_cells, root_over_cells
from vaekit.metrics.two_sample import told_apart
from vaekit.metrics.udr import udr
from vaekit.metrics.uncertainty import share

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
    long: bool = False
    """Whether it takes over fifteen seconds of one core."""

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


# -- means, shares, ratios ---------------------------------------------------------------------------------------------

MEANS = (
    *(
        "elbo",
        "log_px",
        "kl",
        "iw_bound",
        "bits_per_dim",
        "exact_log_px",
        "no_latents",
        "no_latents_mse",
        "ais",
        "ais_gap",
        "rate_distortion",
    ),
    *("approximation_gap", "approximation_gap_full", "amortisation_gap", "elbo_per_node", "label_log_prob"),
    *("mse", "psnr", "ssim", "ssim_reflect", "ms_ssim", "path_length_linear", "path_length_spherical", "code_gain"),
    *("accuracy", "token_accuracy", "edit_distance", "exact_reconstruction", "frame_accuracy", "note_f1"),
    *(
        "degree",
        "clustering",
        "property_error",
        "column_nll",
        "column_accuracy",
        "cubo",
        "renyi_upper",
        "sbc_spread",
        "sumo",
    ),
    *(f"code_path_{kind}" for kind in ("linear", "spherical", "neighbours")),
    *(f"off_data_{kind}" for kind in ("linear", "spherical", "neighbours", "pixels")),
    *("utility", "utility_real", "dcr", "dcr_holdout", "dcr_share"),
    *("view_log_p", "conditional_log_p", "shared_nats", "class_accuracy", "cross_coherence", "joint_coherence"),
    *("intervention_error", "set_log_px", "context_gap"),
)
"""Numbers that are means over examples, with the standard error of a mean."""
SHARES = ("linear_probe", "knn_accuracy", "validity", "novelty", "same_molecule", "valid_rows")


def _means() -> Iterator[Case]:
    def mean(seed: int) -> dict[str, Result]:
        return {"elbo": mean_of(torch.from_numpy(np.random.default_rng(seed).gamma(2.0, size=100)), "nats")}

    def hits(seed: int) -> dict[str, Result]:
        return {"linear_probe": share(np.random.default_rng(seed).random(100) < 0.1)}

    def tokens(seed: int) -> dict[str, Result]:
        rng = np.random.default_rng(seed)
        counts = rng.integers(3, 30, 100)
        return {"perplexity": per_token(torch.from_numpy(-counts * rng.gamma(4.0, 0.5, 100)), torch.tensor(counts))}

    def cells(seed: int) -> dict[str, Result]:
        rng = np.random.default_rng(seed)  # cells of a row are alike
        values = torch.from_numpy(rng.normal(size=(100, 6)) + rng.normal(size=(100, 1)))
        chosen = torch.from_numpy(rng.random((100, 6)) < 0.3)
        return {"cell_nll": over_cells(values, chosen, "nats"), "impute_rmse": root_over_cells(values, chosen)}

    def r2(seed: int) -> dict[str, Result]:
        wrong, truth = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 100)))
        return {"property_r2": explained(0.6 * wrong, truth)}

    def sharper(seed: int) -> dict[str, Result]:
        own, made, noise = torch.from_numpy(np.random.default_rng(seed).gamma(3.0, size=(3, 100)))
        return {
            "sharpness": ratio(0.2 * own * noise, own, paired=True),
            "sample_sharpness": ratio(0.6 * made, own, paired=False),
        }

    def gradients(seed: int) -> dict[str, Result]:
        drawn = torch.from_numpy(np.random.default_rng(seed).normal(0.5, 1.0, (50, 40)))
        value, error = signal_to_noise(drawn)
        return {"encoder_snr_1": Result(value, "", 50, error)}

    def unbiased(seed: int) -> dict[str, Result]:
        torch.manual_seed(seed)
        terms = bounds.terms_of(torch.rand(5 * 100))
        log_w = torch.randn(10 + int(terms.max()), len(terms), dtype=torch.float64) - 0.5  # whose mean weight is 1
        return {"sumo": mean_of(bounds.debiased(log_w, terms, 10).unflatten(0, (5, 100)).mean(0), "nats")}

    def bracket(seed: int) -> dict[str, Result]:
        true, below, above = torch.from_numpy(np.random.default_rng(seed).gamma(2.0, size=(3, 50)))
        forward: Any = SimpleNamespace(values=true - true.mean() - below)
        found = Bracket(true, forward, true - true.mean() + above)
        return {"log_px_bracket": Result(0.0, "nats", 50, interval=found.interval)}

    yield Case(MEANS, "100 examples with a tail to the right", mean, 2.0, 1000)
    yield Case(("sharpness", "sample_sharpness"), "100 pictures", sharper, 0.6)
    yield Case(("encoder_snr_1", "encoder_snr_5", "encoder_snr_50"), "50 gradients of 40 weights", gradients, 0.5)
    yield Case(("sumo",), "100 examples of 5 estimates each, log-normal weights of deviation 1", unbiased, 0.0)
    yield Case(("log_px_bracket",), "50 examples, bounds apart by more than their noise", bracket, 0.0, most=1.0)
    yield Case(SHARES, "10% of 100 examples", hits, 0.1, 1000)
    yield Case(("perplexity", "perplexity_elbo"), "100 sequences of 3 to 29 tokens", tokens, draws=1000)
    numbers = ["impute_rmse_mean", "impute_accuracy", "impute_accuracy_mode", "column_rmse", "cell_mse"]
    numbers += [f"{a}_{b}" for a in ("gap", "forecast") for b in ("nll", "rmse", "coverage")]
    numbers += ["gap_rmse_line", "forecast_rmse_last"]
    yield Case(("cell_nll", "impute_rmse", *numbers), "100 rows with cells in common", cells, draws=1000)
    yield Case(("property_r2",), "100 molecules", r2, draws=1000)


def _molecules() -> Iterator[Case]:
    def unique(seed: int) -> dict[str, Result]:
        return {"unique_1k": uniqueness([str(i) for i in np.random.default_rng(seed).zipf(1.5, 200)], 1000)}

    def diverse(seed: int) -> dict[str, Result]:
        rng, ends = np.random.default_rng(seed), ("", "O", "N", "Cl", "C(=O)O", "c1ccccc1")
        drawn = [f"{'C' * rng.integers(1, 9)}{rng.choice(ends)}" for _ in range(60)]
        return {"internal_diversity": internal_diversity(drawn)}

    yield Case(("unique_1k", "unique_10k"), "200 samples, some often", unique)
    yield Case(("internal_diversity",), "60 small molecules", diverse)


# -- samples -----------------------------------------------------------------------------------------------------------

INFO = DataInfo("toy", (1, 4, 4), "unit", 2, 1, 1, 1, ())


def compared(seed: int, n: int = 150, width: int = 6) -> samples.Compared:
    """Return features of normal examples, and of samples that are narrower and beside them."""
    generator = torch.Generator().manual_seed(seed)
    real = torch.randn(n, width, generator=generator)
    fake = 0.8 * torch.randn(n, width, generator=generator) + 0.3
    return samples.Compared(real, fake, real, fake, {})


def of_features(function: Metric) -> Callable[[int], Mapping[str, Result]]:
    """Return a metric of samples as a function of the seed of `compared`."""

    def draw(seed: int) -> Mapping[str, Result]:
        model: Any = torch.nn.Identity()
        found = compared(seed)
        shared: dict[str, Any] = {"compared": found, "compared_by_name": found}
        return function(Subject(model, INFO, torch.zeros(1), shared=shared))

    return draw


def _samples() -> Iterator[Case]:
    situation = "150 examples and samples of 6 features"
    yield Case(("precision", "recall"), situation, of_features(samples.precision_recall))
    yield Case(("density", "coverage"), situation, of_features(samples.density_coverage))
    yield Case(("kid",), situation, of_features(samples.kid))
    yield Case(("cmmd",), situation, of_features(cmmd))
    yield Case(("fid", "fid_extrapolated", "fd", "fd_extrapolated"), situation, of_features(samples.fid))
    yield Case(("inception_score",), situation, of_features(samples.inception_score))

    def same(seed: int) -> dict[str, Result]:
        data, made = np.random.default_rng(seed).normal(size=(2, 80, 3))
        right, score, truth = told_apart(data, made)
        p, area = float(right.mean()), auroc(score, truth)
        return {
            "c2st_accuracy": Result(p, "of 1", len(truth), interval=intervals.wilson(p, len(truth))),
            "c2st_auroc": Result(area, "of 1", len(truth), interval=intervals.auroc_interval(score, truth)),
        }

    yield Case(
        ("c2st_accuracy", "c2st_auroc", "synthetic_auroc"), "80 examples and samples of one distribution", same, 0.5
    )

    def alike(seed: int) -> dict[str, Result]:
        data, made = np.random.default_rng(seed).normal(size=(2, 80, 3))
        return {"synthetic_c2st": c2st_of(*told_apart(data, made)[1:])["synthetic_c2st"]}

    yield Case(("synthetic_c2st",), "80 rows and samples of one distribution; 1 at most", alike, 1.0, most=1.0)


# -- codes, factors, labels --------------------------------------------------------------------------------------------


def coded(seed: int, n: int = 200) -> Subject:
    """Return a subject whose codes (n, 3) are two factors of two values with noise, and one that knows nothing."""
    rng = np.random.default_rng(seed)
    factors = rng.integers(0, 2, (n, 2))
    known = factors + 0.6 * rng.normal(size=(n, 2)) + 0.4 * factors[:, ::-1]
    codes = np.concatenate([known, rng.normal(size=(n, 1))], 1)
    model: Any = torch.nn.Identity()
    y = torch.from_numpy(factors[:, 0])
    subject = Subject(model, INFO, torch.zeros(n, 1), y, factors=torch.from_numpy(factors), options={"dci_trees": 3})
    subject.__dict__ |= {"features": torch.from_numpy(codes), "labelled_codes": False}
    subject.shared["informative_codes"] = codes
    return subject


def of_codes(function: Metric, n: int = 200) -> Callable[[int], Mapping[str, Result]]:
    """Return a metric of codes as a function of the seed of `coded`."""
    return lambda seed: function(coded(seed, n))


def agreeing(seed: int) -> Mapping[str, Result]:
    """Return udr of codes beside two other runs': the same with noise, and turned."""
    subject, rng = coded(seed), np.random.default_rng([seed, 1])
    codes = subject.shared["informative_codes"]
    others = [codes + 0.5 * rng.normal(size=codes.shape), codes @ np.array([[1, 0.5, 0], [-0.5, 1, 0], [0, 0, 1]])]
    subject.others = [replace(subject, shared={"informative_codes": other}) for other in others]
    return udr(subject)


def _codes() -> Iterator[Case]:
    situation = "200 examples, two noisy factors"
    both = disentanglement
    yield Case(("mig",), situation, of_codes(both.mig), long=True)
    yield Case(("modularity", "explicitness"), situation, of_codes(both.modularity_explicitness), long=True)
    yield Case(("irs",), situation, lambda seed: {"irs": both.irs(coded(seed))["irs"]})
    yield Case(("sap", "sap_categorical"), situation, of_codes(both.sap), long=True)
    names = tuple(f"dci_{name}" for name in ("disentanglement", "completeness", "informativeness"))
    yield Case(names, situation, of_codes(both.dci), long=True)
    yield Case(tuple(f"{name}_boosted" for name in names), situation, of_codes(both.dci_boosted), long=True)
    yield Case(("mcc", "mcc_rank"), situation, of_codes(mcc), long=True)
    yield Case(("udr",), "200 examples, three runs", agreeing, long=True)
    yield Case(("cluster_nmi", "cluster_ari", "cluster_accuracy"), situation, of_codes(clustering, 100), long=True)


def _accuracies() -> Iterator[Case]:
    """Batches are drawn from the same examples again and again: the examples are what must be resampled."""
    for name in ("beta_vae_score", "factor_vae_score"):
        score = getattr(interventions, name)

        def draw(seed: int, name: str = name, score: Callable[..., np.ndarray] = score) -> dict[str, Result]:
            generator = np.random.default_rng(seed)
            factors = generator.integers(0, 4, (160, 3))
            codes = factors + 1.3 * generator.normal(size=(160, 3)) + 0.8 * np.roll(factors, 1, axis=1)
            return {name: accuracy_of(lambda c, f: score(c, f, batch=16, train=150, test=150), codes, factors)}

        yield Case((name,), "160 examples, three noisy factors", draw, long=True)


def _latents() -> Iterator[Case]:
    def holes(seed: int) -> dict[str, Result]:
        torch.manual_seed(seed)
        return {"holes": holes_of(1.5 * torch.randn(200, 2), torch.randn(200, 2))}

    def parts(seed: int) -> Mapping[str, Result]:
        torch.manual_seed(seed)
        mixture = AggregatePosterior(0.8 * torch.randn(150, 2), torch.full((150, 2), math.log(0.6)))
        made, model = (mixture, StandardNormalFamily(torch.zeros(2))), torch.nn.Identity()
        with mock.patch.object(kl_decomposition, "mixture_of", lambda _: made):
            subject: Any = Subject(model, INFO, mixture.loc)  # type: ignore[arg-type]
            return kl_decomposition.kl_decomposition(subject)

    yield Case(("holes",), "200 codes and prior samples, a wider prior", holes)
    situation = "150 posteriors of two latents, a total correlation near 0"
    yield Case(tuple(kl_decomposition.MEANINGS), situation, parts, most=0.99)


def cases() -> list[Case]:
    """Return every case."""
    made = (_areas, _precisions, _means, _molecules, _samples, _codes, _accuracies, _latents)
    return [case for each in made for case in each()]


def rows(number: int) -> list[dict[str, Any]]:
    """Return a row for each number of a case."""
    case = cases()[number]
    facts = {"nominal": NOMINAL, "draws": case.draws, "least": case.least, "most": case.most}
    facts |= {"stands_for": list(case.numbers)}
    return [
        {"metric": name, "situation": case.situation, "covered": round(held, 4), **facts}
        for name, held in coverage(case).items()
    ]


def _case_of(row: Mapping[str, Any]) -> tuple[str, list[str]]:
    return f"{row['stands_for'][0]}: {row['situation']}", row["stands_for"]


def main() -> None:
    """Measure all cases, or some again, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", help="cases with this in their name; the others' rows are kept")
    args, started, every = parser.parse_args(), time.perf_counter(), cases()
    kept = json.loads(args.out.read_text(encoding="utf-8"))["rows"] if args.only else []
    chosen = [i for i, case in enumerate(every) if args.only in case.id]
    made: dict[int, list[dict[str, Any]]] = {}
    with ProcessPoolExecutor(args.jobs) as pool:
        for i, some in zip(chosen, pool.map(rows, chosen)):
            made[i] = some
            for row in some:
                print(f"{row['covered']:.3f}  {row['metric']}: {row['situation']}", flush=True)
    found = [
        row
        for i, case in enumerate(every)
        for row in made.get(i) or [one for one in kept if (case.id, list(case.numbers)) == _case_of(one)]
    ]
    args.out.write_text(json.dumps({"rows": found}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{args.out.name}: {len(found)} rows, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
