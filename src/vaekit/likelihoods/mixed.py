"""The likelihood of table rows: one family a column, missing cells left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from vaekit.distributions.base import Family
from vaekit.distributions.counts import NegativeBinomialFamily, PoissonFamily
from vaekit.distributions.curves import CurvedColumns
from vaekit.distributions.mixed import NEVER, Layout, MixedColumns, ordered_logits
from vaekit.distributions.normal import DiagonalNormalFamily, bounded_log_scale
from vaekit.distributions.student import StudentTFamily
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.likelihoods.counts import bounded_log_mean, raw_log_mean
from vaekit.likelihoods.scale import Scale, ScaleKind
from vaekit.nets.base import Net
from vaekit.nets.mlp import mlp
from vaekit.nets.table import StraightMLP, middles, shares_of, widths_of

Columns = Sequence[Mapping[str, Any]]
RARE = 1e-3
SHARP, SHARP_ORDER = 4.0, 10.0
"""How fast a straight path's logits and ordered scores rise with the distance of a code from its level's place."""
FINE = -2.3
"""Log of the σ that curved columns start with, in their scores."""


def _example(shape: tuple[int, ...]) -> Any:
    """Return a table of numeric columns as the contract of likelihoods asks for one."""
    if len(shape) != 1:
        raise ValueError("a row of a table has one axis")
    columns = [{"type": "numeric", "sd": 2.0}] * shape[0]
    return Mixed(lambda p: mlp(3, p, (8,)), columns=columns), (torch.randn(5, 3),)


@LIKELIHOODS.register(
    "mixed",
    reference="Nazábal et al. 2020, arXiv:1807.03653; missing cells: Mattei & Frellsen 2019, arXiv:1812.02633",
    options={
        "real": "family of numeric columns and dates, where marginals are moments",
        "counts": "family of counts, where marginals are moments",
        "scale": "σ of numeric columns: a number, learned for all or each, or from the network",
    },
    of="tables",
    no_contract="to it NaN is a missing cell, not an impossible value: tests/likelihoods/test_mixed.py holds it",
    example=_example,
)
class Mixed(Likelihood):
    """p(x|z) = Π_j p_j(x_j|z), one family a column; a missing cell (NaN) has no factor.

    Numeric columns and dates are Gaussian or Student-t (`real`), positive ones so in their logarithm, with σ_j as
    `scale` says (see `Scale`; "dimension": one learned for each column) and scored in their own units; counts negative
    binomial or Poisson (`counts`); categories and booleans have free logits; ordered levels cumulative logits, one
    score of z and learned cuts a column.

    `columns` are plain facts: `type`, and where they have them `sd`, `mean`, `levels`, and `probs`, the levels' shares
    in the training rows, at which the first predictions start. `net(P)` makes the decoder with P outputs.

    >>> columns = [{"type": "numeric", "sd": 1.0}, {"type": "count", "mean": 3.0}]
    >>> part = Mixed(lambda p: mlp(2, p), columns=columns)
    >>> part(torch.zeros(4, 2)).log_prob(torch.tensor([[0.1, torch.nan]])).shape
    torch.Size([4])
    """

    wants = "any"

    def __init__(
        self,
        net: Callable[[int], Net],
        *,
        columns: Columns,
        real: Literal["gaussian", "student-t"] = "gaussian",
        counts: Literal["negative-binomial", "poisson"] = "negative-binomial",
        scale: PositiveFloat | ScaleKind = "dimension",
    ) -> None:
        layout = Layout.of(columns)
        if not len(layout):
            raise UserError(
                "no column of the table is left to model; give one that varies, or name types in data.types"
            )
        choices = [columns[i] for i in layout.choice]
        source = Scale(scale, (len(layout.real),)) if layout.real else None
        self.free = [i for i, ordered in enumerate(layout.ordered) if not ordered]
        self.ordinal = [i for i, ordered in enumerate(layout.ordered) if ordered]
        self.rare = [int(choices[i].get("rare") or 0) for i in self.free]
        self.logit_counts = [layout.levels[i] - max(rare - 1, 0) for i, rare in zip(self.free, self.rare)]
        n_real, n_curved = len(layout.real), len(layout.curved)
        curve_scale = Scale(scale, (n_curved,), centre=FINE) if n_curved else None
        self.sizes = [
            n_real,
            n_real * (source.params if source is not None else 0),
            len(layout.count),
            sum(self.logit_counts),
            len(self.ordinal),
            n_curved,
            n_curved * (curve_scale.params if curve_scale is not None else 0),
        ]
        super().__init__(net(sum(self.sizes)), params=1)
        self.layout = layout
        self.real = real
        self.counts = counts
        self.scale = source
        self.curve_scale = curve_scale
        for i, rare in zip(self.free, self.rare):
            if rare:
                own = torch.tensor(choices[i]["probs"][-rare:], dtype=torch.float64).clamp(min=1e-6)
                self.register_buffer(f"rare_shares_{i}", (own / own.sum()).log().float(), persistent=False)
        if n_real and real == "student-t":
            self.freedom = Scale("dimension", (n_real,), centre=2.0, name="df")
        if layout.count and counts == "negative-binomial":
            self.dispersion = Scale("dimension", (len(layout.count),), name="dispersion")
        self._cuts([shares_of(choices[i]) for i in self.ordinal])
        self._start(columns, choices)

    def _cuts(self, shares: Sequence[Tensor]) -> None:
        """Make the cuts of ordered columns, so that a score of 0 gives the shares."""
        if not shares:
            return
        most = max(len(share) for share in shares)
        cuts = [torch.logit(share.cumsum(0)[:-1].clamp(RARE, 1 - RARE)) for share in shares]
        self.first_cut = nn.Parameter(torch.stack([cut[0] for cut in cuts]))
        gaps = torch.zeros(len(cuts), most - 2)
        for row, cut in zip(gaps, cuts):
            row[: len(cut) - 1] = torch.diff(cut).clamp(min=RARE).log()
        self.log_gaps = nn.Parameter(gaps)

    def follow(self, columns: Columns, wanted: Tensor) -> None:
        """Start the decoder's straight path as what takes codes back to cells.

        `wanted` is the encoder's map from what it sees of a row to codes (F, D); see `vaekit.nets.table.places`.
        """
        if not isinstance(self.net, StraightMLP):
            raise TypeError("only a decoder with a straight path can follow one")
        weight, bias = torch.zeros(sum(self.sizes), wanted.shape[1]), torch.zeros(sum(self.sizes))
        starts = [sum(self.sizes[:i]) for i in range(len(self.sizes))]
        rows = dict(enumerate(wanted.split(widths_of(columns))))
        for start, group in ((starts[0], self.layout.real), (starts[5], self.layout.curved)):
            for i, j in enumerate(group):
                weight[start + i] = rows[j][0] / rows[j][0].square().sum().clamp(min=1e-6)
        at = starts[3]
        for i in self.free:
            own = rows[self.layout.choice[i]]
            weight[at : at + len(own)] = 2 * SHARP * own
            bias[at : at + len(own)] = -SHARP * own.square().sum(1)
            at += len(own)
        choices = [columns[j] for j in self.layout.choice]
        for place, i in enumerate(self.ordinal):
            own = rows[self.layout.choice[i]]
            step = (own[-1] - own[0]) / (middles(choices[i])[-1] - middles(choices[i])[0])
            weight[starts[4] + place] = SHARP_ORDER * step / step.square().sum().clamp(min=1e-6)
        with torch.no_grad():
            self.net.straight.weight.copy_(weight)
            self.net.straight.bias.copy_(bias)
            for place, i in enumerate(self.ordinal):
                cuts = SHARP_ORDER * torch.special.ndtri(shares_of(choices[i]).cumsum(0)[:-1])
                self.first_cut[place] = cuts[0]
                self.log_gaps[place, : len(cuts) - 1] = torch.diff(cuts).log()

    def _start(self, columns: Columns, choices: Columns) -> None:
        """Start from the training rows' marginals."""
        assert self.net is not None
        means = torch.tensor([max(float(columns[i].get("mean", 1.0)), 0.0) for i in self.layout.count])
        shares = [_pooled(shares_of(choices[i]), rare).log() for i, rare in zip(self.free, self.rare)]
        bias = torch.cat(
            [
                torch.zeros(sum(self.sizes[:2])),
                raw_log_mean(means),
                *(log - log.mean() for log in shares),
                torch.zeros(sum(self.sizes[4:])),
            ]
        )
        self.net.set_bias(0, bias)

    def family(self, params: Tensor) -> MixedColumns:
        """Take (..., 1, P) apart into the columns' parameters."""
        loc, raw, log_mean, logits, score, at, raw_curve = params.squeeze(-2).split(self.sizes, -1)
        real = self._real(loc, raw) if self.layout.real else None
        count: Family | None = None
        if self.layout.count:
            log_mean = bounded_log_mean(log_mean)
            few = self.counts == "poisson"
            count = PoissonFamily(log_mean) if few else NegativeBinomialFamily(log_mean, self.dispersion(None))
        curved = None
        if self.layout.curves is not None and self.curve_scale is not None:
            curved = CurvedColumns(self.layout.curves, at, self.curve_scale(raw_curve))
        return MixedColumns(self.layout, real, count, self._choices(logits, score), curved)

    def _real(self, loc: Tensor, raw: Tensor) -> Family:
        assert self.scale is not None
        log_scale = self.scale(raw)
        if self.real == "gaussian":
            return DiagonalNormalFamily(loc, log_scale)
        return StudentTFamily(loc, log_scale, 2 + self.freedom(None).exp())

    def _choices(self, logits: Tensor, score: Tensor) -> Tensor | None:
        """Return logits (..., G, L) of all choices, in the row's order."""
        if not self.layout.levels:
            return None
        most = max(self.layout.levels)
        rows: dict[int, Tensor] = {}
        for i, rare, own in zip(self.free, self.rare, logits.split(self.logit_counts, -1)):
            if rare:
                own = own.log_softmax(-1)
                own = torch.cat([own[..., :-1], own[..., -1:] + getattr(self, f"rare_shares_{i}")], -1)
            rows[i] = nn.functional.pad(own, (0, most - own.shape[-1]), value=NEVER)
        if self.ordinal:
            gaps = bounded_log_scale(self.log_gaps)
            both = ordered_logits(score, self.first_cut, gaps, [self.layout.levels[i] for i in self.ordinal])
            both = nn.functional.pad(both, (0, most - both.shape[-1]), value=NEVER)
            rows |= dict(zip(self.ordinal, both.unbind(-2)))
        return torch.stack([rows[i] for i in range(len(rows))], -2)


def _pooled(shares: Tensor, rare: int) -> Tensor:
    """Return the shares with the last `rare` added up."""
    return torch.cat([shares[:-rare], shares[-rare:].sum().unsqueeze(0)]) if rare else shares
