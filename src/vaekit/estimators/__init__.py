"""scikit-learn estimators over recipes: rows of numbers in, features, densities, anomalies or filled gaps out.

All pass scikit-learn's own `check_estimator`. They clone, pickle (weights as arrays; no module is pickled), take a
`random_state`, and work in pipelines and grid searches. Images go in flat: one row an image. A recipe of tables takes
data frames of mixed columns too, and gives frames.

What is left out is as `vaekit train` has it, the recipe's own: latent dimensions, widths, length of training, rates,
the device. `settings` are further ones by the command's names, {"objective.beta": 4.0, "train.device": "cuda"}; what is
said twice is refused. No rows are held out, but to validate where the recipe or the settings keep the best weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import (  # pyright: ignore[reportPrivateUsage]
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    OneToOneFeatureMixin,
    OutlierMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from vaekit.data.tables.dataframes import library_of
from vaekit.errors import UserError
from vaekit.estimators.fitted import Fitted, takes_tables, train_with_gaps
from vaekit.tasks.anomaly import CODED, default_score, threshold
from vaekit.tasks.augmentation import moved_codes

_MODEL: dict[str, list[Any]] = {
    "recipe": [str],
    "latent": [Interval(Integral, 1, None, closed="left"), None],
    "hidden": ["array-like", None],
    "likelihood": [str],
    "epochs": [Interval(Integral, 1, None, closed="left"), None],
    "batch_size": [Interval(Integral, 1, None, closed="left"), None],
    "lr": [Interval(Real, 0, None, closed="neither"), None],
    "k": [Interval(Integral, 2, None, closed="left")],
    "settings": [dict, None],
    "random_state": ["random_state"],
}


@dataclass(eq=False, repr=False)
class _Estimator(BaseEstimator):
    """What the estimators share: the recipe's parameters, and a fitted model whose pickle is arrays."""

    recipe: str = "vae"
    _: KW_ONLY
    latent: int | None = None
    hidden: tuple[int, ...] | None = None
    likelihood: str = "auto"
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    k: int = 64
    settings: Mapping[str, Any] | None = None
    random_state: Any = None
    fitted_: Fitted = field(init=False)
    _takes_frames: ClassVar[bool] = True

    def _settings(self) -> dict[str, Any]:
        """Return the settings that are given, by name; a UserError where one is given twice, or is the estimator's."""
        own = {
            "model.latent": self.latent,
            "model.likelihood": None if self.likelihood == "auto" else self.likelihood,
            "model.hidden": None if self.hidden is None else tuple(self.hidden),
            "train.epochs": self.epochs,
            "train.batch_size": self.batch_size,
            "train.lr": self.lr,
        }
        given = {name: value for name, value in own.items() if value is not None}
        more = dict(self.settings or {})
        for name in more.keys() & given.keys():
            raise UserError(
                f"{name.partition('.')[2]}={given[name]} and settings['{name}'] say the same; give one of them"
            )
        if self.random_state is not None and "train.seed" in more:
            raise UserError("random_state and settings['train.seed'] are both the seed; give one of them")
        return given | more

    def _seed(self, random_state: Any = None) -> int:
        told = (self.settings or {}).get("train.seed")
        if random_state is None and told is not None:
            return int(told)
        state = self.random_state if random_state is None else random_state
        return int(check_random_state(state).randint(2**31 - 1))

    def _train(self, X: Any, **more: Any) -> None:
        X = X if library_of(X) else X.astype(np.float64)
        self.fitted_ = Fitted.train(X, self.recipe, self._settings() | more, self._seed())

    def _check(self, X: Any, *, reset: bool = False, gaps: bool = False) -> Any:
        """Return checked rows: an array of numbers, or a data frame as it is where the recipe is of tables."""
        own: Any = validate_data
        if library_of(X) and takes_tables(self.recipe) and self._takes_frames:
            own(self, X, reset=reset, skip_check_array=True)
            return X
        return own(
            self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan" if gaps else True
        )

    def __getstate__(self) -> dict[str, Any]:
        own: Any = super().__getstate__()
        state = dict(own)
        if "fitted_" in state:
            state["fitted_"] = state["fitted_"].state()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state.get("fitted_"), dict):
            state = state | {"fitted_": Fitted.from_state(state["fitted_"])}
        super().__setstate__(state)


class VAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _Estimator):
    """A variational autoencoder as a transformer (features are posterior means), a density and a sampler.

    `recipe` names any recipe without labels; `settings` are further settings, {"objective.beta": 4.0}. `likelihood`
    "auto" is Bernoulli for zeros and ones, else a Gaussian with one learned σ on standardised columns. `k` counts the
    importance samples of `score_samples`.

    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> vae = VAE(latent=2, epochs=20, random_state=0).fit(X)
    >>> vae.transform(X).shape, vae.inverse_transform(vae.transform(X)).shape, vae.sample(3).shape
    ((150, 2), (150, 4), (3, 4))
    """

    _parameter_constraints = _MODEL

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> VAE:
        """Train on rows X (N, D)."""
        self._train(self._check(X, reset=True))
        self._n_features_out = self.fitted_.latent_size
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> VAE:
        """Train one pass over these rows more; the first call sets the standardisation."""
        first = not hasattr(self, "fitted_")
        X = self._check(X, reset=first)
        if first:
            self._check_passes()
            own = {"train.epochs": 1, "train.warmup": 0, "train.decay": "none", "train.keep": "last", "data.valid": 0}
            self._train(X, **own)
            self._n_features_out = self.fitted_.latent_size
        else:
            self.fitted_.more(X)
        return self

    def _check_passes(self) -> None:
        """Refuse settings of a training's length, which passes one by one do not have."""
        passes = ("steps", "epochs", "least_steps", "warmup", "decay", "keep", "early_stop")
        wrong = [name for name in (self.settings or {}) if name in {f"train.{one}" for one in passes} | {"data.valid"}]
        if wrong:
            raise UserError(
                f"partial_fit trains one pass a call, so {wrong[0]} means nothing to it; leave it out, or fit"
            )

    def transform(self, X: Any) -> np.ndarray:
        """Return the means of q(z|x), (N, latent)."""
        check_is_fitted(self)
        X = self._check(X)
        return self.fitted_.encode(X).astype(getattr(X, "dtype", np.float64))

    def inverse_transform(self, X: Any) -> Any:
        """Return the means of p(x|z) of codes (N, latent), in the columns' own units: (N, D).

        Of a table trained on as a data frame they are such a frame, and so are samples.
        """
        check_is_fitted(self)
        z = check_array(X, dtype="float64")
        if z.shape[1] != self.fitted_.latent_size:
            raise ValueError(f"codes have shape (N, {self.fitted_.latent_size}), not {z.shape}")
        return self.fitted_.decode(z)

    def score_samples(self, X: Any) -> np.ndarray:
        """Return log p(x) of each row from below, with k importance samples: nats, in the columns' own units."""
        check_is_fitted(self)
        return self.fitted_.log_prob(self._check(X), self.k)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None, temperature: float = 1.0) -> Any:
        """Return new rows (n, D): z from the prior, x drawn from p(x|z)."""
        check_is_fitted(self)
        return self.fitted_.sample(n_samples, self._seed(random_state), temperature)


@dataclass(eq=False, repr=False)
class AnomalyDetector(OutlierMixin, _Estimator):
    """Anomalies by a VAE of the normal rows: 1 is normal, -1 an anomaly.

    `criterion`: "iw" (importance-weighted -log p(x)), "elbo", "reconstruction", "regret", "distance", "neighbours",
    "combined", or "auto": combined for recipes of tables, else iw; see `vaekit.tasks.anomaly`. The
    threshold leaves a share `contamination` of the training rows outside.

    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> detector = AnomalyDetector(epochs=20, contamination=0.1, random_state=0).fit(X)
    >>> int((detector.predict(X) == -1).sum())
    15
    """

    criterion: str = "auto"
    contamination: float = 0.1

    _parameter_constraints = _MODEL | {
        "criterion": [StrOptions({"auto", "iw", "elbo", "reconstruction", "regret", *CODED})],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> AnomalyDetector:
        """Train on rows X (N, D), normal ones but for a share `contamination`."""
        X = self._check(X, reset=True)
        self._train(X)
        self.score_ = self.criterion
        if self.criterion == "auto":
            self.score_ = default_score("table" if self.fitted_.is_table else "")
        codes = self.fitted_.encode(X) if self.score_ in CODED else None
        self.codes_, self.standards_ = codes, None
        if codes is not None and self.score_ == "combined":
            self.standards_ = self.fitted_.standards(X, self.k, codes)
        self.offset_ = -threshold(-self._scores(X), self.contamination)
        return self

    def _scores(self, X: np.ndarray) -> np.ndarray:
        return -self.fitted_.scores(X, self.score_, self.k, self.codes_, self.standards_)

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal each row is: minus its anomaly score (N,)."""
        check_is_fitted(self)
        return self._scores(self._check(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Return `score_samples` less the threshold: negative for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 for normal rows, -1 for anomalies."""
        return np.where(self.decision_function(X) >= 0, 1, -1)


@dataclass(eq=False, repr=False)
class Imputer(OneToOneFeatureMixin, TransformerMixin, _Estimator):
    """Fills NaN with E[x_missing | x_observed] under a VAE trained on rows that may have NaN themselves.

    Training alternates with drawing the missing entries, in `rounds`; recipe="tabular-vae" needs no rounds, since its
    bound is of the observed entries alone (MIWAE). `k` counts importance samples.
    `sample_imputations` gives multiple imputations, for the uncertainty.

    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data.copy(); X[::3, 1] = np.nan
    >>> filled = Imputer(epochs=20, random_state=0).fit_transform(X)
    >>> bool(np.isfinite(filled).all() and (filled[1] == X[1]).all())
    True
    """

    rounds: int = 3
    k: int = 100

    _parameter_constraints = _MODEL | {"rounds": [Interval(Integral, 1, None, closed="left")]}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Imputer:
        """Train on rows X (N, D) with NaN where values are missing."""
        X = self._check(X, reset=True, gaps=True)
        X = X if library_of(X) else X.astype(np.float64)
        self.fitted_ = train_with_gaps(X, self.recipe, self._settings(), self._seed(), self.rounds, self.k)
        return self

    def transform(self, X: Any) -> Any:
        """Return X with NaN filled by conditional means; observed entries as they are."""
        check_is_fitted(self)
        X = self._check(X, gaps=True)
        filled = self.fitted_.impute(X, k=self.k)[0]
        return filled if library_of(X) else filled.astype(X.dtype)

    def sample_imputations(self, X: Any, n_samples: int = 10, random_state: Any = None) -> Any:
        """Return n_samples imputations drawn from p(x_missing | x_observed): (M, N, D), or a list of data frames."""
        check_is_fitted(self)
        X = self._check(X, gaps=True)
        X = X if library_of(X) else X.astype(np.float64)
        return self.fitted_.impute(X, draws=n_samples, k=max(self.k, n_samples), seed=self._seed(random_state))[1]


@dataclass(eq=False, repr=False)
class Augmenter(_Estimator):
    """New rows like given ones: codes of rows of X (in turn) moved by `radius` or along lines to others, decoded.

    Rows are arrays of numbers; `vaekit.Run.augment` is for tables of mixed columns.

    `method`: "near" or "interpolate" (between rows of one class where y is given). `fit_resample` returns the rows
    followed by `n_new` new ones (as many again by default) with their labels, as imbalanced-learn's samplers do.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> more, labels = Augmenter(epochs=20, random_state=0).fit_resample(X, y)
    >>> more.shape, labels.shape
    ((300, 4), (300,))
    """

    _takes_frames = False
    method: str = "near"
    radius: float = 0.3
    n_new: int | None = None

    _parameter_constraints = _MODEL | {
        "method": [StrOptions({"near", "interpolate"})],
        "radius": [Interval(Real, 0, None, closed="left")],
        "n_new": [Interval(Integral, 1, None, closed="left"), None],
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Augmenter:
        """Train on rows X (N, D); labels are not needed."""
        self._train(self._check(X, reset=True))
        return self

    def resample(self, X: Any, y: Any = None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return X followed by new rows, and their labels (None without y)."""
        check_is_fitted(self)
        X = self._check(X)
        labels = None if y is None else np.asarray(y)
        if labels is not None and len(labels) != len(X):
            raise ValueError(f"there are {len(X)} rows but {len(labels)} labels")
        codes = self.fitted_.encode(X)
        z, of = moved_codes(codes, labels, self.n_new or len(X), self.method, self.radius, self._seed())
        new = self.fitted_.decode(z).astype(X.dtype)
        return np.concatenate([X, new]), None if labels is None else np.concatenate([labels, labels[of]])

    def fit_resample(self, X: Any, y: Any = None) -> tuple[np.ndarray, np.ndarray | None]:
        """Train on X and return it with new rows, and their labels."""
        return self.fit(X).resample(X, y)
