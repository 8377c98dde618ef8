"""Node normals: densities and KLs over nodes alone, noise that knows no padding."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from vaekit.distributions.kl import closed_form_kl
from vaekit.distributions.nodes import NodeNormal, standard_nodes

MASK = torch.tensor([[True, True, True], [True, False, False]])


def family(extra: int = 0) -> NodeNormal:
    generator = torch.Generator().manual_seed(0)
    loc, log_scale = torch.randn(2, 2, 3, 2, generator=generator, dtype=torch.float64)
    pad = (0, 0, 0, extra)
    return NodeNormal(
        torch.nn.functional.pad(loc, pad, value=5.0),
        torch.nn.functional.pad(log_scale, pad, value=5.0),
        torch.nn.functional.pad(MASK, (0, extra)),
    )


def test_density_and_kl_are_those_of_the_nodes() -> None:
    q = family()
    z = torch.randn(4, 2, 3, 2, dtype=torch.float64)
    p = standard_nodes(MASK, 2, torch.float64)
    for g, n in enumerate((3, 1)):
        plain = Independent(Normal(q.loc[g, :n], q.scale[g, :n]), 2)
        unit = Independent(Normal(torch.zeros(n, 2).double(), torch.ones(n, 2).double()), 2)
        assert torch.allclose(q.log_prob(z)[:, g], plain.log_prob(z[:, g, :n]))
        assert torch.allclose(p.log_prob(z)[:, g], unit.log_prob(z[:, g, :n]))
        assert torch.allclose(q.entropy()[g], plain.entropy())
        found = closed_form_kl(q, p)
        assert found is not None and torch.allclose(found[g], kl_divergence(plain, unit))


@pytest.mark.parametrize("extra", [1, 6])
def test_padding_changes_no_number_and_no_draw(extra: int) -> None:
    q, wide = family(), family(extra)
    torch.manual_seed(1)
    z = q.rsample((5,))
    torch.manual_seed(1)
    roomy = wide.rsample((5,))
    assert torch.equal(roomy[..., :3, :], z) and not roomy[..., 3:, :].any() and not z[:, 1, 1:].any()
    assert torch.allclose(wide.log_prob(roomy), q.log_prob(z))
    p, wide_p = standard_nodes(q.mask, 2, torch.float64), standard_nodes(wide.mask, 2, torch.float64)
    assert torch.allclose(closed_form_kl(wide, wide_p), closed_form_kl(q, p))  # type: ignore[arg-type]


def test_draws_have_the_moments_and_temperature_scales_them() -> None:
    q = family()
    torch.manual_seed(0)
    z = q.tempered(2.0).rsample((20000,))
    assert torch.allclose(z.mean(0)[MASK], q.mean[MASK], atol=0.15)
    assert torch.allclose(z.std(0)[MASK], 2 * q.scale[MASK], rtol=0.05)
