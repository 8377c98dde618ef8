"""Traversals, sums and planes against closed forms, scikit-learn's PCA and scipy's quantiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.decomposition import PCA

from vaekit.latents.arithmetic import combine, direction, shift
from vaekit.latents.manifold import grid, principal_plane, quantiles
from vaekit.latents.traverse import by_information, traverse


@pytest.mark.parametrize(("n", "d"), [(400, 7), (5, 20)])
def test_the_plane_is_that_of_pca(n: int, d: int) -> None:
    z = torch.randn(n, d) * torch.linspace(3, 1, d) + 5
    plane = principal_plane(z)
    other = PCA(2).fit(z.double().numpy())
    cosine = np.abs((plane.axes.numpy() * other.components_).sum(1))
    assert np.allclose(cosine, 1, atol=1e-5)
    assert np.allclose(plane.share, other.explained_variance_ratio_, atol=1e-5)
    assert np.allclose(np.abs(plane.project(z).numpy()), np.abs(other.transform(z.double().numpy())), atol=1e-4)


def test_there_and_back() -> None:
    plane = principal_plane(torch.randn(100, 6) * torch.tensor([5.0, 4, 1, 1, 1, 1]))
    uv, keep = torch.randn(9, 2), torch.randn(9, 6)
    assert torch.allclose(plane.project(plane.lift(uv)), uv, atol=1e-5)
    moved = plane.lift(uv, keep)
    assert torch.allclose(plane.project(moved), uv, atol=1e-5)
    rest = (moved - keep) - (moved - keep) @ plane.axes.T @ plane.axes
    assert torch.allclose(rest, torch.zeros_like(rest), atol=1e-5)


@pytest.mark.parametrize("d", [1, 2])
def test_one_and_two_dimensions_are_shown_as_they_are(d: int) -> None:
    z = torch.randn(50, d) + 3
    plane = principal_plane(z)
    assert torch.equal(plane.project(z)[:, :d], z)
    assert torch.allclose(plane.lift(plane.project(z)), z)


def test_the_same_codes_give_the_same_picture_in_any_order() -> None:
    z = torch.randn(200, 5) * torch.tensor([4.0, 3, 1, 1, 1])
    a, b = principal_plane(z), principal_plane(z.flip(0))
    assert torch.allclose(a.axes, b.axes, atol=1e-5)


def test_a_traversal_moves_one_dimension() -> None:
    z = torch.randn(4)
    rows = traverse(z, [3, 0], [-1.0, 0.5])
    assert rows.shape == (2, 2, 4)
    assert torch.equal(rows[0, :, :3], z[:3].expand(2, 3)) and rows[0, :, 3].tolist() == [-1.0, 0.5]
    assert torch.equal(rows[1, :, 1:], z[1:].expand(2, 3)) and rows[1, :, 0].tolist() == [-1.0, 0.5]
    with pytest.raises(ValueError, match="no latent dimension 4"):
        traverse(z, 4, [0.0])
    with pytest.raises(ValueError, match="one code"):
        traverse(z[None], 0, [0.0])
    assert by_information([1.0, 3.0, 2.0]) == [1, 2, 0]


def test_sums_and_directions() -> None:
    a, b, c = torch.randn(3, 5)
    assert torch.equal(combine(a, b, b), a - b + b) and torch.allclose(combine(a, a, c), c)
    with pytest.raises(ValueError, match="one shape"):
        combine(a, b, c[:4])
    has = torch.arange(60) % 3 == 0
    z = torch.randn(60, 2) * 0.01 + has[:, None] * torch.tensor([2.0, -1.0])
    towards = direction(z, has)
    assert torch.allclose(towards, torch.tensor([2.0, -1.0]), atol=0.02)
    assert torch.allclose(shift(z, towards, torch.tensor([0.0, 1.0]))[:, 1], z + towards)
    for bad in (has | True, has & False):
        with pytest.raises(ValueError, match="no direction"):
            direction(z, bad)


def test_quantiles_and_grids() -> None:
    assert np.allclose(quantiles(7), norm.ppf((np.arange(7) + 0.5) / 7), atol=1e-6)
    made = grid(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([5.0, 6.0]))
    assert made.shape == (2, 3, 2) and made[1, 2].tolist() == [3.0, 6.0]
