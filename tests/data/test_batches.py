"""Batches: each example once an epoch, and step k the same however one got there."""

from __future__ import annotations

import pytest
import torch

from vaekit.data import Prepare, Split, epoch_order, eval_batches, load, train_batches
from vaekit.data.shuffling import mix


def test_an_epoch_is_a_permutation_and_epochs_differ() -> None:
    orders = [epoch_order(1000, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    for order in orders:
        assert (order.sort().values == torch.arange(1000)).all()
    assert len({tuple(order.tolist()) for order in orders}) == 4


@pytest.mark.parametrize(("n", "size"), [(10, 3), (9, 3), (2, 5), (1, 1), (10, 9)])
def test_every_example_once(n: int, size: int) -> None:
    split = Split(torch.arange(n, dtype=torch.float32)[:, None], torch.arange(n))
    batches = list(train_batches(split, Prepare("real"), size, seed=3, epoch=1))
    assert sorted(int(v) for x, _ in batches for v in x) == list(range(n))
    assert all(y is not None and (x[:, 0] == y).all() for x, y in batches)
    assert [len(x) for x, _ in batches] == [size] * (n // size) + ([n % size] if n % size else [])


def test_resuming_at_any_step_gives_the_same_batches_and_noise() -> None:
    data = load("digits", wants="binary")
    whole = list(train_batches(data.train, data.prepare, 100, seed=5, epoch=2))
    for skip in (0, 1, 7, len(whole) - 1, len(whole)):
        rest = list(train_batches(data.train, data.prepare, 100, seed=5, epoch=2, skip=skip))
        assert len(rest) == len(whole) - skip
        assert all((a[0] == b[0]).all() for a, b in zip(whole[skip:], rest))


def test_noise_differs_between_steps_and_epochs() -> None:
    split = Split(torch.full((400, 30), 128, dtype=torch.uint8))
    prepare = Prepare("binary", "stochastic", 256)
    one = [x for x, _ in train_batches(split, prepare, 100, seed=0, epoch=0)]
    two = [x for x, _ in train_batches(split, prepare, 100, seed=0, epoch=1)]
    assert len({tuple(x.flatten().tolist()) for x in one + two}) == 8


def test_global_random_state_is_untouched() -> None:
    data = load("digits", wants="binary")
    before = torch.get_rng_state()
    list(train_batches(data.train, data.prepare, 500, seed=0, epoch=0))
    data.prepare.fixed(data.valid)
    assert (torch.get_rng_state() == before).all()


def test_evaluation_keeps_order_and_does_not_depend_on_batch_size() -> None:
    data = load("digits", wants="binary")
    split = data.prepare.fixed(data.test)
    small = torch.cat([x for x, _ in eval_batches(split, 7)])
    large = torch.cat([x for x, _ in eval_batches(split, 1000)])
    assert small.dtype == torch.float32 and (small == large).all() and (small == split.x).all()


def test_mixed_seeds_do_not_collide() -> None:
    seeds = {mix(seed, epoch, 2, step) for seed in range(10) for epoch in range(10) for step in range(500)}
    assert len(seeds) == 50_000 and all(0 <= seed < 2**63 for seed in seeds)
