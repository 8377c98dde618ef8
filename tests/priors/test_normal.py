"""The standard normal prior."""

from __future__ import annotations

from copy import deepcopy

import torch

from vaekit.priors.normal import StandardNormal


def test_the_same_distribution_is_given_until_the_module_moves() -> None:
    prior = StandardNormal((3, 2))
    first = prior()
    assert prior() is first and first.event_shape == (3, 2) and first.batch_shape == ()
    moved = prior.double()()
    assert moved is not first and moved.sample().dtype == torch.float64


def test_a_copy_has_a_distribution_of_its_own() -> None:
    prior = StandardNormal(4)
    prior()
    twin = deepcopy(prior).double()
    assert twin().loc.dtype == torch.float64 and prior().loc.dtype == torch.float32
