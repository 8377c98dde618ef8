"""Metrics of sampled molecules as MOSES defines them, and the share of molecules that are reconstructed.

Source: Polykovskiy et al. 2020, "Molecular Sets (MOSES)", arXiv:1811.12823.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vaekit.data.modality import MODALITIES
from vaekit.data.molecules.chemistry import canonical, fingerprints, properties
from vaekit.metrics.base import Result, Subject, mean_of, metric, refused
from vaekit.metrics.uncertainty import share
from vaekit.models.base import Model
from vaekit.tokens import UNKNOWN

SAMPLES = 10_000
"""Molecules drawn, unless the option `samples` says otherwise."""
UNIT = "share"


def validity(samples: Sequence[str]) -> Result:
    """Return the share of samples that rdkit reads as a molecule; an empty string is not one.

    >>> validity(["CCO", "C1CC", ""]).value
    0.333...
    """
    return _share(np.array([canonical(text) is not None for text in samples]))


def uniqueness(valid: Sequence[str], k: int) -> Result:
    """Return the share of different molecules among the first k of `valid`, canonical SMILES of valid samples.

    Fewer than k are all taken, and n says how many. The standard error is the jackknife's: leaving out one of n
    molecules takes one of D different ones away if it is among the F met once, so the n values D_(i)/(n − 1) have
    variance F(1 − F/n)/(n − 1)² times n, and SE² = (n − 1)/n of their summed squares.

    >>> uniqueness(["C", "CC", "C", "CO"], 1000).value
    0.75
    """
    chosen = list(valid[:k])
    n = len(chosen)
    if n < 2:
        return refused("fewer than two valid samples", UNIT)
    counts = Counter(chosen)
    once = list(counts.values()).count(1)
    stderr = math.sqrt(once * (1 - once / n) / (n * (n - 1)))
    return Result(len(counts) / n, UNIT, n, stderr)


def novelty(valid: Sequence[str], known: set[str]) -> Result:
    """Return the share of the different molecules of `valid` that are not in `known`, both canonical SMILES.

    >>> novelty(["C", "CC", "C", "CO"], {"C"}).value
    0.666...
    """
    different = sorted(set(valid))
    if not different:
        return refused("no valid samples", UNIT)
    return _share(np.array([text not in known for text in different]))


def internal_diversity(valid: Sequence[str]) -> Result:
    """Return 1 − mean Tanimoto similarity of Morgan fingerprints over all pairs (A × A, each with itself too).

    The standard error is that of a U-statistic of order two, 2 sd(h)/√n, h(a) being a's mean similarity to all.

    >>> internal_diversity(["C", "C", "C"]).value
    0.0
    """
    if len(valid) < 2:
        return refused("fewer than two valid samples", UNIT)
    means = mean_similarities(fingerprints(valid))
    stderr = 2 * float(means.std(ddof=1)) / math.sqrt(len(means))
    return Result(1 - float(means.mean()), UNIT, len(means), stderr)


def mean_similarities(bits: np.ndarray, block: int = 1000) -> np.ndarray:
    """Return each fingerprint's mean Tanimoto similarity |a ∧ b| / |a ∨ b| to all of them, itself included: (N,).

    Two fingerprints without any bit have similarity 1.

    >>> mean_similarities(np.array([[True, False], [True, True]])).tolist()
    [0.75, 0.75]
    """
    rows = torch.from_numpy(np.asarray(bits, np.float32))
    counts = rows.sum(1)
    out = []
    for start in range(0, len(rows), block):
        both = rows[start : start + block] @ rows.T
        either = counts[start : start + block, None] + counts - both
        similar = torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both))
        out.append(similar.double().mean(1))
    return torch.cat(out).numpy()


def _share(hits: np.ndarray) -> Result:
    """Return a share with its interval and its standard error, √(p(1 − p)/n)."""
    p = float(hits.mean())
    return replace(share(hits, UNIT), stderr=math.sqrt(p * (1 - p) / len(hits)))


@metric(
    "molecules",
    group="samples",
    gives={
        "validity": ("share of samples that are molecules", True),
        "unique_1k": ("different ones among the first 1,000 valid samples, as a share", True),
        "unique_10k": ("different ones among the first 10,000 valid samples, as a share", True),
        "novelty": ("share of the different valid samples that are no training molecule", True),
        "internal_diversity": ("1 − mean Tanimoto similarity of valid samples' Morgan fingerprints", True),
    },
    needs=("modality:molecules", "train"),
    reference="Polykovskiy et al. 2020, arXiv:1811.12823",
)
def molecules(subject: Subject) -> dict[str, Result]:
    """Validity, uniqueness, novelty and internal diversity of samples, as MOSES defines them."""
    assert subject.train is not None
    shown = MODALITIES["molecules"].part.lines
    samples = shown(subject.samples(int(subject.options.get("samples", SAMPLES))), subject.info)
    valid = [text for text in map(canonical, samples) if text is not None]
    known = {text for text in map(canonical, shown(subject.train()[0], subject.info)) if text is not None}
    return {
        "validity": validity(samples),
        "unique_1k": uniqueness(valid, 1000),
        "unique_10k": uniqueness(valid, 10_000),
        "novelty": novelty(valid, known),
        "internal_diversity": internal_diversity(valid),
    }


@metric(
    "molecule_reconstruction",
    group="reconstruction",
    gives={"same_molecule": ("share of test molecules whose greedy reconstruction is the same molecule", True)},
    needs=("modality:molecules",),
)
def reconstruction(subject: Subject) -> dict[str, Result]:
    """Share of test molecules that are reconstructed from the posterior mean, by canonical SMILES."""
    shown = MODALITIES["molecules"].part.lines
    hits: list[bool] = []
    for x, _ in subject.batches("reconstruct"):
        before, after = shown(x, subject.info), shown(subject.model.reconstruct(x), subject.info)
        hits += [canonical(a) == canonical(b) and canonical(b) is not None for a, b in zip(before, after)]
    return {"same_molecule": _share(np.array(hits))}


@metric(
    "property",
    group="reconstruction",
    gives={
        "property_error": ("absolute error of the property predicted from the code, in its own units", False),
        "property_r2": ("share of the property's variance that the prediction explains", True),
    },
    needs=("modality:molecules",),
    quiet=True,
)
def predicted(subject: Subject) -> dict[str, Result]:
    """How well the property head predicts the test molecules' property from their posterior means.

    The truth is computed by rdkit; molecules with tokens that training did not have are left out.
    """
    model, fact = subject.model, subject.info.facts.get("property")
    if fact is None or not model.offers(Model.predict):
        reason = "the model predicts no property; train with data.property"
        return {"property_error": refused(reason, "units"), "property_r2": refused(reason, UNIT)}
    guesses = subject.per_example("property", lambda x, _: model.predict(model.posterior_mean(x)))
    real = properties(MODALITIES["molecules"].part.lines(subject.x, subject.info), fact["name"])
    usable = torch.from_numpy(np.isfinite(real)) & ~(subject.x == UNKNOWN).any(1)
    truth = ((torch.from_numpy(real) - fact["mean"]) / fact["sd"])[usable]
    wrong = guesses[usable, 0].double() - truth
    return {
        "property_error": mean_of(wrong.abs() * fact["sd"], f"units of {fact['name']}"),
        "property_r2": explained(wrong, truth),
    }


def explained(wrong: Tensor, truth: Tensor) -> Result:
    """Return R² = 1 − Σe²/Σ(y − ȳ)² of errors e and truths y, (N,): a ratio of means, its error by the delta method."""
    spread = (truth - truth.mean()).square()
    r2 = 1 - float(wrong.square().mean() / spread.mean())
    influence = mean_of((wrong.square() - (1 - r2) * spread) / spread.mean(), UNIT)
    return Result(r2, UNIT, len(wrong), influence.stderr)
