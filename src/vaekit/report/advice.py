"""What to warn of, and what to try: pure rules from a run's plain numbers to `Warning_`s.

`advise` runs them all; each rule can be called alone. A rule that lacks its facts says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vaekit.report.content import Warning_
from vaekit.report.numbers import format_number

#: A latent dimension whose mean KL is below this many nats tells the decoder next to nothing.
INACTIVE = 0.01


def advise(
    *,
    kl_per_dimension: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    kl: float | None = None,
    active_units: int | None = None,
    latent_dimensions: int | None = None,
    train_elbo: float | None = None,
    train_stderr: float | None = None,
    valid_elbo: float | None = None,
    valid_stderr: float | None = None,
    history: Sequence[Mapping[str, Any]] = (),
    likelihood: str | None = None,
    measure: str | None = None,
    data_values: str | None = None,
    dequantised: bool = False,
    fixed_scale: bool = False,
    refused: str | None = None,
    unfinished: Mapping[str, float] | None = None,
    skipped: int = 0,
    steps: int | None = None,
) -> list[Warning_]:
    """All warnings that a run's facts call for, the gravest first; see the rules for the arguments.

    >>> [w.title for w in advise(kl=0.02, kl_per_dimension=[0.01, 0.01], skipped=3, steps=100)]
    ['The posterior has collapsed', '3 training steps were skipped']
    """
    found = [
        unsuitable_likelihood(likelihood, measure, data_values, dequantised, fixed_scale, refused),
        collapse(kl_per_dimension, kl, active_units, latent_dimensions),
        over_fitting(train_elbo, valid_elbo, train_stderr, valid_stderr),
        falling(history),
        unfinished_schedules(unfinished or {}),
        skipped_steps(skipped, steps),
    ]
    return [w for w in found if w is not None]


def collapse(
    kl_per_dimension: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    kl: float | None = None,
    active_units: int | None = None,
    latent_dimensions: int | None = None,
) -> Warning_ | None:
    """Posterior collapse: the total KL below 0.1 nats, no active dimension, or fewer than half of them active.

    Args:
        kl_per_dimension: mean KL of each latent dimension, or of each latent's dimensions by name (nats).
        kl: total mean KL; by default the sum of `kl_per_dimension`.
        active_units: how many dimensions are active; by default those with a KL above 0.01 nats.
        latent_dimensions: how many there are; by default the length of `kl_per_dimension`.

    >>> collapse([2.0, 1.5, 1.0]) is None
    True
    """
    groups = (
        kl_per_dimension
        if isinstance(kl_per_dimension, Mapping)
        else {"": () if kl_per_dimension is None else kl_per_dimension}
    )
    flat = [float(v) for values in groups.values() for v in values]
    total = sum(flat) if kl is None and flat else kl
    dimensions = len(flat) if latent_dimensions is None and flat else latent_dimensions
    active = sum(v > INACTIVE for v in flat) if active_units is None and flat else active_units
    if (total is not None and total < 0.1) or (active == 0 and dimensions):
        told = "" if total is None else f" The mean KL is {format_number(float(f'{total:.2g}'))} nats an example."
        return Warning_(
            "The posterior has collapsed",
            f"q(z|x) is almost the prior for every x, so the decoder ignores the latents.{told} Samples may look fine, "
            "but codes say nothing about their examples.",
            _COLLAPSE,
        )
    dead = [name for name, values in groups.items() if name and len(values) and max(values) <= INACTIVE]
    if dead:
        return Warning_(
            "Some latents have collapsed",
            f"No dimension of {', '.join(dead)} is active: the other latents carry all the information.",
            _COLLAPSE,
        )
    if active is not None and dimensions and active < dimensions / 2:
        return Warning_(
            f"{active} of {dimensions} latent dimensions are active",
            "The rest have a KL near zero: they cost nothing but carry nothing. That is the model choosing its own "
            "size; it is a fault only where you expected more from the latents.",
            (f"set the latent dimension nearer {max(active, 1)}, for a smaller model", *_COLLAPSE),
        )
    return None


_COLLAPSE = (
    "warm the KL weight up from 0 over the first part of the run",
    "give each dimension free bits (a KL below which it is not penalised)",
    "lower β, if it is above 1",
    "use a smaller decoder, or one that is less able to model x without z (fewer autoregressive layers)",
    "feed z to every decoder layer (generative skip connections)",
)


def over_fitting(
    train_elbo: float | None,
    valid_elbo: float | None,
    train_stderr: float | None = None,
    valid_stderr: float | None = None,
) -> Warning_ | None:
    """Over-fitting: the training ELBO is above the held-out one by over 5% of it, 1 nat, and two standard errors.

    >>> over_fitting(-80.0, -95.0, 0.2, 0.3).title
    'The model fits its training data better than new data'
    >>> over_fitting(-94.0, -95.0) is None
    True
    """
    if train_elbo is None or valid_elbo is None or not math.isfinite(train_elbo + valid_elbo):
        return None
    gap = train_elbo - valid_elbo
    error = math.hypot(train_stderr or 0.0, valid_stderr or 0.0)
    if gap <= max(1.0, 0.05 * abs(valid_elbo), 2 * error):
        return None
    return Warning_(
        "The model fits its training data better than new data",
        f"The ELBO is {format_number(train_elbo, train_stderr)} nats an example on training data and "
        f"{format_number(valid_elbo, valid_stderr)} on held-out data, a gap of {format_number(gap, error or None)}.",
        _OVER_FITTING,
    )


_OVER_FITTING = (
    "stop early, on the held-out ELBO",
    "use more data, or augment it",
    "use a smaller network, weight decay or dropout",
    "draw a fresh binarisation each epoch, if the data are grey values in [0, 1]",
)


def falling(history: Sequence[Mapping[str, Any]]) -> Warning_ | None:
    """The held-out ELBO has fallen since its best: by over 1% and 0.5 nats, for three checks or more.

    Args:
        history: log records; those with `valid.elbo` (and `step` or `epoch`) count.

    >>> falling([{"step": i, "valid.elbo": v} for i, v in enumerate([-99, -90, -91, -92, -93])]).title
    'The held-out ELBO fell in the later part of the run'
    """
    kept = [r for r in history if isinstance(r.get("valid.elbo"), int | float) and math.isfinite(r["valid.elbo"])]
    if len(kept) < 4:
        return None
    values = [float(r["valid.elbo"]) for r in kept]
    at = max(range(len(values)), key=values.__getitem__)
    last = max(values[-2:])
    if len(values) - 1 - at < 3 or values[at] - last <= max(0.5, 0.01 * abs(values[at])):
        return None
    where = next((f" at {k} {kept[at][k]}" for k in ("epoch", "step") if k in kept[at]), "")
    return Warning_(
        "The held-out ELBO fell in the later part of the run",
        f"It was best{where} ({format_number(round(values[at], 2))} nats an example) and ended at "
        f"{format_number(round(values[-1], 2))}.",
        _OVER_FITTING,
    )


def unsuitable_likelihood(
    likelihood: str | None = None,
    measure: str | None = None,
    data_values: str | None = None,
    dequantised: bool = False,
    fixed_scale: bool = False,
    refused: str | None = None,
) -> Warning_ | None:
    """A likelihood that is none, or that does not suit the data.

    Args:
        likelihood: its name, e.g. `bernoulli-soft`.
        measure: "mass", "density" or "none", what its value is.
        data_values: what it is given: "binary", "grey" (in [0, 1]), "quantised" (8-bit levels), "count" or "real".
        dequantised: uniform noise was added to quantised data.
        fixed_scale: the scale (σ) was set by hand rather than fitted.
        refused: why log p(x) is not bounded, where it is not.

    >>> unsuitable_likelihood("bernoulli-soft", "none", "grey").title
    'bernoulli-soft is not a likelihood'
    >>> unsuitable_likelihood("bernoulli", "mass", "binary") is None
    True
    """
    name = likelihood or "The likelihood"
    if likelihood == "bernoulli-soft" or (likelihood == "bernoulli" and data_values in ("grey", "quantised")):
        return Warning_(
            f"{name} is not a likelihood" + ("" if likelihood == "bernoulli-soft" else " of these data"),
            "Cross-entropy on grey values is no normalised density of them, so its sum bounds no log p(x) and cannot "
            "be compared with other models' bounds.",
            (
                "binarise the data (stochastically, or once) and use bernoulli",
                "use continuous-bernoulli for values in [0, 1]",
                "use discretised-logistic for 8-bit values",
            ),
        )
    if measure == "none" or refused:
        because = f": {refused}" if refused else ""
        return Warning_(
            "The model does not bound log p(x)",
            f"Its numbers can't be compared with other models' bounds{because}.",
            ("train a variant with a density posterior and a normalised likelihood, if you need log p(x)",),
        )
    if measure == "density" and data_values == "quantised" and not dequantised:
        return Warning_(
            "A density is fitted to quantised data",
            f"{name} is a density, but the data take few levels: the density can grow without limit on them, so its "
            "value says little about the fit.",
            ("add uniform noise of one level's width (dequantise)", "use discretised-logistic"),
        )
    if fixed_scale and measure == "density" and data_values in ("grey", "quantised", "real"):
        return Warning_(
            f"The scale of {name} is fixed",
            "A σ set by hand weighs reconstruction against KL just as β does: too large blurs, too small spends nats "
            "on noise, and bounds at different σ are not of the same strength.",
            ("learn the scale (shared, or the analytically optimal one, as in sigma-vae)",),
        )
    return None


def unfinished_schedules(done: Mapping[str, float]) -> Warning_ | None:
    """Schedules that the run ended before: name → the fraction of the schedule that was done.

    >>> unfinished_schedules({"beta": 0.4, "lr": 1.0}).detail
    'The run ended with beta at 40% of its schedule, so the model was never trained at the values asked for.'
    """
    open_ = {k: v for k, v in done.items() if v < 1 - 1e-9}
    if not open_:
        return None
    told = ", ".join(f"{k} at {v:.0%} of its schedule" for k, v in open_.items())
    return Warning_(
        "A schedule did not finish",
        f"The run ended with {told}, so the model was never trained at the values asked for.",
        ("train for longer", "give the schedule's length as a fraction of the run"),
    )


def skipped_steps(skipped: int, steps: int | None = None) -> Warning_ | None:
    """Steps left out because the loss or a gradient was not finite.

    >>> skipped_steps(1, 1000).title
    '1 training step was skipped'
    """
    if skipped <= 0:
        return None
    share = f" of {steps:,} ({skipped / steps:.2%})" if steps else ""
    verb = "step was" if skipped == 1 else "steps were"
    return Warning_(
        f"{skipped:,} training {verb} skipped",
        f"The loss or its gradient was not finite in {skipped:,} steps{share}; the weights were left as they were.",
        (
            "lower the learning rate, or warm it up",
            "clip gradients harder",
            "look for extreme or constant values in the data",
        ),
    )
