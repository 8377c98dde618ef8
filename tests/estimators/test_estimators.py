"""scikit-learn's own checks, whole, and what they do not ask."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from vaekit.errors import UserError
from vaekit.estimators import VAE, AnomalyDetector, Augmenter, Imputer
from vaekit.estimators.fitted import Fitted
from vaekit.recipes.base import RECIPES

FAST: dict[str, Any] = {"epochs": 3, "hidden": (16,), "k": 16}
ESTIMATORS = [VAE(**FAST), AnomalyDetector(**FAST), Imputer(**FAST), Augmenter(**FAST)]
IRIS = np.asarray(load_iris(return_X_y=True)[0])
EVERY = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_a_state_without_a_scale_is_of_data_taken_as_they_are() -> None:
    """Pickles of zeros and ones once held no mean and sd."""
    X = (IRIS.mean(0) < IRIS).astype(float)
    fitted = VAE(**FAST, random_state=0).fit(X).fitted_
    state = fitted.state()
    record = json.loads(state["record"].tobytes()) | {"mean": None, "sd": None}
    again = Fitted.from_state(state | {"record": np.frombuffer(json.dumps(record).encode(), np.uint8)})
    assert np.array_equal(again.encode(X), fitted.encode(X))
    assert np.array_equal(again.log_prob(X, 4), fitted.log_prob(X, 4))


def seeded(estimator: Any, seed: int) -> Any:
    fresh: Any = clone(estimator)
    return fresh.set_params(random_state=seed)


@EVERY
def test_a_pickle_holds_arrays_and_gives_the_same_answers(estimator: Any) -> None:
    fitted = seeded(estimator, 0).fit(IRIS)
    data = pickle.dumps(fitted)
    named = " ".join(str(arg) for op, arg, _ in pickletools.genops(data) if arg is not None)
    assert "torch" not in named
    again = pickle.load(io.BytesIO(data))
    for name, value in fitted.fitted_.state().items():
        assert np.array_equal(again.fitted_.state()[name], value)
    for method in ("transform", "score_samples", "predict"):
        if hasattr(fitted, method):
            assert np.array_equal(getattr(fitted, method)(IRIS), getattr(again, method)(IRIS))


@EVERY
def test_the_seed_decides(estimator: Any) -> None:
    one, two, other = (seeded(estimator, s).fit(IRIS).fitted_ for s in (1, 1, 2))
    assert np.array_equal(one.encode(IRIS), two.encode(IRIS))
    assert not np.allclose(one.encode(IRIS), other.encode(IRIS))


def test_score_samples_is_a_density_in_the_columns_own_units() -> None:
    X = IRIS[:, :1]
    vae = VAE(latent=1, epochs=60, hidden=(16,), lr=1e-2, k=400, random_state=0).fit(X)
    grid = np.linspace(0, 14, 3001)
    mass = np.exp(vae.score_samples(grid[:, None])).sum() * (grid[1] - grid[0])
    assert mass == pytest.approx(1, abs=0.02)
    wide = VAE(latent=1, epochs=60, hidden=(16,), lr=1e-2, k=400, random_state=0).fit(10 * X)
    assert wide.score(10 * X) == pytest.approx(vae.score(X) - np.log(10), abs=1e-3)


def test_sampling_and_reconstruction_are_in_the_columns_own_units() -> None:
    X = IRIS * [1, 10, 100, 1000] + 50
    vae = VAE(latent=2, epochs=200, hidden=(32,), lr=5e-3, random_state=0).fit(X)
    drawn = vae.sample(2000, random_state=1)
    assert np.allclose(drawn.mean(0), X.mean(0), atol=0.4 * X.std(0))
    back = vae.inverse_transform(vae.transform(X))
    assert ((back - X) ** 2).sum() < 0.5 * ((X - X.mean(0)) ** 2).sum()
    assert np.array_equal(vae.sample(9, random_state=1), vae.sample(9, random_state=1))


def test_partial_fit_goes_on_from_where_it_was() -> None:
    vae = VAE(hidden=(16,), random_state=0, lr=1e-2)
    scores = []
    for _ in range(40):
        vae.partial_fit(IRIS)
        scores.append(vae.score(IRIS))
    assert scores[-1] > scores[0] + 0.5


def test_in_a_pipeline_and_a_grid_search() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(VAE(latent=4, epochs=30, hidden=(32,), random_state=0), LogisticRegression())
    search = GridSearchCV(pipeline, {"vae__latent": [1, 4]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.85
    assert search.best_estimator_[:-1].get_feature_names_out().tolist()[0] == "vae0"
    assert np.isfinite(cross_val_score(VAE(epochs=2, hidden=(8,), random_state=0), IRIS, cv=2)).all()


@pytest.mark.parametrize("criterion", ["iw", "elbo", "reconstruction", "regret", "distance"])
def test_planted_anomalies_score_highest(criterion: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 1)) @ np.array([[1.0, -1.0, 0.5]]) + 0.1 * rng.standard_normal((300, 3))
    odd = np.array([[3.0, 3.0, 3.0], [-4.0, -4.0, 0.0]])
    if criterion == "distance":  # of the code, which what lies across the data's line does not change
        odd = np.array([[6.0, -6.0, 3.0], [-6.0, 6.0, -3.0]])
    detector = AnomalyDetector(
        criterion=criterion, latent=1, epochs=150, hidden=(16,), lr=5e-3, contamination=0.05, random_state=0
    ).fit(X)
    assert (detector.predict(odd) == -1).all()
    assert (detector.predict(X) == -1).sum() == 15


def test_the_imputer_beats_column_means_and_leaves_what_is_there() -> None:
    X = np.asarray(load_breast_cancer(return_X_y=True)[0])[:, :10]
    X = (X - X.mean(0)) / X.std(0)
    rng = np.random.default_rng(0)
    missing = rng.random(X.shape) < 0.3
    gaps = np.where(missing, np.nan, X)
    imputer = Imputer(latent=4, epochs=120, hidden=(64,), lr=5e-3, random_state=0).fit(gaps)
    filled = imputer.transform(gaps)
    assert np.array_equal(filled[~missing], X[~missing])
    error = ((filled - X)[missing] ** 2).mean()
    assert error < 0.45 * (X[missing] ** 2).mean()
    draws = imputer.sample_imputations(gaps, 20, random_state=0)
    assert np.array_equal(draws[:, ~missing], np.broadcast_to(X[~missing], (20, (~missing).sum())))
    low, high = np.quantile(draws[:, missing], [0.05, 0.95], axis=0)
    assert 0.75 < ((low <= X[missing]) & (X[missing] <= high)).mean() < 0.99  # of 90% intervals


@pytest.mark.parametrize("method", ["near", "interpolate"])
def test_the_augmenter_keeps_rows_and_classes(method: str) -> None:
    X, y = load_iris(return_X_y=True)
    augmenter = Augmenter(method=method, radius=0.1, epochs=100, n_new=300, lr=5e-3, random_state=0)
    more, labels = augmenter.fit_resample(X, y)
    assert np.array_equal(more[:150], X) and labels is not None and np.array_equal(labels[:150], y)
    assert len(more) == len(labels) == 450
    assert LogisticRegression(max_iter=2000).fit(X, y).score(more[150:], labels[150:]) > 0.85
    assert Augmenter(**FAST, random_state=0).fit_resample(X)[1] is None


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match="beta"):
        VAE(settings={"objective.betta": 4.0}).fit(IRIS)
    with pytest.raises(UserError, match=r"section\.name"):
        VAE(settings={"beta": 4.0}).fit(IRIS)
    with pytest.raises(UserError, match="recipe"):
        VAE("vea").fit(IRIS)


# -- what is asked for is done, or refused -----------------------------------------------------------------------------


def test_what_is_left_out_is_as_the_command_has_it() -> None:
    settings = VAE(epochs=1, random_state=0).fit(IRIS).fitted_.run.settings
    own: Any = RECIPES["vae"].part.settings()
    for name in ("latent", "hidden", "prior", "act", "net"):
        assert getattr(settings.model, name, None) == getattr(own.model, name, None), name
    for name in ("batch_size", "lr", "warmup", "decay", "device", "least_steps"):
        assert getattr(settings.train, name) == getattr(own.train, name), name


def test_without_a_length_it_trains_the_steps_of_the_command() -> None:
    vae = VAE(hidden=(4,), settings={"train.least_steps": 30}, random_state=0).fit(IRIS)
    assert vae.fitted_.run.record["result"]["steps"] >= 30
    short = Imputer(hidden=(4,), rounds=3, k=8, settings={"train.steps": 9}, random_state=0)
    X = IRIS.copy()
    X[::3, 1] = np.nan
    assert short.fit(X).fitted_.run.settings.train.steps == 3  # a third for each round


def test_settings_are_honoured() -> None:
    own = {"model.scale": 0.7, "train.seed": 5, "train.device": "cpu", "data.valid": 0.2, "data.standardise": False}
    run = VAE(epochs=2, settings=own).fit(IRIS).fitted_
    assert run.run.record["settings"]["model"]["scale"] == 0.7 and run.run.settings.train.seed == 5
    assert run.run.info.n_valid > 10 and run.mean.tolist() == [0.0] * 4
    best = VAE(epochs=4, settings={"train.keep": "best"}, random_state=0).fit(IRIS).fitted_.run
    assert best.info.n_valid > 0 and best.info.n_test == 0  # rows are held out where they are looked at
    assert VAE(epochs=2, random_state=0).fit(IRIS).fitted_.run.info.n_valid == 0


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"latent": 2, "settings": {"model.latent": 3}}, r"latent=2 and settings\['model.latent'\] say the same"),
        ({"random_state": 0, "settings": {"train.seed": 1}}, "are both the seed"),
        ({"settings": {"train.device": "tpu"}}, "tpu"),
    ],
)
def test_what_is_said_twice_or_wrong_is_refused(how: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        VAE(epochs=1, **how).fit(IRIS)


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="partial_fit trains one pass a call"):
        VAE(settings={"train.steps": 10}).partial_fit(IRIS)
    X = IRIS.copy()
    X[::3, 1] = np.nan
    with pytest.raises(UserError, match="rounds=1"):
        Imputer(settings={"train.keep": "best"}).fit(X)
