"""Every registered posterior, prior and likelihood through the same checks (see contracts.py)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import contracts
from contracts import Case, cases
from vaekit.posteriors.base import POSTERIORS

ALL = list(cases())


@pytest.mark.parametrize("check", contracts.CHECKS, ids=lambda c: c.__name__.removeprefix("check_"))
@pytest.mark.parametrize("case", ALL, ids=lambda c: c.id)
def test_part(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


@pytest.mark.parametrize("case", list(cases(POSTERIORS)), ids=lambda c: c.id)
def test_closed_form_kl(case: Case) -> None:
    contracts.check_kl(case)


def test_every_registered_part_has_a_case() -> None:
    assert {(c.registry.kind, c.entry.name) for c in ALL} == {
        (r.kind, e.name) for r in (contracts.POSTERIORS, contracts.PRIORS, contracts.LIKELIHOODS) for e in r
    }
