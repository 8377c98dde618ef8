"""A run of time series from reading to forecasting: units, lengths, gaps, and imputation against the exact answer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import vaekit
from recipes import examples
from vaekit.commands.files import write_examples
from vaekit.commands.impute import impute as impute_command
from vaekit.commands.interpolate import interpolate
from vaekit.commands.reconstruct import reconstruct
from vaekit.commands.traverse import traverse
from vaekit.data.dataset import DataSet
from vaekit.data.info import DataInfo
from vaekit.data.prepare import Prepare
from vaekit.data.series.arrays import of_memory
from vaekit.data.series.collection import lengths_of
from vaekit.data.series.reading import read_series
from vaekit.data.series.settings import SeriesSettings
from vaekit.errors import UserError
from vaekit.figures import series as series_figures
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.likelihoods.series import OfSeries
from vaekit.models.vae import VAE
from vaekit.nets.base import Net
from vaekit.nets.series import SeriesDecoder, SeriesEncoder
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.runs.run import Run
from vaekit.tasks.series_imputation import impute_series

SMALL: dict[str, Any] = {"model.width": 16, "model.latent": 3, "model.layers": 1, "train.lr": 4e-3}


@cache
def trained(folder: Path, **more: Any) -> Run:
    return vaekit.train("series-vae", examples.waves(), out=folder / "run", steps=60, set=SMALL | more, device="cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("series"))


def some(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    made = [rng.normal(size=(2, int(n))) * [[3], [10]] + [[0], [50]] for n in rng.integers(5, 20, count)]
    for one in made:
        one[rng.random(one.shape) < 0.2] = np.nan
    return made


# -- numbers -----------------------------------------------------------------------------------------------------------


def bound(run: Run, data: Any, k: int = 16) -> np.ndarray:
    return -run.anomaly_scores(data, "iw", k=k)


def test_the_unit_of_the_data_moves_the_bound_by_its_logarithm_alone() -> None:
    """Channels times s: log p of each series changes by -Σ_c cells_c log s_c, whatever s is."""
    data = some(60)

    def trained(series: list[np.ndarray]) -> Run:
        parts = {"valid": series[30:40], "test": series[40:]}  # by name: in another unit others would be held out
        return vaekit.train("series-vae", series[:30], **parts, steps=20, set=SMALL, device="cpu", pictures=False)

    base = trained(data)
    cells = torch.isfinite(base.test.x).sum(2).double().numpy()
    for s in ((1e-3, 1e4), (1e4, 1e-3)):
        scaled = [one * np.array(s)[:, None] + 7 for one in data]
        other = trained(scaled)
        np.testing.assert_allclose(bound(other, None), bound(base, None) - cells @ np.log(s), atol=0.05)
        moved = other.record["result"]["elbo"] - base.record["result"]["elbo"]
        held = torch.isfinite(base.data.valid.x).sum(2).double().mean(0).numpy()
        assert moved == pytest.approx(-held @ np.log(s), abs=0.05)


def test_a_ragged_batch_scores_as_each_series_alone(run: Run) -> None:
    data = some(6)
    elbo = -run.anomaly_scores(data, "reconstruction")
    alone = np.concatenate([-run.anomaly_scores([one], "reconstruction") for one in data])
    np.testing.assert_allclose(elbo, alone, rtol=1e-5)
    codes = run.encode(data)
    torch.testing.assert_close(torch.cat([run.encode([one]) for one in data]), codes, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(run.encode(data[::-1]).flip(0), codes, rtol=1e-4, atol=1e-5)


def test_padding_with_nan_is_the_same_as_a_list(run: Run) -> None:
    data = some(6)
    padded = np.full((6, 2, 20), np.nan)
    for row, one in zip(padded, data):
        row[:, : one.shape[1]] = one
    lengths = np.array([one.shape[1] for one in data])
    torch.testing.assert_close(run.encode({"values": padded, "lengths": lengths}), run.encode(data))


def test_evaluation_says_what_its_numbers_are(run: Run) -> None:
    found = run.evaluate(["likelihood", "series"], k=20)
    for name in ("elbo", "iw_bound"):
        assert found[name].value is not None and found[name].unit == "nats/example given its length"
    assert found["kl"].unit == "nats/example" and "bits_per_dim" not in found
    for name in ("gap_coverage", "forecast_coverage"):
        assert 0.3 < (found[name].value or 0) <= 1
    assert (found["cell_mse"].value or 9) < 1.2


# -- lengths -----------------------------------------------------------------------------------------------------------


def test_samples_reconstructions_and_paths_have_ends(run: Run) -> None:
    allowed = {n for n, _ in run.info.facts["lengths"]}
    assert set(lengths_of(run.sample(30, seed=1)).tolist()) <= allowed
    split = run.test.first(5)
    assert torch.equal(lengths_of(run.reconstruct(split)), lengths_of(split.x))
    made = run.traverse(split, example=2, top=1, steps=3)
    assert set(lengths_of(torch.from_numpy(made.x[0])).tolist()) == {int(lengths_of(split.x)[2])}
    path = run.interpolate_examples([(0, 1)], split, steps=3)[0]
    a, b = (int(n) for n in lengths_of(split.x)[:2])
    assert lengths_of(path).tolist() == [a, round((a + b) / 2), b]


@pytest.mark.parametrize("suffix", ["csv", "npz", "png"])
def test_samples_are_written_as_the_command_writes_them(run: Run, tmp_path: Path, suffix: str) -> None:
    write_examples(run, tmp_path / f"s.{suffix}", run.sample(3), run.labels(3))
    assert (tmp_path / f"s.{suffix}").stat().st_size > 100


def test_samples_are_in_the_source_s_units(run: Run) -> None:
    x = run.sample(40)
    second = x[:, 1][torch.isfinite(x[:, 1])]
    assert float(second.min()) > 20 and 45 < float(second.max()) < 80


# -- gaps --------------------------------------------------------------------------------------------------------------


def test_imputed_series_keep_what_was_observed(run: Run) -> None:
    data = some(5)
    made = run.impute(data, draws=3, k=20)
    for i, one in enumerate(data):
        n = one.shape[1]
        seen = ~np.isnan(one)
        np.testing.assert_array_equal(made.x[i, :, :n][seen], one[seen])
        assert np.isfinite(made.x[i, :, :n]).all() and np.isnan(made.x[i, :, n:]).all()
        np.testing.assert_array_equal(made.missing[i, :, :n], ~seen)
        assert made.draws.shape == (3, *made.x.shape) and np.isfinite(made.draws[:, i, :, :n]).all()
    filled = [made.x[i, :, : one.shape[1]] for i, one in enumerate(data)]
    with pytest.raises(UserError, match="nothing to impute"):
        run.impute(filled)


def test_the_longest_series_and_the_horizon_must_fit_the_model(run: Run) -> None:
    channels, steps = run.info.shape
    short, long = np.zeros((channels, 2)), np.zeros((channels, steps))
    short[0, 1] = np.nan
    parts = run.model, run.info, run.prepare
    with pytest.raises(UserError, match=f"has {steps} steps, and with 1 more it is longer"):
        impute_series(*parts, of_memory([short, long]), 1)
    filled = impute_series(*parts, of_memory([short, long[:, : steps - 1]]), 1, draws=1, k=4)
    assert filled.count == 1 + 2 * channels and [one.shape[1] for one in filled.single] == [3, steps]


def test_what_an_array_lacks_at_its_end_is_filled_or_forecast(run: Run) -> None:
    x = np.stack([one[:, :5] for one in some(3)])
    x[:, :, 3:] = np.nan
    assert np.isfinite(run.impute(x, draws=2, k=10).x).all()
    made = run.forecast(x[:, :, :3], 2, draws=4, k=10)
    assert made.x.shape == (3, 2, 2) and made.draws.shape == (4, 3, 2, 2)
    assert bool((made.quantile(0.1) <= made.quantile(0.9)).all())
    with pytest.raises(UserError, match=r"has 19 steps, and with 9 more it is longer than the 20"):
        run.forecast([np.zeros((2, 19))], 9)
    with pytest.raises(UserError, match="horizon must be at least 1"):
        run.forecast(x, 0)


def test_commands_fill_and_draw(run: Run, tmp_path: Path) -> None:
    assert run.path is not None
    data = tmp_path / "gaps.npz"
    found = some(3)
    np.savez(data, values=np.concatenate(found, 1).T, lengths=np.array([one.shape[1] for one in found]))
    for name in ("f.npz", "f.csv", "f.png"):
        impute_command(run.path, data=str(data), draws=2, k=10, horizon=1, out=tmp_path / name)
    made = np.load(tmp_path / "f.npz")
    assert made["values"].shape[0] == 3 and made["lengths"].tolist() == [one.shape[1] + 1 for one in found]
    assert made["missing"].sum() == sum(np.isnan(one).sum() + 2 for one in found)
    again = read_series(tmp_path / "f.csv", SeriesSettings(id="series", time="step")).series
    for one, other in zip(found, again):
        seen = ~np.isnan(one)
        np.testing.assert_allclose(other[:, : one.shape[1]][seen], one[seen], rtol=1e-8, err_msg="kept as it was")
    for command in (reconstruct, interpolate, traverse):
        command(run.path, out=tmp_path / "x.png")
        assert (tmp_path / "x.png").read_bytes()[1:4] == b"PNG"
    interpolate(run.path, n=1, steps=2, out=tmp_path / "path.npz")
    ends = run.interpolate_examples([(0, 1)], steps=2)[0].double().numpy()
    written = np.load(tmp_path / "path.npz")["values"]
    np.testing.assert_allclose(np.nan_to_num(written), np.where(np.isfinite(ends), ends, 0)[:, :, : written.shape[2]])
    digits = vaekit.train("vae", "digits", steps=2, out=tmp_path / "digits", pictures=False)
    assert digits.path is not None
    with pytest.raises(UserError, match="--horizon is for time series"):
        impute_command(digits.path, data=str(data), horizon=2, out=tmp_path / "f.npz")


# -- against the exact conditional -------------------------------------------------------------------------------------


class Linear(SeriesDecoder):
    """x = W z, one channel."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight.shape[1], (1, len(weight)), 1)
        self.weight = weight
        with torch.no_grad():
            self.head.weight.fill_(1.0)  # type: ignore[union-attr,operator]
            self.head.bias.zero_()  # type: ignore[union-attr,operator]

    def unfold(self, z: Tensor) -> Tensor:
        return (z @ self.weight.T).unsqueeze(1)


class Blind(SeriesEncoder):
    """q(z|x) = N(0, I) whatever x is."""

    def __init__(self, steps: int, latent: int) -> None:
        super().__init__((1, steps), latent, 1)

    def widen(self, values: int) -> Net:
        super().widen(values)
        with torch.no_grad():
            self.head.weight.zero_()  # type: ignore[union-attr,operator]
            self.head.bias.zero_()  # type: ignore[union-attr,operator]
        return self

    def read(self, cells: Tensor, inside: Tensor) -> Tensor:
        return cells[:, :1, 0]


def test_imputation_is_the_exact_conditional_of_a_linear_series() -> None:
    """x_t = w_t·z + σ ε of an AR(1)-like covariance's two main directions: E[x_gap | x_seen] is known."""
    steps, sigma, unit, mean = 8, 0.4, 5.0, 100.0
    t = np.arange(steps)
    values, vectors = np.linalg.eigh(0.9 ** np.abs(t[:, None] - t))
    weight = vectors[:, -2:] * np.sqrt(values[-2:])
    facts = {"values": "real", "channels": ["x"], "lengths": [[steps, 9]], "layout": "T", "rate": None}
    facts |= {"mean": [mean], "sd": [unit]}
    info = DataInfo("toy", (1, steps), "series", None, 9, 0, 0, modality="series", facts=facts)
    prepare = Prepare("series", mean=(mean,), sd=(unit,), axes=2)
    part = OfSeries(Gaussian(Linear(torch.tensor(weight).float()), scale=sigma), facts)
    model = VAE(DiagonalNormal(Blind(steps, 2)), StandardNormal(2), part)
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(6, 2)) @ weight.T + sigma * rng.normal(size=(6, steps))) * unit + mean
    gaps = np.zeros((6, steps), bool)
    gaps[:3, [2, 3, 6]] = gaps[3:, 5:] = True
    cov = (weight @ weight.T + sigma**2 * np.eye(steps)) * unit**2
    made = impute_series(model, info, prepare, of_memory(np.where(gaps, np.nan, x)), draws=400, k=30_000, seed=0)
    for i in range(6):
        miss, seen = np.flatnonzero(gaps[i]), np.flatnonzero(~gaps[i])
        gain = cov[np.ix_(miss, seen)] @ np.linalg.inv(cov[np.ix_(seen, seen)])
        wanted = mean + gain @ (x[i, seen] - mean)
        left = cov[np.ix_(miss, miss)] - gain @ cov[np.ix_(seen, miss)]
        np.testing.assert_allclose(made.single[i][0, miss], wanted, atol=0.05 * unit)
        draws = np.stack([draw[i][0, miss] for draw in made.draws])
        error = np.sqrt(np.diag(left) / len(draws))
        assert bool((np.abs(draws.mean(0) - wanted) < 5 * error + 0.05 * unit).all())
        np.testing.assert_allclose(draws.std(0), np.sqrt(np.diag(left)), rtol=0.2)
    tail = impute_series(model, info, prepare, of_memory(x[3:, :5]), 3, draws=2, k=30_000, seed=0)
    for one, other in zip(tail.single, made.single[3:]):
        np.testing.assert_allclose(one, other, atol=0.08 * unit)


# -- what may be given -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", ["conv", "gru", "transformer"])
@pytest.mark.parametrize("likelihood", ["auto", "student-t"])
def test_every_network_and_family_trains(net: str, likelihood: str) -> None:
    settings = SMALL | {"model.net": net, "model.likelihood": likelihood, "model.heads": 2, "train.lr": 5e-3}
    made, first = (
        vaekit.train("series-vae", examples.waves(), steps=n, set=settings, device="cpu", pictures=False)
        for n in (100, 1)
    )
    assert made.record["result"]["elbo"] > first.record["result"]["elbo"] + 2
    assert made.reconstruct(made.test.first(3)).shape == (3, *made.info.shape)


def test_counts_are_scored_as_counts_or_standardised_where_a_gaussian_is_named() -> None:
    rng = np.random.default_rng(0)
    x = [rng.poisson(30, int(n)) for n in rng.integers(5, 12, 50)]
    made = vaekit.train("series-vae", x, steps=30, set=SMALL, device="cpu", pictures=False)
    assert made.settings.model.likelihood == "negative-binomial" and made.info.facts["sd"] is None
    drawn = made.drawn(5, draw=True)
    assert bool((drawn[torch.isfinite(drawn)] % 1 == 0).all())
    gaussian = SMALL | {"model.likelihood": "gaussian"}
    plain = vaekit.train("series-vae", x, steps=30, set=gaussian, device="cpu", pictures=False)
    assert plain.info.facts["sd"] is not None
    with pytest.raises(UserError, match="no counts"):
        made.encode([[0.5, 1.0]])
    with pytest.raises(UserError, match="wants counts"):
        vaekit.train("series-vae", some(30), steps=1, set=SMALL | {"model.likelihood": "poisson"})


def test_arrays_that_may_be_series_are_said_to_be_taken_as_pictures() -> None:
    """(N, 3, 64) floats, and pictures with five channels last: one sentence says how they are read."""
    rng = np.random.default_rng(0)
    with pytest.warns(UserWarning, match=r"\(3, 64\) are taken as grey pictures of 3 × 64; .* train series-vae"):
        made = vaekit.train("vae", rng.normal(size=(40, 3, 64)).astype(np.float32), steps=1)
    assert made.info.shape == (1, 3, 64)
    five = rng.integers(0, 255, (30, 24, 32, 5)).astype(np.uint8)
    with pytest.warns(UserWarning, match="taken as pictures of 24 × 32 with 5 channels last"):
        assert vaekit.train("vae", five, steps=1).info.shape == (5, 24, 32)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(40, 8, 8), (40, 3, 8, 8), (40, 8, 8, 3), (40, 64)])
def test_plain_pictures_and_vectors_are_taken_without_a_word(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    vaekit.train("vae", x, steps=1)


def test_a_recipe_for_arrays_names_the_one_for_series(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train series-vae, state-space-vae or variational-rnn on it"):
        vaekit.train("vae", examples.waves())
    with pytest.raises(UserError, match="needs whole pseudo-inputs"):
        vaekit.train("series-vae", some(30), steps=1, set={"model.prior": "vamp"})


def test_a_run_in_memory_goes_through(tmp_path: Path) -> None:
    data: DataSet | Any = (some(40), ["a", "b"] * 20)
    made = vaekit.train("series-vae", data, steps=5, set=SMALL, pictures=False)
    assert made.info.classes == ("a", "b") and len(made.detect().scores) == len(made.test)
    assert made.cluster(k=2, bootstraps=1).labels.shape == (len(made.test),)
    assert made.augment(n=4).x.shape == (4, *made.info.shape)


def test_channels_of_different_scales_have_panels_of_their_own() -> None:
    x = np.random.default_rng(0).normal(size=(7, 2, 20))
    facts = {"channels": ["speed", "height"], "rate": None}
    together = series_figures.curves(x, facts)
    assert len(together.axes) == 7 and len(together.axes[0].lines) == 2
    apart = series_figures.curves(x * [[1.0], [20.0]], facts, observed=x * [[1.0], [20.0]], titles=list("abcdefg"))
    assert len(apart.axes) == 2 * 5
    assert [ax.get_ylabel() for ax in apart.axes[::5]] == ["speed", "height"]
    assert [ax.get_title(loc="left") for ax in apart.axes[:5]] == list("abcde")
    assert np.ptp(apart.axes[0].get_ylim()) < np.ptp(apart.axes[5].get_ylim()) / 5
