"""The likelihood of mixed columns: where it starts, its options, its gradients, its normalisation."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vaekit.distributions.mixed import MixedColumns
from vaekit.errors import UserError
from vaekit.likelihoods.mixed import Mixed
from vaekit.nets.mlp import mlp

COLUMNS: list[dict[str, Any]] = [
    {"type": "numeric", "sd": 2.0},
    {"type": "ordinal", "levels": ["1", "2", "3", "4"], "probs": [0.1, 0.2, 0.3, 0.4]},
    {"type": "count", "mean": 3.5},
    {"type": "categorical", "levels": ["x", "y", "z"], "probs": [0.5, 0.5, 0.0]},
    {"type": "boolean", "levels": ["no", "yes"], "probs": [0.25, 0.75]},
    {"type": "date", "sd": 30.0},
    {"type": "positive", "mean": 1.0, "sd": 0.5},
]


def make(**options: Any) -> Mixed:
    torch.manual_seed(0)
    return Mixed(lambda outputs: mlp(2, outputs, (8,)), columns=COLUMNS, **options)


def zeroed(part: Mixed) -> Mixed:
    """Take z out: the first predictions are the bias alone."""
    net: Any = part.net
    with torch.no_grad():
        net.head.weight.zero_()
    return part


def test_first_predictions_are_the_training_marginals() -> None:
    d = zeroed(make())(torch.randn(3, 2))
    assert isinstance(d, MixedColumns) and d.count is not None and d.real is not None
    torch.testing.assert_close(d.count.mean, torch.full((3, 1), 3.5), rtol=1e-4, atol=0)
    torch.testing.assert_close(d.real.mean, torch.zeros(3, 3))
    torch.testing.assert_close(d.probs[0, 0], torch.tensor([0.1, 0.2, 0.3, 0.4]), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(d.probs[0, 1], torch.tensor([0.5, 0.5, 0.001, 0.0]), rtol=0.01, atol=1e-5)
    torch.testing.assert_close(d.probs[0, 2], torch.tensor([0.25, 0.75, 0.0, 0.0]), rtol=1e-3, atol=1e-5)


def test_the_whole_row_is_normalised() -> None:
    """Masses of choices and counts summed and the real column integrated come to 1."""
    columns = [COLUMNS[0], COLUMNS[2], COLUMNS[4]]
    torch.manual_seed(1)
    part = Mixed(lambda outputs: mlp(2, outputs, (8,)), columns=columns).double()
    grid, counts, flags = torch.linspace(-12, 12, 301), torch.arange(150.0), torch.arange(2.0)
    rows = torch.cartesian_prod(grid, counts, flags).double()
    with torch.no_grad():
        d = part(torch.randn(1, 2).double())
        total = d.log_prob(rows.unsqueeze(1)).exp().sum() * (24 / 300) * 2.0  # a stored unit is 2 of the column's own
    assert abs(float(total) - 1) < 1e-5


@pytest.mark.parametrize(
    "options",
    [{}, {"real": "student-t"}, {"scale": "pixel"}, {"scale": 0.5}, {"counts": "poisson"}, {"scale": "shared"}],
)
def test_every_option_trains(options: dict[str, Any]) -> None:
    part = make(**options)
    x = part(torch.randn(5, 2)).sample()
    x[0, 0] = x[1, 3] = torch.nan
    loss = -part(torch.randn(4, 5, 2)).log_prob(x)
    assert loss.shape == (4, 5)
    loss.mean().backward()
    for name, p in part.named_parameters():
        assert p.grad is not None and bool(torch.isfinite(p.grad).all()), name


@pytest.mark.parametrize("output", [1e4, -1e4])
@pytest.mark.parametrize("real", ["gaussian", "student-t"])
def test_outputs_far_out_stay_finite(output: float, real: Any) -> None:
    part = make(real=real)
    x = part(torch.randn(5, 2)).sample()
    net: Any = part.net
    with torch.no_grad():
        net.head.bias.fill_(output)
    loss = -part(torch.randn(5, 2)).log_prob(x).mean()
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert all(bool(torch.isfinite(p.grad).all()) for p in part.parameters() if p.grad is not None)


def test_no_column_is_refused() -> None:
    with pytest.raises(UserError, match="no column"):
        Mixed(lambda outputs: mlp(2, outputs), columns=[])
