"""Schedules: text form, every shape's values, lengths in every unit, and the annealed scalars that follow them."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn

from vaekit.errors import UserError
from vaekit.schedules import Annealed, Schedule, annealed_in, schedule_field

TEXTS = ["4", "0.001", "linear 0 1 10ep", "cosine 0.001 0 100%", "sigmoid 0 1 2000", "cyclical 0 4 25%", "linear 1 0 7"]


@pytest.mark.parametrize("text", TEXTS)
def test_text_round_trip(text: str) -> None:
    schedule = Schedule.parse(text)
    assert str(schedule) == text
    assert Schedule.parse(str(schedule)) == schedule
    assert Schedule.parse(schedule) is schedule
    assert schedule_field(text) == text


def test_a_number_is_constant_forever() -> None:
    for value in (3, 3.0, "3"):
        schedule = Schedule.parse(value)
        assert schedule.shape == "constant"
        assert {schedule.at(step, 10, 5) for step in (0, 3, 9, 10**6)} == {3.0}


@pytest.mark.parametrize(
    ("text", "steps"),
    [("linear 0 1 12", 12), ("linear 0 1 3ep", 21), ("linear 0 1 0.5ep", 3.5), ("linear 0 1 25%", 50)],
)
def test_lengths_in_steps_epochs_and_shares(text: str, steps: float) -> None:
    assert Schedule.parse(text).steps(total=200, per_epoch=7) == pytest.approx(steps)


def _values(text: str, *steps: int) -> list[float]:
    return [Schedule.parse(text).at(step, total=100, per_epoch=10) for step in steps]


def test_values_of_every_shape() -> None:
    assert _values("linear 2 4 8", 0, 2, 4, 8, 99) == pytest.approx([2, 2.5, 3, 4, 4])
    half = 0.5 - 0.5 * math.cos(math.pi / 4)
    assert _values("cosine 0 1 8", 0, 2, 4, 8, 99) == pytest.approx([0, half, 0.5, 1, 1])
    assert _values("cyclical 0 1 8", 0, 2, 4, 7, 8, 10, 12) == pytest.approx([0, 0.5, 1, 1, 0, 0.5, 1])
    assert _values("sigmoid 0 1 8", 0, 4, 8, 99) == pytest.approx([0, 0.5, 1, 1])
    assert _values("linear 1 0 1ep", 0, 5, 10) == pytest.approx([1, 0.5, 0])
    assert _values("linear 0 1 50%", 0, 25, 50) == pytest.approx([0, 0.5, 1])


def test_the_sigmoid_is_a_logistic_curve_from_end_to_end() -> None:
    def logistic(t: float) -> float:
        return 1 / (1 + math.exp(-12 * (t - 0.5)))

    low, high = logistic(0), logistic(1)
    for step in range(9):
        expected = 3 * (logistic(step / 8) - low) / (high - low)
        assert _values("sigmoid 0 3 8", step)[0] == pytest.approx(expected)


@pytest.mark.parametrize("shape", ["linear", "cosine", "sigmoid"])
def test_ramps_rise_without_a_step_back_and_stay(shape: str) -> None:
    values = _values(f"{shape} 0 1 80%", *range(100))
    assert values == sorted(values)
    assert values[0] == 0
    assert values[80:] == [1.0] * 20


@pytest.mark.parametrize(
    "text",
    [
        *("", "warm", "linear", "linear 0 1", "linear 0 1 0", "linear 0 1 -5", "linear a 1 5", "linear 0 1 5 6"),
        *("cubic 0 1 5", "linear 0 1 5%%", "linear 0 1 nan", "constant 0 1 5"),
    ],
)
def test_what_is_no_schedule_says_how_to_write_one(text: str) -> None:
    with pytest.raises(UserError, match=r"is not a schedule; write a number, or e\.g\. 'linear 0 1 10ep'") as error:
        Schedule.parse(text)
    assert f"'{text}'" in str(error.value)


@pytest.mark.parametrize("text", ["nan", "inf", "linear 0 inf 5", "linear nan 1 5", "linear 0 1 inf"])
def test_values_must_be_finite(text: str) -> None:
    with pytest.raises(UserError, match="is not a schedule"):
        Schedule.parse(text)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_must_be_finite(value: float) -> None:
    with pytest.raises(UserError, match="is not a schedule"):
        Schedule.parse(value)


@pytest.mark.parametrize("text", ["linear 0 1 101", "linear 0 1 11ep", "cosine 0 1 120%", "cyclical 0 1 200"])
def test_a_schedule_longer_than_the_run_warns_and_names_where_it_ends(text: str) -> None:
    with pytest.warns(UserWarning, match="the schedule of beta takes .* steps but the run has 100: it ends at"):
        Schedule.parse(text).check("beta", total=100, per_epoch=10)


@pytest.mark.parametrize("text", ["1", "linear 0 1 100", "linear 0 1 10ep", "cosine 0 1 100%", "cyclical 0 1 25%"])
def test_a_schedule_that_fits_does_not_warn(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Schedule.parse(text).check("beta", total=100, per_epoch=10)


class TestAnnealed:
    def test_starts_at_the_first_value_and_follows(self) -> None:
        beta = Annealed("linear 1 3 10")
        assert float(beta()) == 1.0
        beta.advance(5, total=100, per_epoch=10)
        assert float(beta()) == 2.0
        assert "linear 1 3 10" in repr(beta)

    def test_is_in_the_state(self) -> None:
        beta, again = Annealed("linear 0 1 4"), Annealed("linear 0 1 4")
        beta.advance(3, total=10, per_epoch=5)
        assert list(beta.state_dict()) == ["value"]
        again.load_state_dict(beta.state_dict())
        assert float(again()) == 0.75

    def test_gradients_do_not_reach_it(self) -> None:
        beta = Annealed(2.0)
        x = torch.ones(2, requires_grad=True)
        (beta() * x).sum().backward()
        assert x.grad is not None and x.grad.tolist() == [2.0, 2.0]
        assert list(beta.parameters()) == []

    def test_is_one_only_where_it_stays_one(self) -> None:
        assert Annealed(1.0).is_one
        assert not Annealed(2.0).is_one
        assert not Annealed("linear 0 1 5").is_one
        assert not Annealed("cyclical 1 1 5").is_one

    def test_is_found_inside_modules_by_name(self) -> None:
        module = nn.ModuleDict({"a": Annealed(1.0), "b": nn.Sequential(nn.Linear(1, 1), Annealed(2.0))})
        assert [name for name, _ in annealed_in(module)] == ["a", "b.1"]
