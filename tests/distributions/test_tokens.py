"""Token sequences: their masses by enumeration, their scores by a plain loop, and how they are drawn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from vaekit.distributions.tokens import Sampling, TokenSequences, barred
from vaekit.errors import UserError
from vaekit.likelihoods.tokens import Tokens
from vaekit.nets.recurrent import GRUDecoder
from vaekit.nets.sequence import TokenDecoder, TransformerDecoder
from vaekit.tokens import END, PAD, START

VOCABULARY, LENGTH, LATENT = 6, 4, 3  # END, UNKNOWN and two words can be drawn
NETS = ("gru", "transformer")


def decoder(kind: str, length: int = LENGTH, **more: float) -> TokenDecoder:
    torch.manual_seed(3)
    if kind == "gru":
        net: TokenDecoder = GRUDecoder((length, VOCABULARY), LATENT, width=8, embedding=5, layers=2, **more)  # type: ignore[arg-type]
    else:
        net = TransformerDecoder((length, VOCABULARY), LATENT, width=8, heads=2, **more)  # type: ignore[arg-type]
    with torch.no_grad():  # far from uniform
        for p in net.parameters():
            p.add_(0.25 * torch.randn_like(p))
    return net.double().eval()


def sequences(kind: str, batch: int = 3, *, truncated: bool = False, length: int = LENGTH) -> TokenSequences:
    net = decoder(kind, length)
    torch.manual_seed(4)
    return TokenSequences(net, torch.randn(batch, LATENT, dtype=torch.float64), truncated=truncated)


def rows(length: int, *, finished: bool) -> Iterator[list[int]]:
    """Yield every row that ends within `length` places, or every row of `length` places that does not."""
    words = [t for t in range(VOCABULARY) if t not in (PAD, START, END)]
    if not finished:
        yield from (list(row) for row in itertools.product(words, repeat=length))
        return
    for n in range(length):
        yield from ([*row, END] + [PAD] * (length - n - 1) for row in itertools.product(words, repeat=n))


@pytest.mark.parametrize("kind", NETS)
@torch.no_grad()
def test_the_masses_of_all_sequences_sum_to_one(kind: str) -> None:
    done = torch.tensor(list(rows(LENGTH, finished=True)))
    cut = torch.tensor(list(rows(LENGTH, finished=False)))
    closed, open_ended = sequences(kind), sequences(kind, truncated=True)
    torch.testing.assert_close(closed.log_prob(done[:, None]).exp().sum(0), torch.ones(3, dtype=torch.float64))
    masses = open_ended.log_prob(done[:, None]).exp().sum(0)
    assert bool((masses < 0.9999).all())
    rest = open_ended.log_prob(cut[:, None]).exp().sum(0)
    torch.testing.assert_close(masses + rest, torch.ones(3, dtype=torch.float64))
    # what is not finished after two places is what the longer sequences share out among themselves
    short = done[(done == END).int().argmax(1) < 2]
    unfinished = 1 - closed.log_prob(short[:, None]).exp().sum(0)
    longer = done[(done == END).int().argmax(1) >= 2]
    torch.testing.assert_close(closed.log_prob(longer[:, None]).exp().sum(0), unfinished)


def naive(net: TokenDecoder, z: Tensor, row: list[int]) -> float:
    """Score one open-ended row token by token with the cache."""
    state, previous, total = net.start(z[None]), START, 0.0
    for t, token in enumerate(row):
        logits, state = net.step(torch.tensor([previous]), t, state)
        total += float(barred(logits).log_softmax(-1)[0, token])
        if token == END:
            break
        previous = token
    return total


@pytest.mark.parametrize("kind", NETS)
@torch.no_grad()
def test_scores_are_those_of_cached_steps(kind: str) -> None:
    d = sequences(kind, truncated=True)
    for row in ([2, 0, 0, 0], [5, 2, 0, 0], [4, 5, 3, 2], [4, 4, 5, 5]):
        whole = d.log_prob(torch.tensor(row).expand(3, -1))
        steps = [naive(d.net, z, row) for z in d.context]  # type: ignore[arg-type]
        torch.testing.assert_close(whole, torch.tensor(steps, dtype=torch.float64), rtol=0, atol=1e-9)


@torch.no_grad()
def test_single_precision_steps_agree_to_1e_5() -> None:
    for kind in NETS:
        net = decoder(kind).float()
        z, row = torch.randn(LATENT), [4, 5, 3, 2]
        whole = TokenSequences(net, z[None], truncated=True).log_prob(torch.tensor([row]))
        assert abs(float(whole) - naive(net, z, row)) < 1e-5


@pytest.mark.parametrize("kind", NETS)
@torch.no_grad()
def test_padding_and_the_other_rows_change_nothing(kind: str) -> None:
    d = sequences(kind, batch=2)
    ids = torch.tensor([[4, 2, 0], [5, 4, 2]])
    score = d.log_prob(ids)
    for more in (1, 5, 50):  # beyond the greatest length too
        torch.testing.assert_close(d.log_prob(torch.nn.functional.pad(ids, (0, more))), score, rtol=0, atol=1e-12)
    other = torch.tensor([[4, 2, 0], [2, 0, 0]])
    torch.testing.assert_close(d.log_prob(other)[0], score[0], rtol=0, atol=1e-12)
    places = d.log_prob_elements(torch.nn.functional.pad(ids, (0, 4)))
    assert places.shape == (2, 7) and bool((places[0, 2:] == 0).all())


def test_what_is_outside_the_support() -> None:
    d, cut = sequences("gru", 1), sequences("gru", 1, truncated=True)
    inside = [[2, 0, 0, 0], [4, 5, 3, 2], [4, 2, 0, 0]]
    outside = [
        [4, 5, 0, 0],  # never ends
        [4, 5, 4, 5, 2],  # ends after the last place
        [4, 2, 5, 0],  # something after END
        [0, 0, 0, 0],  # nothing
        [4, 0, 2, 0],  # a gap
        [1, 4, 2, 0],  # START within
        [6, 2, 0, 0],  # no such token
        [-1, 2, 0, 0],
    ]
    for family in (d, cut):
        assert all(bool(family.in_support(torch.tensor([row])).all()) for row in inside)
        for row in outside:
            assert not bool(family.in_support(torch.tensor([row])).any()), row
            assert family.log_prob(torch.tensor([row])).item() == -torch.inf
    full = torch.tensor([[4, 5, 4, 5]])
    assert not bool(d.in_support(full)) and bool(cut.in_support(full))
    assert bool(cut.in_support(torch.nn.functional.pad(full, (0, 2))))
    assert d.in_support(torch.tensor([[4.5, 2, 0], [torch.nan, 2, 0], [4.0, 2, 0]])).tolist() == [False, False, True]


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("kind", NETS)
@torch.no_grad()
def test_samples_come_as_often_as_they_should(kind: str, truncated: bool) -> None:
    n = 20_000
    d = sequences(kind, 1, truncated=truncated)
    every = torch.tensor([*rows(LENGTH, finished=True), *(rows(LENGTH, finished=False) if truncated else ())])
    torch.manual_seed(5)
    drawn = d.sample((n,))[:, 0]
    torch.manual_seed(5)
    assert torch.equal(drawn, d.sample((n,))[:, 0])
    p = d.log_prob(every[:, None])[:, 0].exp()
    base = torch.tensor([VOCABULARY**i for i in range(LENGTH)])
    counts = torch.zeros(VOCABULARY**LENGTH).index_add(0, (drawn * base).sum(1), torch.ones(n))
    found = counts[(every * base).sum(1)] / n
    assert float(found.sum()) == pytest.approx(1)  # nothing else was drawn
    assert bool(((found - p).abs() < 5 * (p * (1 - p) / n).sqrt() + 2 / n).all())


@torch.no_grad()
def test_the_greedy_sequence_takes_the_likeliest_token_each_time() -> None:
    for kind in NETS:
        d = sequences(kind, 5)
        point = d.point
        assert point.shape == (5, LENGTH) and bool(d.in_support(point).all()) and torch.equal(point, d.mode)
        logits = barred(d.net(point, d.context))  # type: ignore[operator]
        best = logits.argmax(-1)
        for row, wish in zip(point, best):
            n = int((row == END).int().argmax())
            assert torch.equal(row[:n], wish[:n]) and (n == LENGTH - 1 or wish[n] == END)
        cold = TokenSequences(d.net, d.context, sampling=Sampling(temperature=1e-4)).sample()
        assert torch.equal(cold, point)


def test_nucleus_keeps_the_fewest_tokens_that_hold_enough() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(4000, 4)
    torch.manual_seed(1)
    for top_p, kept in ((0.5, 1), (0.51, 2), (0.8, 2), (0.81, 3), (0.96, 4), (1.0, 4)):
        assert len(Sampling(top_p=top_p)(logits).unique()) == kept
    share = (Sampling(top_p=0.8)(logits) == 0).float().mean()
    assert float(share) == pytest.approx(0.5 / 0.8, abs=0.05)
    hot = (Sampling(temperature=2.0)(logits) == 0).float().mean()
    roots = logits[0].div(2).exp()
    assert float(hot) == pytest.approx(float(roots[0] / roots.sum()), abs=0.05)
    for bad in ({"temperature": 0.0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(UserError):
            Sampling(**bad)  # type: ignore[arg-type]


def test_word_dropout_is_for_training_alone_and_spares_what_is_scored() -> None:
    for kind in NETS:
        net = decoder(kind, word_dropout=0.5)
        part = Tokens(net)
        z, ids = torch.randn(64, LATENT, dtype=torch.float64), torch.tensor([4, 5, 4, 2]).expand(64, -1)
        clean = part(z).log_prob(ids)
        torch.testing.assert_close(part(z).log_prob(ids), clean, rtol=0, atol=0)
        part.train()
        torch.manual_seed(0)
        noisy = part(z).log_prob_elements(ids)
        # the first token is never hidden from anyone: START is before it, and it is scored as it is
        part.eval()
        torch.testing.assert_close(noisy[:, 0], part(z).log_prob_elements(ids)[:, 0])
        changed = (noisy - part(z).log_prob_elements(ids)).abs() > 1e-9
        assert 0.2 < changed[:, 1].double().mean() < 0.8
        # hidden for good: as if UNKNOWN stood there, the scored tokens being the same
        net.word_dropout = 1.0
        part.train()
        blind = part(z).log_prob_elements(ids)[:, 1]
        part.eval()
        unknown = torch.tensor([3, 5, 4, 2]).expand(64, -1)
        torch.testing.assert_close(blind, part(z).log_prob_elements(unknown)[:, 1])


def test_contexts_may_have_a_sample_axis() -> None:
    net, context = decoder("gru"), torch.randn(5, 3, LATENT, dtype=torch.float64)
    d = TokenSequences(net, context)
    assert d.batch_shape == (5, 3)
    x = torch.tensor(list(rows(LENGTH, finished=True))[:3])
    torch.testing.assert_close(d.log_prob(x)[4], TokenSequences(net, context[4]).log_prob(x))
