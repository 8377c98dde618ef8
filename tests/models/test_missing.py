"""Bounds with missing cells: exact against the marginal of a linear-Gaussian model, and what must not change them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from table_oracle import Oracle
from vaekit import bounds
from vaekit.data.info import DataInfo
from vaekit.models.vae import VAE
from vaekit.objectives.importance import ImportanceWeighted
from vaekit.recipes.base import RECIPES
from vaekit.recipes.tables import table_vae


def test_with_the_exact_posterior_every_weight_is_the_marginal_of_what_is_observed() -> None:
    oracle = Oracle.make(exact=True)
    x = oracle.rows()
    trace = oracle.model.trace(x, k=7)
    expected = torch.stack([oracle.log_p(row) for row in x])
    torch.testing.assert_close(trace.log_w, expected.expand(7, -1), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(bounds.importance_weighted(trace), expected, rtol=1e-9, atol=1e-9)


def test_bounds_lie_below_the_marginal_and_tighten() -> None:
    oracle = Oracle.make(exact=False)
    x = oracle.rows()[1:]
    exact = torch.stack([oracle.log_p(row) for row in x])
    torch.manual_seed(0)
    with torch.no_grad():
        trace = oracle.model.trace(x, k=2000)
    elbo, many = bounds.elbo(trace), bounds.log_likelihood(oracle.model, x, k=200_000, rows=8192)
    assert bool((elbo < exact + 0.05).all())
    assert float((many.values - exact).abs().max()) < 0.05
    assert float(elbo.mean()) < float(many.values.mean()) - 0.1
    with torch.no_grad():
        bound = torch.stack([-ImportanceWeighted(20)(oracle.model.trace(x, k=20)) for _ in range(200)])
    assert bool((bound.mean(0) < exact + 4 * bound.std(0) / 200**0.5).all())  # a bound on average, whatever K
    assert float(bound.mean()) > float(elbo.mean())


# -- what must change nothing ---------------------------------------------------------------------------------------

MIXED: list[dict[str, Any]] = [
    {"name": "a", "type": "numeric", "mean": 0.0, "sd": 2.0},
    {"name": "b", "type": "categorical", "levels": ["u", "v", "w"], "probs": [0.2, 0.3, 0.5]},
    {"name": "c", "type": "count", "mean": 3.0, "sd": 2.0, "log_mean": 1.2, "log_sd": 0.5},
    {"name": "d", "type": "ordinal", "levels": ["1", "2", "3"], "probs": [0.2, 0.3, 0.5]},
]


def info(columns: list[dict[str, Any]]) -> DataInfo:
    return DataInfo("t", (len(columns),), "table", None, 9, 0, 0, modality="tables", facts={"columns": columns})


def built(columns: list[dict[str, Any]]) -> VAE:
    torch.manual_seed(0)
    plain = {"hidden": (8,), "latent": 2, "prior": "standard-normal", "straight": False}
    settings = RECIPES["tabular-vae"].part.settings({"model": plain})
    return table_vae(settings.model, info(columns)).double().eval()


def mixed_rows(n: int = 9) -> Tensor:
    torch.manual_seed(1)
    x = torch.stack(
        [torch.randn(n), torch.randint(3, (n,)), torch.poisson(3 * torch.ones(n)), torch.randint(3, (n,))], 1
    )
    x[torch.rand(n, 4) < 0.3] = math.nan
    return x.double()


def weights_of(model: VAE, x: Tensor) -> Tensor:
    """log w at fixed latents: the bound without its noise."""
    q: Any = model.encode(x)
    z = q.loc + q.log_scale.exp() * torch.linspace(-2, 2, 5).view(5, 1, 1)
    return model.log_joint(x, z) - q.log_prob(z)


def test_order_of_rows_and_size_of_batches() -> None:
    model, x = built(MIXED), mixed_rows()
    whole = weights_of(model, x)
    turn = torch.randperm(len(x))
    torch.testing.assert_close(weights_of(model, x[turn]), whole[:, turn])
    torch.testing.assert_close(torch.cat([weights_of(model, part) for part in x.split(2)], 1), whole)


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_column_always_missing_changes_no_bound(place: int) -> None:
    """The model with the column has the weights of the one without, and any for the column itself."""
    more: list[dict[str, Any]] = [*MIXED]
    more.insert(place, {"name": "e", "type": "numeric", "mean": 1.0, "sd": 5.0})
    model, wide, x = built(MIXED), built(more), mixed_rows()
    wider = torch.cat([x[:, :place], torch.full((len(x), 1), math.nan).double(), x[:, place:]], 1)
    _carry_over(model, wide, place)
    torch.testing.assert_close(weights_of(wide, wider), weights_of(model, x))


def _carry_over(model: VAE, wide: VAE, place: int) -> None:
    widths = [1, 3, 1, 3]
    at = sum(widths[:place])
    inputs = [i for i in range(sum(widths) + 1 + 5) if i not in (at, sum(widths) + 1 + place)]
    # Outputs: real columns first, then counts, logits, scores. The new one is a real column.
    real = 0 if place == 0 else 1
    outputs = [i for i in range(len(wide.likelihood.net.head.bias)) if i != real]  # type: ignore[union-attr, arg-type]
    own, other = model.state_dict(), wide.state_dict()
    for name, value in own.items():
        if name == "posterior.net.layers.0.weight":
            other[name][:, inputs] = value
        elif name.startswith("likelihood.net.head"):
            other[name][outputs] = value
        elif name == "likelihood.scale.raw":
            other[name][1 - real] = value[0]
        else:
            other[name] = value
    wide.load_state_dict(other)


def test_order_of_columns() -> None:
    """Swapping two columns of a kind with their weights leaves every bound as it was."""
    columns = [MIXED[0], {**MIXED[0], "name": "f", "sd": 7.0}]
    model, other = built(columns), built(columns[::-1])
    state = {k: v.clone() for k, v in model.state_dict().items()}
    turn = {"posterior.net.layers.0.weight": [1, 0, 3, 2]}
    for name, value in model.state_dict().items():
        if name in turn:
            state[name] = value[:, turn[name]]
        elif name.startswith("likelihood.net.head") or name == "likelihood.scale.raw":
            state[name] = value.flip(0)
    other.load_state_dict(state)
    x = torch.randn(6, 2).double()
    x[0, 1] = math.nan
    torch.testing.assert_close(weights_of(other, x.flip(1)), weights_of(model, x))
