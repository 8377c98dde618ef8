"""Labels that are classes, numbers or attributes, any of them missing: what is read, and what a model is given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vaekit.data.conditions import Conditions
from vaekit.data.dataset import DataSet
from vaekit.data.info import DataInfo
from vaekit.data.loading import load
from vaekit.data.settings import DataSettings
from vaekit.data.tables.modality import Tables, TableSettings
from vaekit.data.where import parse_where, want
from vaekit.errors import UserError

N = 60
X = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
AMOUNT = np.random.default_rng(1).normal(50, 10, N).round(2)
KIND = np.array(["a", "b", "c"])[np.arange(N) % 3]
ALL = DataSettings(valid=0, test=0)


def read(y: Any, settings: DataSettings = ALL) -> DataSet:
    return load((X, y), settings)


def test_numbers_are_standardised_by_the_training_examples_alone() -> None:
    data = read(AMOUNT, DataSettings(valid=0.2, test=0.2))
    facts = Conditions.of(data.info).attributes[0]
    y = data.train.y
    assert y is not None and y.shape == (data.info.n_train, 2) and y.dtype == torch.float32
    assert data.info.classes == () and facts["type"] == "numeric" and not facts["missing"]
    torch.testing.assert_close(y[:, 0].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(y[:, 0].std(correction=0), torch.tensor(1.0), atol=1e-5, rtol=0)
    assert bool((y[:, 1] == 1).all()) and data.test.y is not None
    assert set(Conditions.of(data.info).native(data.test.y)["y"]) <= set(AMOUNT.tolist())


def test_attributes_are_side_by_side_and_come_back_as_they_were_written() -> None:
    data = read({"kind": KIND, "amount": AMOUNT, "flag": np.arange(N) % 2 == 0})
    conditions = Conditions.of(data.info)
    assert conditions.names == ["kind", "amount", "flag"] and conditions.widths == [3, 2, 2]
    assert data.train.y is not None and data.train.y.shape == (N, 7)
    back = conditions.native(data.train.y)
    assert back["kind"] == KIND.tolist()
    np.testing.assert_allclose(back["amount"], AMOUNT)
    assert DataInfo.from_dict(data.info.to_dict()) == data.info


def test_what_is_missing_is_zeros_and_comes_back_missing() -> None:
    kind, amount = KIND.astype(object), AMOUNT.copy()
    kind[3], amount[3], amount[5] = None, np.nan, np.nan
    data = read({"kind": kind, "amount": amount})
    conditions, y = Conditions.of(data.info), data.train.y
    assert y is not None and conditions.missing
    assert y[3].tolist() == [0] * 5 and y[5, 3:].tolist() == [0, 0] and float(y[5].sum()) == 1
    assert [i for i, v in enumerate(conditions.native(y)["amount"]) if v is None] == [3, 5]
    assert conditions.texts(y)["kind"][3] == ""


@pytest.mark.parametrize(
    ("y", "classes", "missing"),
    [
        (np.arange(N) % 3, ("0", "1", "2"), []),
        (np.arange(N) % 3 - 1.0, ("0", "1"), list(range(0, N, 3))),  # -1 beside 0 and 1 is no label
        (np.where(np.arange(N) % 2, 1, -1), ("-1", "1"), []),  # two signs are two classes
        (np.where(np.arange(N) == 4, np.nan, np.arange(N) % 2), ("0", "1"), [4]),
        (np.where(np.arange(N) == 4, "", KIND), ("a", "b", "c"), [4]),
        ([None if i == 4 else KIND[i] for i in range(N)], ("a", "b", "c"), [4]),
        (np.arange(N)[:, None] % 2, ("0", "1"), []),
    ],
)
@pytest.mark.filterwarnings("ignore:.*taken as missing")
def test_one_label_an_example_is_a_class_and_may_be_missing(
    y: Any, classes: tuple[str, ...], missing: list[int]
) -> None:
    data = read(y)
    own = data.train.y
    assert own is not None and own.dtype == torch.int64
    assert data.info.classes == classes
    assert (own < 0).nonzero().flatten().tolist() == missing
    assert (data.train.labels is None) == bool(missing) == Conditions.of(data.info).missing


def test_what_labels_are_can_be_said() -> None:
    ages = np.arange(N) % 7 + 20
    assert len(read(ages).info.classes) == 7
    numbers = read(ages, DataSettings(valid=0, test=0, labels="numbers")).info
    assert numbers.classes == () and len(Conditions.of(numbers)) == 1
    with pytest.raises(UserError, match="classes are whole numbers or names"):
        read(AMOUNT, DataSettings(labels="classes"))
    with pytest.raises(UserError, match="'a' is not one"):
        read(KIND, DataSettings(labels="numbers"))


def test_labels_that_are_no_labels_are_refused() -> None:
    for y, words in (
        (np.full(N, np.nan), "every label is missing"),
        (np.zeros((N, 2, 2)), "attributes"),
        ({"a": [1.5] * N, "b": [1.0] * 3}, "differ in length"),
        (AMOUNT[:-1], f"{N} examples but {N - 1} labels"),
    ):
        with pytest.raises(UserError, match=words):
            read(y)


def test_other_data_are_labelled_as_the_run_s_own_by_name() -> None:
    mine = Conditions.of(read({"kind": KIND, "amount": AMOUNT}).info)
    other = read({"amount": AMOUNT[::-1].copy(), "kind": np.roll(KIND, 1)})
    assert other.train.y is not None
    y = mine.matched(other.train.y, Conditions.of(other.info), "other")
    assert mine.native(y)["kind"] == np.roll(KIND, 1).tolist()
    np.testing.assert_allclose(np.array(mine.native(y)["amount"], dtype=float), AMOUNT[::-1])
    odd = read({"amount": AMOUNT, "kind": ["z"] * N})
    assert odd.train.y is not None
    with pytest.raises(UserError, match="other: row 1, column 'kind': 'z' is not among"):
        mine.matched(odd.train.y, Conditions.of(odd.info), "other")
    few = Conditions.of(read(np.array(["b", "c"])[np.arange(N) % 2]).info)  # whose own numbers are 0 and 1
    classes = Conditions.of(read(KIND).info)
    assert classes.matched(torch.tensor([0, 1]), few, "other").tolist() == [1, 2]


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def csv(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "rows.csv"
    lines = [f"{x[0]:.3f},{k},{x[1]:.3f},{'' if i == 2 else a}" for i, (x, k, a) in enumerate(zip(X, KIND, AMOUNT))]
    path.write_text("u,kind,v,amount\n" + "\n".join(lines) + "\n")
    yield path


def test_a_csv_s_columns_are_labels_by_name(csv: Path) -> None:
    data = load(csv, DataSettings(valid=0, test=0, label="kind,amount"))
    conditions = Conditions.of(data.info)
    assert conditions.names == ["kind", "amount"] and data.info.shape == (2,)
    assert data.train.y is not None and conditions.texts(data.train.y)["amount"][2] == ""
    with pytest.raises(UserError, match="did you mean 'amount'"):
        load(csv, DataSettings(label="kind,amuont"))


def test_a_table_s_columns_are_conditions_by_name(csv: Path) -> None:
    data = Tables().load(csv, TableSettings(valid=0, test=0, label="kind,amount"))
    assert [c["name"] for c in data.info.facts["columns"]] == ["u", "v"]
    conditions = Conditions.of(data.info)
    assert data.train.y is not None and conditions.widths == [3, 2]
    columns = Tables().columns(data.train.x, data.info, data.train.y)
    assert list(columns) == ["u", "kind", "v", "amount"]
    assert columns["kind"] == KIND.tolist() and columns["amount"][2] is None
    again = Tables().encode(csv, data.info, TableSettings())
    assert again.y is not None and torch.equal(again.y, data.train.y)
    single = Tables().load(csv, TableSettings(label="amount")).info
    assert single.classes == () and single.condition[0]["type"] == "numeric"
    assert Tables().load(csv, TableSettings(label="kind")).info.classes == ("a", "b", "c")


def test_labels_of_data_on_disk_may_be_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "x-0.npy", X)
    np.save(tmp_path / "y-0.npy", np.stack([AMOUNT, np.arange(N) % 2], 1))
    streamed = load(tmp_path, DataSettings(stream="yes", valid=0.2, test=0.2))
    whole = load(tmp_path, DataSettings(stream="no", valid=0.2, test=0.2))
    assert streamed.info.condition == whole.info.condition and len(streamed.info.condition) == 2
    for split in ("train", "valid", "test"):
        a, b = getattr(streamed, split).y, getattr(whole, split).y
        assert torch.equal(a, b)


# -- what is asked for ------------------------------------------------------------------------------------------------

NUMBER = {"name": "amount", "type": "numeric", "mean": 100.0, "sd": 50.0}
LOGGED = {"name": "pay", "type": "positive", "mean": 0.0, "sd": 2.0}
LEVELS = {"name": "size", "type": "ordinal", "levels": ["s", "m", "l"]}
NAMES = {"name": "town", "type": "categorical", "levels": ["a|b", "Hull", "York"]}
COUNT = {"name": "n", "type": "count", "mean": 2.0, "sd": 1.0, "log_mean": 0.5, "log_sd": 0.5}


@pytest.mark.parametrize(
    ("facts", "asked", "inside", "outside"),
    [
        (NUMBER, "50..150", [-1.0, 0.0, 1.0], [-1.01, 1.01, np.nan]),
        (NUMBER, (50, None), [-1.0, 9.0], [-1.1]),
        (NUMBER, "..50", [-1.0, -9.0], [0.0]),
        (NUMBER, 100, [0.0], [0.1]),
        (LOGGED, "0..1", [0.0, -50.0], [0.1]),
        (LEVELS, "m..", [1.0, 2.0], [0.0, np.nan]),
        (LEVELS, ["s", "l"], [0.0, 2.0], [1.0]),
        (NAMES, "a|b", [0.0], [1.0, 2.0]),  # a level of that very name
        (NAMES, "Hull|York", [1.0, 2.0], [0.0]),
        (COUNT, "1..3", [1.0, 3.0], [0.0, 4.0]),
        (COUNT, 2, [2.0], [3.0]),
        (NUMBER, None, [np.nan], [0.0]),
    ],
)
def test_what_is_asked_for_is_met_by_what_it_says(facts: Any, asked: Any, inside: Any, outside: Any) -> None:
    one = want(facts, asked)
    assert one.met(torch.tensor(inside)).all() and not one.met(torch.tensor(outside)).any()


@pytest.mark.parametrize(
    ("facts", "asked", "words"),
    [
        (NUMBER, "much", "amount is a number, not 'much'"),
        (NUMBER, "150..50", "exchange them"),
        (NUMBER, [1, 2], "one value or a range"),
        (LOGGED, -1, "a number above 0"),
        (LEVELS, "xl", "one of s, m, l"),
        (NAMES, ("Hull", "York"), "no order"),
        (COUNT, 1.5, "a whole number"),
    ],
)
def test_what_a_column_cannot_hold_is_refused(facts: Any, asked: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        want(facts, asked)


def test_where_is_read_as_it_is_written() -> None:
    assert parse_where("a=1, b=x..y,c=") == {"a": "1", "b": "x..y", "c": ""}
    for text in ("a", "=1", ""):
        with pytest.raises(UserError, match="column=value"):
            parse_where(text)
