"""Real data in any unit: the same model, its densities in the data's own units, and its outputs in them too."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Laplace, Normal, StudentT

import vaekit
from vaekit.data import DataSettings, Prepare, load
from vaekit.errors import UserError
from vaekit.metrics.base import METRICS, evaluate
from vaekit.runs.run import Run

D = 5
COLUMNS = np.array([1.0, 30.0, 0.02, 5.0, 400.0])
SMALL = {"model.latent": 2, "model.hidden": "16", "train.batch_size": 32}
LIKELIHOODS: dict[str, dict[str, Any]] = {
    "shared": {},
    "dimension": {"model.scale": "dimension"},
    "pixel": {"model.scale": "pixel"},
    "optimal": {"model.likelihood": "gaussian", "model.scale": "optimal"},
    "laplace": {"model.likelihood": "laplace"},
    "student-t": {"model.likelihood": "student-t"},
}


def rows(n: int = 120) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (np.tanh(rng.normal(size=(n, 2)) @ rng.normal(size=(2, D))) + 0.2 * rng.normal(size=(n, D))) * COLUMNS


def split(x: np.ndarray) -> dict[str, np.ndarray]:
    """Name the splits: which rows are held out depends on what they hold, and so on their unit."""
    return {"data": x[:96], "valid": x[96:108], "test": x[108:]}


@cache
def trained(scale: float, offset: float = 0.0, of: str = "shared", standardise: Any = "auto") -> Run:
    given = {**SMALL, **LIKELIHOODS[of], "data.standardise": standardise}
    return vaekit.train("vae", **split(rows() * scale + offset * COLUMNS), steps=40, set=given, pictures=False)


def bounds_of(run: Run) -> dict[str, float]:
    return {name: float(run.evaluate([name], k=20)[name].value or math.nan) for name in ("elbo", "iw_bound")}


@pytest.mark.filterwarnings("ignore:the data's standard deviations")
@pytest.mark.parametrize("standardise", ["auto", False])
@pytest.mark.parametrize("of", LIKELIHOODS)
@pytest.mark.parametrize(("scale", "offset"), [(1e-3, 0.0), (100.0, 0.0), (1e4, 0.0), (1e8, 0.0), (1.0, 50.0)])
def test_bounds_move_by_the_change_of_unit_alone(scale: float, offset: float, of: str, standardise: Any) -> None:
    one, other = trained(1.0, 0.0, of, standardise), trained(scale, offset, of, standardise)
    for name, value in bounds_of(one).items():
        assert bounds_of(other)[name] + D * math.log(scale) == pytest.approx(value, abs=0.02), name
    held = [run.record["result"]["elbo"] for run in (one, other)]
    assert held[1] + D * math.log(scale) == pytest.approx(held[0], abs=0.02)
    assert torch.allclose(one.encode(one.test), other.encode(other.test), atol=0.02)


def test_what_is_made_is_in_the_datas_units() -> None:
    x, big = rows(), trained(1e4, 3.0)
    plain = trained(1.0, 3.0)
    few = big.test.first(4)
    for use in (
        lambda run: run.sample(6),
        lambda run: run.sample(6, draw=True),
        lambda run: run.reconstruct(run.test.first(4)),
        lambda run: run.decode(run.encode(run.test.first(4))),
        lambda run: run.interpolate_examples([(0, 1)], run.test),
        lambda run: torch.from_numpy(run.traverse(run.test, top=2, steps=3).x),
        lambda run: torch.from_numpy(np.array(run.augment(n=4).x)),
        lambda run: run.sample_aggregate(4, components=2)[0],
    ):
        moved = torch.from_numpy((1e4 - 1) * 3.0 * COLUMNS).float()
        a, b = use(plain).float(), use(big).float()
        # x·1e4 + 3 c, so less the offset it is 1e4 times what the run on x + 3 c makes of it
        assert torch.allclose(b + moved, 1e4 * a, rtol=2e-3, atol=2.0 * float(COLUMNS.max())), "outputs"
    assert torch.allclose(big.prepare.values(few.inputs), big.data.test.x[:4], rtol=1e-5)
    spread = big.sample(300, draw=True).std(0) / torch.from_numpy(1e4 * x.std(0))
    assert bool(((spread > 0.2) & (spread < 5)).all())


@pytest.mark.parametrize("of", ["shared", "pixel", "laplace", "student-t"])
def test_the_density_is_that_of_the_values_as_they_came(of: str) -> None:
    """Against PyTorch's own distributions of the raw values; it is Σ log sd less than that of the standardised."""
    run = trained(100.0, 3.0, of)
    split, raw = run.test.first(20), run.data.test.x[:20].double()
    with torch.no_grad():
        px: Any = run.model.trace(split.inputs, k=3).px
    mean, sd = (torch.tensor(part, dtype=torch.float64) for part in (run.prepare.mean, run.prepare.sd))
    loc, scale = px.loc.double() * sd + mean, px.log_scale.double().exp() * sd
    oracle = {
        "laplace": lambda: Laplace(loc, scale),
        "student-t": lambda: StudentT(px.df.double(), loc, scale),
    }.get(of, lambda: Normal(loc, scale))()
    each = oracle.log_prob(raw)
    assert torch.allclose(px.log_prob(split.inputs).double(), each.sum(-1), atol=2e-3)
    assert torch.allclose(px.log_prob_elements(split.inputs).double(), each, atol=1e-3)
    px.unit = None
    assert torch.allclose(px.log_prob(split.inputs).double() - run.info.log_unit, each.sum(-1), atol=2e-3)
    assert run.info.log_unit == pytest.approx(float(sd.log().sum()))


@pytest.mark.parametrize("recipe", ["vae", "linear-vae"])
def test_no_metric_forgets_the_unit(recipe: str) -> None:
    """Times a power of two the standardised data are the same to the bit: only what has a unit may differ."""
    options = {"ais_steps": 5, "ais_chains": 2, "ais_leapfrog": 2, "ais_limit": 4, "ais_simulated": 4, "gaps_limit": 3}
    factor, options = 1024.0, {**options, "gaps_steps": 3, "decomposition_samples": 50}
    given = {k: v for k, v in SMALL.items() if recipe == "vae" or k != "model.hidden"}
    runs = [vaekit.train(recipe, **split(rows() * s), steps=20, set=given, pictures=False) for s in (1.0, factor)]
    names = [entry.name for entry in METRICS if entry.facts["group"] not in ("samples", "disentanglement", "tables")]
    lacks = {"labels", "images", "factors", "classifier", "codes", "tokens", "table", "graph", "series", "scene"}
    names = [n for n in names if not any(w in lacks or ":" in w for w in METRICS[n].facts["needs"])]
    a, b = (evaluate(run.subject(k=5, options=options), names) for run in runs)
    assert {"elbo", "log_px", "iw_bound", "ais", "rate_distortion", "amortisation_gap", "mse"} <= set(a)
    assert recipe == "vae" or a["exact_log_px"].value is not None
    for name, one in a.items():
        if one.value is None:
            continue
        density = one.facts.get("measure") == "density"
        power = {"mse": 2, "no_latents_mse": 2}.get(
            name, int(name.startswith(("code_path_", "off_data_")))
        )  # of the unit, as lengths and squares have it
        wanted = one.value * factor**power - density * D * math.log(factor)
        assert b[name].value == pytest.approx(wanted, rel=1e-4, abs=2e-3), name
        if density or name == "mse":
            beside = b[name].facts["standardised"]
            assert beside == pytest.approx(one.facts["standardised"], rel=1e-4, abs=2e-3), name
            assert name == "mse" or beside == pytest.approx(b[name].value + runs[1].info.log_unit)
    distortion = [np.array(results["rate_distortion"].facts["distortion"]) for results in (a, b)]
    assert np.allclose(distortion[1], distortion[0] + D * math.log(factor), atol=2e-3)
    for run in runs:
        result = run.record["result"]
        assert result["elbo_standardised"] == pytest.approx(result["elbo"] + run.info.log_unit)


def test_a_fixed_sigma_is_in_the_datas_unit() -> None:
    """Ten times the data at ten times σ is the same model: a number is no multiple of the deviation."""
    given = {**SMALL, "model.likelihood": "gaussian"}
    pair = [
        vaekit.train("vae", **split(rows() * s), steps=20, set=given | {"model.scale": 0.5 * s}, pictures=False)
        for s in (1.0, 8.0)
    ]
    assert [run.record["result"]["elbo"] for run in pair][1] + D * math.log(8) == pytest.approx(
        pair[0].record["result"]["elbo"], abs=0.05
    )
    px: Any = pair[1].model.trace(pair[1].test.inputs).px
    assert torch.allclose(px.stddev[0, 0] * torch.tensor(pair[1].info.deviation), torch.tensor(4.0))


def test_data_left_as_they_are_are_warned_of_once() -> None:
    with pytest.warns(UserWarning, match=r"deviations go from .* leave data.standardise=false out") as caught:
        run = vaekit.train("vae", rows(), steps=2, set={**SMALL, "data.standardise": False}, pictures=False)
    assert len([w for w in caught if "standardise" in str(w.message)]) == 1
    assert run.prepare.mean is None and not run.info.standardised and len(run.info.deviation) == D
    assert torch.equal(run.test.x, run.data.test.x) and "elbo_standardised" not in run.record["result"]


@pytest.mark.parametrize("shape", [(D,), (3, 4, 4)])
def test_columns_and_channels_have_a_scale_each_of_the_training_split(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    own = np.arange(1.0, shape[0] + 1).reshape(-1, *[1] * (len(shape) - 1))
    x = (rng.normal(size=(80, *shape)) * own + 10 * own).astype(np.float32)
    data = load(x, DataSettings())
    kept = np.moveaxis(data.train.x.numpy(), 1, 0).reshape(shape[0], -1).astype(float)
    assert data.info.kind == "real" and data.info.standardised
    assert data.info.mean == pytest.approx(kept.mean(1)) and data.info.deviation == pytest.approx(kept.std(1))
    seen = data.prepare(data.valid.x)
    assert torch.allclose(data.prepare.values(seen), data.valid.x, rtol=1e-4)
    assert data.info.log_unit == pytest.approx(np.log(kept.std(1)).sum() * math.prod(shape[1:]))
    picture = data.prepare.picture(data.train.x)
    assert float(picture.min()) == 0 and float(picture.max()) == 1
    assert Prepare.from_dict(json.loads(json.dumps(data.prepare.to_dict()))) == data.prepare


def test_a_constant_column_has_the_unit_of_the_others() -> None:
    x = rows()
    x[:, 2] = 7.0
    whole = DataSettings(valid=0, test=0)
    usual = np.array(load(x, whole).info.deviation)
    for scale in (1e-6, 1.0, 1e6):
        deviation = np.array(load(x * scale, whole).info.deviation) / scale
        assert deviation == pytest.approx(usual, rel=1e-4)
        assert deviation[2] == pytest.approx(np.exp(np.log(np.delete(deviation, 2)).mean()), rel=1e-4)
    assert load(np.full((20, 3), 5.0), DataSettings()).info.deviation == (1.0, 1.0, 1.0)


def old_folder(run: Run, folder: Path, source: Path) -> None:
    """Make a folder what versions before wrote: without the fields that came with units."""
    record = json.loads((folder / "run.json").read_text())
    record["data"]["source"] = str(source)
    for name in ("mean", "deviation", "standardised"):
        del record["data"]["info"][name]
    del record["data"]["prepare"]["axes"]
    del record["result"]
    (folder / "run.json").write_text(json.dumps(record))


@pytest.mark.parametrize("standardise", [True, False])
def test_runs_of_earlier_versions_give_the_numbers_they_gave(standardise: bool, tmp_path: Path) -> None:
    x = rows() / COLUMNS + 1
    np.save(tmp_path / "x.npy", x)
    settings = DataSettings(standardise=standardise)
    data = load(tmp_path / "x.npy", settings, wants="real")
    before = replace(data.info, mean=(), deviation=(), standardised=False)
    prepare = replace(data.prepare, axes=0)  # one number for each number of an example
    given = {**SMALL, "data.standardise": standardise, "model.likelihood": "gaussian"}
    run = vaekit.train(
        "vae", replace(data, info=before, prepare=prepare), out=tmp_path / "run", steps=20, set=given, pictures=False
    )
    then = run.evaluate(["elbo", "mse"])
    old_folder(run, tmp_path / "run", tmp_path / "x.npy")
    again = vaekit.load(tmp_path / "run")
    now = again.evaluate(["elbo", "mse"])
    assert {name: result.value for name, result in now.items()} == {name: r.value for name, r in then.items()}
    assert (again.data.info, again.data.prepare) == (again.info, again.prepare)
    assert "standardised" not in now["elbo"].facts and again.info.log_unit == 0
    codes = again.encode(again.prepared(x[:9]))
    assert torch.allclose(codes, run.encode(run.prepared(x[:9])))
    assert np.allclose(again.reconstruct(again.test.first(3)).mean(0), x.mean(0), atol=2.0)  # in the data's units


def test_a_table_of_tiny_numbers_is_one_of_large_ones() -> None:
    names = [f"c{j}" for j in range(D)]
    given = {"model.latent": 2, "model.hidden": "16", "data.types": dict.fromkeys(names, "numeric")}
    scales = (2.0**-40, 1.0, 2.0**20)
    runs = [
        vaekit.train(
            "tabular-vae",
            **{name: dict(zip(names, (part * s).T)) for name, part in split(rows()).items()},
            steps=20,
            set=given,
            pictures=False,
        )
        for s in scales
    ]
    moved = [run.record["result"]["elbo"] + D * math.log(s) for run, s in zip(runs, scales)]
    assert moved == pytest.approx([moved[1]] * 3, abs=0.05)


def test_estimators_score_in_the_rows_units() -> None:
    from vaekit.estimators import VAE, AnomalyDetector

    x = rows()
    for make in (VAE, AnomalyDetector):
        small = 2.0**-40
        one, other = (make(epochs=2, random_state=0).fit(x * s).score_samples(x[:9] * s) for s in (1.0, small))
        assert np.allclose(other, one - D * math.log(small), atol=0.05), make


GREYS = np.random.default_rng(0).integers(0, 256, (60, 8, 8)).astype(np.uint8)


@pytest.mark.parametrize("stream", ["yes", "no"])
@pytest.mark.parametrize("made", [np.float32, np.float64, np.int64])
def test_whole_grey_levels_are_levels_whatever_their_type(made: Any, stream: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", GREYS.astype(made))
    np.save(tmp_path / "u.npy", GREYS)
    settings = {**SMALL, "data.stream": stream}
    ours, theirs = (
        vaekit.train("vae", tmp_path / f"{name}.npy", steps=3, set=settings, pictures=False) for name in "xu"
    )
    assert (ours.info.kind, ours.info.levels, ours.settings.model.likelihood) == ("binary", 256, "bernoulli")
    assert torch.equal(ours.data.train.x[:], theirs.data.train.x[:]) and ours.data.train.x[:].dtype == torch.uint8
    assert ours.record["result"]["elbo"] == theirs.record["result"]["elbo"]
    few = GREYS[:7] // 3  # dark ones, given later
    assert torch.allclose(ours.encode(ours.prepared(few.astype(made))), theirs.encode(theirs.prepared(few)))


@pytest.mark.parametrize(
    ("x", "wants", "kind"),
    [
        (GREYS.reshape(60, 64).astype(float), "any", "levels"),
        (GREYS.reshape(60, 64).astype(float), "real", "real"),
        (GREYS.reshape(60, 64).astype(float), "counts", "counts"),
        (GREYS.reshape(60, 64).astype(int), "any", "counts"),  # integers in rows are counts
        (GREYS.reshape(480, 8).astype(float), "any", "real"),  # too few for a picture
        (GREYS.astype(float) // 2, "any", "real"),  # nothing above 127: not sure to be eight bits
        (GREYS.astype(float) + 0.5, "any", "real"),
        (GREYS.astype(float) * 16, "any", "real"),
        (np.random.default_rng(0).random((60, 8)), "any", "unit"),
        (np.random.default_rng(0).random((60, 8)) * 0.6, "any", "real"),  # a matter of units
        (np.random.default_rng(0).random((60, 8)) * 2 - 1, "any", "real"),
    ],
)
def test_what_values_are_taken_for(x: np.ndarray, wants: Any, kind: str) -> None:
    data = load(x, DataSettings(), wants=wants)
    assert data.info.kind == kind and data.info.standardised == (kind == "real")


def test_a_row_on_disk_that_is_no_whole_grey_is_named(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (9000, 8, 8)).astype(np.float32)
    data = load_streamed(x, tmp_path)
    assert data.train.x[:5].dtype == torch.uint8
    rows_left = set(range(9000)) - set(np.linspace(0, 8999, 8192).astype(int).tolist())
    x[sorted(rows_left)[5:400], 0, 0] = 0.5
    data = load_streamed(x, tmp_path)
    with pytest.raises(UserError, match="not one of the whole greys 0 … 255"):
        data.train.x[:]


def load_streamed(x: np.ndarray, folder: Path) -> Any:
    np.save(folder / "x.npy", x)
    return load(folder / "x.npy", DataSettings(stream="yes", valid=0, test=0))
