"""Climbing a prediction: on functions whose path and whose top are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vaekit.errors import UserError
from vaekit.tasks.optimisation import ascend, summary

SLOPE = torch.tensor([3.0, 4.0], dtype=torch.float64)


def linear(z: Tensor) -> Tensor:
    return (z @ SLOPE)[:, None]


def test_each_step_has_the_length_asked_for() -> None:
    start = torch.randn(5, 2, dtype=torch.float64)
    code, value = ascend(linear, start, steps=7, rate=0.3)
    torch.testing.assert_close(code, start + 2.1 * SLOPE / 5)
    torch.testing.assert_close(value, linear(code)[:, 0])
    down, _ = ascend(linear, start, steps=7, rate=0.3, minimise=True)
    torch.testing.assert_close(down, start - 2.1 * SLOPE / 5)


def test_keep_balances_the_prediction_against_the_prior() -> None:
    # the top of s·z − w ½|z|² lies at s / w
    code, _ = ascend(linear, torch.zeros(2, 2, dtype=torch.float64), steps=300, rate=0.5, keep=2.0)
    torch.testing.assert_close(code, (SLOPE / 2).expand(2, 2), atol=1e-3, rtol=0)


def test_no_example_ends_lower_than_it_began() -> None:
    def bumpy(z: Tensor) -> Tensor:
        return (5 * z).sin().sum(-1)

    start = torch.linspace(-3, 3, 50, dtype=torch.float64)[:, None]
    _, value = ascend(bumpy, start, steps=3, rate=2.0)
    assert bool((value >= bumpy(start)).all())


def test_examples_do_not_disturb_each_other() -> None:
    start = torch.randn(4, 2, dtype=torch.float64)

    def top(z: Tensor) -> Tensor:
        return -(z - 1).square().sum(-1)

    together, _ = ascend(top, start, steps=20)
    alone = torch.cat([ascend(top, row[None], steps=20)[0] for row in start])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("bad", [{"steps": 0}, {"rate": 0.0}, {"rate": float("nan")}, {"keep": -1.0}])
def test_settings_that_make_no_sense_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UserError, match="optimising takes"):
        ascend(linear, torch.zeros(1, 2, dtype=torch.float64), **bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("minimise", [False, True])
def test_what_an_ascent_gained_is_towards_what_was_wanted(minimise: bool) -> None:
    before, after = np.array([1.0, 2.0, np.nan]), np.array([3.0, 1.5, 4.0])
    columns = {"before": before, "after": after, "predicted": after, "reconstructed": before, "similarity": after * 0}
    columns |= {"molecule": ["a", "b", "c"], "optimised": ["d", "b", "e"]}
    found = summary(columns, minimise)
    assert found["gain"]["value"] == pytest.approx(-0.75 if minimise else 0.75)
    assert found["n"] == 3 and found["valid"] == 1.0
