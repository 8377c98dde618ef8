"""The encoder of table rows: what it sees of each cell, and nothing of a missing one."""

from __future__ import annotations

from typing import Any

import torch

from vaekit.nets.table import TableMLP

COLUMNS: list[dict[str, Any]] = [
    {"type": "numeric"},
    {"type": "categorical", "levels": ["a", "b", "c"]},
    {"type": "count", "log_mean": 1.0, "log_sd": 2.0},
]


def test_what_it_sees() -> None:
    net = TableMLP(COLUMNS, 2)
    seen = net.seen_as(torch.tensor([[0.5, 2.0, 3.0], [torch.nan, torch.nan, torch.nan]]))
    logged = (torch.log1p(torch.tensor(3.0)) - 1.0) / 2.0
    torch.testing.assert_close(seen[0], torch.tensor([0.5, 0.0, 0.0, 1.0, logged.item(), 1.0, 1.0, 1.0]))
    assert bool((seen[1] == 0).all())
    numbers = TableMLP(COLUMNS[:1] * 2, 2).seen_as(torch.tensor([[0.5, torch.nan]]))
    assert numbers.tolist() == [[0.5, 0.0, 1.0, 0.0]]
    assert TableMLP(COLUMNS, 2, mask=False).seen_as(torch.zeros(1, 3)).shape == (1, 5)


def test_hiding_is_for_training_alone() -> None:
    torch.manual_seed(0)
    net = TableMLP(COLUMNS, 2, drop=0.5)
    x = torch.ones(400, 3)
    assert 0.4 < float(net.train().seen_as(x)[:, -3:].mean()) < 0.6
    assert float(net.eval().seen_as(x)[:, -3:].mean()) == 1.0


def test_a_column_always_missing_changes_nothing() -> None:
    torch.manual_seed(0)
    wide = TableMLP([COLUMNS[0], {"type": "categorical", "levels": ["u", "v"]}, *COLUMNS[1:]], 2, (8,))
    slim = TableMLP(COLUMNS, 2, (8,))
    kept = [0, 3, 4, 5, 6, 7, 9, 10]  # value, (two levels), three levels, count, mask of four
    weights: dict[str, torch.Tensor] = dict(wide.state_dict())
    weights["layers.0.weight"] = weights["layers.0.weight"][:, kept]
    slim.load_state_dict(weights)
    x = torch.tensor([[0.5, 2.0, 3.0], [1.5, torch.nan, 0.0]])
    more = torch.cat([x[:, :1], torch.full((2, 1), torch.nan), x[:, 1:]], 1)
    torch.testing.assert_close(wide(more), slim(x))
