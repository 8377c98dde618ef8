"""Which numbers of which runs are compared: equal examples, values, quantity, measure and K, and nothing else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import vaekit
from vaekit.metrics.base import Result
from vaekit.report.content import Number, difference, differing
from vaekit.runs.comparable import digest, number_of
from vaekit.runs.report import gather
from vaekit.runs.run import Run

SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {}),
    "other": ("vae", {"train.seed": 1}),
    "conditional": ("cvae", {}),
    "threshold": ("vae", {"data.binarise": "threshold"}),
    "dequantised": ("vae", {"data.dequantise": True, "model.likelihood": "gaussian"}),
    "greys": ("vae", {"data.binarise": "none", "model.likelihood": "gaussian"}),
    "split": ("vae", {"data.seed": 3}),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")

    @cache
    def run(name: str) -> Run:
        recipe, settings = SETTINGS[name]
        made = vaekit.train(recipe, "digits", steps=5, set=settings, out=folder / name, pictures=False)
        made.evaluate(["elbo", "iw_bound", "mse"], k=5)
        return made

    return {name: run(name) for name in SETTINGS}


def numbers(run: Run) -> dict[str, Number]:
    return dict(gather(run).numbers())


@pytest.mark.parametrize(
    ("other", "aspects"),
    [
        ("conditional", {"quantity"}),
        ("threshold", {"values"}),
        ("split", {"examples"}),
        ("dequantised", {"values", "measure"}),
        ("greys", {"values", "measure"}),
    ],
)
def test_bounds_of_different_things(runs: dict[str, Run], other: str, aspects: set[str]) -> None:
    a, b = numbers(runs["vae"]), numbers(runs[other])
    assert set(differing([a["iw_bound"], b["iw_bound"]])) == aspects
    assert difference(b["elbo"], a["elbo"]) is None


def test_as_many_other_examples_are_different_things(runs: dict[str, Run]) -> None:
    result, prepare = Result(1.0, "nats/example", 9), runs["vae"].prepare
    a, b, c = (
        Number("elbo", 1.0, 0.1, of=number_of(result, examples, split, prepare, False))
        for examples, split in (("aa", "the test split"), ("bb", "the test split"), ("aa", "the training split"))
    )
    assert [*differing([a, b])] == [*differing([a, c])] == ["examples"]


def test_dequantised_and_plain_greys_are_different_things(runs: dict[str, Run]) -> None:
    a, b = numbers(runs["dequantised"])["elbo"], numbers(runs["greys"])["elbo"]
    assert set(differing([a, b])) == {"values"}


def test_nats_alone_have_those_of_standardised_values_beside_them(runs: dict[str, Run]) -> None:
    """Bits per dimension had Σ log sd added to them, in nats."""
    kept = runs["dequantised"].evaluation()
    assert kept["iw_bound"]["standardised"] == pytest.approx(
        kept["iw_bound"]["value"] + runs["dequantised"].info.log_unit
    )
    assert kept["bits_per_dim"]["value"] is not None and "standardised" not in kept["bits_per_dim"]


def test_runs_of_one_kind_are_paired_by_example(runs: dict[str, Run]) -> None:
    a, b = runs["vae"], runs["other"]
    apart = difference(numbers(a)["mse"], numbers(b)["mse"])
    assert apart is not None and apart.paired
    each = a.values()["mse"] - b.values()["mse"]
    assert apart.value == pytest.approx(float(each.mean()), rel=1e-4)
    assert apart.stderr == pytest.approx(float(each.std()) / len(each) ** 0.5, rel=1e-4)


def test_a_bound_on_log_p_of_x_given_y_is_said_to_be_one(runs: dict[str, Run]) -> None:
    entry = runs["conditional"].evaluation()["elbo"]
    assert entry["number_of"]["quantity"] == "log p(x|y), the label given"
    assert "log p(x|y)" in numbers(runs["conditional"])["elbo"].note
    assert "log p(x|y)" not in numbers(runs["vae"])["elbo"].note


def test_other_samples_or_fewer_examples_are_not_compared(runs: dict[str, Run], tmp_path: Path) -> None:
    run = runs["vae"].save(tmp_path / "run") if runs["vae"].path is None else runs["vae"]
    whole = numbers(run)["iw_bound"]
    run.evaluate(["iw_bound"], k=7)
    assert set(differing([whole, numbers(run)["iw_bound"]])) == {"k"}
    run.evaluate(["iw_bound"], k=5, limit=20)
    assert set(differing([whole, numbers(run)["iw_bound"]])) == {"examples"}
    run.evaluate(["iw_bound"], k=5)
    assert not differing([whole, numbers(run)["iw_bound"]])
    assert len(run.values()["iw_bound"]) == whole.n and len(run.values()["mse"]) == whole.n


def test_numbers_of_simulated_examples_are_of_no_test_examples(runs: dict[str, Run], tmp_path: Path) -> None:
    run = runs["vae"].save(tmp_path / "simulated", pictures=False)
    run.evaluate(["sbc"], options={"sbc_simulated": 40, "sbc_draws": 19})
    made = run.evaluation()["sbc_spread"]
    assert made["number_of"]["examples"] == "40 examples simulated by the model"
    assert (tmp_path / "simulated").is_dir() and run.write_report().is_file()
    assert (tmp_path / "simulated" / "figures" / "rank_histograms.png").is_file()
    assert "Calibration of the posterior" in (tmp_path / "simulated" / "report.html").read_text(encoding="utf-8")


def test_values_are_kept_in_memory_and_saved(tmp_path: Path) -> None:
    run = vaekit.train("vae", "digits", steps=2, pictures=False)
    run.evaluate(["mse"])
    kept = run.values()["mse"]
    saved = run.save(tmp_path / "saved", pictures=False)
    assert torch.equal(saved.values()["mse"], kept) and (tmp_path / "saved" / "evaluation.safetensors").is_file()
    assert torch.equal(vaekit.load(tmp_path / "saved").values()["mse"], kept)


def test_digests_are_of_values_shape_and_order() -> None:
    x = torch.arange(6.0).view(2, 3)
    assert digest(x) == digest(x.clone()) == digest(x.to_sparse()) != digest(x.flip(0))
    assert len({digest(one) for one in (x, x.view(3, 2), x.int(), x + 1e-6)}) == 4
