"""Annealed importance sampling: log p(x) from below, on simulated data also from above, and rate against distortion."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor

from vaekit import bounds
from vaekit.distributions.base import in_support, measure_of
from vaekit.errors import NotALikelihood
from vaekit.inference import Progress, joined
from vaekit.metrics.base import Result, Subject, mean_of, metric, refused, refuses
from vaekit.metrics.calibration import SIMULATED, simulate
from vaekit.metrics.hmc import Bridge, Spacing, adapt, anneal, stretch, temperatures
from vaekit.metrics.likelihood import NATS, nats, noise_facts, shape_facts
from vaekit.models.base import Model

AREA = "nats²/example"
ROWS = 1024
"""Decoder rows at once: chains times examples."""


@dataclass(frozen=True)
class Anneal:
    """How to anneal: intermediate densities, chains an example, leapfrog steps, spacing of β, and where to start."""

    steps: int = 300
    chains: int = 16
    leapfrog: int = 10
    spacing: Spacing = "sigmoid"
    start: Literal["prior", "posterior"] = "prior"
    rows: int = ROWS


@dataclass(frozen=True)
class Annealed:
    """Annealing's estimate for each example, (B,): log p(x) in nats, effective weights of C, their k̂, acceptance.

    With `curve`: `rate` and `distortion` (T + 1, B) of the optimal code at each temperature `betas` (T + 1,).
    """

    values: Tensor
    ess: Tensor
    pareto_k: Tensor
    acceptance: Tensor
    chains: int
    curve: dict[str, Tensor] = field(default_factory=dict)

    @property
    def noise(self) -> Tensor:
        """The Monte-Carlo standard error of each value by the delta method, √(1/ess - 1/C)."""
        return (1 / self.ess - 1 / self.chains).clamp(min=0).sqrt()


def require(model: Model, x: Tensor, y: Tensor | None = None) -> None:
    """Raise NotALikelihood with the reason unless there is a bound on log p(x) and one latent that is free in R^D."""
    with torch.no_grad():
        trace = model.trace(x[:2], None if y is None else y[:2], hard=True)
    bounds.require(trace)
    if not model.offers(Model.log_joint) or len(trace.latents) != 1:
        raise NotALikelihood("annealing needs a model with one latent variable and a joint density log p(x, z)")
    (latent,) = trace.latents.values()
    if measure_of(latent.p) != "density" or latent.z is not latent.code:
        raise NotALikelihood("annealing moves a latent along gradients, and this one is discrete")
    if not bool(in_support(latent.p, 2 * latent.z + 1).all()):
        raise NotALikelihood("annealing moves a latent freely in R^D, and this one is confined to its prior's support")


def _paths(
    model: Model, x: Tensor, y: Tensor | None, how: Anneal, betas: Tensor
) -> Iterator[tuple[slice, Bridge, Tensor, Callable[[int], Tensor]]]:
    """Yield rows of the examples with their path to p(x, z), its step sizes, and what draws chains where it starts."""
    width = max(1, how.rows // how.chains)
    for first in range(0, len(x), width):
        rows = slice(first, first + width)
        yield rows, *_path(model, x[rows], None if y is None else y[rows], how, betas)


def _path(
    model: Model, x: Tensor, y: Tensor | None, how: Anneal, betas: Tensor
) -> tuple[Bridge, Tensor, Callable[[int], Tensor]]:
    """Return the path from p(z) or q(z|x); a pilot run of few chains at a quarter of the densities finds its sizes."""
    with torch.no_grad():
        begin = model.encode(x, y) if how.start == "posterior" else model.prior_of(y)

    @torch.no_grad()
    def draw(chains: int) -> Tensor:
        return begin.sample((chains,) if begin.batch_shape else (chains, len(x)))

    def tilt(z: Tensor) -> Tensor:
        if how.start == "posterior":
            return model.log_joint(x, z, y) - begin.log_prob(z)
        return model.decode(z, y).log_prob(x)

    bridge = Bridge(begin.log_prob, tilt)
    pilot = temperatures(max(min(how.steps, 40), how.steps // 4), how.spacing)
    sizes = adapt(bridge, draw(min(4, how.chains)), pilot, how.leapfrog)
    return bridge, stretch(sizes, pilot, betas), draw


def annealed_importance(
    model: Model,
    x: Tensor,
    y: Tensor | None = None,
    how: Anneal | None = None,
    *,
    curve: bool = False,
    progress: Progress | None = None,
) -> Annealed:
    """Estimate log p(x) of each example by annealing from p(z) (or q(z|x)) to p(x, z) with HMC.

    log (1/C) Σ_c exp Σ_t (β_t - β_(t-1)) (log f_1 - log f_0)(z_(t-1)): E[p̂(x)] = p(x), so a lower bound on log p(x) in
    expectation that tightens with the number of densities. Step sizes are adapted to an acceptance of 0.8 by a pilot
    run and then kept. Memory is bounded by `how.rows`. Call it in eval mode, x and y on the model's device; results are
    on the CPU.

    Raises:
        NotALikelihood: the model bounds no log p(x), or its latent is not one continuous variable.

    Source: Neal 2001, Stat. Comput. 11; Wu et al. 2017, arXiv:1611.04273; curve: Huang et al. 2020, arXiv:2008.06653.

    >>> from vaekit.likelihoods.gaussian import Gaussian
    >>> from vaekit.models.vae import VAE
    >>> from vaekit.nets.mlp import mlp
    >>> from vaekit.posteriors.normal import DiagonalNormal
    >>> from vaekit.priors.normal import StandardNormal
    >>> model = VAE(DiagonalNormal(mlp(3, 1, ())), StandardNormal(1), Gaussian(mlp(1, 3, ()), scale=0.5)).eval()
    >>> annealed_importance(model, torch.zeros(2, 3), how=Anneal(steps=20, chains=4)).values.shape
    torch.Size([2])
    """
    how = how or Anneal()
    require(model, x, y)
    betas = temperatures(how.steps, how.spacing)
    parts: list[Tensor] = []
    curves: list[Tensor] = []
    for rows, bridge, sizes, draw in _paths(model, x, y, how, betas):
        log_ws, tilts, acceptance = anneal(bridge, draw(how.chains), betas, sizes, how.leapfrog)
        log_w = log_ws[-1]
        value, ess, shape = bounds.log_mean_exp(log_w), bounds.effective_samples(log_w), bounds.tail_shape(log_w)
        parts.append(torch.stack([value, ess, shape.to(ess), acceptance], 1))
        if curve:
            distortion = -(torch.softmax(log_ws, 1) * tilts).sum(1)
            # KL(p_β ‖ p) = β E[log p(x|z)] - log Z_β, from above, since log Z_β is estimated from below
            rate = -betas.to(distortion).unsqueeze(1) * distortion - bounds.log_mean_exp(log_ws.transpose(0, 1))
            curves.append(torch.stack([rate, distortion]).cpu())
        if progress is not None:
            progress(min(rows.stop, len(x)), len(x))
    values, ess, shape, acceptance = joined(parts).unbind(1)
    together: dict[str, Tensor] = dict(zip(("rate", "distortion"), torch.cat(curves, 2))) if curve else {}
    return Annealed(values, ess, shape, acceptance, how.chains, together)


@dataclass(frozen=True)
class Bracket:
    """log p(x) of simulated examples from below (`forward`) and from above (`upper`, (B,) nats)."""

    x: Tensor
    forward: Annealed
    upper: Tensor

    @property
    def gap(self) -> Tensor:
        """How far apart the two are, (B,)."""
        return self.upper - self.forward.values

    @property
    def interval(self) -> tuple[float, float]:
        """What the mean log p(x) of these examples lies within: the means of both, 1.96 standard errors further out.

        The error of either about the exact values is unknown, but together they make the gap: its spread over examples
        is as large as each of theirs, since forward and backward chains are drawn apart.
        """
        error = float(self.gap.double().std()) / math.sqrt(len(self.gap)) if len(self.gap) > 1 else math.inf
        lower, upper = (float(values.double().mean()) for values in (self.forward.values, self.upper))
        return lower - 1.96 * error, upper + 1.96 * error


@torch.no_grad()
def bidirectional(
    model: Model, n: int, y: Tensor | None = None, how: Anneal | None = None, *, progress: Progress | None = None
) -> Bracket:
    """Bracket log p(x) of `n` examples simulated from the model itself, so that annealing's own gap is known.

    z ~ p(z), x ~ p(x|z) makes z an exact sample of p(z|x). Chains that start there and go back to the prior estimate
    1/p(x) without bias: -log of their mean weight is an upper bound on log p(x) in expectation, as the forward chains
    give a lower one. Labels (n,) are needed by conditional models.

    Source: Grosse, Ghahramani & Adams 2015, arXiv:1511.02543.
    """
    how = how or Anneal()
    z, x = simulate(model, n, y)
    forward = annealed_importance(model, x, y, how, progress=progress)
    betas = temperatures(how.steps, how.spacing)
    upper: list[Tensor] = []
    for rows, bridge, sizes, _ in _paths(model, x, y, how, betas):
        begin = z[rows].expand(how.chains, *z[rows].shape)
        log_ws, _, _ = anneal(bridge, begin, betas.flip(0), sizes.flip(0), how.leapfrog)
        upper.append(-bounds.log_mean_exp(log_ws[-1]))
    return Bracket(x, forward, joined(upper))


def settings(subject: Subject) -> Anneal:
    """Return how to anneal, from the options `ais_steps`, `ais_chains`, `ais_leapfrog`, `ais_spacing`, `ais_start`."""
    options = subject.options
    return Anneal(**{one.name: options[f"ais_{one.name}"] for one in fields(Anneal) if f"ais_{one.name}" in options})


def _facts(annealed: Annealed, how: Anneal) -> dict[str, Any]:
    facts = noise_facts(annealed.ess, annealed.noise) | shape_facts(annealed.pareto_k)
    facts["acceptance"] = float(annealed.acceptance.mean())
    return facts | {name: value for name, value in asdict(how).items() if name != "rows"}


@metric(
    "ais",
    group="ais",
    gives={"ais": ("log p(x) by annealed importance sampling, a lower bound in expectation", True)},
    reference="Neal 2001; Wu et al. 2017, arXiv:1611.04273",
    slow=True,
)
@refuses("ais", unit=NATS)
def ais(subject: Subject) -> dict[str, Result]:
    """Annealed importance sampling with HMC, on `ais_limit` (100) test examples."""
    x, y = subject.some(int(subject.options.get("ais_limit", 100)))
    how = settings(subject)
    annealed = annealed_importance(subject.model, x, y, how, progress=subject.progress_of("ais"))
    measure = measure_of(subject.model.trace(*subject.some(1)).px)
    return {"ais": mean_of(annealed.values, nats(subject.info), measure=measure, **_facts(annealed, how))}


@metric(
    "ais_gap",
    group="ais",
    gives={
        "ais_gap": (
            "upper minus lower bound of log p(x) by annealing both ways, on data simulated by the model",
            False,
        ),
        "log_px_bracket": (
            "mean log p(x) of data simulated by the model: midway between the lower and the upper bound by annealing",
            None,
        ),
    },
    reference="Grosse, Ghahramani & Adams 2015, arXiv:1511.02543",
    slow=True,
)
@refuses("ais_gap", "log_px_bracket", unit=NATS)
def ais_gap(subject: Subject) -> dict[str, Result]:
    """Bidirectional annealing on `ais_simulated` (50) examples drawn from the model: the error that `ais` may have.

    The interval of `log_px_bracket` reaches from the lower bound to the upper one, and 1.96 standard errors beyond.
    """
    n, how = int(subject.options.get("ais_simulated", 50)), settings(subject)
    require(subject.model, *subject.some(2))
    bracket = bidirectional(subject.model, n, subject.labels(n), how, progress=subject.progress_of("ais_gap"))
    lower, upper = float(bracket.forward.values.mean()), float(bracket.upper.mean())
    facts = _facts(bracket.forward, how) | {"lower": lower, "upper": upper, "of": SIMULATED}
    gap = mean_of(bracket.gap, NATS, **facts)
    if gap.stderr is None or "refused" in gap.facts:
        middle = refused(str(gap.facts.get("refused", "a single example has no interval")), NATS, **facts)
    else:
        facts["measure"] = measure_of(subject.model.trace(*subject.some(1)).px)
        middle = Result((lower + upper) / 2, nats(subject.info), n, interval=bracket.interval, facts=facts)
    return {"ais_gap": gap, "log_px_bracket": middle}


@metric(
    "rate_distortion",
    group="ais",
    gives={
        "rate_distortion": ("area under the decoder's rate-distortion curve, from its prior's rate 0 to β = 1", False)
    },
    reference="Huang et al. 2020, arXiv:2008.06653",
    slow=True,
)
@refuses("rate_distortion", unit=AREA)
def rate_distortion(subject: Subject) -> dict[str, Result]:
    """The decoder's rate-distortion curve by annealing: the best rate any encoder could have at each distortion."""
    x, y = subject.some(int(subject.options.get("ais_limit", 100)))
    how = replace(settings(subject), start="prior")
    annealed = annealed_importance(
        subject.model, x, y, how, curve=True, progress=subject.progress_of("rate_distortion")
    )
    rate, distortion = (annealed.curve[name].double() for name in ("rate", "distortion"))
    # the curve falls: the area is ∫ rate dD, taken from the prior's distortion down to that at β = 1
    area = -torch.trapezoid(rate, distortion, dim=0)
    every = max(1, math.ceil(len(rate) / 50))
    curves = {"beta": temperatures(how.steps, how.spacing), "rate": rate.mean(1), "distortion": distortion.mean(1)}
    facts = {name: values[::every].tolist() for name, values in curves.items()}
    return {"rate_distortion": mean_of(area, AREA, **facts)}
