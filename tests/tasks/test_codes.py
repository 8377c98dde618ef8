"""New codes, clusters of codes, classifiers of codes, and the mixture of the aggregate posterior."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from vaekit.errors import UserError
from vaekit.latents.aggregate import fit_mixture
from vaekit.tasks.augmentation import adversarial, between, by_class, near, pixel_classifier
from vaekit.tasks.classification import few_labels, fit_classifier
from vaekit.tasks.clustering import cluster


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_near_moves_by_the_radius() -> None:
    z = torch.randn(50, 8)
    moved, of = near(z, 4000, 0.2, seeded())
    assert (moved - z[of]).std().item() == pytest.approx(0.2, rel=0.02)
    assert torch.equal(near(z, 5, 0.0, seeded())[0], z[:5])


def test_by_class_has_the_classes_moments() -> None:
    y = torch.arange(600) % 3
    z = torch.randn(600, 2) * torch.tensor([1.0, 0.1]) + y[:, None] * 10.0
    moved, label = by_class(z, y, 6000, seeded(), shrink=0.0)
    assert torch.bincount(label).tolist() == [2000] * 3
    for c in range(3):
        assert torch.allclose(moved[label == c].mean(0), z[y == c].mean(0), atol=0.1)
        assert torch.allclose(moved[label == c].std(0), z[y == c].std(0), rtol=0.1)


def test_by_class_shrinks_towards_the_mean_variance() -> None:
    z, y = torch.randn(600, 2) * torch.tensor([3.0, 0.5]), torch.zeros(600, dtype=torch.int64)
    own = z.double().var(0)
    for shrink in (0.5, 1.0):
        moved, _ = by_class(z, y, 20_000, seeded(), shrink=shrink)
        wanted = (1 - shrink) * own + shrink * own.mean()
        torch.testing.assert_close(moved.double().var(0), wanted, rtol=0.04, atol=0)


def test_a_class_of_few_codes_has_their_unbiased_covariance() -> None:
    z, y = torch.randn(5, 2, dtype=torch.float64), torch.zeros(5, dtype=torch.int64)
    moved, _ = by_class(z, y, 40_000, seeded(), shrink=0.0)
    torch.testing.assert_close(moved.T.cov(), z.T.cov(), rtol=0.05, atol=0.02)
    alone, label = by_class(torch.randn(1, 2), torch.tensor([3]), 4, seeded())
    assert label.tolist() == [3] * 4 and bool(torch.isfinite(alone).all())


@pytest.mark.parametrize("classes", [(0, 1), (0, 2, 3)])
def test_a_classifier_of_pixels_has_scikit_learns_probabilities(classes: tuple[int, ...]) -> None:
    y = torch.tensor(classes)[torch.arange(90) % len(classes)]
    x = torch.randn(90, 1, 2, 3) + y[:, None, None, None]
    logits, accuracy = pixel_classifier(x, y)
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    theirs = LogisticRegression(C=0.05, max_iter=500).fit(x[order].flatten(1).numpy(), y[order].numpy())
    found = logits(x).softmax(1)
    assert found.shape == (90, max(classes) + 1)
    np.testing.assert_allclose(found[:, list(classes)].numpy(), theirs.predict_proba(x.flatten(1).numpy()), atol=1e-5)
    assert accuracy == pytest.approx(theirs.score(x.flatten(1).numpy(), y.numpy()))
    with pytest.raises(UserError, match="at least two classes"):
        pixel_classifier(x, y * 0)


def test_between_stays_on_lines_within_a_class() -> None:
    z, y = (
        torch.tensor([[0.0, 0.0], [1.0, 2.0], [10.0, 10.0], [10.0, 11.0], [50.0, 0.0]]),
        torch.tensor([0, 0, 1, 1, 2]),
    )
    moved, of = between(z, y, 100, seeded())
    first = moved[y[of] == 0]
    assert torch.allclose(first[:, 1], 2 * first[:, 0], atol=1e-6) and bool(((first >= 0) & (first <= 2)).all())
    assert torch.equal(moved[y[of] == 2], z[4].expand(20, 2))
    assert between(z, None, 10, seeded())[0].shape == (10, 2)


def test_adversarial_moves_up_the_loss_within_the_radius() -> None:
    w = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    z = torch.tensor([[2.0, 3.0], [-1.0, 0.5]])
    moved, gain = adversarial(z, torch.tensor([0, 1]), lambda c: c, lambda x: x @ w.T, radius=0.5)
    # the loss of a linear classifier grows along -w₀ + w₁ alone
    assert torch.allclose(moved - z, torch.tensor([[-0.5, 0.0], [0.5, 0.0]]), atol=1e-6)
    assert (gain > 0).all()
    still, none = adversarial(z, torch.tensor([0, 1]), lambda c: c, lambda x: x * 0, radius=0.5)
    assert torch.equal(still, z) and not none.any()
    with pytest.raises(UserError):
        adversarial(z, torch.tensor([0, 1]), lambda c: c, lambda x: x, radius=-1)
    with pytest.raises(UserError, match="needs a decoder's mean with a gradient"):
        adversarial(z, torch.tensor([0, 1]), lambda c: c.detach(), lambda x: x, radius=0.5)


@pytest.mark.parametrize("kind", ["gmm", "kmeans"])
def test_clear_clusters_are_found_and_stable_and_noise_is_not(kind: str) -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [150, 100, 50])
    z = rng.standard_normal((300, 2)) * 0.2 + np.array([[0, 0], [5, 0], [0, 5]])[truth]
    found = cluster(z, 3, kind, bootstraps=5)  # type: ignore[arg-type]
    assert np.array_equal(found.labels, truth)  # numbered by size
    assert found.stability.mean() > 0.99 and (found.sure is None) == (kind == "kmeans")
    noise = cluster(rng.standard_normal((300, 2)), 8, kind, bootstraps=5)  # type: ignore[arg-type]
    assert noise.stability.mean() < 0.8
    assert np.bincount(cluster(z, 2, kind, bootstraps=2).labels).shape == (2,)  # type: ignore[arg-type]
    for k in (1, 301):
        with pytest.raises(UserError, match="clusters"):
            cluster(z, k, kind)  # type: ignore[arg-type]


def test_few_labels_are_even_over_classes() -> None:
    y = np.repeat([0, 1, 2], [500, 50, 5])
    assert np.bincount(y[few_labels(y, 12)]).tolist() == [4, 4, 4]
    assert np.bincount(y[few_labels(y, 40, seed=3)]).tolist() == [18, 17, 5]
    assert len(np.unique(few_labels(y, 100))) == 100
    for n in (2, 556):
        with pytest.raises(UserError, match="at least one a class"):
            few_labels(y, n)


def test_a_classifier_of_codes() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    z = rng.standard_normal((60, 3)) + 3 * y[:, None]
    assert fit_classifier(z, y).score(z, y) > 0.9
    assert fit_classifier(z[:2], y[:2]).predict(z[:2]).tolist() == [0, 1]  # one a class: nothing to cross-validate
    for fewest, folds in ((2, 2), (4, 4), (30, 5)):
        kept = np.concatenate([np.flatnonzero(y == 0)[:fewest], np.flatnonzero(y == 1)])
        found = fit_classifier(z[kept], y[kept])
        assert found.cv.n_splits == folds
        assert found.param_grid["logisticregression__C"].tolist() == pytest.approx(
            [10 ** (i / 2 - 4) for i in range(13)]
        )
    with pytest.raises(UserError, match="two classes"):
        fit_classifier(z, y * 0)


def test_the_mixture_samples_where_the_codes_are() -> None:
    torch.manual_seed(0)
    z = torch.cat([torch.randn(300, 2) * 0.1 - 3, torch.randn(100, 2) * 0.1 + 3])
    drawn = fit_mixture(z, 2).sample(2000, seed=1)
    near_codes = torch.cdist(drawn, z).min(1).values
    assert near_codes.max() < 0.5
    assert (drawn[:, 0] < 0).float().mean().item() == pytest.approx(0.75, abs=0.04)
    assert torch.equal(drawn, fit_mixture(z, 2).sample(2000, seed=1))
    for bad in (0, 401):
        with pytest.raises(UserError, match="components"):
            fit_mixture(z, bad)
