"""What the explorer is told equals what the model says; every recipe can be explored."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

import vaekit
from vaekit import bounds
from vaekit.devices import seeded
from vaekit.errors import UserError
from vaekit.explorer.session import Session
from vaekit.recipes.base import RECIPES


@pytest.fixture(scope="module")
def explored(digits: Any) -> Session:
    return Session(digits)


@pytest.mark.parametrize("recipe", [entry.name for entry in RECIPES])
def test_every_recipe_can_be_explored(recipe: str) -> None:
    try:
        run = vaekit.train(recipe, "digits", steps=1, pictures=False)
        x = Session(run)
    except UserError as reason:
        pytest.skip(f"not for images, or without a latent of one shape: {reason}")
    facts = x.facts
    assert sorted(facts["order"]) == list(range(x.size))
    assert all(
        low < middle < high or x.discrete for low, middle, high in zip(facts["low"], facts["centre"], facts["high"])
    )
    label = 0 if facts["takes_label"] else None
    z = x.random(label, seed=1)
    assert z == x.random(label, seed=1) != x.random(label, seed=2)
    assert x.decode(x.code([z]), label).shape == (1, 8, 8, 1)
    assert len(x.encode(3)["z"]) == x.size
    scores = x.scores()
    assert sum(scores["counts"]) == scores["n"] == 174
    example, y = x.example(3)
    found = x.infer(example, int(y[0]) if facts["takes_label"] and y is not None else None)
    assert (found["elbo"] is None) == (found["refused"] is not None)
    assert found["score"] is not None and 0 <= found["percentile"] <= 100
    assert x.latent_map().points.shape == (1797, 2)


def test_a_page_beside_a_training_in_its_own_process_says_why_it_waits(
    explored: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaekit.explorer.session.PATIENCE", 0.01)
    with ThreadPoolExecutor(1) as pool:
        with seeded(0), pytest.raises(UserError, match="is training or computing something else"):
            pool.submit(explored.random, None, 0).result()
        assert pool.submit(explored.random, None, 0).result() == explored.random(None, 0)


@pytest.mark.parametrize("recipe", ["vq-vae", "categorical-vae"])
def test_discrete_codes_decode_to_the_reconstruction(recipe: str) -> None:
    """A code's numbers hold all there is: decoding them gives what the model reconstructs from its hard code."""
    x = Session(vaekit.train(recipe, "digits", steps=3, device="cpu", pictures=False))
    facts = x.facts
    assert facts["discrete"]["categories"] > 1 and x.size == int(np.prod(facts["discrete"]["shape"]))
    example, _ = x.example(0)
    z = x.encode(0)["z"]
    assert all(v == int(v) and 0 <= v < facts["discrete"]["categories"] for v in z)
    if recipe == "vq-vae":
        with torch.no_grad():
            expected = x.shown(x.model.reconstruct(example))
        assert np.array_equal(x.decode(x.code([z])), expected)
        assert x.infer(example, None)["codes"]["z"] == np.reshape(z, facts["discrete"]["shape"]).tolist()
    other = [(v + 1) % facts["discrete"]["categories"] for v in z]
    assert not np.array_equal(x.decode(x.code([other])), x.decode(x.code([z])))


def test_decoding_takes_the_label(conditional: Any) -> None:
    x = Session(conditional)
    z = torch.zeros(1, 4)
    assert not np.array_equal(x.decode(z, 1), x.decode(z, 7))
    with torch.no_grad():
        expected = conditional.model.decode(z, torch.tensor([7])).mean
    assert np.array_equal(x.decode(z, 7), x.shown(expected))
    with pytest.raises(UserError, match="no label 10"):
        x.decode(z, 10)


def test_decoding_takes_a_condition_of_numbers_and_choices(attributes: Any) -> None:
    x, conditions = Session(attributes), attributes.conditions
    kind, size = x.facts["conditions"]
    assert kind["levels"] == ["a", "b"] and size["low"] <= size["start"] <= size["high"]
    assert x.facts["label"] == [0, size["start"]] and x.facts["optional"]
    z = torch.zeros(1, 2)
    shown = [x.decode(z, label) for label in ([0, 1.0], [1, 1.0], [0, 2.0], [None, 1.0], [0, None])]
    assert len({array.tobytes() for array in shown}) == 5
    y = conditions.encoded(np.array([[1.0, (1.5 - conditions.attributes[1]["mean"]) / conditions.attributes[1]["sd"]]]))
    with torch.no_grad():
        expected = attributes.model.decode(z, y).mean
    np.testing.assert_allclose(x.decode(z, [1, 1.5]), x.shown(expected), rtol=1e-5, atol=1e-6)
    found = x.encode(0)["label"]
    np.testing.assert_allclose(np.array(found, dtype=float), conditions.values(attributes.test.y[:1])[0], rtol=1e-6)
    assert x.infer(x.example(0)[0], found)["score"] is not None and len(x.random(found, 1)) == 2
    assert x.latent_map().labels is None
    for label, words in (([2, 1.0], "no level 2 of kind"), ([0], "2 values"), ([0, float("inf")], "no value of size")):
        with pytest.raises(UserError, match=words):
            x.decode(z, label)


def test_order_is_by_the_mean_kl(explored: Session, digits: Any) -> None:
    with torch.no_grad():
        trace = digits.model.trace(digits.test.x.float())
        kl = trace.latents["z"].kl_elements.mean(0)
    assert explored.facts["order"] == torch.argsort(kl, descending=True).tolist()
    assert np.allclose(explored.facts["kl"], kl, atol=1e-4)


def test_infer_agrees_with_the_bound(explored: Session, digits: Any) -> None:
    """The mean over 8 samples is within a few nats of the mean over 500, and its terms add up."""
    explored.scores()
    x, _ = explored.example(7)
    found = explored.infer(x, None)
    with torch.no_grad():
        many = bounds.elbo(digits.model.trace(x, k=500))
    assert found["elbo"] == pytest.approx(float(many), abs=3)
    assert found["elbo"] == pytest.approx(found["terms"]["reconstruction"] - found["terms"]["kl"], abs=1e-4)
    with torch.no_grad():
        q = digits.model.encode(x)
    assert np.allclose(found["z"], q.mean[0]) and np.allclose(found["sd"], q.stddev[0], rtol=1e-5)


def test_noise_scores_higher_than_nearly_all_test_examples(explored: Session) -> None:
    explored.scores()
    noise = explored.prepared(np.random.default_rng(0).uniform(size=(1, 8, 8)), "unit")
    assert explored.infer(noise, None)["percentile"] > 95
    ranks = [explored.infer(explored.example(i)[0], None)["percentile"] for i in range(0, 174, 6)]
    assert 25 < np.mean(ranks) < 75  # test examples among themselves: uniform


def test_a_map_place_is_decoded_where_it_was_clicked(explored: Session) -> None:
    plane = explored.latent_map().plane
    keep = torch.randn(6)
    for z in (explored.lift([0.5, -1.0], keep), explored.lift([0.5, -1.0], None)):
        assert torch.allclose(plane.project(torch.tensor(z)), torch.tensor([0.5, -1.0]), atol=1e-5)
    beside = torch.tensor(explored.lift([0.5, -1.0], keep)) - keep
    assert torch.allclose(plane.axes.T @ (plane.axes @ beside), beside, atol=1e-5)  # nothing else moved


def test_a_picture_of_16_bits_is_taken_in_the_units_of_a_run_of_such(explored: Session) -> None:
    x = np.random.default_rng(0).integers(500, 4000, (40, 8, 8)).astype(np.float32)
    run = vaekit.train("vae", x, steps=2, device="cpu", pictures=False, set={"model.hidden": [16]})
    own = Session(run)
    deep = x[:1].astype(float) / 65535
    assert torch.allclose(own.prepared(deep, "deep"), own.prepared(x[:1].astype(float), "source"), rtol=1e-4, atol=1e-4)
    assert torch.equal(explored.prepared(deep, "deep"), explored.prepared(deep, "unit"))


def test_drawings_are_prepared_as_the_data_are(explored: Session, digits: Any) -> None:
    stored = digits.data.test.x[:1]
    unit = stored[0].numpy().astype(float) / 16
    expected = digits.prepare.fixed(type(digits.data.test)(stored)).x.float()
    assert torch.equal(explored.prepared(unit, "unit"), expected)
    assert torch.equal(explored.prepared(stored[0].numpy().astype(float), "bytes"), expected)
    with pytest.raises(UserError, match="from 0 to 16"):
        explored.prepared(np.full((1, 8, 8), 99.0), "source")
    with pytest.raises(UserError, match="not finite"):
        explored.prepared(np.full((1, 8, 8), np.nan), "source")
    with pytest.raises(UserError, match="shape"):
        explored.prepared(np.zeros((1, 9, 9)), "unit")


def test_rows_keep_their_units(table: Any) -> None:
    x = Session(table)
    row = table.data.test.x[0].numpy().astype(float)
    assert np.allclose(x.shown(x.prepared(row, "source"))[0], row, atol=1e-5)


def test_saved_numbers_are_the_decoded_ones(explored: Session) -> None:
    z = torch.randn(3, 6)
    found = np.load(io.BytesIO(explored.npz(z, None)), allow_pickle=False)
    assert np.array_equal(found["z"], z.numpy()) and np.allclose(found["x"], explored.mean(z).numpy())


def test_a_run_whose_data_are_gone_can_still_be_decoded(digits: Any) -> None:
    from vaekit.runs.run import Run

    record = digits.record | {"data": digits.record["data"] | {"source": "memory"}}
    x = Session(Run(None, record, digits.built, digits.settings))
    assert "memory" in (x.facts["problem"] or "") and x.facts["n_test"] == 0
    assert x.decode(torch.zeros(1, 6)).shape == (1, 8, 8, 1)
    assert x.infer(torch.zeros(1, 1, 8, 8), None)["percentile"] is None
    with pytest.raises(UserError, match="not found"):
        x.latent_map()
