"""Warnings on a run and what to try: rules from plain `Facts` to `Warning_`s. `advise` applies all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vaekit.report.content import Warning_
from vaekit.report.numbers import format_number


@dataclass(frozen=True)
class Facts:
    """What the rules need to know of a run; a rule that lacks its facts gives no warning.

    Attributes:
        kl: mean KL of each latent by name, nats per example.
        collapsed: the latents that have collapsed, by the rule of `vaekit.collapse`.
        active: how many latent dimensions are active; None where it is not known.
        units: how many latent dimensions there are.
        data: what an example is: "image", "row", "text", "molecule", "music", "graph", "series", "sound" or "numbers".
        bound: the bound that the objective maximises: "ELBO", or "importance-weighted bound", which is minus the loss.
        train_bound: its last value on training data, nats per example.
        valid_bound: that on held-out data, with its standard error `valid_stderr`.
        judged: the bound that the verdict is of, and `baseline`, log p of the same data without latents, by what is
            called `baseline_of`.
        log_unit: Σ log sd of standardised data, by which the bound of their standardised values is larger.
        history: log records; those with `valid.elbo` or `valid.loss` (and `step` or `epoch`) count.
        likelihood: its name, e.g. `bernoulli-soft`.
        measure: "mass", "density" or "none", the kind of its values.
        data_values: what it is given: "binary", "grey" (in [0, 1]), "quantised" (8-bit levels), "count" or "real".
        dequantised: uniform noise was added to quantised data.
        fixed_scale: the scale (σ) was set by hand rather than fitted.
        refused: why log p(x) is not bounded, where it is not.
        skipped: training steps that were left out, of `steps`.
    """

    kl: Mapping[str, float] = field(default_factory=dict)
    collapsed: Sequence[str] = ()
    active: int | None = None
    units: int = 0
    data: str = "image"
    bound: str = "ELBO"
    train_bound: float | None = None
    valid_bound: float | None = None
    valid_stderr: float | None = None
    judged: float | None = None
    baseline: float | None = None
    baseline_of: str = "independent values"
    log_unit: float = 0.0
    history: Sequence[Mapping[str, Any]] = ()
    likelihood: str | None = None
    measure: str | None = None
    data_values: str | None = None
    dequantised: bool = False
    fixed_scale: bool = False
    refused: str | None = None
    skipped: int = 0
    steps: int | None = None


def advise(facts: Facts) -> list[Warning_]:
    """All warnings for a run, the gravest first.

    >>> [w.title for w in advise(Facts(kl={"z": 0.02}, collapsed=["z"], skipped=3, steps=100))]
    ['The posterior has collapsed', '3 training steps were skipped']
    """
    rules = (unsuitable_likelihood, collapse, over_fitting, falling, stage_falling, skipped_steps)
    found = [warning for rule in rules if (warning := rule(facts)) is not None]
    worse = not_better(facts)
    learned_by_heart = (over_fitting, falling, stage_falling)
    explained = any(rule(facts) is not None for rule in learned_by_heart) or bool(facts.collapsed)
    return found if worse is None or explained else [worse, *found]


def not_better(facts: Facts) -> Warning_ | None:
    """The bound is at most what the baseline without latents reaches on the same data.

    Where over-fitting or collapse explains it, `advise` leaves it to them.

    >>> not_better(Facts(judged=-30.5, baseline=-27.1, baseline_of="independent pixels")).detail
    'The bound on log p(x) is −30.50 nats/example, and independent pixels reach −27.10 without any latents.'
    >>> not_better(Facts(judged=-25.0, baseline=-27.0)) is None
    True
    """
    bound, baseline = facts.judged, facts.baseline
    if bound is None or baseline is None or not math.isfinite(bound + baseline) or bound > baseline:
        return None
    reach = "reaches" if facts.baseline_of.startswith("one ") else "reach"
    return Warning_(
        "The model does not beat the baseline without latents",
        f"The bound on log p(x) is {format_number(_shown(bound))} nats/example, and {facts.baseline_of} "
        f"{reach} {format_number(_shown(baseline))} without any latents.",
        (
            *(("train longer: the held-out bound was still rising when training ended",) if _rising(facts) else ()),
            "change the learning rate (train.lr), up and down by a factor of three",
            "use a larger network or more latent dimensions (model.hidden, model.latent)",
            "look at the reconstructions: where they miss the data's scale, another likelihood fits better",
        ),
    )


def _rising(facts: Facts) -> bool:
    """Whether the last held-out bound is the best by over 1% of what all checks span."""
    values = [record.get("valid.elbo") for record in facts.history]
    known = [value for value in values if isinstance(value, int | float) and math.isfinite(value)]
    if len(known) < 3:
        return False
    return known[-1] > max(known[:-1]) + 0.01 * (max(known) - min(known))


def collapse(facts: Facts) -> Warning_ | None:
    """Posterior collapse of all latents or some, or fewer than half of the dimensions active.

    >>> collapse(Facts(kl={"z": 4.5}, active=3, units=4)) is None
    True
    """
    if facts.collapsed and len(facts.collapsed) == len(facts.kl):
        return Warning_(
            "The posterior has collapsed",
            "q(z|x) is almost the prior for every x, so the decoder ignores the latents. The mean KL is "
            f"{format_number(float(f'{sum(facts.kl.values()):.2g}'))} nats/example. Samples may look fine, but "
            "codes carry no information on their examples.",
            _against_collapse(facts),
        )
    if facts.collapsed:
        return Warning_(
            "Some latents have collapsed",
            f"q is almost the prior for {', '.join(facts.collapsed)}: the other latents carry all the information.",
            _against_collapse(facts),
        )
    if facts.active is not None and facts.active < facts.units / 2:
        return Warning_(
            f"{facts.active} of {facts.units} latent dimensions are active",
            "The rest have a posterior mean that hardly varies: they cost nothing but carry nothing. That is the model "
            "choosing its own size; it is a fault only where you expected more from the latents.",
            (f"set the latent dimension nearer {max(facts.active, 1)}, for a smaller model", *_against_collapse(facts)),
        )
    return None


_COLLAPSE = (
    "warm the KL weight up from 0 over the first part of the run (objective.beta='linear 0 1 50%')",
    "give each dimension free bits, a KL below which it is not penalised (objective.free_bits=0.1)",
    "lower β, if it is above 1",
)
_WEAKER = {
    "image": "use a smaller decoder, or one that is less able to model x without z (fewer autoregressive layers)",
    "text": "hide more of the words before from the decoder (model.word_dropout=0.3)",
    "molecule": "hide more of the tokens before from the decoder (model.word_dropout=0.3)",
    "music": "hide more of the notes before from the decoder (model.word_dropout=0.3)",
    "graph": "use fewer latent dimensions, or fewer features of the nodes",
}


def _against_collapse(facts: Facts) -> tuple[str, ...]:
    return (*_COLLAPSE, _WEAKER.get(facts.data, "use a smaller decoder"))


def over_fitting(facts: Facts) -> Warning_ | None:
    """Over-fitting: the training bound is above the held-out one by over 5% of it, 1 nat, and two standard errors.

    And by over 5% of what the model gains on the baseline without latents: densities have no zero to measure by.

    >>> over_fitting(Facts(train_bound=-80.0, valid_bound=-95.0, valid_stderr=0.3)).title
    'The model fits its training data better than new data'
    >>> over_fitting(Facts(train_bound=-94.0, valid_bound=-95.0)) is None
    True
    >>> over_fitting(Facts(train_bound=40.0, valid_bound=10.0, judged=10.0, baseline=-3000.0)) is None
    True
    """
    train, valid, error = facts.train_bound, facts.valid_bound, facts.valid_stderr
    if train is None or valid is None or not math.isfinite(train + valid):
        return None
    gained = 0.0 if facts.judged is None or facts.baseline is None else facts.judged - facts.baseline
    if train - valid <= max(1.0, 0.05 * abs(valid + facts.log_unit), 0.05 * gained, 2 * (error or 0.0)):
        return None
    return Warning_(
        "The model fits its training data better than new data",
        f"The {facts.bound} is {format_number(_shown(train))} nats/example on training data and "
        f"{format_number(_shown(valid), error)} on held-out data, {format_number(_shown(train - valid), error)} less.",
        _against_over_fitting(facts),
    )


_MORE = {
    "image": (
        "use more images, or shift those there are",
        "draw a fresh binarisation each epoch, if they are grey",
    ),
    "row": ("use more rows, or leave columns out that name single rows",),
    "text": ("use more text", "hide words from the decoder while training (model.word_dropout=0.3)"),
    "molecule": ("use more molecules", "hide tokens from the decoder while training (model.word_dropout=0.3)"),
    "music": ("use more pieces, or transpose those there are (data.transpose=6)",),
    "graph": ("use more graphs, or fewer features of the nodes", "use fewer latent dimensions"),
    "series": ("use more series, or windows of those there are",),
    "sound": ("use more recordings, or shift those there are in time",),
}


def _against_over_fitting(facts: Facts) -> tuple[str, ...]:
    more = _MORE.get(facts.data, ("use more examples",))
    return (f"stop early, on the held-out {facts.bound}", *more, "use a smaller network, weight decay or dropout")


def _shown(value: float) -> float:
    """Two decimals, which is what a gap is read to."""
    return round(value, 2)


def falling(facts: Facts) -> Warning_ | None:
    """The held-out bound has fallen since its best: by over 1% and 0.5 nats, for three checks or more.

    It is the bound that the objective maximises, in the last stage that has one. Where the objective is another, the
    ELBO counts, and only where the objective's loss has risen since too: what training improves is not over-fitted.

    >>> history = [{"step": i, "valid.elbo": v} for i, v in enumerate([-99, -90, -91, -92, -93])]
    >>> falling(Facts(history=history)).title
    'The held-out ELBO fell in the later part of the run'
    >>> falling(Facts(history=[one | {"valid.loss": 80 - one["step"]} for one in history])) is None
    True
    """
    key, sign = ("valid.elbo", 1) if facts.bound == "ELBO" else ("valid.loss", -1)
    numbers = [(record.get(key), record) for record in facts.history]
    kept = [(sign * v, record) for v, record in numbers if isinstance(v, int | float) and math.isfinite(v)]
    kept = [one for one in kept if one[1].get("stage") == kept[-1][1].get("stage")]
    values = [value for value, _ in kept]
    best = max(values, default=0.0)
    at = values.index(best) if values else 0
    if len(values) - at < 4 or best - max(values[-2:]) <= max(0.5, 0.01 * abs(best + facts.log_unit)):
        return None
    losses = [record.get("valid.loss") for _, record in kept[at:]]
    known = [loss for loss in losses if isinstance(loss, int | float) and math.isfinite(loss)]
    if len(known) == len(losses) and min(known[-2:]) <= known[0]:
        return None
    where = next((f" at {name} {kept[at][1][name]}" for name in ("epoch", "step") if name in kept[at][1]), "")
    return Warning_(
        f"The held-out {facts.bound} fell in the later part of the run",
        f"It was best{where} ({format_number(round(best, 2))} nats/example) and ended at "
        f"{format_number(round(values[-1], 2))}.",
        _against_over_fitting(facts),
    )


def stage_falling(facts: Facts) -> Warning_ | None:
    """A stage that has no bound of its own, as that of a prior over codes, has come to fit held-out data worse.

    Its held-out loss has risen since its lowest: by over 1% and 0.5 nats, for three checks or more.

    >>> losses = [60.0, 38.0, 45.0, 52.0, 59.0]
    >>> history = [{"step": i, "stage": "prior", "valid.loss": v} for i, v in enumerate(losses)]
    >>> stage_falling(Facts(history=[{"stage": "codes", "valid.elbo": -139.0}, *history])).detail
    'Its held-out loss was lowest at step 1 (38 nats/example) and ended at 59, and the bound of the whole ...'
    """
    own = [record for record in facts.history if "stage" in record]
    bounded = {record["stage"] for record in own if record.get("valid.elbo") is not None}
    for stage in dict.fromkeys(record["stage"] for record in own if bounded and record["stage"] not in bounded):
        found = [(r.get("valid.loss"), r) for r in own if r["stage"] == stage]
        kept = [(v, r) for v, r in found if isinstance(v, int | float) and math.isfinite(v)]
        losses = [loss for loss, _ in kept]
        least = min(losses, default=0.0)
        at = losses.index(least) if losses else 0
        if len(losses) - at < 4 or min(losses[-2:]) - least <= max(0.5, 0.01 * abs(least)):
            continue
        where = next((f" at {name} {kept[at][1][name]}" for name in ("epoch", "step") if name in kept[at][1]), "")
        return Warning_(
            f"What the stage “{stage}” learned fell in the later part of the run",
            f"Its held-out loss was lowest{where} ({format_number(round(least, 2))} nats/example) and ended at "
            f"{format_number(round(losses[-1], 2))}, and the bound of the whole is lower by the difference.",
            ("keep the weights that were best on held-out data (train.keep=best)", *_against_over_fitting(facts)[1:]),
        )
    return None


def unsuitable_likelihood(facts: Facts) -> Warning_ | None:
    """A likelihood that is not normalised, or that does not suit the data.

    >>> unsuitable_likelihood(Facts(likelihood="bernoulli-soft", measure="none", data_values="grey")).title
    'bernoulli-soft is not a likelihood'
    >>> unsuitable_likelihood(Facts(likelihood="bernoulli", measure="mass", data_values="binary")) is None
    True
    """
    likelihood, measure, data_values = facts.likelihood, facts.measure, facts.data_values
    name = likelihood or "The likelihood"
    if likelihood == "bernoulli-soft" or (likelihood == "bernoulli" and data_values in ("grey", "quantised")):
        return Warning_(
            f"{name} is not a likelihood" + ("" if likelihood == "bernoulli-soft" else " of these data"),
            "Cross-entropy on grey values is not a normalised density, so its sum bounds no log p(x) and cannot "
            "be compared with other models' bounds.",
            (
                "binarise the data (stochastically, or once) and use bernoulli",
                "use continuous-bernoulli for values in [0, 1]",
                "use discretised-logistic for 8-bit values",
            ),
        )
    if measure == "none" or facts.refused:
        because = f": {facts.refused}" if facts.refused else ""
        return Warning_(
            "The model does not bound log p(x)",
            f"Its numbers can't be compared with other models' bounds{because}.",
            ("train a variant with a density posterior and a normalised likelihood, if you need log p(x)",),
        )
    if measure == "density" and data_values == "quantised" and not facts.dequantised:
        return Warning_(
            "A density is fitted to quantised data",
            f"{name} is a density, but the data take few levels: the density can grow without limit on them, so its "
            "value says little about the fit.",
            ("add uniform noise of one level's width (dequantise)", "use discretised-logistic"),
        )
    if facts.fixed_scale and measure == "density" and data_values in ("grey", "quantised", "real"):
        return Warning_(
            f"The scale of {name} is fixed",
            "A σ set by hand weighs reconstruction against KL just as β does: too large blurs, too small spends nats "
            "on noise, and bounds at different σ are not of the same strength.",
            ("learn the scale (shared, or the analytically optimal one, as in sigma-vae)",),
        )
    return None


def skipped_steps(facts: Facts) -> Warning_ | None:
    """Steps left out because the loss or a gradient was not finite.

    >>> skipped_steps(Facts(skipped=1, steps=1000)).title
    '1 training step was skipped'
    """
    skipped, steps = facts.skipped, facts.steps
    if skipped <= 0:
        return None
    share = f" of {steps:,} ({skipped / steps:.2%})" if steps else ""
    return Warning_(
        f"{skipped:,} training {'step was' if skipped == 1 else 'steps were'} skipped",
        f"The loss or its gradient was not finite in {skipped:,} steps{share}; the weights were left as they were.",
        (
            "lower the learning rate, or warm it up",
            "clip gradients harder",
            "look for extreme or constant values in the data",
        ),
    )
