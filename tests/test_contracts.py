"""Every registered posterior, prior and likelihood through the same checks (see contracts.py)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Beta, Distribution, Independent, Normal, constraints

import contracts
from contracts import Case, Skip, cases
from vaekit.conditional import Likelihood
from vaekit.distributions.base import is_point_mass, is_relaxed, measure_of
from vaekit.nets.base import Net
from vaekit.posteriors.base import POSTERIORS
from vaekit.registry import Registry

ALL = list(cases())


@pytest.mark.parametrize("check", contracts.CHECKS, ids=lambda c: c.__name__.removeprefix("check_"))
@pytest.mark.parametrize("case", ALL, ids=lambda c: c.id)
def test_part(case: Case, check: Callable[[Case], None]) -> None:
    try:
        check(case)
    except pytest.skip.Exception as skipped:
        assert str(skipped) in {why.value for why in Skip}, "a check that does not apply names a reason of `Skip`"
        raise


@pytest.mark.parametrize("case", list(cases(POSTERIORS)), ids=lambda c: c.id)
def test_closed_form_kl(case: Case) -> None:
    contracts.check_kl(case)


def test_every_registered_part_has_a_case() -> None:
    assert {(c.registry.kind, c.entry.name) for c in ALL} == {
        (r.kind, e.name) for r in (contracts.POSTERIORS, contracts.PRIORS, contracts.LIKELIHOODS) for e in r
    }


def test_the_parts_that_escape_a_check_are_named() -> None:
    """A part without a contract, or without a log-probability, is a decision: these are all."""
    elsewhere = {c.entry.name for c in ALL if "no_contract" in c.entry.facts}
    states = {"states", "linear-states", "recurrent-states"}
    assert elsewhere == {"edges", "mixed", "views"} | states
    unscored: dict[str, set[str]] = {"none": set(), "point mass": set(), "relaxed": set()}
    for case in ALL:
        if case.entry.name in elsewhere:
            continue
        d = contracts.smallest(case)
        unscored["none"] |= {case.entry.name} if measure_of(d) == "none" else set()
        unscored["point mass"] |= {case.entry.name} if is_point_mass(d) else set()
        unscored["relaxed"] |= {case.entry.name} if is_relaxed(d) else set()
    assert unscored == {
        "none": {"bernoulli-soft"},
        "point mass": {"delta", "vector-quantised", "finite-scalar"},
        "relaxed": set(),
    }


# -- planted ----------------------------------------------------------------------------------------------------------


class BetaLikelihood(Likelihood):
    """p(x|z) of torch's Beta with both parameters above 1: -inf at 0 and 1, which it says are in its support."""

    wants = "unit"

    def __init__(self, net: Net) -> None:
        super().__init__(net, params=2)

    def family(self, params: Tensor) -> Distribution:
        a, b = (1.5 + torch.nn.functional.softplus(params)).unbind(params.dim() - 2)
        return Independent(Beta(a, b, validate_args=False), 1)


class HalfBeta(BetaLikelihood):
    """The same with its log-density too small by log 2."""

    def family(self, params: Tensor) -> Distribution:
        class Half(Independent):
            def log_prob(self, value: Tensor) -> Tensor:
                return super().log_prob(value) - math.log(2)

        d = super().family(params)
        assert isinstance(d, Independent)
        return Half(d.base_dist, 1)


class OpenBeta(BetaLikelihood):
    """The same density, with a support that leaves the ends out: such data are refused and counted."""

    def family(self, params: Tensor) -> Distribution:
        class Inside(Beta):
            support = Interior(0.0, 1.0)

        d = super().family(params)
        assert isinstance(d, Independent) and isinstance(d.base_dist, Beta)
        return Independent(Inside(d.base_dist.concentration1, d.base_dist.concentration0, validate_args=False), 1)


class Interior(type(constraints.unit_interval)):
    """The interval without its ends."""

    def check(self, value: Tensor) -> Tensor:
        return (value > 0) & (value < 1)


def planted(part: Any, **options: Any) -> Case:
    registry: Registry[Any] = Registry("likelihood")
    registry.register("planted", summary="planted", reference="none")(part)
    return Case(registry, next(iter(registry)), options)


def test_a_density_that_is_infinite_at_an_end_of_its_support_fails() -> None:
    case = planted(BetaLikelihood)
    contracts.check_normalised(case)  # which is not skipped: `Independent` is integrated as what it holds
    with pytest.raises(AssertionError, match=r"log p is \[-inf.* at 0\.0, in its support"):
        contracts.check_ends(case)
    contracts.check_ends(planted(OpenBeta))


def test_an_independent_density_that_is_not_normalised_fails() -> None:
    with pytest.raises(AssertionError, match=r"absolute difference: 0\.49999"):
        contracts.check_normalised(planted(HalfBeta))


def test_a_support_that_cannot_be_integrated_is_no_silent_skip() -> None:
    class Odd(BetaLikelihood):
        def family(self, params: Tensor) -> Distribution:
            class Angles(Normal):
                support = constraints.simplex

            return Independent(Angles(params.select(params.dim() - 2, 0), 1.0, validate_args=False), 1)

    with pytest.raises(AssertionError, match="say here how a density on"):
        contracts.check_normalised(planted(Odd))
