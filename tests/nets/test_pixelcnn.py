"""Masked convolutions: causal by their gradients, nothing before a place unseen, and drawing equal to whole passes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vaekit.nets.pixelcnn import PixelCNN


def net_of(layers: int = 3, radius: int = 1, context: int = 0) -> PixelCNN:
    torch.manual_seed(3)
    return PixelCNN(2, 4, width=8, layers=layers, radius=radius, context=context).double().eval()


def influence(net: PixelCNN, i: int, j: int, size: tuple[int, int] = (5, 6)) -> Tensor:
    """Which inputs (H, W) the output at (i, j) has a gradient with respect to."""
    x = torch.randn(1, 2, *size, dtype=torch.float64, requires_grad=True)
    out = net(x)[0, :, i, j].sum()
    return torch.autograd.grad(out, x)[0][0].abs().sum(0) > 0


@pytest.mark.parametrize("radius", [1, 2])
def test_an_output_depends_on_the_places_before_it_and_no_other(radius: int) -> None:
    net = net_of(layers=6, radius=radius)  # reaches over the whole map
    for i, j in ((0, 0), (0, 3), (2, 0), (2, 4), (4, 5)):
        order = torch.arange(30).view(5, 6)
        # exactly those before it: none that comes later, and no blind spot either
        assert torch.equal(influence(net, i, j), order < 6 * i + j)


@pytest.mark.parametrize(("layers", "radius"), [(1, 1), (2, 1), (3, 1), (2, 2)])
def test_its_sight_ends_at_its_reach(layers: int, radius: int) -> None:
    net = net_of(layers, radius)
    assert net.reach == layers * radius
    seen = influence(net, 8, 8, (9, 17))
    rows, columns = seen.nonzero().unbind(1)
    assert int((8 - rows).max()) == net.reach
    assert int((8 - columns).max()) == int((columns - 8).max()) == net.reach


@pytest.mark.parametrize(("radius", "context"), [(1, 0), (2, 3)])
def test_drawing_place_by_place_gives_the_values_of_whole_passes(radius: int, context: int) -> None:
    net = net_of(radius=radius, context=context)
    given = torch.randn(5, context, 4, 6, dtype=torch.float64) if context else None
    x = torch.zeros(5, 2, 4, 6, dtype=torch.float64)
    outputs = torch.zeros(5, 4, 4, 6, dtype=torch.float64)

    def pick(out: Tensor, i: int, j: int) -> Tensor:
        outputs[:, :, i, j] = out
        x[:, :, i, j] = torch.randn(5, 2, dtype=torch.float64)
        return x[:, :, i, j]

    net.generate(5, (4, 6), pick, given)
    torch.testing.assert_close(outputs, net(x, given), rtol=0, atol=1e-12)


def test_drawing_in_single_precision_is_within_a_hundred_thousandth() -> None:
    torch.manual_seed(0)
    net = PixelCNN(1, 5, width=32, layers=4).eval()
    x, outputs = torch.zeros(3, 1, 7, 7), torch.zeros(3, 5, 7, 7)

    def pick(out: Tensor, i: int, j: int) -> Tensor:
        outputs[:, :, i, j] = out
        x[:, :, i, j] = torch.randn(3, 1)
        return x[:, :, i, j]

    net.generate(3, (7, 7), pick)
    torch.testing.assert_close(outputs, net(x), rtol=0, atol=1e-5)


def test_the_context_reaches_every_place_but_only_its_own() -> None:
    net = net_of(layers=1, context=3)
    context = torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    out = net(torch.randn(1, 2, 4, 4, dtype=torch.float64), context)[0, :, 2, 1].sum()
    seen = torch.autograd.grad(out, context)[0][0].abs().sum(0) > 0
    assert seen.nonzero().tolist() == [[2, 1]]


def test_no_layer_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one layer"):
        PixelCNN(1, 2, layers=0)
