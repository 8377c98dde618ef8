"""Two processes against one, on gloo: the same draws, sums, losses, weights and numbers, to float tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distributed import jobs
from distributed.pair import Pair
from distributed.same_noise import drawing_as
from recipes import examples
from vaekit.recipes.base import RECIPES


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Two processes for the whole file."""
    two = Pair()
    yield two
    two.close()


def in_order(parts: list[np.ndarray]) -> np.ndarray:
    """Return the processes' rows as one batch, the first one's first."""
    return np.concatenate(parts)


# -- the seam -----------------------------------------------------------------------------------------------------


def test_noise_is_by_position_and_rank(pair: Pair) -> None:
    first, second = pair("draws", 6)
    for name in first:
        same = first[name] == second[name]
        assert same == ("alike" in name or name == "outside"), name
    for one in (first, second):
        assert one["first"] == one["first again"] != one["second"]
        assert one["first, alike"] not in (one["first, alike once more"], one["second, alike"])
        assert one["first, after"] != one["first"]
    assert pair("draws", 6) == [first, second]
    # A batch of fewer rows than processes is computed by both, with the same noise.
    first, second = pair("draws", 1)
    assert first == second
    # Nothing of this reaches one process, or what is drawn outside.
    assert jobs.draws(6)["first"] != jobs.draws(6)["first again"]


@pytest.mark.parametrize("total", [8, 5, 1])
def test_functions_of_the_whole_batch_have_one_value_and_one_gradient(pair: Pair, total: int) -> None:
    one, two = pair.beside("batchwise", (), total, total)
    slopes = [part["slope"] for part in two]
    slope = in_order(slopes) if total >= len(two) else sum(slopes)
    np.testing.assert_allclose(slope, one["slope"], rtol=1e-5, atol=1e-6)
    for part in two:
        assert part["loss"] == pytest.approx(one["loss"], rel=1e-5)
        np.testing.assert_array_equal(part["every"], one["every"])
        np.testing.assert_array_equal(part["some"], one["some"])
        assert part["flags"] == one["flags"]


@pytest.mark.parametrize("total", [9, 4, 1])
def test_a_batch_narrowed_to_some_rows_is_a_batch(pair: Pair, total: int) -> None:
    one, two = pair.beside("narrowed", (), total, total)
    for part in two:
        assert part["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert part["total"] == one["total"]
        np.testing.assert_array_equal(part["every"], one["every"])


def test_values_come_from_the_first_process(pair: Pair) -> None:
    for found in pair("moved"):
        assert found["refused"] == "only here"
        assert found["value"] == {"a": [1, None], "rank": 0}
        np.testing.assert_array_equal(found["tensors"]["w"], np.arange(6.0).reshape(2, 3))
        assert found["tensors"]["n"] == 7 and found["tensors"]["none"].shape == (0,) and found["tensors"]["b"].all()
        assert found["text"] == "from the second" and found["silence"] is None
        np.testing.assert_array_equal(found["rows"], [[0, 0], [1, 1], [1, 1]])


def test_a_missing_gradient_counts_as_zeros_unless_nobody_has_one(pair: Pair) -> None:
    for first, second, third, said in pair("one_lacks_a_gradient"):
        np.testing.assert_array_equal(first[0], np.full((2, 3), 2.0))
        np.testing.assert_array_equal(second[0], [2.0, 2.0])
        assert first[1] and third is None and said == [1.0, 0.0]


@pytest.mark.parametrize("total", [7, 3, 2, 1])
def test_batch_normalisation_sees_the_whole_batch(pair: Pair, total: int) -> None:
    one, two = pair.beside("normed", (), total, total)
    for name, value in one.items():
        if ".running" in name or total == 1:
            for part in two:
                share = 1 / len(two) if ".slope" in name else 1.0
                np.testing.assert_allclose(part[name], value * share, rtol=1e-4, atol=1e-6, err_msg=name)
        else:
            found = in_order([part[name] for part in two])
            np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-5, err_msg=name)


# -- training -----------------------------------------------------------------------------------------------------

CODES = {"model.prior_width": 16, "model.prior_layers": 1, "train.steps": 6}
SMALL = {"model.hidden": [16]}
DEEP = {"model.finest": "half", "model.width": 16, "model.groups": [1, 2, 2], "train.steps": 3}
ONE_LEFT = {"data.valid": 21, "data.test": 12}  # 45 training examples: with 11 a batch, the last has one

RECIPE_SETTINGS: dict[str, dict[str, Any]] = {
    "vq-vae": CODES | {"model.revive": 0.9},
    "very-deep-vae": DEEP,
    "pixel-vae": {"train.steps": 3},
    "semi-supervised-vae": {"model.labelled": 12},
    "multimodal-vae": {"model.word_dropout": 0.0},  # it draws for samples and rows in one axis
    "music-vae": {"model.dropout": 0.0},  # it draws for the places in use, which one process cannot divide by rows
}
"""What makes a recipe quick, or makes more of it happen, beside what the recipes' own contract sets."""

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "vae, last batch of one": ("vae", SMALL | ONE_LEFT),
    "one held-out example": ("vae", SMALL | {"data.valid": 1, "train.ema": 0.9}),
    "averaged weights, best kept": ("vae", SMALL | {"train.ema": 0.9, "train.keep": "best"}),
    "free bits": ("vae", SMALL | {"objective.free_bits": 0.1}),
    "skipped steps": ("vae", SMALL | {"train.skip_above": 8.0}),
    "a player, clipped": ("factor-vae", SMALL | ONE_LEFT | {"train.clip": 1.0}),
    "total correlation, last batch of one": ("beta-tc-vae", SMALL | ONE_LEFT),
    "mmd, last batch of one": ("wae-mmd", SMALL | ONE_LEFT),
    "hidden labels": ("semi-supervised-vae", SMALL | {"model.labelled": 12, "model.stack": False}),
    "hidden labels, on another model": ("semi-supervised-vae", SMALL | {"model.labelled": 12, "model.stack": True}),
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
        np.testing.assert_allclose(two["weights"][name], value, rtol=1e-3, atol=5e-5, err_msg=name)


def train_both(pair: Pair, recipe: str, settings: dict[str, Any], folder: Path) -> None:
    """Train on two processes and, with their noise, on one; what is logged and the weights are the same."""
    arrays = recipe not in examples.DATA
    job, asked = (
        ("train", (recipe, settings)) if arrays else ("train_on", (recipe, str(examples.source(recipe)), settings))
    )
    k = int(settings.get("objective.k") or RECIPES[recipe].part.settings({}).objective.k)
    one, two = pair.beside(job, asked, str(folder / "one"), str(folder / "two"), k=k)
    check_same(one, two[0])
    for weight, value in two[0]["weights"].items():
        np.testing.assert_array_equal(two[1]["weights"][weight], value)


@pytest.mark.parametrize("recipe", RECIPES.names)
def test_two_processes_train_every_recipe_as_one_does(pair: Pair, tmp_path: Path, recipe: str) -> None:
    settings = {**examples.SETTINGS.get(recipe, {}), "train.batch_size": 11, "train.steps": 6}
    settings |= RECIPE_SETTINGS.get(recipe, {})
    train_both(pair, recipe, settings, tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one_does(pair: Pair, tmp_path: Path, name: str) -> None:
    recipe, settings = CASES[name]
    train_both(pair, recipe, settings, tmp_path)


@pytest.mark.parametrize("of", ["encoder", "critic"])
def test_batch_normalisation_of_ones_own_sees_the_whole_batch(pair: Pair, of: str) -> None:
    one, two = pair.beside("own_network", (of,), 15, 15)
    for part in two:
        for name, value in one.items():
            np.testing.assert_allclose(part[name], value, rtol=1e-3, atol=5e-5, err_msg=name)


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
    with drawing_as(2):
        check_same(jobs.train("factor-vae", {}, str(tmp_path / "alone"), resume=True), whole)


def test_evaluation_shares_the_examples_and_keeps_the_numbers(pair: Pair) -> None:
    one, (first, second) = pair.beside("evaluate", (), ["likelihood", "mse"], ["likelihood", "mse"])
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
