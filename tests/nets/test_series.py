"""Networks over series: nothing that is not observed reaches them, padding and neighbours change nothing."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch

from vaekit.errors import UserError
from vaekit.nets.series import Kind, SeriesEncoder, cells_of, halvings, hidden, series_nets

KINDS = get_args(Kind)
each_kind = pytest.mark.parametrize("kind", KINDS)
each_length = pytest.mark.parametrize("steps", [1, 3, 24, 300])


def make(kind: Any, steps: int = 24, channels: int = 2) -> Any:
    torch.manual_seed(0)
    nets = series_nets(kind, (channels, steps), 5, width=16, layers=2, heads=2)
    return [net.eval() for net in nets]


def ragged(n: int, steps: int, channels: int = 2) -> torch.Tensor:
    x = torch.randn(n, channels, steps)
    for i in range(n):
        x[i, :, 1 + (i * 7) % steps :] = torch.inf
    return x.masked_fill((torch.rand(x.shape) < 0.2) & torch.isfinite(x), torch.nan)


@each_kind
@each_length
def test_shapes_and_gradients(kind: Any, steps: int) -> None:
    encoder, decoder = make(kind, steps)
    x = ragged(6, steps)
    z = encoder.widen(2)(x)
    assert z.shape == (6, 2, 5) and bool(torch.isfinite(z).all())
    out = decoder.widen(2)(z[:, 0])
    assert out.shape == (6, 2, 2, steps)
    out.square().sum().backward()
    for name, p in [*encoder.named_parameters(), *decoder.named_parameters()]:
        assert p.grad is not None and bool(torch.isfinite(p.grad).all()), name


@each_kind
@each_length
def test_what_lies_under_the_mask_cannot_matter(kind: Any, steps: int) -> None:
    """The network is given zeros there whatever the tensor holds: NaN in one place is NaN in another's stead."""
    encoder, _ = make(kind, steps)
    x = ragged(6, steps)
    cells, inside = cells_of(x)
    assert bool(torch.isfinite(cells).all()) and bool((cells[:, 2:] == torch.isfinite(x)).all())
    assert torch.equal(inside.sum(1), (~torch.isinf(x).all(1)).sum(1))
    after = x.clone()
    after[:, 0][torch.isinf(x[:, 0])] = torch.nan  # a step is past the end only if all its channels are
    assert torch.equal(encoder(x), encoder(x.clone()))
    assert torch.equal(cells_of(after)[0], cells)


@each_kind
def test_a_series_alone_is_coded_as_in_a_batch(kind: Any) -> None:
    encoder, decoder = make(kind)
    x = ragged(7, 24)
    together = encoder(x)
    alone = torch.cat([encoder(one.unsqueeze(0)) for one in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder(x.flip(0)).flip(0), together, rtol=1e-4, atol=1e-5)
    z = torch.randn(7, 5)
    torch.testing.assert_close(decoder(z)[3:4], decoder(z[3:4]), rtol=1e-4, atol=1e-5)


@each_kind
def test_a_gap_at_the_last_steps_is_no_end(kind: Any) -> None:
    encoder, _ = make(kind)
    x = torch.randn(2, 2, 24)
    x[:, :, 17:] = torch.inf
    gap = x.clone()
    gap[:, :, 17:] = torch.nan
    assert not torch.equal(encoder(gap), encoder(x))


def test_convolutions_give_no_weight_to_places_after_the_end() -> None:
    encoder, _ = make("conv", 64)
    x = torch.randn(3, 2, 64)
    x[:, :, 20:] = torch.inf
    encoder(x).sum().backward()
    grads = encoder.join.weight.grad.unflatten(1, (16, -1))  # of 64, 32, 16 places the last are joined
    assert grads.shape[-1] == 16 and bool(grads[:, :, :5].any()) and not bool(grads[:, :, 5:].any())


def test_a_recurrent_network_takes_no_step_after_the_end() -> None:
    encoder, _ = make("gru")
    cells, inside = cells_of(torch.cat([ragged(6, 16), torch.full((6, 2, 8), torch.inf)], 2))
    torch.testing.assert_close(encoder.read(cells[:, :, :16], inside[:, :16]), encoder.read(cells, inside))
    loud = cells.masked_fill(~inside.unsqueeze(1), 100.0)
    torch.testing.assert_close(encoder.read(loud, inside), encoder.read(cells, inside))


@pytest.mark.parametrize("steps", [24, 300])
def test_a_transformer_attends_to_no_token_after_the_end(steps: int) -> None:
    encoder, _ = make("transformer", steps)
    x = torch.randn(3, 2, steps)
    x[:, :, steps // 2 :] = torch.inf
    cells, inside = cells_of(x)
    cells = cells.masked_fill(~inside.unsqueeze(1), 100.0)  # what no reader of cells would give
    edge = encoder.patch * (-(-(steps // 2) // encoder.patch))
    cells[:, :, :edge] = cells_of(x)[0][:, :, :edge]  # the token that holds the end is read with its zeros
    torch.testing.assert_close(encoder.read(cells, inside), encoder.read(cells_of(x)[0], inside))


@each_kind
def test_training_alone_hides_cells(kind: Any) -> None:
    encoder, _ = make(kind)
    assert isinstance(encoder, SeriesEncoder)
    encoder.drop, x = 0.5, torch.randn(4, 2, 24)
    assert torch.equal(encoder(x), encoder(x))
    encoder.train()
    assert not torch.equal(encoder(x), encoder(x))
    assert bool(torch.isfinite(encoder(ragged(4, 24))).all())


def test_runs_of_every_length_are_hidden() -> None:
    torch.manual_seed(0)
    cells = hidden(torch.Size((4000, 1, 20)), 0.4, torch.device("cpu"))
    whole = cells.squeeze(1)
    assert abs(float(whole.double().mean()) - (0.2 + 0.8 * 0.4 * 0.333)) < 0.02
    tails = whole[:, 10:].all(1)
    assert bool(tails.any()) and not bool(whole.all(1).all())


def test_lengths_are_halved_while_there_is_enough() -> None:
    assert halvings(1344, 3) == [1344, 672, 336, 168] and halvings(1, 5) == [1]


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(UserError, match=r"model\.width=10"):
        series_nets("transformer", (1, 5), 2, width=10, layers=1, heads=4)
