"""The report's first words: whether a model beats what has no latents, in plain words, computed from the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vaekit.report.numbers import signed

Tone = Literal["good", "poor", "failed", "open"]


@dataclass(frozen=True)
class Evidence:
    """The numbers that a verdict is made of; what is not known is left out.

    Attributes:
        one: what an example is called, "an image".
        bound: the held-out bound on log p(x), nats per example; `given` is ", its label given" of log p(x|y).
        baseline: log p(x) of what has no latents, named by `baseline_of`, on the same examples.
        apart_stderr: the standard error of bound − baseline.
        density: they are densities, whose −log may lie below zero, rather than probabilities.
        refused: why there is no bound.
        mse: the squared error of reconstructions, `mean_mse` that of the training mean, `mse_stderr` of the difference.
        active: how many of `units` latent dimensions are used, or other units named by `units_of`.
        kl: what the latents tell of an example, nats.
        collapsed: all latents have collapsed.
        over_fitted: a warning says that training data are fitted better than new data.
        ranked: the area under the ROC curve of held-out links, with the lower end of its interval.
        told_apart: the accuracy of a classifier that tells samples from data.
    """

    one: str = "an example"
    bound: float | None = None
    baseline: float | None = None
    baseline_of: str = "independent values"
    apart_stderr: float | None = None
    given: str = ""
    density: bool = False
    refused: str = ""
    mse: float | None = None
    mean_mse: float | None = None
    mse_stderr: float | None = None
    active: int | None = None
    units: int = 0
    units_of: str = "latent dimensions"
    kl: float | None = None
    collapsed: bool = False
    over_fitted: bool = False
    ranked: tuple[float, float] | None = None
    told_apart: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What to think of a run: a tone, a title, sentences, and what their numbers mean to a reader who has not met them.

    "good": it beats the baseline by more than two standard errors; "poor": by less, by next to nothing, or it
    over-fits; "failed": it does not, or uses no latent; "open": there is nothing to judge by.
    """

    tone: Tone
    title: str
    sentences: tuple[str, ...]
    note: str = ""


LEAST_GAIN, LEAST_SHARE = 0.5, 0.01
"""Nats, and share of the baseline, below both of which a gain is next to nothing."""
NATS = (
    "Nats measure surprise: −log of the probability that the model gives an example. Fewer are better, and a model "
    "that has learned something needs fewer than one that knows only how often each value occurs."
)
DENSITIES = " The values are continuous, so that it is a density, and the number may be below zero."


def judge(known: Evidence) -> Verdict:
    """Return the verdict.

    >>> judge(Evidence("an image", -22.2, -27.1, "independent pixels", 0.1, active=13, units=20)).sentences
    ('It explains an image in 22.2 nats; without latents, independent pixels take 27.1.', '13 of 20 latent ...
    >>> judge(Evidence("an image", -66.8, -27.1, "independent pixels", 0.3)).title
    'This model has failed'
    """
    note = ""
    if known.ranked is not None:
        tone, title, said = _of_links(known, *known.ranked)
    elif known.bound is not None and known.baseline is not None:
        tone, title, said = _of_bound(known, known.bound, known.baseline)
        note = NATS + DENSITIES * known.density
    elif known.mse is not None and known.mean_mse is not None:
        tone, title, said = _of_error(known, known.mse, known.mean_mse)
    else:
        reason = known.refused or "there is no baseline of this run; evaluate it"
        tone, title, said = "open", "Not judged", [f"There is no bound to judge by: {reason}."]
    if known.active is not None and known.units:
        verb = "is" if known.active == 1 else "are"
        said.append(f"{known.active:,} of {known.units:,} {known.units_of} {verb} used.")
    if known.told_apart is not None:
        rate = f"{100 * known.told_apart:.0f}%"
        said.append(f"A classifier tells its samples from real data {rate} of the time; 50% is a guess.")
    return Verdict(tone, title, tuple(said), note)


def _of_bound(known: Evidence, bound: float, baseline: float) -> tuple[Tone, str, list[str]]:
    error, gain = known.apart_stderr or 0.0, bound - baseline
    cost, other, apart = _nats(-bound), _nats(-baseline), _nats(abs(_rounded(-bound) - _rounded(-baseline)))
    take = "takes" if known.baseline_of.startswith("one ") else "take"
    if known.density:
        what = f"{known.one[:1].upper()}{known.one[1:]} costs it {cost} nats{known.given}"
    else:
        what = f"It explains {known.one} in {cost} nats{known.given}"
    if gain <= 0:
        compared = "as much" if gain >= -2 * error else f"{apart} fewer"
        said = [f"{what}; {known.baseline_of}, without any latents, {take} {other}: {compared}."]
        if known.over_fitted:
            said.append("It has learned its training data by heart rather than what new data have in common with them.")
        else:
            said.append("What it has learned is worth no more than the frequencies of the training data.")
        if known.collapsed:
            said.append("Its latents have collapsed.")
        return "failed", "This model has failed", said
    said = [f"{what}; without latents, {known.baseline_of} {take} {other}."]
    if known.collapsed:
        said.append(
            "But its latents are not used: the decoder does this alone, and codes say nothing of their examples."
        )
        return "failed", "The latents have collapsed", said
    if known.over_fitted:
        said.append("It fits its training data better than new data: see the warnings.")
        return "poor", "It works, but it over-fits", said
    if gain <= 2 * error:
        said.append(f"That is within what chance gives on so few examples: {apart} nats, ± {_nats(error)}.")
        return "poor", "It is not shown to beat the baseline without latents", said
    if gain < LEAST_GAIN and gain < LEAST_SHARE * abs(baseline):
        said.append("Its latents add next to nothing to what the frequencies of the training data tell.")
        return "poor", "It hardly beats the baseline without latents", said
    return "good", "It works: it beats the baseline without latents", said


def _of_error(known: Evidence, mse: float, mean: float) -> tuple[Tone, str, list[str]]:
    why = f"It bounds no log p(x): {known.refused}." if known.refused else "It bounds no log p(x)."
    error = f"Its reconstructions have a squared error of {_figure(mse)}; the average example has {_figure(mean)}."
    if mse >= mean - 2 * (known.mse_stderr or 0.0):
        return "failed", "This model has failed", [error, why]
    return "good", "It reconstructs better than the average example", [error, why]


def _of_links(known: Evidence, area: float, low: float) -> tuple[Tone, str, list[str]]:
    share = f"{100 * area:.1f}%"
    what = "Of a held-out link and a pair that is not joined"
    said = [f"{what}, it ranks the link higher {share} of the time; 50% is a guess."]
    if known.bound is not None and known.baseline is not None and known.bound <= known.baseline:
        said.append(
            f"Its probabilities rank links and are no frequencies: they cost {_nats(-known.bound)} nats, and "
            f"{known.baseline_of} {_nats(-known.baseline)}."
        )
    if not low > 0.5:
        return "failed", "This model has failed", said
    return ("poor", "It finds links, but it over-fits", said) if known.over_fitted else ("good", "It finds links", said)


def _nats(value: float) -> str:
    """Nats as a person reads them: one decimal below a thousand.

    >>> _nats(22.24), _nats(2955186.0), _nats(-3.21)
    ('22.2', '2,955,186', '−3.2')
    """
    return signed(f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}")


def _rounded(value: float) -> float:
    """The number that `_nats` shows."""
    return round(value, 1 if abs(value) < 1000 else 0)


def _figure(value: float) -> str:
    """Three significant digits.

    >>> _figure(0.0983)
    '0.0983'
    """
    return signed(f"{value:.3g}")
