"""The likelihood of table rows: one family a column, missing cells left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from vaekit.distributions.base import Family
from vaekit.distributions.counts import NegativeBinomialFamily, PoissonFamily
from vaekit.distributions.mixed import NEVER, Layout, MixedColumns, ordered_logits
from vaekit.distributions.normal import DiagonalNormalFamily, bounded_log_scale
from vaekit.distributions.student import StudentTFamily
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.likelihoods.counts import bounded_log_mean, raw_log_mean
from vaekit.likelihoods.scale import Scale, ScaleKind
from vaekit.nets.base import Net
from vaekit.nets.mlp import mlp

Columns = Sequence[Mapping[str, Any]]
RARE = 1e-3


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
        "real": "family of numeric columns and dates",
        "counts": "family of counts",
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
        n_real = len(layout.real)
        self.sizes = [
            n_real,
            n_real * (source.params if source is not None else 0),
            len(layout.count),
            sum(layout.levels[i] for i in self.free),
            len(self.ordinal),
        ]
        super().__init__(net(sum(self.sizes)), params=1)
        self.layout = layout
        self.real = real
        self.counts = counts
        self.scale = source
        if n_real and real == "student-t":
            self.freedom = Scale("dimension", (n_real,), centre=2.0, name="df")
        if layout.count and counts == "negative-binomial":
            self.dispersion = Scale("dimension", (len(layout.count),), name="dispersion")
        self._cuts([_shares(choices[i]) for i in self.ordinal])
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

    def _start(self, columns: Columns, choices: Columns) -> None:
        """Start from the training rows' marginals."""
        assert self.net is not None
        means = torch.tensor([max(float(columns[i].get("mean", 1.0)), 0.0) for i in self.layout.count])
        shares = [_shares(choices[i]).log() for i in self.free]
        bias = torch.cat(
            [
                torch.zeros(sum(self.sizes[:2])),
                raw_log_mean(means),
                *(log - log.mean() for log in shares),
                torch.zeros(self.sizes[4]),
            ]
        )
        self.net.set_bias(0, bias)

    def family(self, params: Tensor) -> MixedColumns:
        """Take (..., 1, P) apart into the columns' parameters."""
        loc, raw, log_mean, logits, score = params.squeeze(-2).split(self.sizes, -1)
        real = self._real(loc, raw) if self.layout.real else None
        count: Family | None = None
        if self.layout.count:
            log_mean = bounded_log_mean(log_mean)
            few = self.counts == "poisson"
            count = PoissonFamily(log_mean) if few else NegativeBinomialFamily(log_mean, self.dispersion(None))
        return MixedColumns(self.layout, real, count, self._choices(logits, score))

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
        for i, own in zip(self.free, logits.split([self.layout.levels[i] for i in self.free], -1)):
            rows[i] = nn.functional.pad(own, (0, most - own.shape[-1]), value=NEVER)
        if self.ordinal:
            gaps = bounded_log_scale(self.log_gaps)
            both = ordered_logits(score, self.first_cut, gaps, [self.layout.levels[i] for i in self.ordinal])
            both = nn.functional.pad(both, (0, most - both.shape[-1]), value=NEVER)
            rows |= dict(zip(self.ordinal, both.unbind(-2)))
        return torch.stack([rows[i] for i in range(len(rows))], -2)


def _shares(column: Mapping[str, Any]) -> Tensor:
    """Return the training shares of a column's levels, none below a thousandth."""
    levels = len(column["levels"])
    shares = torch.tensor([float(p) for p in column.get("probs", [1 / levels] * levels)]).clamp(min=RARE)
    return shares / shares.sum()
