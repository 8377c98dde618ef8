"""Where stored data lie while a run trains on another device."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from vaekit.data.dataset import Split
from vaekit.training.data_source import fits, moved


@pytest.mark.parametrize(("free", "expected"), [(2 * (100 * 784 + 800), True), (2 * (100 * 784 + 800) - 1, False)])
def test_data_go_to_the_device_where_they_take_half_of_what_is_free(free: int, expected: bool) -> None:
    split = Split(torch.zeros(100, 784, dtype=torch.uint8), torch.zeros(100, dtype=torch.int64))
    assert fits(split, free) is expected


def test_what_is_no_tensor_stays() -> None:
    assert not fits(SimpleNamespace(x=[1, 2], y=None), 10**9)  # type: ignore[arg-type]


def test_all_of_a_split_is_moved() -> None:
    split = moved(Split(torch.zeros(3, 2), torch.zeros(3), torch.zeros(3, 1)), torch.device("meta"))
    assert all(part is not None and part.device.type == "meta" for part in (split.x, split.y, split.factors))
