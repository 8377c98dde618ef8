"""The contract of every registered network, over vectors and images of even and odd sizes."""

from __future__ import annotations

import copy
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vaekit.errors import UserError
from vaekit.nets.base import Net, size
from vaekit.nets.build import NETS, default_channels, default_hidden, network, resolve
from vaekit.nets.mlp import Shape

LATENT = (3,)


def encoder(kind: str, in_shape: Shape, out_shape: Shape, context: int = 0, **options: Any) -> Net:
    return network(kind, **options).encoder(in_shape, out_shape, context)


def decoder(kind: str, latent_shape: Shape, out_shape: Shape, context: int = 0, **options: Any) -> Net:
    return network(kind, **options).decoder(latent_shape, out_shape, context)


VECTORS: list[tuple[int, ...]] = [(13,), (64,)]
IMAGES: list[tuple[int, ...]] = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 45, 37), (2, 4, 5)]


def takes(kind: str, shape: tuple[int, ...]) -> bool:
    """Return whether a kind takes data of a shape; one that does not refuses them."""
    try:
        return bool(network(kind).encoder(shape, LATENT))
    except UserError:
        return False


PAIRS = [
    pytest.param(kind, shape, id=f"{kind}-{'x'.join(map(str, shape))}")
    for kind, shape in product(NETS.names, VECTORS + IMAGES)
    if takes(kind, shape)
]
every = pytest.mark.parametrize(("kind", "shape"), PAIRS)


def pair(kind: str, shape: tuple[int, ...], context: int = 0, skip: bool = False) -> tuple[Net, Net]:
    """An encoder and its decoder, small in their dense layers."""
    torch.manual_seed(0)
    wanted = {"hidden": (24, 16), "skip": skip}
    sizes: dict[str, Any] = {name: value for name, value in wanted.items() if name in NETS[kind].options}
    net = network(kind, **sizes)
    return net.encoder(shape, LATENT, context), net.decoder(LATENT, shape, context)


def inputs(net: Net, n: int = 4, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor | None]:
    """A batch and its labels, always the same."""
    rng = torch.Generator().manual_seed(1)
    assert net.in_shape is not None
    x = torch.randn(n, *net.in_shape, generator=rng, dtype=torch.float64).to(dtype)
    return x, (torch.randn(n, net.context, generator=rng, dtype=torch.float64).to(dtype) if net.context else None)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@every
@pytest.mark.parametrize("values", [1, 2, 5])
def test_output_shapes(kind: str, shape: tuple[int, ...], values: int) -> None:
    for net, out in zip(pair(kind, shape), (LATENT, shape)):
        assert net.widen(values) is net
        assert net(*inputs(net)).shape == (4, values, *out)
        assert net(*inputs(net, 1)).shape == (1, values, *out)


@every
@pytest.mark.parametrize(("context", "skip"), [(0, False), (4, False), (0, True), (4, True)])
def test_every_parameter_gets_a_gradient(kind: str, shape: tuple[int, ...], context: int, skip: bool) -> None:
    for net in pair(kind, shape, context, skip):
        net.widen(2)(*inputs(net)).square().sum().backward()
        dead = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
        assert not dead


@every
@pytest.mark.parametrize("train", [True, False])
def test_an_example_does_not_depend_on_the_others(kind: str, shape: tuple[int, ...], train: bool) -> None:
    for net in pair(kind, shape, context=4):
        net.train(train)
        x, y = inputs(net, 6)
        assert y is not None
        together = net(x, y)
        alone = torch.cat([net(x[i : i + 1], y[i : i + 1]) for i in range(6)])
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
        assert (together[0] - together[1]).abs().max() > 1e-4  # or the comparison says nothing


@every
def test_context_matters_and_is_required(kind: str, shape: tuple[int, ...]) -> None:
    for net in pair(kind, shape, context=4):
        x, y = inputs(net)
        assert y is not None
        assert (net(x, y) - net(x, y + 1)).abs().max() > 1e-5
        with pytest.raises(ValueError, match="label"):
            net(x)
    for net in pair(kind, shape):
        with pytest.raises(ValueError, match="label"):
            net(inputs(net)[0], torch.zeros(4, 4))


@every
def test_double_precision_agrees(kind: str, shape: tuple[int, ...]) -> None:
    for net in pair(kind, shape, context=4, skip=True):
        single = net(*inputs(net))
        double = net.double()(*inputs(net, dtype=torch.float64))
        assert double.dtype == torch.float64
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5)


@every
def test_state_and_copies(kind: str, shape: tuple[int, ...]) -> None:
    for net, other in zip(pair(kind, shape, skip=True), pair(kind, shape, skip=True)):
        net.widen(2)
        with torch.no_grad():
            for p in net.parameters():
                p.add_(0.05 * torch.randn_like(p))
        x, y = inputs(net)
        twin = copy.deepcopy(net)
        other.widen(2).load_state_dict(net.state_dict())
        assert torch.equal(net(x, y), twin(x, y)) and torch.equal(net(x, y), other(x, y))
        with torch.no_grad():
            for p in twin.parameters():
                p.zero_()
        assert torch.equal(net(x, y), other(x, y))  # the copy shares nothing


def silence(net: Net) -> None:
    """Zero the head's weights, so that its biases are what is left."""
    with torch.no_grad():
        for p in net.head.parameters():
            if p.dim() == 2 or p.dim() == 4:
                p.zero_()


@every
def test_set_bias_is_exact_for_the_first_value(kind: str, shape: tuple[int, ...]) -> None:
    for net in pair(kind, shape):
        net.widen(2)
        bias = torch.linspace(-3, 2, size(net.out_shape)).reshape(net.out_shape)
        before = net(*inputs(net))
        net.set_bias(0, bias)
        net.set_bias(1, torch.tensor(0.7))
        net.set_bias(0, bias)  # twice is once
        silence(net)
        out = net(*inputs(net))
        torch.testing.assert_close(out[:, 0], bias.expand(4, *bias.shape), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(out[:, 1], torch.full((4, *bias.shape), 0.7))
        assert not torch.equal(before, out)


@pytest.mark.parametrize("kind", ["conv", "resnet"])
def test_set_bias_of_a_later_value_is_its_mean_a_channel(kind: str) -> None:
    net = decoder(kind, LATENT, (3, 32, 32)).widen(3)
    bias = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0))
    net.set_bias(2, bias)
    silence(net)
    out = net(*inputs(net))
    torch.testing.assert_close(out[0, 2, :, 5, 6], bias.mean((1, 2)))
    assert out[:, :2].abs().max() == 0


@every
def test_widening_keeps_the_features(kind: str, shape: tuple[int, ...]) -> None:
    for net in pair(kind, shape):
        before = {k: v.clone() for k, v in net.state_dict().items() if not k.startswith("head.")}
        assert net.widen(1).head is net.head
        net.widen(5)
        assert all(torch.equal(v, net.state_dict()[k]) for k, v in before.items())


@pytest.mark.parametrize(("kind", "shape"), PAIRS)
def test_encoder_and_decoder_mirror(kind: str, shape: tuple[int, ...]) -> None:
    up, down = encoder(kind, shape, LATENT), decoder(kind, LATENT, shape)
    assert 0.6 < count(up) / count(down) < 1.67


def test_decoder_reverses_the_encoder_sizes() -> None:
    assert [layer.out_features for layer in decoder("mlp", 2, 64, hidden=(50, 30)).layers] == [30, 50]  # type: ignore[union-attr]
    net = decoder("conv", 2, (1, 32, 32), channels=(8, 16), hidden=(50, 30))
    assert [layer.out_features for layer in net.layers] == [30, 50, 16 * 8 * 8]  # type: ignore[union-attr]


def test_defaults() -> None:
    assert default_hidden((784,)) == (512, 512)
    assert default_hidden((1, 8, 8)) == (256, 128)
    assert default_hidden((13,)) == (128, 64)
    for shape in IMAGES:
        assert encoder("conv", shape, 2)(torch.zeros(1, *shape)).shape == (1, 1, 2)
    assert default_channels((1, 4, 4), (2,)) == (32,)
    assert resolve((1, 28, 28), 20) == "mlp"
    assert resolve((1, 28, 29), 20) == "conv"
    assert resolve((1, 28, 28), (8, 7, 7)) == "conv"
    assert resolve(4000, 20) == "mlp"
    assert resolve((1, 2, 4000), 20) == "mlp"
    assert count(encoder("linear", 13, 2)) == 13 * 2 + 2


@pytest.mark.parametrize("kind", ["auto", "conv", "resnet"])
@pytest.mark.parametrize(("shape", "grid"), [((1, 28, 28), (7, 7)), ((3, 45, 37), (12, 10)), ((1, 64, 64), (16, 16))])
@pytest.mark.parametrize("context", [0, 4])
def test_latent_maps(kind: str, shape: tuple[int, ...], grid: tuple[int, int], context: int) -> None:
    up = encoder(kind, shape, (5, *grid), context=context).widen(2)
    down = decoder(kind, (5, *grid), shape, context=context, skip=True).widen(2)
    assert up(*inputs(up)).shape == (4, 2, 5, *grid)
    assert down(*inputs(down)).shape == (4, 2, *shape)
    assert not any(isinstance(m, nn.Linear) and m.out_features > 128 for m in up.modules())  # convolutions all the way
    for net in (up, down):
        net(*inputs(net)).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


@pytest.mark.parametrize("kind", ["conv", "resnet"])
def test_map_codes_stay_near_their_place(kind: str) -> None:
    """A corner of the image moves the code of that corner most: rows and columns are not swapped or flattened."""
    up = encoder(kind, (1, 32, 48), (5, 8, 12), hidden=())
    x = torch.zeros(1, 1, 32, 48)
    y = x.clone()
    y[..., 28:, :4] = 3.0
    change = (up(y) - up(x)).abs().sum((0, 1, 2))
    row, col = divmod(int(change.argmax()), 12)
    assert row >= 6 and col <= 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: encoder("conv", 13, 2), "model.net is 'conv'.*images.*(13,).*mlp"),
        (lambda: decoder("resnet", 2, 13), "model.net is 'resnet'.*mlp"),
        (lambda: encoder("conv", (1, 3, 9), 2), "at least 4 × 4"),
        (lambda: encoder("conv", (1, 8, 8), 2, channels=(8, 8, 8, 8)), "model.channels.*1 to 3 stages, not 4"),
        (lambda: encoder("conv", (1, 8, 8), 2, channels=(8, 0)), "model.channels"),
        (lambda: encoder("mlp", (1, 8, 8), 2, channels=(8,)), "model.channels is not an option of model.net=mlp"),
        (lambda: encoder("linear", 13, 2, hidden=(8,)), "model.hidden is not an option of model.net=linear"),
        (lambda: encoder("conv", (1, 28, 28), (4, 5, 5)), "14 × 14, 7 × 7"),
        (lambda: encoder("mlp", 13, 2, act="rleu"), "model.act is 'rleu'"),
        (lambda: encoder("cnov", 13, 2), "did you mean 'conv'"),
    ],
)
def test_errors_name_the_setting_and_the_mend(call, words: str) -> None:
    with pytest.raises(UserError, match=words):
        call()
