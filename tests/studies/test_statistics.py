"""Intervals against scipy, and the words that are made from numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from vaekit.report.content import Number
from vaekit.studies.definition import definition
from vaekit.studies.findings import caution, findings
from vaekit.studies.output import write_results
from vaekit.studies.points import fixed_points
from vaekit.studies.results import Results
from vaekit.studies.statistics import compare, half_width
from vaekit.studies.storage import Outcome

OF = {"examples": "100 of the test split, abc"}


def numbers(values: list[float], rows: np.ndarray | None = None, of: dict[str, str] = OF) -> dict[int, Number]:
    each = [None] * len(values) if rows is None else [row.tolist() for row in rows]
    return {s: Number("kl", v, 0.1, of=of, values=r) for s, (v, r) in enumerate(zip(values, each, strict=True))}


def test_the_interval_is_scipys() -> None:
    values = [3.1, 2.9, 3.6, 3.3]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert half_width(values) == pytest.approx((high - low) / 2)
    assert half_width([1.0]) is None


def test_an_interval_over_seeds_covers_as_often_as_it_says() -> None:
    """Of many studies with no difference, about one in twenty supports one; the seeds' pairing is in the noise."""
    source = np.random.default_rng(0)
    wrong = 0
    for _ in range(2000):
        common = source.normal(0, 5, 3)  # what a seed does to both
        a, b = (common + source.normal(0, 1, 3) for _ in range(2))
        wrong += compare(numbers(a.tolist()), numbers(b.tolist())).supported
    assert 0.035 < wrong / 2000 < 0.065


def test_the_test_examples_own_error_counts_too() -> None:
    """One test set for all seeds: with seeds that agree, what is left is the error over examples."""
    source = np.random.default_rng(1)
    hard = source.normal(0, 10, 100)  # examples differ; both see the same ones
    shift = source.normal(0.1, 1, 100)
    a = np.stack([hard] * 3)
    b = np.stack([hard + shift] * 3)
    found = compare(numbers(a.mean(1).tolist(), a), numbers(b.mean(1).tolist(), b))
    assert found.value == pytest.approx(shift.mean())
    assert found.half == pytest.approx(1.96 * stats.sem(shift), rel=1e-6)
    wrong = 0
    for _ in range(1000):
        hard, shift = source.normal(0, 10, 100), source.normal(0, 1, 100)
        noise = source.normal(0, 0.3, (2, 3, 100)) + source.normal(0, 0.2, (2, 3, 1))
        a, b = hard + noise[0], hard + shift + noise[1]
        wrong += compare(numbers(a.mean(1).tolist(), a), numbers(b.mean(1).tolist(), b)).supported
    assert wrong / 1000 < 0.06


def test_numbers_of_different_things_are_not_compared() -> None:
    found = compare(numbers([1.0, 2.0]), numbers([5.0, 6.0], of={"examples": "100 of the test split, other"}))
    assert found.value is None and "different things" in found.reason and not found.supported


def test_one_seed_supports_nothing() -> None:
    found = compare(numbers([1.0]), numbers([100.0]))
    assert found.value == 99.0 and not found.supported


def entry(value: float | None, **more: Any) -> dict[str, Any]:
    return {"value": value, "unit": "nats/example", "n": 100, "number_of": OF} | more


def results(study: dict[str, Any], values: dict[str, list[float | None]]) -> Results:
    made = definition({"name": "mine", "numbers": {"kl": "rate"}} | study)
    points = fixed_points(made)
    outcomes = {
        f"{p.name}-{s}": Outcome(f"{p.name}-{s}", p.name, s, "done", p.at, numbers={"kl": entry(v)})
        for p in points
        for s, v in enumerate(values[p.name])
    }
    return Results(made, points, outcomes, lambda trial: {})


BETA = {"grid": {"objective.beta": [1, 4]}, "labels": {"objective.beta": "β"}}


def test_a_fall_is_said_with_its_size_and_seeds() -> None:
    found = findings(results(BETA, {"beta=1": [8.0, 8.2, 8.1], "beta=4": [2.0, 2.1, 2.0]}))
    assert [one.text for one in found] == [
        "From β = 1 to β = 4 the rate (kl) falls by 6.07 ± 0.14 nats/example, in 3 of 3 seeds."
    ]
    assert found[0].supported


def test_no_difference_is_said_so() -> None:
    found = findings(results(BETA, {"beta=1": [8.0, 8.2, 8.1], "beta=4": [8.1, 8.0, 8.3]}))
    assert not found[0].supported
    assert found[0].text.startswith("The data do not support a change of the rate (kl) from β = 1 to β = 4: ")
    assert found[0].text.endswith("and the 95% interval of the paired difference covers 0.")


def test_one_seed_is_said_so() -> None:
    found = findings(results(BETA, {"beta=1": [8.0], "beta=4": [2.0]}))
    assert not found[0].supported and "with one seed nothing is" in found[0].text
    assert "one seed" in caution(found, 1)


def test_a_number_that_is_equal_in_all_seeds() -> None:
    found = findings(results(BETA, {"beta=1": [8.0, 8.0], "beta=4": [8.0, 8.0]}))
    assert "it is the same in 2 of 2 seeds" in found[0].text and not found[0].supported


def test_arms_are_compared_with_the_baseline() -> None:
    study = {"arms": {"a": {}, "b": {}, "c": {}, "d": {}}, "baseline": "b"}
    values: dict[str, list[float | None]] = {
        "a": [1.0, 1.1, 1.2],
        "b": [5.0, 5.1, 5.3],
        "c": [5.1, 4.9, 5.4],
        "d": [None] * 3,
    }
    text = findings(results(study, values))[0].text
    assert text.startswith("Against b, the rate (kl, nats/example) is lower for a (−4.03 ± 0.14, 3 of 3 seeds); ")
    assert "not different, as far as the data say, for c (" in text and "not compared for d: " in text


def test_numbers_of_different_things_are_compared_among_themselves() -> None:
    made = results({"arms": {n: {} for n in "abcd"}}, {n: [1.0, 1.1] for n in "abcd"})
    outcomes = {}
    for trial, one in made.outcomes.items():
        of = OF if one.point in "ab" else {"examples": "100 of the test split, other"}
        value = ord(one.point) + 0.1 * one.seed
        outcomes[trial] = Outcome(
            trial, one.point, one.seed, "done", one.at, numbers={"kl": entry(value, number_of=of)}
        )
    texts = [one.text for one in findings(Results(made.study, made.points, outcomes, made.values))]
    assert len(texts) == 3 and texts[0].startswith("Against a, ") and "higher for b (+1" in texts[0]
    assert texts[1].startswith("Against c, ") and "higher for d (+1" in texts[1]
    assert texts[2].startswith("For c and d, kl is not compared with that of a: they are numbers of different things")


def test_two_axes_give_a_sentence_for_each_group() -> None:
    study = {"grid": {"objective.beta": [1, 4], "model.latent": [2, 3]}}
    values: dict[str, list[float | None]] = {
        f"beta={b}.latent={d}": [10.0 / b + 0.01 * s * d for s in range(3)] for b in (1, 4) for d in (2, 3)
    }
    found = [one.text for one in findings(results(study, values))]
    assert len(found) == 2 and found[0].startswith("With latent = 2: from beta = 1 to beta = 4 ")


def test_values_that_are_lists_are_values(tmp_path: Path) -> None:
    study = {"grid": {"model.hidden": [[8], [16, 8]]}, "labels": {"model.hidden": "width"}}
    made = results(study, {"hidden=8": [1.0, 1.1], "hidden=16,8": [2.0, 2.1]})
    assert findings(made)[0].text.startswith("Against 8, the rate (kl, nats/example) is higher for 16,8 (+1")
    write_results(tmp_path, made, {})
    assert (tmp_path / "figures" / "numbers.png").is_file() and "width = 16,8" in (tmp_path / "report.html").read_text()


def test_the_best_between_the_ends_is_named() -> None:
    study = {"grid": {"objective.beta": [1, 2, 4]}, "numbers": ["elbo"]}
    made = results(study, {"beta=1": [0.0] * 3, "beta=2": [0.0] * 3, "beta=4": [0.0] * 3})
    outcomes = {}
    for trial, one in made.outcomes.items():
        value = {"beta=1": -9.0, "beta=2": -5.0, "beta=4": -8.0}[one.point] + 0.1 * one.seed * len(one.point)
        outcomes[trial] = Outcome(trial, one.point, one.seed, "done", one.at, numbers={"elbo": entry(value)})
    texts = [one.text for one in findings(Results(made.study, made.points, outcomes, made.values))]
    assert any(text.startswith("At beta = 2 elbo is best, ") for text in texts)
