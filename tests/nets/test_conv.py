"""Convolutional layers against the library's own and by their definition."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vaekit.errors import UserError
from vaekit.nets import conv
from vaekit.nets.conv import ConvDecoder, ConvEncoder, Down, NearestConv, TransposedConv, Up, grids
from vaekit.nets.resnet import PoolDown, Residual, ResidualBlock, ResNetDecoder, ResNetEncoder, group_norm

SIZES = [(8, 8), (28, 28), (32, 32), (45, 37), (64, 64), (4, 4), (5, 7)]


SHAPES = [(1, (14, 14)), (1, (23, 19)), (1, (2, 3)), (3, (8, 8))]


def same(ours: nn.Module, theirs: nn.Module, own: nn.Module, x: torch.Tensor) -> None:
    """Equal outputs and equal gradients of inputs and parameters; `own` holds the parameters of `theirs`."""
    own.load_state_dict(ours.state_dict())
    y = x.clone().requires_grad_()
    x.requires_grad_()
    out, want = ours(x), theirs(y)
    torch.testing.assert_close(out, want, rtol=1e-5, atol=1e-5)
    g = torch.randn_like(want)
    out.backward(g)
    want.backward(g)
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-5, atol=1e-5)
    for name, p in ours.named_parameters():
        torch.testing.assert_close(p.grad, own.get_parameter(name).grad, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("channels", "grid"), SHAPES)
def test_the_fold_is_a_transposed_convolution(
    channels: int, grid: tuple[int, int], bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conv, "FOLD_CHANNELS", 3)
    theirs = nn.ConvTranspose2d(32, channels, 4, 2, 1, bias=bias)
    same(TransposedConv(32, channels, bias), theirs, theirs, torch.randn(5, 32, *grid))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("channels", "grid"), SHAPES)
def test_nearest_is_repeated_pixels_and_a_convolution(channels: int, grid: tuple[int, int], bias: bool) -> None:
    own = nn.Conv2d(32, channels, 3, padding=1, bias=bias)
    theirs = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), own)
    same(NearestConv(32, channels, bias), theirs, own, torch.randn(5, 32, *grid))


def test_the_fold_in_bfloat16() -> None:
    torch.manual_seed(0)
    net = ConvDecoder(3, (1, 8, 8), (8,))
    z = torch.randn(4, 3)
    want = net(z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(z)
    torch.testing.assert_close(out.float(), want, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("hw", SIZES)
@pytest.mark.parametrize("upsample", ["transposed", "shuffle", "nearest"])
def test_sizes_are_exact(hw: tuple[int, int], upsample) -> None:
    for net in (
        ConvDecoder(3, (2, *hw), (8, 4), upsample=upsample),
        ResNetDecoder(3, (2, *hw), (8, 4), Residual(upsample=upsample)),
    ):
        assert net.widen(3)(torch.zeros(2, 3)).shape == (2, 3, 2, *hw)


@pytest.mark.parametrize("hw", SIZES)
@pytest.mark.parametrize("down", ["conv", "pool"])
@pytest.mark.parametrize("norm", ["group", "none"])
def test_residual_encoders(hw: tuple[int, int], down, norm) -> None:
    net = ResNetEncoder((2, *hw), 3, (8, 12), Residual(blocks=2, down=down, norm=norm))
    net(torch.randn(4, 2, *hw)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


@pytest.mark.parametrize("layer", [Down(2, 3), PoolDown(2, 3)])
def test_halving_agrees_with_grids_and_sees_every_pixel(layer: nn.Module) -> None:
    for hw in SIZES:
        x = torch.randn(1, 2, *hw, requires_grad=True)
        out = layer(x)
        assert out.shape[-2:] == grids((2, *hw), 1)[1]
        out.square().sum().backward()
        assert x.grad is not None and (x.grad != 0).all()  # no row lost at an odd edge


@pytest.mark.parametrize("upsample", ["transposed", "shuffle", "nearest"])
def test_values_are_major(upsample) -> None:
    """Value v of channel c is channel v·C + c of the last layer: scaling those weights changes that output alone."""
    torch.manual_seed(0)
    net = ConvDecoder(3, (3, 9, 9), (8,), upsample=upsample).widen(4)
    z = torch.randn(2, 3)
    before = net(z)
    v, c = 2, 1
    with torch.no_grad():
        net.head.bias[v * 3 + c] += 1.0  # type: ignore[index, union-attr]
    change = net(z) - before
    torch.testing.assert_close(change[:, v, c], torch.ones(2, 9, 9))
    change[:, v, c] = 0
    assert change.abs().max() < 1e-6


@pytest.mark.parametrize("upsample", ["transposed", "shuffle", "nearest"])
def test_doubling_keeps_places(upsample) -> None:
    torch.manual_seed(0)
    up = Up(2, 1, (15, 23), upsample)
    x = torch.zeros(1, 2, 8, 12)
    y = x.clone()
    y[..., 6, 2] = 5.0
    change = (up(y) - up(x)).abs()[0, 0]
    rows, cols = torch.nonzero(change > 1e-6, as_tuple=True)
    assert (rows.min() >= 10, rows.max() <= 14, cols.min() >= 2, cols.max() <= 7) == (True,) * 4
    assert change[12:14, 4:6].min() > 0


def test_blocks_start_as_asked() -> None:
    x = torch.randn(2, 8, 5, 5)
    zero = ResidualBlock(8, act="relu", norm="group", depth=4, init="zero")
    assert torch.equal(zero(x), x)
    torch.manual_seed(0)
    one = ResidualBlock(8, act="relu", norm="group", depth=1, init="scaled")
    torch.manual_seed(0)
    four = ResidualBlock(8, act="relu", norm="group", depth=4, init="scaled")
    torch.testing.assert_close(2 * (four(x) - x), one(x) - x)


@pytest.mark.parametrize("channels", [1, 3, 4, 7, 12, 32, 128])
def test_group_norm_never_divides_single_numbers(channels: int) -> None:
    norm = group_norm(channels, "group")
    assert isinstance(norm, nn.GroupNorm)
    assert channels % norm.num_groups == 0 and (norm.num_groups == 1 or channels // norm.num_groups >= 4)


def test_no_batch_statistics() -> None:
    nets = [ResNetEncoder((1, 8, 8), 2), ResNetDecoder(2, (1, 8, 8)), ConvEncoder((1, 8, 8), 2)]
    assert not any("running" in name for net in nets for name, _ in net.named_buffers())


@pytest.mark.parametrize("make", [ConvDecoder, ResNetDecoder])
def test_skips_feed_every_layer(make) -> None:
    """With the first layers silenced, z reaches the image through each skip, and through nothing without them."""
    for keep in range(2):
        torch.manual_seed(0)
        net = make(3, (1, 12, 12), (8, 4), skip=True)
        assert len(net.skips) == 2
        with torch.no_grad():
            for i, skip in enumerate(net.skips):
                if i != keep:
                    skip.weight.zero_()
            net.layers[0].weight.zero_()
        z = torch.randn(2, 3)
        assert (net(z)[0] - net(z)[1]).abs().max() > 1e-4
        with torch.no_grad():
            net.skips[keep].weight.zero_()
        assert (net(z)[0] - net(z)[1]).abs().max() == 0


def test_settings_are_checked() -> None:
    for call in (
        lambda: ConvDecoder(2, (1, 8, 8), upsample="bilinear"),  # type: ignore[arg-type]
        lambda: ResNetEncoder((1, 8, 8), 2, residual=Residual(down="max")),  # type: ignore[arg-type]
        lambda: ResNetEncoder((1, 8, 8), 2, residual=Residual(norm="batch")),  # type: ignore[arg-type]
        lambda: ResNetEncoder((1, 8, 8), 2, residual=Residual(init="he")),  # type: ignore[arg-type]
        lambda: ConvEncoder((64,), 2),
        lambda: ConvDecoder(2, (1, 8, 8), ()),
    ):
        with pytest.raises(UserError):
            call()


@pytest.mark.parametrize("make", [ConvDecoder, ResNetDecoder])
def test_a_decoder_starts_at_the_mean_image(make) -> None:
    """From the mean image's logits, the first predictions are near that image, far nearer than one number a channel."""
    torch.manual_seed(0)
    mean = torch.linspace(0.05, 0.95, 45 * 37).reshape(1, 45, 37)
    net = make(5, (1, 45, 37))
    net.set_bias(0, torch.logit(mean))
    out = net(torch.randn(8, 5))[:, 0].sigmoid()
    assert F.mse_loss(out, mean.expand_as(out)) < 0.1 * mean.var()


@pytest.mark.parametrize("upsample", ["transposed", "shuffle", "nearest"])
def test_the_signal_of_z_does_not_fade(upsample) -> None:
    """Through layers, stages and blocks, what differs between examples keeps its size within a factor of four."""
    net = ResNetDecoder(16, (1, 32, 32), (64, 32, 32), Residual(upsample=upsample))
    h = net._start(z := torch.randn(64, 16), z, None)
    spreads = [h.std(0).mean().item()]
    for stage in net.stages:
        h = stage(h)
        spreads.append(h.std(0).mean().item())
    assert all(0.5 < s < 4 for s in spreads)
