"""Preparation: what each mode's noise is, exactly, and that nothing but the seed decides it."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import numpy as np
import pytest
import torch

from vaekit.data import DataSettings, Prepare, Split, load
from vaekit.data.prepare import random16
from vaekit.errors import UserError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def exact_probability(prepare: Prepare, raw: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """P(x = 1) of each value by going through all 65,536 words the draw can use."""
    words = torch.arange(-32768, 32768).to(torch.int16)
    monkeypatch.setattr("vaekit.data.prepare.random16", lambda shape, *_: words[:, None].repeat(1, shape[1]))
    return prepare(raw[None].repeat(len(words), 1)).double().mean(0)


@pytest.mark.parametrize("levels", [2, 3, 17, 100, 256])
def test_stochastic_probability_by_enumeration(levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = torch.arange(levels, dtype=torch.uint8)
    p = exact_probability(Prepare("binary", "stochastic", levels), raw, monkeypatch)
    wanted = raw.double() / (levels - 1)
    assert (p - wanted).abs().max() < 2e-5
    assert p[0] == 0 and p[-1] == 1


def test_stochastic_probability_of_floats_by_enumeration(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = torch.tensor([0.0, 1e-3, 0.25, 1 / 3, 0.999, 1.0])
    p = exact_probability(Prepare("binary", "stochastic"), raw, monkeypatch)
    assert (p - raw.double()).abs().max() < 1e-5
    assert p[0] == 0 and p[-1] == 1


def test_words_are_uniform_and_their_lanes_independent() -> None:
    u = random16(torch.Size((400_000,)), seeded(), torch.device("cpu")).double()
    assert abs(u.mean() + 0.5) < 5 * 65536 / math.sqrt(12 * 400_000)
    for lane in range(4):  # the top lane holds the word's sign bit: a 63-bit draw would halve its range
        assert u[lane::4].min() < -32000 and u[lane::4].max() > 32000
    assert (torch.corrcoef(u.view(-1, 4).T) - torch.eye(4)).abs().max() < 5 / math.sqrt(100_000)


def test_dequantised_greys_are_uniform_within_their_bin_and_below_one() -> None:
    prepare = Prepare("unit", "dequantise", 256)
    x = prepare(torch.full((1000, 1000), 255, dtype=torch.uint8), seeded())
    assert x.min() >= 255 / 256 and x.max() < 1
    u = x.double() * 256 - 255
    assert abs(u.mean() - 0.5) < 5 / math.sqrt(12e6) and abs(u.var() - 1 / 12) < 1e-3
    greys = torch.arange(256, dtype=torch.uint8)
    assert ((prepare(greys[None], seeded())[0] * 256).floor() == greys).all()


def test_levels_grid_is_exact() -> None:
    greys = torch.arange(256, dtype=torch.uint8)
    assert (Prepare("levels", "scale", 256)(greys[None])[0] == greys.float() / 255).all()
    assert (Prepare("levels", "scale", 17)(greys[None, :17])[0] == torch.arange(17) / 16).all()


def test_one_half_is_the_threshold() -> None:
    x = Prepare("binary", "threshold", 256)(torch.tensor([[0, 127, 128, 255]], dtype=torch.uint8))
    assert x.tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize("mode", ["stochastic", "dequantise"])
def test_noise_comes_from_the_generator_alone(mode: str) -> None:
    prepare = Prepare("binary" if mode == "stochastic" else "unit", mode, 256)  # type: ignore[arg-type]
    assert prepare.random
    raw = torch.full((8, 50), 100, dtype=torch.uint8)
    assert (prepare(raw, seeded(1)) == prepare(raw, seeded(1))).all()
    assert (prepare(raw, seeded(1)) != prepare(raw, seeded(2))).any()


@pytest.mark.parametrize("width", [5, 7, 784])
def test_fixed_depends_on_the_row_alone(width: int) -> None:
    prepare = Prepare("binary", "stochastic", 256)
    split = Split(torch.full((2500, width), 100, dtype=torch.uint8))
    whole = prepare.fixed(split)
    assert whole.x.dtype == torch.uint8
    for n in (1, 3, 1024, 1500):
        assert (prepare.fixed(split.first(n)).x == whole.x[:n]).all()
    assert (prepare.fixed(split, seed=1).x != whole.x).any()


def test_what_is_fixed_at_load_stays_fixed() -> None:
    data = load("digits", DataSettings(binarise="fixed"))
    assert data.info.kind == "binary" and not data.prepare.random
    one, two = data.prepare(data.train.x, seeded(1)), data.prepare(data.train.x, seeded(2))
    assert (one == two).all() and set(one.unique().tolist()) == {0.0, 1.0}
    assert (load("digits", DataSettings(binarise="fixed")).train.x == data.train.x).all()
    greys = load("digits").train
    # each grey level is on with probability i/16: pooled over the training set, within five standard errors
    for level in range(17):
        on = one[greys.x == level]
        p = level / 16
        assert abs(on.mean() - p) <= 5 * math.sqrt(p * (1 - p) / len(on)) + 2e-5


def test_round_trip_through_json() -> None:
    data = load(np.random.default_rng(0).normal(3, 2, (50, 4)), DataSettings(standardise=True))
    again = Prepare.from_dict(json.loads(json.dumps(data.prepare.to_dict())))
    assert again == data.prepare
    assert (again(data.train.x) == data.prepare(data.train.x)).all()


@pytest.mark.parametrize(
    ("settings", "wants"),
    [({}, "real"), ({"standardise": True}, "real"), ({}, "unit"), ({}, "levels"), ({"dequantise": True}, "unit")],
)
def test_values_in_the_sources_units_are_seen_as_training_saw_them(settings: dict, wants: Any) -> None:
    """What imputation of greys under any likelihood relies on; a gap stays a gap."""
    data = load("digits", DataSettings(**settings), wants=wants)
    greys = data.train.x[:50]
    seen = data.prepare.of_values(greys.double())
    assert torch.allclose(seen.float(), data.prepare.expected(greys), atol=1e-6)
    assert torch.allclose(data.prepare.invert(seen), greys.double(), atol=1e-5)
    gap = torch.where(greys == 3, torch.nan, greys.double())
    assert (data.prepare.of_values(gap).isnan() == (greys == 3)).all()


def test_standardise_uses_the_training_split_alone_and_inverts() -> None:
    x = np.random.default_rng(0).normal(3, 2, (200, 4)).astype(np.float32)
    x[:, 3] = 7  # a constant column must not divide by zero
    data = load(x, DataSettings(standardise=True), wants="real")
    z = data.prepare(data.train.x)
    assert z[:, :3].mean(0).abs().max() < 1e-5 and (z[:, :3].std(0, correction=0) - 1).abs().max() < 1e-5
    assert (z[:, 3] == 0).all()
    assert torch.allclose(data.prepare.invert(z), data.train.x, atol=1e-5)
    shown = data.prepare.show(z)
    assert shown.min() == 0 and abs(shown.max() - 1) < 1e-6
    outliers = {"x_train": x[:100], "x_test": x[100:] + 1000}
    assert (
        load(x[:100], DataSettings(standardise=True, test=0, valid=0)).prepare.mean == _from_npz(outliers).prepare.mean
    )


def _from_npz(arrays: dict[str, np.ndarray]):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        np.savez(path, **arrays)  # type: ignore[arg-type]
        return load(path, DataSettings(standardise=True, valid=0))


def test_standardised_greys_are_scored_on_the_unit_interval() -> None:
    """Densities are of x in [0, 1) whether the model sees that or (x − m)/s, so the offset of bits is the same."""
    plain = load("digits", DataSettings(dequantise=True), wants="unit")
    assert plain.info.bits_offset == math.log2(17) and plain.info.kind == "unit" and plain.info.log_unit == 0
    scaled = load("digits", DataSettings(dequantise=True), wants="real")
    assert scaled.info.bits_offset == math.log2(17) and scaled.prepare.sd is not None
    assert scaled.info.log_unit == pytest.approx(64 * math.log(scaled.prepare.sd[0]))


def test_bits_offset_against_a_uniform_density() -> None:
    """The uniform density on [0, 1)^D must come to log2(levels) bits a dimension: that is what raw greys take."""
    info = load("digits", DataSettings(dequantise=True)).info
    assert info.bits_offset is not None and -0.0 / (64 * math.log(2)) + info.bits_offset == math.log2(17)
    assert load("digits", wants="unit").info.bits_offset is None
    assert load("digits", wants="levels").info.bits_offset == 0
    assert load("digits", wants="binary").info.bits_offset == 0


@pytest.mark.parametrize(
    "settings",
    [{"binarise": "stochastic"}, {"binarise": "threshold"}, {"binarise": "fixed"}, {"dequantise": True}, {}],
)
def test_train_mean_is_the_mean_of_many_draws(settings: dict) -> None:
    data = load("digits", DataSettings(**settings))
    draws = [data.prepare(data.train.x, seeded(i)).mean(0) for i in range(50 if data.prepare.random else 1)]
    error = 5 * 0.5 / math.sqrt(len(data.train) * len(draws)) if data.prepare.random else 1e-6
    assert (torch.stack(draws).mean(0) - data.train_mean()).abs().max() < error


def test_floats_are_not_taken_for_stored_greys() -> None:
    with pytest.raises(UserError, match=r"uint8 0 … 255, not torch\.float32"):
        Prepare("binary", "stochastic", 256)(torch.rand(2, 3))


def test_preparing_a_batch_takes_a_small_part_of_a_step() -> None:
    raw, prepare, generator = (
        torch.randint(0, 256, (128, 784), dtype=torch.uint8),
        Prepare("binary", "stochastic", 256),
        seeded(),
    )
    times = []
    for step in range(200):
        start = time.perf_counter()
        prepare(raw, generator.manual_seed(step))
        times.append(time.perf_counter() - start)
    assert sorted(times)[20] < 1e-3  # 0.14 ms on one idle thread; the bound leaves room for a busy machine
