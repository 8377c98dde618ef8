"""Linear layers under autocast: which compute in float32, and what they leave behind."""

from __future__ import annotations

import pytest
import torch

from vaekit.nets.base import NARROW, Dense


@pytest.mark.parametrize("sizes", [(NARROW, 512), (512, NARROW)])
def test_a_narrow_layer_computes_in_float32_and_leaves_autocast_on(sizes: tuple[int, int]) -> None:
    layer, x = Dense(*sizes), torch.randn(5, sizes[0])
    expected = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), expected)
        assert torch.is_autocast_enabled("cpu")
        assert layer(x.bfloat16()).dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")
    assert torch.equal(layer(x), expected)


def test_a_wide_layer_computes_in_half_precision() -> None:
    layer = Dense(NARROW + 1, NARROW + 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(5, NARROW + 1)).dtype == torch.bfloat16


def test_autocast_stays_on_when_a_layer_refuses_its_input() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(RuntimeError, match="shapes"):
            Dense(4, 3)(torch.zeros(2, 5))
        assert torch.is_autocast_enabled("cpu")
