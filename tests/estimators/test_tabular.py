"""The imputer over tabular-vae: trained on gaps as they are, in the columns' own units."""

from __future__ import annotations

import pickle

import numpy as np

from vaekit.estimators import VAE, Imputer


def rows(seed: int = 0, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Four columns that follow one factor, whole and with gaps; a fifth that is constant."""
    noise = np.random.default_rng(seed)
    f = noise.normal(size=(n, 1))
    x = np.hstack([100 + 20 * f, 0.1 * f, -f, 5 * f, np.full((n, 1), 3.0)]) + noise.normal(size=(n, 5)) * [
        4,
        0.02,
        0.2,
        1,
        0,
    ]
    gaps = noise.random(x.shape) < 0.3
    return x, np.where(gaps, np.nan, x)


SMALL = {"objective.k": 5, "train.decay": "none"}


def test_it_fills_gaps_better_than_means_and_keeps_the_rest() -> None:
    x, seen = rows()
    imputer = Imputer("tabular-vae", latent=1, epochs=60, lr=5e-3, batch_size=64, settings=SMALL, random_state=0)
    filled = imputer.fit_transform(seen)
    gaps = np.isnan(seen)
    assert np.array_equal(filled[~gaps], seen[~gaps]) and np.isfinite(filled).all()
    for j in range(4):
        error = (filled - x)[:, j][gaps[:, j]]
        assert np.sqrt((error**2).mean()) < 0.5 * x[:, j].std(), j
    assert np.abs(filled[:, 4] - 3.0).max() < 0.2
    again = pickle.loads(pickle.dumps(imputer))
    np.testing.assert_allclose(again.transform(seen), filled)
    draws = imputer.sample_imputations(seen, 4, random_state=1)
    assert draws.shape == (4, *x.shape) and np.array_equal(draws[2][~gaps], seen[~gaps])


def test_densities_are_in_the_columns_own_units() -> None:
    x = rows()[0][:, :4]
    options = {"latent": 1, "epochs": 5, "settings": SMALL, "random_state": 0, "k": 50}
    plain, scaled = (VAE("tabular-vae", **options).fit(v) for v in (x, 10 * x))
    np.testing.assert_allclose(scaled.score_samples(10 * x), plain.score_samples(x) - 4 * np.log(10), rtol=0, atol=0.05)
