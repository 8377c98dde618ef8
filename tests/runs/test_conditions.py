"""Runs that are conditioned on numbers and attributes, and samples of any table under a condition."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vaekit.data.conditions import Conditions
from vaekit.errors import UserError
from vaekit.recipes.base import RECIPES
from vaekit.runs.loading import load
from vaekit.runs.run import Run
from vaekit.runs.train import train
from vaekit.tasks import given

pytestmark = pytest.mark.filterwarnings("ignore:.*in every training row:UserWarning")
SMALL = {"model.net": "linear", "model.latent": 2, "train.lr": 3e-2, "train.batch_size": 128}
TABLE = {"model.hidden": [48], "model.prior_width": 32, "objective.k": 5, "train.lr": 5e-3}
SLOPE, OFFSET, NOISE = np.array([2.0, -1.0]), np.array([1.0, 0.0]), 0.6
KINDS = ("plain", "shifted")


def made(n: int = 800, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x = slope · y + offset + 3 · kind + noise, y real, kind one of two."""
    rng = np.random.default_rng(seed)
    y, kind = rng.uniform(-3, 3, n), rng.integers(0, 2, n)
    x = y[:, None] * SLOPE + OFFSET + 3.0 * kind[:, None] + rng.normal(0, NOISE, (n, 2))
    return x.astype(np.float32), y, kind


@pytest.fixture(scope="module")
def by_number() -> Iterator[Run]:
    """x given a real y, by the linear model: p(x|y) is known exactly."""
    x, y, kind = made()
    yield train("cvae", ((x - 3.0 * kind[:, None]).astype(np.float32), y), steps=1200, seed=0, set=SMALL)


@pytest.fixture(scope="module")
def by_attributes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """x given a number and a kind, each missing for a fifth of the rows; in a folder."""
    x, y, kind = made(1600)
    rng = np.random.default_rng(2)
    names = [None if rng.random() < 0.2 else KINDS[i] for i in kind]
    amount = np.where(rng.random(len(y)) < 0.2, np.nan, y)
    out = tmp_path_factory.mktemp("runs") / "attributes"
    yield train("cvae", (x, {"kind": names, "amount": amount}), steps=1200, seed=0, out=out, set=SMALL, pictures=False)


def rows(run: Run, n: int, where: Any = None) -> np.ndarray:
    """Return draws under a condition in the data's own units."""
    return run.given(n, where, draw=True, seed=1).x.numpy()


@pytest.mark.parametrize("y", [-2.0, 0.3, 2.5])
def test_samples_follow_a_real_condition(by_number: Run, y: float) -> None:
    drawn = rows(by_number, 4000, {"y": y})
    np.testing.assert_allclose(drawn.mean(0), y * SLOPE + OFFSET, atol=0.15)
    np.testing.assert_allclose(drawn.std(0), [NOISE, NOISE], atol=0.1)
    assert torch.equal(by_number.sample(9, y, seed=1), by_number.sample(9, where={"y": y}, seed=1))
    assert by_number.given(5, f"y={y}").how == "conditioned on by the model itself"


def test_a_range_and_no_condition_are_those_of_training_examples(by_number: Run) -> None:
    some = by_number.given(500, {"y": (1, 2)}, seed=1)
    assert some.y is not None
    values = np.array(by_number.conditions.native(some.y)["y"])
    known = made()[1]
    assert ((values >= 1) & (values <= 2)).all() and np.isin(values.round(3), known.round(3)).all()
    every = rows(by_number, 4000)
    np.testing.assert_allclose(every.mean(0), known.mean() * SLOPE + OFFSET, atol=0.2)
    with pytest.raises(UserError, match=r"no training example has y=7\.\.8"):
        by_number.sample(3, where="y=7..8")


def test_a_number_s_neighbours_bring_what_goes_with_it(tmp_path: Path) -> None:
    x, y, _ = made()
    run = train("cvae", (x, {"y": y, "twice": 2 * y}), steps=2)
    found = run.given(50, {"y": 1.0})
    assert found.y is not None
    values = run.conditions.native(found.y)
    assert set(values["y"]) == {1.0} and abs(np.array(values["twice"]) - 2).max() < 2


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"kind": "plain", "amount": 1.0}, SLOPE + OFFSET),
        ({"kind": "shifted", "amount": -1.0}, -SLOPE + OFFSET + 3),
        ("kind=shifted,amount=", made()[0][made()[2] == 1].mean(0)),
        ("kind=,amount=2", 2 * SLOPE + OFFSET + 1.5),
        ({"kind": None, "amount": None}, made()[0].mean(0)),
    ],
)
def test_attributes_are_given_or_left_out(by_attributes: Run, where: Any, expected: np.ndarray) -> None:
    drawn = rows(by_attributes, 3000, where)
    np.testing.assert_allclose(drawn.mean(0), expected, atol=0.45)


def test_a_run_folder_keeps_what_the_conditions_are(by_attributes: Run) -> None:
    assert by_attributes.path is not None
    record = json.loads((by_attributes.path / "run.json").read_text())
    kept = record["data"]["info"]["condition"]
    assert [(facts["name"], facts["type"], facts["missing"]) for facts in kept] == [
        ("kind", "categorical", True),
        ("amount", "numeric", True),
    ]
    again = load(by_attributes.path, "cpu")
    asked = {"kind": "plain", "amount": 1.0}
    assert torch.equal(again.sample(4, where=asked), by_attributes.sample(4, where=asked))
    assert again.sample(4, where={"kind": None, "amount": None}).shape == (4, 2)
    with pytest.raises(UserError, match="data were not found"):
        again.sample(4, where="amount=1..2")


def test_a_folder_from_before_conditions_were_described_loads(tmp_path: Path) -> None:
    x, _, kind = made(60)
    run = train("cvae", (x, np.array(KINDS)[kind]), steps=3, out=tmp_path / "old", pictures=False)
    path = tmp_path / "old" / "run.json"
    record = json.loads(path.read_text())
    del record["data"]["info"]["condition"], record["settings"]["model"]["drop_condition"]
    del record["settings"]["data"]["labels"]
    path.write_text(json.dumps(record))
    again = load(tmp_path / "old", "cpu")
    assert again.conditions == run.conditions
    assert torch.equal(again.sample(4, "shifted"), run.sample(4, where={"label": "shifted"}))


def test_data_are_labelled_as_training_s_were_or_not_at_all(by_attributes: Run, by_number: Run) -> None:
    x, y, kind = made(20, seed=5)
    labels = {"amount": y, "kind": np.array(KINDS)[kind]}
    mine = by_attributes.prepared((x, labels))
    assert mine.y is not None and mine.y.shape == (20, 4)
    np.testing.assert_allclose(np.array(by_attributes.conditions.native(mine.y)["amount"]), y, rtol=1e-4)
    z = by_attributes.encode((x, labels))
    bare = by_attributes.encode(x)
    assert z.shape == bare.shape and not torch.equal(z, bare)
    nothing = {"amount": np.full(20, np.nan), "kind": [None] * 19 + ["plain"]}
    torch.testing.assert_close(by_attributes.encode((x, nothing))[:19], bare[:19])
    assert len(by_attributes.evaluate(metrics=("likelihood",), k=5))
    with pytest.raises(UserError, match="conditioned on labels"):
        by_number.encode(x)
    with pytest.raises(UserError, match="example 3 lacks its label"):
        by_number.encode((x, np.where(np.arange(20) == 3, np.nan, y)))


def test_what_moves_through_codes_keeps_the_condition(by_attributes: Run, by_number: Run) -> None:
    x, y, kind = made(8, seed=5)
    for run, labels in ((by_number, y), (by_attributes, {"amount": y, "kind": np.array(KINDS)[kind]})):
        split = run.prepared((x, labels))
        assert run.traverse(split, dimensions=[0, 1], steps=3).x.shape == (2, 3, 2)
        assert run.interpolate_examples([(0, 1), (2, 3)], split, steps=4).shape == (2, 4, 2)
        assert run.arithmetic([0, 1, 2], split).x.shape == (1, 4, 2)
        assert run.reconstruct(split).shape == (8, 2)
        assert run.augment(split, n=3).x.shape == (3, 2)
        assert run.sample_aggregate(3)[0].shape == (3, 2)


@pytest.mark.parametrize(
    "use",
    [
        lambda run: run.classify(),
        lambda run: run.augment(method="class"),
        lambda run: run.detect(anomalous=["1"]),
        lambda run: run.attribute_direction("1"),
        lambda run: run.evaluate(metrics=("linear_probe",)),
    ],
)
def test_what_needs_classes_says_so(by_number: Run, use: Any) -> None:
    with pytest.raises(UserError, match="class"):
        use(by_number)


def test_recipes_that_need_classes_refuse_numbers() -> None:
    x, y, _ = made(40)
    with pytest.raises(UserError, match="among 2 to 6 concepts, and these are 1"):
        train("causal-vae", (x, y), steps=1)
    for name in (entry.name for entry in RECIPES if entry.name not in ("cvae", "identifiable-vae", "causal-vae")):
        recipe = RECIPES[name].part
        if recipe.needs_labels and recipe.takes == "array":
            with pytest.raises(UserError, match=r"needs a class for each example, .* y \(a number\)"):
                train(name, (x, y), steps=1)
    assert train("identifiable-vae", (x, y), steps=2).sample(3, 0.5).shape == (3, 2)


def test_labels_missing_for_some_are_learned_with(tmp_path: Path) -> None:
    x, _, kind = made()
    names = [None if i % 5 == 0 else KINDS[k] for i, k in enumerate(kind)]
    run = train("cvae", (x, names), steps=1200, seed=0, set=SMALL)
    assert run.info.classes == KINDS
    for i, label in enumerate(KINDS):
        np.testing.assert_allclose(rows(run, 3000, {"label": label}).mean(0), x[kind == i].mean(0), atol=0.4)
    anything = rows(run, 3000, {"label": None})
    np.testing.assert_allclose(anything.mean(0), x.mean(0), atol=0.4)
    assert run.encode(x).shape == (len(x), 2)
    few = train("semi-supervised-vae", (x, names), steps=2, set={"model.labelled": 20, "model.stack": False})
    assert few.sample(2, "plain").shape == (2, 2)


def test_a_condition_dropped_in_training_may_be_left_out() -> None:
    x, y, kind = made()
    labels = {"kind": np.array(KINDS)[kind], "amount": y}
    run = train("cvae", (x, labels), steps=1200, seed=0, set=SMALL | {"model.drop_condition": 0.3})
    drawn = rows(run, 3000, "kind=shifted,amount=")
    np.testing.assert_allclose(drawn.mean(0), x[kind == 1].mean(0), atol=0.45)
    whole = train("cvae", (x, labels), steps=2)
    with pytest.raises(UserError, match="drop_condition"):
        whole.sample(3, where="kind=shifted,amount=")


# -- tables -----------------------------------------------------------------------------------------------------------


def frame(n: int = 1500) -> dict[str, list[Any]]:
    """Return a table in which fraud is rare and goes with large amounts and many visits."""
    rng = np.random.default_rng(3)
    fraud = rng.random(n) < 0.15
    amount = np.where(fraud, rng.normal(300, 60, n), rng.normal(100, 40, n)).round(1)
    visits = rng.poisson(1 + 4 * fraud)
    town = np.array(["Hull", "Leeds", "York"])[rng.integers(0, 3, n)]
    status = np.where(fraud, "fraud", "fine")
    columns = {"status": status, "amount": amount, "visits": visits, "town": town, "unit": np.full(n, "EUR")}
    return {name: column.tolist() for name, column in columns.items()}


@pytest.fixture(scope="module")
def table() -> Iterator[Run]:
    yield train("tabular-vae", frame(), steps=600, seed=0, set=TABLE | {"data.label": "none"})


def shares(x: dict[str, list[Any]]) -> dict[str, tuple[float, float]]:
    """Return the mean and standard error of some facts about rows."""
    facts = {
        "amount": np.array(x["amount"]),
        "visits": np.array(x["visits"]),
        "fraud": np.array(x["status"]) == "fraud",
        "york": np.array(x["town"]) == "York",
    }
    return {name: (float(v.mean()), float(v.std() / len(v) ** 0.5) + 1e-9) for name, v in facts.items()}


CONDITIONS: list[dict[str, Any]] = [
    {"status": "fraud"},
    {"status": "fraud", "amount": (200, 350)},
    {"amount": (150, None), "town": ["York", "Leeds"]},
    {"visits": 3, "status": "fine"},
]


def meets(x: dict[str, list[Any]], where: dict[str, Any]) -> np.ndarray:
    """Whether rows meet a condition, read off their cells."""
    ok = np.ones(len(x["amount"]), dtype=bool)
    for name, value in where.items():
        cells = np.array(x[name])
        if isinstance(value, tuple):
            low, high = value
            ok &= (low is None or cells >= low) & (high is None or cells <= high)
        else:
            ok &= np.isin(cells, value)
    return ok


@pytest.fixture(scope="module")
def many(table: Run) -> dict[str, list[Any]]:
    """A large sample under no condition."""
    return table.columns(table.drawn(60_000, seed=9))


@pytest.mark.parametrize("where", CONDITIONS)
@pytest.mark.parametrize("way", ["rejection", "importance"])
def test_rows_given_a_condition_are_as_those_of_a_large_sample_that_meet_it(
    table: Run, many: dict[str, list[Any]], where: dict[str, Any], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "importance":
        monkeypatch.setattr(given, "MOST", 0)
        monkeypatch.setattr(given, "LOOK", 0)
        monkeypatch.setattr(given, "PROPOSALS", 2**15)
    found = table.given(4000, where, seed=1)
    cells = table.columns(found.x)
    assert meets(cells, where).all()
    kept = meets(many, where)
    expected = shares({name: [v for v, ok in zip(column, kept) if ok] for name, column in many.items()})
    least = 4000 if found.ess is None else found.ess
    assert (found.ess is None) == (way == "rejection")
    for name, (value, error) in shares(cells).items():
        other, spread = expected[name]
        error = max(error, spread * (kept.sum() / min(least, 4000)) ** 0.5)  # resampled rows are worth `ess`
        assert abs(value - other) < 4.5 * np.hypot(error, spread) + 1e-3, (name, value, other)
    if found.acceptance is not None:
        p = kept.mean()
        assert abs(found.acceptance - p) < 5 * (p * (1 - p) / len(kept)) ** 0.5 + 0.01


@pytest.mark.parametrize("n", [1, 3])
def test_as_many_rows_are_given_as_are_asked_for(n: int, table: Run) -> None:
    found = table.given(n, {"status": "fraud"}, seed=4)
    assert len(found.x) == n and found.acceptance is not None and 0 < found.acceptance < 1


def test_a_number_is_met_exactly_and_weighs_the_rest(table: Run, many: dict[str, list[Any]]) -> None:
    found = table.given(2000, {"amount": 250.0})
    cells = table.columns(found.x)
    assert set(cells["amount"]) == {250.0} and found.ess is not None and found.ess > 100
    assert f"{found.ess:,.0f}" in found.how
    near = meets(many, {"amount": (240, 260)})
    fraud = np.array(many["status"])[near] == "fraud"
    assert abs(np.mean(np.array(cells["status"]) == "fraud") - fraud.mean()) < 0.1


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"amout": 3}, "did you mean 'amount'"),
        ({"status": "theft"}, "status is one of fine, fraud"),
        ({"amount": (9e5, 1e6)}, "too rare"),
        ({"amount": None}, "every column"),
        ({"unit": "USD"}, "'EUR' in every training row"),
        ("amount", "column=value"),
    ],
)
def test_what_cannot_be_met_is_one_sentence(table: Run, where: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        table.sample(5, where=where)


def test_a_column_that_never_varies_is_met_by_every_row(table: Run) -> None:
    assert table.columns(table.given(3, {"unit": "EUR"}).x)["unit"] == ["EUR"] * 3


def test_cvae_on_a_table_is_conditioned_on_its_columns() -> None:
    run = train("cvae", frame(), steps=600, seed=0, set=TABLE | {"data.label": "status,amount"})
    assert run.recipe == "tabular-cvae" and [c["name"] for c in run.info.facts["columns"]] == ["visits", "town"]
    visits = {}
    for status in ("fine", "fraud"):
        found = run.given(1500, {"status": status})
        assert found.y is not None
        cells = run.columns(found.x, found.y)
        assert list(cells) == ["status", "amount", "visits", "town", "unit"]
        assert set(cells["status"]) == {status} and meets(frame(), {"amount": cells["amount"]}).any()
        visits[status] = float(np.mean(cells["visits"]))
    assert abs(visits["fine"] - 1) < 0.4 and abs(visits["fraud"] - 5) < 0.8
    mixed = run.given(300, {"status": "fraud", "amount": (200, 400), "visits": (6, None)})
    assert mixed.y is not None and mixed.acceptance is not None
    assert meets(run.columns(mixed.x, mixed.y), {"status": "fraud", "amount": (200, 400), "visits": (6, None)}).all()
    assert run.encode({name: column[:5] for name, column in frame().items()}).shape[0] == 5
    conditions = Conditions.of(run.info)
    drawn = run.labels(400)
    assert drawn is not None and 0.03 < np.mean(np.array(conditions.native(drawn)["status"]) == "fraud") < 0.3


def test_a_label_that_the_model_does_not_know_is_refused() -> None:
    run = train("tabular-vae", frame(100), steps=2, set={"data.label": "status"})
    with pytest.raises(UserError, match=r"data\.label=status, or tabular-vae with data\.label=none"):
        run.sample(3, where={"status": "fraud"})
    with pytest.raises(UserError, match="no table"):
        train("vae", np.random.default_rng(0).normal(size=(40, 3)), steps=2).sample(3, where={"a": 1})
