"""The decoder in two levels: a distribution, causal, the same step by step, and blind to padding."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from vaekit.distributions.tokens import TokenSequences
from vaekit.likelihoods.tokens import Tokens
from vaekit.nets.conductor import ConductorDecoder
from vaekit.tokens import END, PAD, START, used


def net(length: int = 11, bar: int = 4, tokens: int = 7, **more: float) -> ConductorDecoder:
    torch.manual_seed(0)
    made = ConductorDecoder((length, tokens), 3, bar=bar, width=8, embedding=4, conductor=5, **more)  # type: ignore[arg-type]
    with torch.no_grad():
        made.head.get_parameter("weight").mul_(20)  # logits that differ
    return made.double().eval()


def rows(n: int, length: int, tokens: int = 7) -> Tensor:
    """Random finished rows of every length."""
    generator = torch.Generator().manual_seed(1)
    out = torch.randint(3, tokens, (n, length), generator=generator)
    for row, stop in zip(out, itertools.cycle(range(length))):
        row[stop] = END
        row[stop + 1 :] = PAD
    return out


@pytest.mark.parametrize(("length", "bar"), [(11, 4), (9, 4), (8, 4), (5, 7), (6, 1)])
def test_one_place_at_a_time_gives_the_same(length: int, bar: int) -> None:
    decoder, z = net(length, bar), torch.randn(2 * length, 3, dtype=torch.float64)
    x = rows(2 * length, length)
    at_once = decoder(x, z)
    state = decoder.start(z)
    previous = torch.full((len(x),), START)
    keep = used(x)
    for t in range(length):
        logits, state = decoder.step(previous, t, state)
        torch.testing.assert_close(logits[keep[:, t]], at_once[:, t][keep[:, t]])
        previous = x[:, t]


def test_masses_of_all_rows_sum_to_one() -> None:
    tokens, length = 6, 4
    px = TokenSequences(net(length, 2, tokens), torch.randn(1, 3, dtype=torch.float64))
    every = []
    for count in range(length):
        for words in itertools.product((3, 4, 5), repeat=count):
            every.append([*words, END, *[PAD] * (length - count - 1)])
    total = px.log_prob(torch.tensor(every).unsqueeze(1)).exp().sum()
    torch.testing.assert_close(total, torch.ones_like(total))


def test_padding_and_batch_mates_change_nothing() -> None:
    px, x = Tokens(net(11)).double().eval(), rows(11, 11)
    z = torch.randn(11, 3, dtype=torch.float64)
    alone = torch.stack([px(z[i : i + 1]).log_prob(x[i : i + 1, : int(used(x[i]).sum())])[0] for i in range(11)])
    torch.testing.assert_close(px(z).log_prob(x), alone)
    torch.testing.assert_close(px(z).log_prob(torch.nn.functional.pad(x, (0, 6))), alone)


def test_a_place_knows_its_bar_so_far_and_one_token_of_the_bar_before() -> None:
    decoder, bar, length = net(12, 4), 4, 12
    z = torch.randn(1, 3, dtype=torch.float64)
    x = torch.full((1, length), 4)
    for changed in range(length):
        other = x.clone()
        other[0, changed] = 5
        moved = (decoder(other, z) - decoder(x, z)).abs().amax(-1)[0] > 1e-12
        end = (changed // bar + 1) * bar
        # a bar's last token is the one before the next bar's first, whose GRU carries it through that bar
        reach = end if changed % bar < bar - 1 else min(end + bar, length)
        assert moved.tolist() == [changed < t < reach for t in range(length)]


def test_every_parameter_learns() -> None:
    decoder = net(9, 4).train()
    z = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    TokenSequences(decoder, z).log_prob(rows(9, 9)).sum().backward()
    assert z.grad is not None and bool((z.grad.abs().sum(-1)[1:] > 0).all())
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().sum()) > 0, name


def test_the_conductor_is_what_bars_hang_on() -> None:
    decoder = net(9, 4)
    c = decoder.conduct(torch.randn(2, 3, dtype=torch.float64), 3)
    assert c.shape == (2, 3, 5) and not torch.allclose(c[:, 0], c[:, 1])


def test_a_bar_without_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="a bar of 0 tokens"):
        ConductorDecoder((9, 7), 3, bar=0)
