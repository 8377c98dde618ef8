"""Read, then a likelihood is chosen by what was read, then prepared: once, and with nothing decided too early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vaekit.data import DataSettings, load
from vaekit.data import loading as steps
from vaekit.data.loading import prepare, read
from vaekit.data.preprocessing import describe
from vaekit.errors import UserError
from vaekit.recipes.base import RECIPES
from vaekit.runs import data as runs_data

RNG = np.random.default_rng(0)
GREYS = RNG.integers(0, 256, (60, 4, 4)).astype(np.uint8)
STANDARDISE = DataSettings(standardise=True)


def settings_of(**given: Any) -> Any:
    sections: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        section, _, setting = name.partition("_")
        sections.setdefault(section, {})[setting] = value
    return RECIPES["vae"].part.settings(sections)


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (GREYS, "levels"),
        (GREYS > 127, "binary"),
        (RNG.random((60, 5)), "unit"),
        (RNG.integers(0, 500, (60, 5)), "counts"),
        (RNG.normal(3, 2, (60, 5)), "real"),
    ],
)
def test_data_of_any_kind_are_standardised_where_a_real_likelihood_is_named(x: np.ndarray, kind: str) -> None:
    assert describe(read(x, STANDARDISE), STANDARDISE).kind == kind
    settings = settings_of(model_likelihood="gaussian", data_standardise=True)
    data, name = runs_data.load_for(RECIPES["vae"].part, settings, x)
    z = data.prepare(data.train.x)
    assert (name, data.info.kind) == ("gaussian", "real")
    each = z.transpose(0, 1).flatten(1)  # columns, or channels with all their pixels
    assert each.mean(1).abs().max() < 1e-5 and (each.std(1, correction=0) - 1).abs().max() < 1e-4
    whole = data.prepare.invert(z)
    assert torch.allclose(whole, data.train.x.float(), atol=1e-3)
    assert torch.allclose(data.prepare.of_values(whole), z, atol=1e-4)


def test_standardise_is_refused_by_the_likelihood_that_auto_chooses() -> None:
    with pytest.raises(UserError, match=r"standardise is for real data, and these are binary; .* real likelihood"):
        runs_data.load_for(RECIPES["vae"].part, settings_of(data_standardise=True), "digits")


def streamed(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", GREYS)
    return tmp_path / "x.npy"


@pytest.mark.parametrize("stream", ["yes", "no"])
def test_what_is_described_is_what_is_prepared(stream: Any, tmp_path: Path) -> None:
    settings = DataSettings(stream=stream)
    raw = read(streamed(tmp_path), settings)
    before = raw.train.x.copy()
    info = describe(raw, settings)
    assert (info.name, info.shape, info.kind, info.levels, info.n_train) == ("x", (1, 4, 4), "levels", 256, 60)
    assert (raw.train.x == before).all()
    ours, theirs = prepare(raw, settings, "binary"), load(tmp_path / "x.npy", settings, wants="binary")
    assert ours.info == theirs.info and ours.info.n_train == 48
    assert torch.equal(ours.train.x[:], theirs.train.x[:]) and torch.equal(ours.test.x, theirs.test.x)


@pytest.mark.parametrize("stream", ["yes", "no"])
def test_a_source_is_read_once(stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("read_raw", "read_streamed"):
        true = getattr(steps, name)
        monkeypatch.setattr(steps, name, lambda *args, true=true, name=name: calls.append(name) or true(*args))
    data, name = runs_data.load_for(RECIPES["vae"].part, settings_of(data_stream=stream), streamed(tmp_path))
    assert (name, data.info.kind) == ("bernoulli", "binary")
    assert calls == ["read_streamed" if stream == "yes" else "read_raw"]


@pytest.mark.parametrize(("written", "meant"), [(True, "yes"), (False, "no"), ("auto", "auto"), ("yes", "yes")])
def test_stream_is_read_as_yaml_reads_it(written: Any, meant: str) -> None:
    assert DataSettings.model_validate({"stream": written}).stream == meant
