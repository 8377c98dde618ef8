"""Disentanglement metrics of posterior means against known factors, with their errors."""

from __future__ import annotations

import numpy as np

from vaekit.metrics import factor_scores as scores
from vaekit.metrics import interventions
from vaekit.metrics.base import Result, Subject, metric, refuses
from vaekit.metrics.uncertainty import bootstrap, share

MAX_EXAMPLES = 5000
"""Examples used, at most."""
CATEGORICAL = ("shape",)
"""Factors, by name, whose values have no order."""
UNIT = "of 1"


def _data(subject: Subject) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return codes (N, D), factors (N, F) and the names of those that vary among the first 5,000 examples."""
    assert subject.factors is not None
    n = min(len(subject.x), MAX_EXAMPLES)
    factors = subject.factors[:n].numpy()
    varied = scores.varied_factors(factors)
    names = subject.info.factor_names or tuple(f"factor {j}" for j in range(factors.shape[1]))
    return subject.features[:n].double().numpy(), factors[:, varied], [names[j] for j in varied]


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
    gives={"sap": ("how much better the best code predicts a factor than the second best", True)},
    needs=("factors",),
    reference="Kumar et al. 2018, arXiv:1711.00848",
)
@refuses("sap", unit=UNIT)
def sap(subject: Subject) -> dict[str, Result]:
    """Separated attribute predictability, averaged over factors; `shape` is categorical, the others ordered."""
    codes, factors, names = _data(subject)
    kinds = [name in CATEGORICAL for name in names]
    each = scores.sap(codes, factors, kinds)
    stderr = bootstrap(lambda rows: scores.sap(codes[rows], factors[rows], kinds).mean(), len(codes), times=10)
    facts = {"by_factor": dict(zip(names, each.tolist()))}
    return {"sap": Result(float(each.mean()), UNIT, len(codes), stderr, facts=facts)}


def _swapped(first: float, second: float, n: int, **facts: object) -> Result:
    """Return the mean of two numbers, each fitted on one half of the examples, and half their difference as stderr."""
    return Result((first + second) / 2, UNIT, n, abs(first - second) / 2, facts=facts)


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
    codes, factors, names = _data(subject)
    a = scores.dci(codes, factors)
    subject.progress("dci", 1, 2)
    b = scores.dci(codes, factors, swap=True)
    subject.progress("dci", 2, 2)
    n = len(codes)
    importance = ((a.importance + b.importance) / 2).round(4).tolist()
    return {
        "dci_disentanglement": _swapped(a.disentanglement, b.disentanglement, n, importance=importance, factors=names),
        "dci_completeness": _swapped(a.completeness, b.completeness, n),
        "dci_informativeness": _swapped(a.informativeness, b.informativeness, n),
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
    each = dict(zip(names, ((a + b) / 2).tolist()))
    return {
        "modularity": Result(value, UNIT, len(codes), stderr),
        "explicitness": _swapped(float(np.nanmean(a)), float(np.nanmean(b)), len(codes), by_factor=each),
    }


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
    codes, factors, names = _data(subject)
    right = interventions.beta_vae_score(codes, factors, seed=subject.seed)
    return {"beta_vae_score": share(right, "accuracy", chance=1 / len(names), examples=len(codes))}


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
    codes, factors, names = _data(subject)
    right = interventions.factor_vae_score(codes, factors, seed=subject.seed)
    return {"factor_vae_score": share(right, "accuracy", chance=1 / len(names), examples=len(codes))}


@metric(
    "irs",
    group="disentanglement",
    gives={"irs": ("how little a code moves while its factor is held and the others vary", True)},
    needs=("factors",),
    reference="Suter et al. 2019, arXiv:1811.00007",
)
@refuses("irs", unit=UNIT)
def irs(subject: Subject) -> dict[str, Result]:
    """Interventional robustness score."""
    codes, factors, _ = _data(subject)
    value, _ = interventions.irs(codes, factors)
    stderr = bootstrap(lambda rows: interventions.irs(codes[rows], factors[rows])[0], len(codes), times=20)
    return {"irs": Result(value, UNIT, len(codes), stderr)}
