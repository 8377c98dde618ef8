"""Disentanglement metrics of posterior means against known factors, with their errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from vaekit.errors import UserError
from vaekit.metrics import factor_scores as scores
from vaekit.metrics import interventions
from vaekit.metrics.base import Result, Subject, metric, refused, refuses
from vaekit.metrics.uncertainty import bootstrap, dependent_share, error_of_halves, halves

MAX_EXAMPLES = 5000
"""Examples used, at most."""
CATEGORICAL = ("shape",)
"""Factors, by name, whose values have no order."""
UNIT = "of 1"
SAP = {
    "sap": "ordered factors, standardised codes",
    "sap_categorical": "every factor categorical, as disentanglement_lib",
}
"""How the two scores are defined."""


def _data(subject: Subject) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return codes (N, D), factors (N, F) and the names of those that vary among at most 5,000 examples."""
    assert subject.factors is not None
    rows = subject.some_rows(MAX_EXAMPLES)
    factors = subject.factors[rows].numpy()
    varied = scores.varied_factors(factors)
    names = subject.info.factor_names or tuple(f"factor {j}" for j in range(factors.shape[1]))
    return subject.blind_features()[rows].double().numpy(), factors[:, varied], [names[j] for j in varied]


@metric(
    "mig",
    group="disentanglement",
    gives={"mig": ("mutual information gap: what the best code knows of a factor beyond the second best", True)},
    needs=("factors",),
    reference="Chen et al. 2018, arXiv:1802.04942",
)
@refuses("mig", unit=UNIT)
def mig(subject: Subject) -> dict[str, Result]:
    """Mutual information gap, averaged over factors, codes in 20 bins."""
    codes, factors, names = _data(subject)
    each = scores.mig(codes, factors)
    stderr = bootstrap(lambda rows: scores.mig(codes[rows], factors[rows]).mean(), len(codes), times=20)
    facts = {"bins": scores.BINS, "by_factor": dict(zip(names, each.tolist()))}
    return {"mig": Result(float(each.mean()), UNIT, len(codes), stderr, facts=facts)}


@metric(
    "sap",
    group="disentanglement",
    gives={
        "sap": ("how much better the best code predicts a factor than the second best", True),
        "sap_categorical": (
            "the same, every factor categorical and codes not standardised, as in disentanglement_lib's study",
            True,
        ),
    },
    needs=("factors",),
    reference="Kumar et al. 2018, arXiv:1711.00848",
)
@refuses("sap", "sap_categorical", unit=UNIT)
def sap(subject: Subject) -> dict[str, Result]:
    """Separated attribute predictability, averaged over factors; `shape` is categorical, the others ordered."""
    codes, factors, names = _data(subject)
    n, kinds = len(codes), [name in CATEGORICAL for name in names]
    every = [True] * len(names)

    def ordered(rows: np.ndarray) -> np.ndarray:
        return scores.sap(codes[rows], factors[rows], kinds)

    def categorical(rows: np.ndarray) -> np.ndarray:
        return scores.sap(codes[rows], factors[rows], every, standardise=False)

    out: dict[str, Result] = {}
    for key, score in (("sap", ordered), ("sap_categorical", categorical)):
        try:
            each = score(np.arange(n))
        except ValueError as error:
            out[key] = refused(f"too few examples of each value: {error}", UNIT)
            continue
        stderr = _error(lambda rows, score=score: score(rows).mean(), n, times=10 if score is categorical else 50)
        facts = {"by_factor": dict(zip(names, each.tolist())), "definition": SAP[key]}
        out[key] = Result(float(each.mean()), UNIT, n, stderr, facts=facts)
    return out


def _error(statistic: Callable[[np.ndarray], Any], n: int, times: int = 5) -> Any:
    """Return the standard error of what is fitted to some rows and tested on others; None where halves are too few."""
    try:
        return error_of_halves(halves(statistic, n, times=times))
    except (UserError, ValueError):  # scikit-learn's of a single class
        return None


@metric(
    "dci",
    group="disentanglement",
    gives={
        "dci_disentanglement": ("whether each code is important for one factor only", True),
        "dci_completeness": ("whether each factor has one important code only", True),
        "dci_informativeness": ("held-out accuracy of random forests from codes to factors", True),
    },
    needs=("factors",),
    reference="Eastwood & Williams 2018, openreview:By-7dz-AZ",
)
@refuses("dci_disentanglement", "dci_completeness", "dci_informativeness", unit=UNIT)
def dci(subject: Subject) -> dict[str, Result]:
    """Disentanglement, completeness and informativeness by random forests, fitted and tested on either half."""
    fit = partial(scores.dci, trees=int(subject.options.get("dci_trees", 30)))
    return _dci(subject, *_data(subject), fit, "", times=5, definition="random forests")


BOOSTED_EXAMPLES = 2000
"""Examples that trees are boosted on, at most: one tree a value of a factor and round."""


@metric(
    "dci_boosted",
    group="published",
    gives={
        "dci_disentanglement_boosted": ("dci_disentanglement by gradient-boosted trees, as disentanglement_lib", True),
        "dci_completeness_boosted": ("dci_completeness by gradient-boosted trees, as disentanglement_lib", True),
        "dci_informativeness_boosted": ("held-out accuracy of the same trees", True),
    },
    needs=("factors",),
    reference="Eastwood & Williams 2018, openreview:By-7dz-AZ; Locatello et al. 2019, arXiv:1811.12359",
    slow=True,
)
@refuses("dci_disentanglement_boosted", "dci_completeness_boosted", "dci_informativeness_boosted", unit=UNIT)
def dci_boosted(subject: Subject) -> dict[str, Result]:
    """DCI as published tables have it, by gradient-boosted trees, of at most 2,000 examples: minutes."""
    codes, factors, names = _data(subject)
    fit = partial(scores.dci, trees=int(subject.options.get("dci_trees", 100)), boosted=True)
    data = codes[:BOOSTED_EXAMPLES], factors[:BOOSTED_EXAMPLES]
    trees = "gradient-boosted trees, as disentanglement_lib"
    return _dci(subject, *data, names, fit, "_boosted", times=6, definition=trees)


def _dci(
    subject: Subject,
    codes: np.ndarray,
    factors: np.ndarray,
    names: list[str],
    fit: Callable[..., scores.DCI],
    suffix: str,
    *,
    times: int,
    definition: str,
) -> dict[str, Result]:
    """Return the three numbers, means of fits to either half, with errors by `times` half-samples."""

    def three(x: scores.DCI) -> list[float]:
        return [x.disentanglement, x.completeness, x.informativeness]

    done, n = 0, len(codes)

    def fitted(rows: np.ndarray | slice, swap: bool = False) -> scores.DCI:
        nonlocal done
        out = fit(codes[rows], factors[rows], swap=swap)
        done += 1
        subject.progress("dci", done, 2 + 2 * times)
        return out

    a, b = fitted(slice(None)), fitted(slice(None), swap=True)
    errors = _error(lambda rows: three(fitted(rows)), n, times) or [None] * 3
    importance = ((a.importance + b.importance) / 2).round(4).tolist()
    facts: list[dict[str, Any]] = [{"importance": importance, "factors": names}, {}, {}]
    keys = (f"dci_{name}{suffix}" for name in ("disentanglement", "completeness", "informativeness"))
    return {
        key: Result((first + second) / 2, UNIT, n, stderr, facts={"definition": definition, **more})
        for key, first, second, stderr, more in zip(keys, three(a), three(b), errors, facts)
    }


@metric(
    "modularity_explicitness",
    group="disentanglement",
    gives={
        "modularity": ("whether each code shares information with one factor only", True),
        "explicitness": ("how well logistic regressions tell each value of each factor, 0 at chance", True),
    },
    needs=("factors",),
    reference="Ridgeway & Mozer 2018, arXiv:1802.05312",
)
@refuses("modularity", "explicitness", unit=UNIT)
def modularity_explicitness(subject: Subject) -> dict[str, Result]:
    """Modularity of the codes, and explicitness of the factors in them."""
    codes, factors, names = _data(subject)

    def modularity(rows: np.ndarray) -> float:
        return scores.modularity(scores.information(codes[rows], factors[rows]))

    value, stderr = modularity(np.arange(len(codes))), bootstrap(modularity, len(codes), times=20)
    a, b = (scores.explicitness(codes, factors, swap=swap) for swap in (False, True))
    each, mean = dict(zip(names, ((a + b) / 2).tolist())), float(np.nanmean(a) + np.nanmean(b)) / 2
    error = _error(lambda rows: np.nanmean(scores.explicitness(codes[rows], factors[rows])), len(codes))
    facts = {"by_factor": each, "auc": (mean + 1) / 2, "definition": "2 AUC - 1"}
    return {
        "modularity": Result(value, UNIT, len(codes), stderr),
        "explicitness": Result(mean, UNIT, len(codes), error, facts=facts),
    }


def accuracy_of(
    score: Callable[[np.ndarray, np.ndarray], np.ndarray], codes: np.ndarray, factors: np.ndarray
) -> Result:
    """Return an accuracy over batches drawn from examples, its interval over examples and batches.

    `score(codes (N, D), factors (N, F))` gives (batches,) bool.
    """
    n, right = len(codes), score(codes, factors)
    value, facts = float(right.mean()), {"chance": 1 / len(scores.varied_factors(factors)), "examples": n}
    facts["batches"] = len(right)
    by_examples = _error(lambda rows: score(codes[rows], factors[rows]).mean(), n, times=10)
    if by_examples is None:
        return Result(value, "accuracy", n, facts=facts | {"interval_refused": "too few examples share a value"})
    stderr = (by_examples**2 + value * (1 - value) / len(right)) ** 0.5
    return dependent_share(value, stderr, n, "accuracy", **facts)


@metric(
    "beta_vae_score",
    group="disentanglement",
    gives={"beta_vae_score": ("accuracy of a linear classifier of which factor pairs of codes share", True)},
    needs=("factors",),
    reference="Higgins et al. 2017, openreview:Sy2fzU9gl",
)
@refuses("beta_vae_score", unit=UNIT)
def beta_vae_score(subject: Subject) -> dict[str, Result]:
    """The β-VAE metric: held-out accuracy over batches of pairs."""
    codes, factors, _ = _data(subject)
    return {"beta_vae_score": accuracy_of(partial(interventions.beta_vae_score, seed=subject.seed), codes, factors)}


@metric(
    "factor_vae_score",
    group="disentanglement",
    gives={"factor_vae_score": ("accuracy of the least varying code in telling which factor was held", True)},
    needs=("factors",),
    reference="Kim & Mnih 2018, arXiv:1802.05983",
)
@refuses("factor_vae_score", unit=UNIT)
def factor_vae_score(subject: Subject) -> dict[str, Result]:
    """The FactorVAE metric: held-out accuracy of the majority vote."""
    codes, factors, _ = _data(subject)
    return {"factor_vae_score": accuracy_of(partial(interventions.factor_vae_score, seed=subject.seed), codes, factors)}


@metric(
    "irs",
    group="disentanglement",
    gives={
        "irs": ("how little a code moves while its factor is held and the others vary, by 0.99 quantiles", True),
        "irs_max": ("the same by maxima, as published and in disentanglement_lib; above 0 for random codes", True),
    },
    needs=("factors",),
    reference="Suter et al. 2019, arXiv:1811.00007",
)
@refuses("irs", "irs_max", unit=UNIT)
def irs(subject: Subject) -> dict[str, Result]:
    """Interventional robustness score."""
    codes, factors, _ = _data(subject)
    out: dict[str, Result] = {}
    for name, quantile in (("irs", 0.99), ("irs_max", 1.0)):

        def score(rows: np.ndarray, quantile: float = quantile) -> float:
            return interventions.irs(codes[rows], factors[rows], quantile)[0]

        facts = {"definition": f"by {'maxima' if quantile == 1 else '0.99 quantiles'}"}
        stderr = bootstrap(score, len(codes), times=20) if quantile < 1 else None  # no resample has a larger maximum
        out[name] = Result(score(np.arange(len(codes))), UNIT, len(codes), stderr, facts=facts)
    return out
