"""Rows of a table under a condition on some of its columns: x ~ p(x | x_wanted) under a trained model.

Rejection: rows are drawn and those that meet the condition are kept, which is exact, whatever the model. Where they are
too rare, or a column is to have one value of a density, importance resampling: latents are drawn, weighed by
p(x_wanted|z) p(z) / (the density they were drawn from), and resampled.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit.data.constraints import Constraints
from vaekit.data.where import Want
from vaekit.devices import device_of
from vaekit.distributions.base import tempered
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.inference import inference, joined
from vaekit.models.base import Model
from vaekit.tasks.noise import proposal_weight

AT_ONCE = 8192
MOST = 2**20
"""Rows drawn to meet a condition by rejection, at most."""
LOOK = 2**17
"""After so many it is said whether that many will do."""
PROPOSALS = 2**16
LEAST_ESS = 10.0
"""Fewer effective samples are no sample."""

Condition = Callable[[int], Tensor | None]
"""How many → what the model is conditioned on for as many rows."""


@dataclass(frozen=True)
class Given:
    """Rows x (n, C) that meet a condition, and what the model was conditioned on, y.

    `acceptance`: the share of the rows drawn that met it, which by rejection are kept as they are: an exact sample.
    `ess`: the effective number of importance samples that the rows were resampled from, None where they are exact.
    """

    x: Any
    y: Tensor | None = None
    acceptance: float | None = None
    ess: float | None = None

    @property
    def how(self) -> str:
        """How the rows were drawn, in words."""
        if self.ess is not None:
            return f"by importance resampling, effective sample size {self.ess:,.0f} of {PROPOSALS:,}"
        if self.acceptance is not None:
            return f"by rejection, which is exact; {self.acceptance:.3g} of the rows drawn met the condition"
        return "conditioned on by the model itself"


@dataclass(frozen=True)
class Wanted:
    """A condition on columns of rows, by their places."""

    wants: Mapping[int, Want] = field(default_factory=dict)
    real: frozenset[int] = frozenset()
    """The places of columns with a density, where one value has probability 0."""

    @property
    def words(self) -> str:
        """The condition as it was written."""
        return ",".join(one.words for one in self.wants.values())

    @property
    def exact(self) -> dict[int, float]:
        """The columns that are to have one value."""
        return {j: one.value for j, one in self.wants.items() if one.value is not None}

    @property
    def impossible(self) -> bool:
        """Whether no row that is drawn can meet it."""
        return any(j in self.real for j in self.exact)

    def met(self, x: Tensor, but: Container[int] = ()) -> Tensor:
        """Whether rows (N, C) meet it, (N,), the columns `but` left out."""
        ok = torch.ones(len(x), dtype=torch.bool, device=x.device)
        for j, one in self.wants.items():
            ok &= one.met(x[:, j]) if j not in but else True
        return ok


def rows_given(
    model: Model,
    wanted: Wanted,
    columns: int,
    n: int,
    condition: Condition,
    *,
    temperature: float = 1.0,
    seed: int = 0,
    rules: Constraints | None = None,
) -> Given:
    """Return `n` rows of `columns` columns that meet a condition, and `rules` where there are any.

    Raises:
        UserError: they are too rare for either way.
    """
    with inference(model, seed):
        if not wanted.impossible:
            found = _rejection(model, wanted, n, condition, temperature, rules)
            if found is not None:
                return found
        if rules is not None and (rules.unique or not wanted.wants):
            raise UserError(
                f"rows that meet {', '.join(filter(None, (wanted.words, rules.words)))} are too rare under this model: "
                f"of a million drawn there would be fewer than {n}; ask for fewer rows, or loosen or leave out a rule"
            )
        return _importance(model, wanted, columns, n, condition, temperature, rules)


def _rejection(
    model: Model, wanted: Wanted, n: int, condition: Condition, temperature: float, rules: Constraints | None
) -> Given | None:
    """Return rows kept of those drawn; None where too many would have to be."""
    xs: list[Tensor] = []
    ys: list[Tensor] = []
    tried = kept = 0
    keys: list[set[tuple[float, ...]]] = [] if rules is None else [set() for _ in rules.unique]
    while kept < n:
        y = condition(AT_ONCE)
        x = model.sample(AT_ONCE, None if y is None else y.to(device_of(model)), temperature, draw=True).cpu()
        ok = wanted.met(x)
        if rules is not None:
            x = rules.made(x)
            ok &= wanted.met(x) & torch.from_numpy(rules.met(x))
            ok[ok.clone()] = torch.from_numpy(rules.first_of_key(x[ok], keys))
        xs.append(x[ok])
        ys += [] if y is None else [y[ok]]
        tried, kept = tried + len(x), kept + int(ok.sum())
        if tried >= LOOK and tried * n > MOST * max(kept, 1) and kept < n:
            return None
    return Given(torch.cat(xs)[:n], torch.cat(ys)[:n] if ys else None, kept / tried)


def _importance(
    model: Model,
    wanted: Wanted,
    columns: int,
    n: int,
    condition: Condition,
    temperature: float,
    rules: Constraints | None,
) -> Given:
    zs, xs, ys, weights = list[Tensor](), list[Tensor](), list[Tensor](), list[Tensor]()
    device, exact = device_of(model), wanted.exact
    guide = torch.full((1, columns), torch.nan, device=device)
    for j, one in wanted.wants.items():
        guide[:, j] = one.typical
    for _ in range(PROPOSALS // AT_ONCE):
        y = condition(AT_ONCE)
        label = None if y is None else y.to(device)
        z, log_w = _proposed(model, guide.expand(AT_ONCE, -1), label, temperature)
        px = model.decode(z, label)
        x = _with(px.sample(), exact)
        each: Any = px
        log_w = log_w + each.log_prob_elements(x)[:, list(exact)].sum(1)
        ok = wanted.met(x, but=exact).cpu()
        x = x.cpu()
        if rules is not None:
            x = _with(rules.made(x), exact)
            ok &= torch.from_numpy(rules.met(x))
        weights.append(log_w.double().cpu().masked_fill(~ok, -torch.inf))
        zs.append(z.cpu())
        xs.append(x)
        ys += [] if y is None else [y]
    log_w = torch.cat(weights)
    weight = torch.softmax(log_w, 0) if bool((log_w > -torch.inf).any()) else torch.zeros_like(log_w)
    ess = float(1 / weight.square().sum()) if bool(weight.any()) else 0.0
    if ess < LEAST_ESS:
        words = wanted.words if rules is None else f"{wanted.words}, {rules.words}"
        raise UserError(
            f"rows with {words} are too rare under this model to be drawn (effective sample size {ess:.1f} of "
            f"{PROPOSALS:,}); widen the condition, or train cvae with data.label naming these columns"
        )
    chosen = torch.multinomial(weight, n, replacement=True)
    y, drawn = torch.cat(ys)[chosen] if ys else None, list[Tensor]()
    if rules is not None:  # the rows that were tried: others of the same latents might break them
        return Given(torch.cat(xs)[chosen], y, ess=ess)
    for rows in chosen.split(AT_ONCE):
        label = None if not ys else torch.cat(ys)[rows].to(device)
        drawn.append(model.decode(torch.cat(zs)[rows].to(device), label).sample())
    x, kept = joined(drawn), torch.cat(xs)[chosen]
    for j in wanted.wants:
        x[:, j] = kept[:, j]
    return Given(x, y, ess=ess)


def _with(x: Tensor, exact: Mapping[int, float]) -> Tensor:
    """Return rows with columns set to values."""
    for j, value in exact.items():
        x[:, j] = value
    return x


def _proposed(model: Model, guide: Tensor, y: Tensor | None, temperature: float) -> tuple[Tensor, Tensor]:
    """Return latents (N, ...), and log p(z) less the log-density they were drawn from, (N,).

    Half are from the prior and half from q(z|a row with what is asked for and no more), where that is a normal, whose
    density can be had anywhere: the weights are then below 2 p(x_wanted|z).
    """
    q = model.encode(guide, y)
    if not isinstance(q, DiagonalNormalFamily):
        return model.sample_latent(len(guide), y, temperature), torch.zeros(len(guide), device=guide.device)
    p: Distribution = tempered(model.prior_of(y), temperature)
    own = p.sample() if p.batch_shape else p.sample(torch.Size((len(guide),)))
    half = torch.rand(len(guide), *[1] * (own.dim() - 1), device=guide.device) < 0.5
    z = torch.where(half, q.sample(), own)
    return z, proposal_weight(q, p, z, 0.5)
