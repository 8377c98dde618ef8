"""Rules for rows: what they mean, by hand, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vaekit.data.constraints import Constraints, read_constraints, written
from vaekit.data.tables import columns as cols
from vaekit.data.tables.modality import Tables, TableSettings
from vaekit.errors import UserError

N = 400


def table() -> dict[str, Any]:
    noise = np.random.default_rng(0)
    net, tax = noise.lognormal(8, 1, N).round(2), noise.lognormal(5, 1, N).round(2)
    start = np.datetime64("2024-01-01") + noise.integers(0, 300, N)
    return {
        "net": net,
        "tax": tax,
        "gross": (net + tax).round(2),
        "start": start,
        "end": start + noise.integers(0, 30, N),
        "town": noise.choice(["Hull", "York", "Leeds"], N),
        "home": noise.choice(["Hull", "York", "Leeds"], N),
        "my age": noise.integers(18, 80, N),
    }


DATA = Tables().load(table(), TableSettings(valid=0, test=0))
COLUMNS = DATA.info.facts["columns"]
X = DATA.train.x


def value(x: torch.Tensor, name: str) -> np.ndarray:
    j = [column["name"] for column in COLUMNS].index(name)
    return written(x[:, j].double().numpy(), COLUMNS[j])


def rules(*texts: str, n: int = 10) -> Constraints:
    return read_constraints(texts, COLUMNS, n, lambda: X)


def shuffled(seed: int = 0) -> torch.Tensor:
    """Return the rows with each column in an order of its own, so that no rule holds by itself."""
    noise = torch.Generator().manual_seed(seed)
    return torch.stack([column[torch.randperm(N, generator=noise)] for column in X.T], 1)


def test_training_rows_meet_the_rules_they_were_made_by() -> None:
    assert rules("start <= end", "net + tax == gross", "seen(town, home)").met(X).all()


@pytest.mark.parametrize(
    ("rule", "meant"),
    [
        ("start <= end", lambda x: value(x, "start") <= value(x, "end")),
        ("end - start < 20", lambda x: value(x, "end") - value(x, "start") < 20),
        ("20 <= `my age` < 60", lambda x: (value(x, "my age") >= 20) & (value(x, "my age") < 60)),
        ("2 * (net - tax) / 3 > tax", lambda x: 2 * (value(x, "net") - value(x, "tax")) / 3 > value(x, "tax")),
        ("-net < -1000", lambda x: value(x, "net") > 1000),
        ("start >= '2024-06-01'", lambda x: value(x, "start") >= 19875),
        ("town = 'York'", lambda x: value(x, "town") == 2),
        ('town != "York"', lambda x: value(x, "town") != 2),
        ("town == home", lambda x: value(x, "town") == value(x, "home")),
    ],
)
def test_a_comparison_means_what_it_says(rule: str, meant: Any) -> None:
    x = shuffled()
    found, expected = rules(rule).met(x), meant(x)
    assert np.array_equal(found, expected) and 0 < expected.sum() < N


def test_an_equation_computes_the_column_alone_and_keeps_its_range() -> None:
    x = shuffled()
    one = rules("net + tax == gross")
    assert not one.met(x).any()
    made = one.made(x.clone())
    ok = one.met(made)
    assert ok.mean() > 0.9
    total = (value(made, "net") + value(made, "tax")).round(2)
    np.testing.assert_allclose(value(made, "gross")[ok], total[ok], rtol=0, atol=1e-9)
    out = total > value(X, "gross").max()
    assert np.array_equal(ok, ~out & (total >= value(X, "gross").min()))
    texts = Tables().columns(made, DATA.info, native=False)
    cents = [round(100 * (float(a) + float(b))) for a, b in zip(texts["net"], texts["tax"])]
    assert [round(100 * float(c)) for c in np.array(texts["gross"])[ok]] == np.array(cents)[ok].tolist()


def test_a_missing_cell_breaks_no_rule() -> None:
    x = shuffled()
    x[:100, 0] = torch.nan
    one = rules("net <= 0.5 * tax", "net + tax == gross", "seen(net, tax)")
    made = one.made(x.clone())
    assert one.met(made)[:100].all() and not one.met(made)[100:].all()
    assert torch.equal(made[:100, 2].float(), x[:100, 2])  # nothing is computed from what is missing


def test_keys_are_unique_over_calls() -> None:
    one, keys = rules("unique(town, home)", n=9), [set[tuple[float, ...]]()]
    first = one.first_of_key(X[:50], keys)
    pairs = list(zip(value(X, "town"), value(X, "home")))
    assert first.sum() == len(set(pairs[:50])) and first[0]
    assert one.first_of_key(X, keys).sum() == len(set(pairs)) - len(set(pairs[:50]))


def test_combinations_are_those_of_training_rows() -> None:
    x = shuffled()
    known = set(zip(value(X, "town"), value(X, "my age")))
    expected = [pair in known for pair in zip(value(x, "town"), value(x, "my age"))]
    assert rules("seen(town, `my age`)").met(x).tolist() == expected and 0 < sum(expected) < N


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("net <", "a column is missing before its end"),
        ("net", "compares nothing"),
        ("nett < tax", "did you mean 'net'?"),
        ("net < town", "'town' holds words"),
        ("net + town < 3", "'town' is no number"),
        ("town < 'York'", "'town' has no order"),
        ("town == 'Rome'", "one of Hull, Leeds, York, not 'Rome'"),
        ("start > 'soon'", "a date, not 'soon'"),
        ("'a' == 'a'", "stands beside a column"),
        ("(net < tax", r"'\)' is missing before <"),
        ("net < tax tax", "'tax' is not understood"),
        ("net ~ tax", "cannot be read"),
        ("__import__('os')", "there is no '__import__"),
        ("net.__class__ == 1", "names 'net.__class__'"),
        ("`my age` > 200", "no row can meet"),
        ("net + tax < -1", "no row can meet"),
        ("end - start > 1000", "no row can meet"),
        ("net == 100", "probability 0, as 'net' is a real number; ask for a value by where=net"),
        ("net + 1 == tax + gross", "write one column alone on a side"),
        ("unique(town)", "no 10 rows can meet the rule .* there are 3 different keys"),
        ("(" * 60 + "net" + ")" * 60 + " < 1", "too deep"),
    ],
)
def test_what_is_wrong_is_refused_in_one_sentence(rule: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        rules(rule)


def test_values_are_those_that_are_written() -> None:
    texts = Tables().columns(X, DATA.info, native=False)
    for j, facts in enumerate(COLUMNS):
        own = written(X[:, j].double().numpy(), facts)
        read = np.array([cols.value_of(text, facts) for text in texts[facts["name"]]], dtype=float)
        np.testing.assert_allclose(own, read, rtol=0, atol=1e-6)
