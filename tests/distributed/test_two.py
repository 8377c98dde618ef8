"""Two processes against one, on gloo: the same draws, sums, losses, weights and numbers, to float tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distributed import jobs
from distributed.pair import Pair
from recipes import examples


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Two processes for the whole file."""
    two = Pair()
    yield two
    two.close()


def interleaved(parts: list[np.ndarray]) -> np.ndarray:
    """Return rows 0, W, … of the first part and 1, 1 + W, … of the second as one batch."""
    out = np.empty((sum(len(part) for part in parts), *parts[0].shape[1:]), parts[0].dtype)
    for rank, part in enumerate(parts):
        out[rank :: len(parts)] = part
    return out


# -- the seam -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [12, 7, 1])
def test_a_process_draws_its_rows_of_what_one_would_draw(pair: Pair, total: int) -> None:
    one = jobs.draws(total)
    two = pair("draws", total)
    if total < len(two):  # not dealt out: all compute it
        for part in two:
            for name in one:
                np.testing.assert_array_equal(part[name], one[name])
        return
    for name in one:
        if name == "after":
            for part in two:
                np.testing.assert_array_equal(part[name], one[name])
        elif name == "slope":
            np.testing.assert_allclose(interleaved([part[name] for part in two]), one[name], rtol=1e-5)
        else:
            np.testing.assert_array_equal(interleaved([part[name] for part in two]), one[name], err_msg=name)


def test_draws_that_cannot_be_cut_differ_and_leave_one_state(pair: Pair) -> None:
    first, second = pair("in_law", 6)
    assert not np.array_equal(first["drawn"], second["drawn"])
    assert first["next"] == second["next"]


@pytest.mark.parametrize("total", [8, 5, 1])
def test_functions_of_the_whole_batch_have_one_value_and_one_gradient(pair: Pair, total: int) -> None:
    one = jobs.batchwise(total)
    two = pair("batchwise", total)
    slopes = [part["slope"] for part in two]
    slope = interleaved(slopes) if total >= len(two) else sum(slopes)
    np.testing.assert_allclose(slope, one["slope"], rtol=1e-5, atol=1e-6)
    for part in two:
        assert part["loss"] == pytest.approx(one["loss"], rel=1e-5)
        np.testing.assert_array_equal(part["every"], one["every"])
        np.testing.assert_array_equal(part["some"], one["some"])
        assert part["flags"] == one["flags"]


@pytest.mark.parametrize("total", [9, 4, 1])
def test_a_batch_narrowed_to_some_rows_is_a_batch(pair: Pair, total: int) -> None:
    one = jobs.narrowed(total)
    two = pair("narrowed", total)
    for part in two:
        assert part["loss"] == pytest.approx(one["loss"], rel=1e-5)
        np.testing.assert_array_equal(part["every"], one["every"])
    drawn = np.concatenate([part["drawn"] for part in two]) if total > 1 else two[0]["drawn"]
    assert sorted(drawn.tolist()) == sorted(one["drawn"].tolist())


def test_values_come_from_the_first_process(pair: Pair) -> None:
    for found in pair("moved"):
        assert found["refused"] == "only here"
        assert found["value"] == {"a": [1, None], "rank": 0}
        np.testing.assert_array_equal(found["tensors"]["w"], np.arange(6.0).reshape(2, 3))
        assert found["tensors"]["n"] == 7 and found["tensors"]["none"].shape == (0,) and found["tensors"]["b"].all()
        assert found["text"] == "from the second" and found["silence"] is None
        np.testing.assert_array_equal(found["rows"], [[0, 0], [1, 1], [1, 1]])


def test_the_first_to_meet_an_error_says_it(pair: Pair) -> None:
    assert sorted(pair("speaks")) == [False, True]
    assert pair("speaks") == [False, False]


def test_a_missing_gradient_counts_as_zeros_unless_nobody_has_one(pair: Pair) -> None:
    for first, second, third, said in pair("one_lacks_a_gradient"):
        np.testing.assert_array_equal(first[0], np.full((2, 3), 2.0))
        np.testing.assert_array_equal(second[0], [2.0, 2.0])
        assert first[1] and third is None and said == [1.0, 0.0]


def test_batch_normalisation_sees_the_whole_batch(pair: Pair) -> None:
    one = jobs.normed(7)
    two = pair("normed", 7)
    for name, value in one.items():
        if ".running" in name:
            for part in two:
                np.testing.assert_allclose(part[name], value, rtol=1e-5, err_msg=name)
        else:
            found = interleaved([part[name] for part in two])
            np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_random_numbers_that_come_apart_are_seen_and_mended(pair: Pair) -> None:
    for found in pair("draws_out_of_step"):
        assert any("came apart" in warning for warning in found["warnings"])
    for found in pair("train", "vae", SMALL):
        assert not any("came apart" in warning for warning in found["result"]["warnings"])


# -- training -----------------------------------------------------------------------------------------------------

CODES = {"model.prior_width": 16, "model.prior_layers": 1, "train.steps": 6}
SMALL = {"model.hidden": [16]}
DEEP = {"model.finest": "half", "model.width": 16, "model.groups": [1, 2, 2], "train.steps": 3}
ONE_LEFT = {"data.valid": 21, "data.test": 12}  # 45 training examples: with 11 a batch, the last has one

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "vae, last batch of one": ("vae", SMALL | ONE_LEFT),
    "one held-out example": ("vae", SMALL | {"data.valid": 1, "train.ema": 0.9}),
    "averaged weights, best kept": ("vae", SMALL | {"train.ema": 0.9, "train.keep": "best"}),
    "free bits": ("vae", SMALL | {"objective.free_bits": 0.1}),
    "skipped steps": ("vae", SMALL | {"train.skip_above": 8.0}),
    "a player, clipped": ("factor-vae", SMALL | ONE_LEFT | {"train.clip": 1.0}),
    "total correlation": ("beta-tc-vae", SMALL | ONE_LEFT),
    "mmd": ("wae-mmd", SMALL | ONE_LEFT),
    "covariance": ("dip-vae", SMALL),
    "capacity": ("capacity-vae", SMALL),
    "fitted scale": ("sigma-vae", SMALL),
    "importance weights": ("iwae", SMALL | {"objective.k": 5}),
    "doubly reparameterised": ("dreg", SMALL),
    "hidden labels": ("semi-supervised-vae", SMALL | {"model.labelled": 12, "model.stack": False}),
    "hidden labels, on another model": ("semi-supervised-vae", SMALL | {"model.labelled": 12, "model.stack": True}),
    "labels": ("cvae", SMALL),
    "sphere": ("spherical-vae", SMALL),
    "relaxed classes": ("categorical-vae", SMALL),
    "flow": ("flow-vae", SMALL),
    "mixture prior": ("gmm-vae", SMALL),
    "gradient steps in the encoder": ("semi-amortised-vae", SMALL),
    "critic of codes": ("wae-gan", SMALL),
    "discriminator of data": ("vae-gan", SMALL),
    "two layers": ("hierarchical-vae", SMALL),
    "very deep": ("very-deep-vae", DEEP),
    "codebook and revival, two stages": ("vq-vae", CODES | {"model.revive": 0.9}),
    "rounded codes": ("fsq", CODES),
    "two models": ("two-stage-vae", SMALL),
    "sharded, averaged, clipped": ("vae", SMALL | {"train.shard": True, "train.ema": 0.9, "train.clip": 0.5}),
    "sharded, best kept": ("vae", SMALL | {"train.shard": True, "train.keep": "best"}),
    "sharded with a player": ("factor-vae", SMALL | {"train.shard": True}),
    "sharded deep blocks": ("very-deep-vae", DEEP | {"train.shard": True}),
    "sharded codebook": ("vq-vae", CODES | {"train.shard": True}),
}


def check_same(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert len(one["log"]) == len(two["log"]) > 0
    for mine, theirs in zip(one["log"], two["log"]):
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            if isinstance(value, int | float) and name != "examples_per_second":
                assert theirs[name] == pytest.approx(value, rel=2e-4, abs=1e-4), (name, mine["step"])
    for name, value in one["weights"].items():
        # Where a gradient is 0 but for rounding (the bias of attention's keys), Adam makes whole steps of it.
        loose = 2e-2 if "qkv.bias" in name else 5e-5
        np.testing.assert_allclose(two["weights"][name], value, rtol=1e-3, atol=loose, err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one_does(pair: Pair, tmp_path: Path, name: str) -> None:
    recipe, settings = CASES[name]
    one, two = pair.beside("train", (recipe, settings), str(tmp_path / "one"), str(tmp_path / "two"))
    check_same(one, two[0])
    assert two[0]["kept"] and not two[1]["kept"]
    for weight, value in two[0]["weights"].items():
        np.testing.assert_array_equal(two[1]["weights"][weight], value)


@pytest.mark.parametrize(("recipe", "batch"), [("graph-vae", 5), ("sequence-vae", 21), ("tabular-vae", 21)])
def test_data_other_than_arrays_are_dealt_out_too(pair: Pair, tmp_path: Path, recipe: str, batch: int) -> None:
    settings = {**examples.SETTINGS.get(recipe, {}), "train.batch_size": batch}
    asked = (recipe, str(examples.source(recipe)), settings)
    one, two = pair.beside("train_on", asked, str(tmp_path / "one"), str(tmp_path / "two"))
    check_same(one | {"weights": {}}, two[0])


def test_sharding_leaves_a_part_of_the_weights_on_each_process(pair: Pair) -> None:
    (first, whole), (second, _) = pair("part_of_weights")
    assert max(first, second) < 0.6 * whole and first + second >= whole


@pytest.mark.parametrize("shard", [False, True])
def test_resuming_ends_at_the_same_weights(pair: Pair, tmp_path: Path, shard: bool) -> None:
    """Interrupted after a checkpoint, two processes go on bit for bit, and one goes on from where two were."""
    settings = SMALL | {"train.shard": shard, "train.checkpoint_steps": 3, "train.ema": 0.9}
    whole = pair("train", "factor-vae", settings, str(tmp_path / "whole"))[0]
    for name in ("again", "alone"):
        pair("train_until", 5, "factor-vae", settings, str(tmp_path / name))
    again = pair("train", "factor-vae", {}, str(tmp_path / "again"), resume=True)[0]
    for name, value in whole["weights"].items():
        np.testing.assert_array_equal(again["weights"][name], value, err_msg=name)
    check_same(jobs.train("factor-vae", {}, str(tmp_path / "alone"), resume=True), whole)


def test_evaluation_shares_the_examples_and_keeps_the_numbers(pair: Pair) -> None:
    one = jobs.evaluate(["likelihood", "mse"])
    first, second = pair("evaluate", ["likelihood", "mse"])
    assert first.keys() == one.keys() and "mse" not in second
    for name, entry in one.items():
        for fact, value in entry.items():
            close = pytest.approx(value, rel=1e-5) if isinstance(value, int | float) else value
            assert first[name][fact] == close, (name, fact)
        if name in second:
            assert second[name] == first[name]


def test_an_error_is_everybodys(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    for message in pair("error", str(tmp_path / "taken")):
        assert "is a file; name a folder" in message
