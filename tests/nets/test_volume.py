"""Three-dimensional convolutions: shapes of any side, the mirror, a start at the mean, and who sees which voxel."""

from __future__ import annotations

import math

import pytest
import torch

from vaekit.errors import UserError
from vaekit.nets.build import network, resolve
from vaekit.nets.volume import Down3d, Up3d, VolumeDecoder, VolumeEncoder, volume_grids

SHAPES = [(1, 8, 8, 8), (3, 9, 7, 12), (2, 4, 5, 6)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("context", [0, 3])
def test_encoder_and_decoder_are_mirrors_of_any_side(shape: tuple[int, ...], context: int) -> None:
    net = network("conv", skip=True)
    label = (torch.eye(3)[:2],) if context else ()
    encoder, decoder = net.encoder(shape, 5, context).widen(2), net.decoder(5, shape, context).widen(2)
    z = encoder(torch.randn(2, *shape), *label)
    assert z.shape == (2, 2, 5) and decoder(z[:, 0], *label).shape == (2, 2, *shape)
    decoder(z[:, 0], *label).square().sum().backward()
    assert all(p.grad is not None for net in (encoder, decoder) for p in net.parameters())


def test_one_stage_is_the_sum_it_stands_for() -> None:
    torch.manual_seed(0)
    down, x = Down3d(2, 1).double(), torch.randn(1, 2, 5, 4, 6, dtype=torch.float64)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1, 1, 2))  # one more layer where the side is odd
    at = padded[0, :, 2:6, 0:4, 4:8]  # of the place (1, 0, 2)
    right = (at * down.conv.weight[0]).sum() + down.conv.bias[0]  # type: ignore[index]
    assert down(x)[0, 0, 1, 0, 2].item() == pytest.approx(right.item(), rel=1e-12)
    up = Up3d(1, 1, (5, 4, 6), bias=False).double()
    # a transposed convolution is the adjoint: <down y, z> = <y, up z> with the same weights, up to the cropped layer
    plain = torch.nn.functional.conv3d(
        torch.nn.functional.pad(y := torch.randn(1, 1, 5, 4, 6, dtype=torch.float64), (0, 0, 0, 0, 0, 1)),
        up.conv.weight,
        stride=2,
        padding=1,
    )
    z = torch.randn_like(plain)
    assert (plain * z).sum().item() == pytest.approx((y * up(z)).sum().item(), rel=1e-12)


def test_a_decoder_starts_at_any_mean() -> None:
    decoder, mean = VolumeDecoder(2, (2, 6, 5, 7)).widen(2), torch.randn(2, 6, 5, 7)
    torch.nn.init.zeros_(decoder.head.up.conv.weight)  # type: ignore[union-attr]
    decoder.set_bias(0, mean)
    decoder.set_bias(1, torch.tensor([0.5]))
    out = decoder(torch.randn(3, 2))
    torch.testing.assert_close(out[:, 0], mean.expand(3, -1, -1, -1, -1))
    torch.testing.assert_close(out[:, 1], torch.full_like(out[:, 1], 0.5))


def test_auto_takes_them_for_volumes_and_others_are_refused() -> None:
    assert resolve((1, 16, 16, 16), 8) == "conv" and resolve((1, 4, 4, 4), 8) == "mlp"
    assert resolve((1, 2, 64, 64), 8) == "mlp"  # too thin to be halved
    assert isinstance(network("auto").encoder((1, 16, 16, 16), 8), VolumeEncoder)
    with pytest.raises(UserError, match="to 'conv'"):
        network("resnet").encoder((1, 16, 16, 16), 8)
    with pytest.raises(UserError, match="to 'mlp'"):
        network("conv").encoder((1, 2, 16, 16), 8)
    with pytest.raises(UserError, match="takes 1 to 2 stages, not 3"):
        volume_grids((1, 16, 16, 7), 3)


def test_sides_round_up() -> None:
    for n in range(4, 20):
        assert volume_grids((1, n, 16, 16), 2)[-1][0] == math.ceil(n / 4)
