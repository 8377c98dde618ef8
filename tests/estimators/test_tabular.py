"""The imputer over tabular-vae: trained on gaps as they are, in the columns' own units."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

from vaekit.estimators import VAE, AnomalyDetector, Imputer


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


@pytest.mark.filterwarnings("ignore:(?s).*'x4' is '3' in every training row")
def test_it_fills_gaps_better_than_means_and_keeps_the_rest() -> None:
    x, seen = rows()
    plain = SMALL | {"model.straight": False, "model.hide": 0.0, "model.prior": "standard-normal"}  # for few steps
    imputer = Imputer("tabular-vae", latent=1, epochs=60, lr=5e-3, batch_size=64, settings=plain, random_state=0)
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
    whole = SMALL | {"data.valid": 0}  # which rows would be held out depends on what they hold
    options = {"latent": 1, "epochs": 5, "settings": whole, "random_state": 0, "k": 50}
    plain, scaled = (VAE("tabular-vae", **options).fit(v) for v in (x, 10 * x))
    np.testing.assert_allclose(scaled.score_samples(10 * x), plain.score_samples(x) - 4 * np.log(10), rtol=0, atol=0.05)


# -- data frames of mixed columns --------------------------------------------------------------------------------------


def mixed(n: int = 200) -> pd.DataFrame:
    """Return customers of two towns, some of whose cells are missing."""
    noise = np.random.default_rng(0)
    town = noise.integers(0, 2, n)
    age, rate = noise.normal(30 + 25 * town, 4).round().astype(int), noise.normal(size=n).round(2)
    frame = pd.DataFrame({"age": age, "rate": rate})
    frame["town"] = pd.Categorical(np.array(["Hull", "York"])[town])
    frame["since"] = np.datetime64("2024-01-01") + noise.integers(0, 400, n)
    frame.index = frame.index + 1000
    return frame


def test_frames_of_mixed_columns_go_in_and_come_out() -> None:
    whole, gaps = mixed(), mixed()
    gaps.iloc[::5, 2] = None
    imputer = Imputer("tabular-vae", epochs=40, lr=5e-3, k=50, random_state=0)
    filled = imputer.fit_transform(gaps)
    assert filled.dtypes.equals(whole.dtypes) and filled.index.equals(whole.index) and not filled.isna().any(axis=None)
    seen = gaps["town"].notna()
    assert filled["town"][seen].equals(gaps["town"][seen])
    assert (filled["town"] == whole["town"])[~seen].mean() > 0.65
    assert len(imputer.sample_imputations(gaps, 2)) == 2 and imputer.transform(whole).equals(whole)
    assert isinstance(imputer.set_output(transform="polars").transform(gaps), pl.DataFrame)
    again = pickle.loads(pickle.dumps(imputer.set_output(transform="default")))
    pd.testing.assert_frame_equal(again.transform(gaps), filled)


def test_a_transformer_of_frames() -> None:
    frame = mixed()
    vae = VAE("tabular-vae", latent=3, epochs=10, k=8, random_state=0).set_output(transform="pandas")
    codes = vae.fit_transform(frame)
    assert list(codes.columns) == ["vae0", "vae1", "vae2"] and codes.index.equals(frame.index)
    assert vae.sample(5).dtypes.equals(frame.dtypes)
    assert vae.inverse_transform(codes.to_numpy()).dtypes.equals(frame.dtypes)
    assert np.isfinite(vae.score_samples(frame)).all()
    detector = AnomalyDetector("tabular-vae", epochs=10, k=8, contamination=0.1, random_state=0).fit(frame)
    assert (detector.predict(frame) == -1).sum() == 20
    with pytest.raises(ValueError, match="feature names"):
        vae.transform(frame.drop(columns="age"))
