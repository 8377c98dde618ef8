"""The figures that follow the latent, several runs on one page, and the report on paper."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vaekit
from browsers import chromium_only
from recipes import examples
from vaekit import figures
from vaekit.commands.report import report
from vaekit.data.audio.wav import read_wav, write_wav
from vaekit.errors import UserError
from vaekit.explorer.session import Session
from vaekit.inference import inference
from vaekit.runs import figures as pictures
from vaekit.runs import table_figures

SMALL = {"model.hidden": [32]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs in folders: a latent of two dimensions and one of four."""
    folder = tmp_path_factory.mktemp("runs")
    for latent in (2, 4):
        vaekit.train("vae", "digits", epochs=3, out=folder / f"z{latent}", set=SMALL | {"model.latent": latent})
    return [folder / "z2", folder / "z4"]


@pytest.mark.slow
def test_a_run_has_the_figures_that_apply_to_it(runs: list[Path]) -> None:
    two, four = ({path.stem for path in (run / "figures").iterdir()} for run in runs)
    assert {"traversals", "latent_map", "kl", "reconstructions", "curves"} <= two & four
    assert two - four == {"manifold"}
    assert "Traversals" in (runs[1] / "report.html").read_text(encoding="utf-8")
    assert "Manifold" in (runs[0] / "report.html").read_text(encoding="utf-8")


def given(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Have a figure's function return what it is given."""
    monkeypatch.setattr(figures, name, lambda *arguments, **named: arguments)


def test_traversals_show_the_decoder_most_informative_first(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "traversals")
    run = vaekit.train("vae", "digits", epochs=1, device="cpu", pictures=False, set=SMALL | {"model.latent": 4})
    rows, names, kl, at = pictures.traversals(run)
    assert kl == sorted(kl, reverse=True)
    j = int(names[1][1:]) - 1
    with torch.no_grad():
        z = run.model.encode(run.test.x[:1].float()).mean.clone()
        z[0, j] = float(at[2])
        expected = run.prepare.show(run.model.decode(z).mean)[0]
    assert np.allclose(rows[1, 2], expected, atol=1e-5)


def test_the_manifold_shows_the_decoder_with_the_second_latent_upwards(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "manifold")
    run = vaekit.train("vae", "digits", epochs=1, device="cpu", pictures=False, set=SMALL | {"model.latent": 2})
    grid, xs, ys = pictures.manifold(run)
    with torch.no_grad():
        expected = run.prepare.show(run.model.decode(torch.tensor([[xs[3], ys[11]]])).mean)[0]
    assert np.allclose(grid[11, 3], expected, atol=1e-5)


@pytest.mark.parametrize("recipe", ["cvae", "ae", "vq-vae", "joint-vae"])
def test_other_recipes_draw_what_applies(recipe: str) -> None:
    run = vaekit.train(recipe, "digits", steps=2, pictures=False)
    assert (pictures.traversals(run) is None) == (recipe == "vq-vae")
    assert pictures.manifold(run) is None


@pytest.mark.parametrize("recipe", ["hierarchical-vae", "ladder-vae"])
def test_a_hierarchy_shows_the_kl_of_its_layers(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = SMALL | {"model.between": [16], "model.upper": [6, 4], "train.log_every": 2}
    run = vaekit.train(recipe, "digits", steps=6, out=tmp_path / "run", device="cpu", set=small)
    assert (tmp_path / "run" / "figures" / "kl_layers.png").exists()
    assert "KL by layer" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    given(monkeypatch, "kl_layers")
    torch.manual_seed(0)
    kl, stderr, history = pictures.kl_layers(run)
    torch.manual_seed(0)
    with torch.no_grad():
        trace = run.model.trace(run.test.x.float(), hard=True)
    assert list(kl) == ["z3", "z2", "z1"]
    assert kl == pytest.approx({name: float(v.mean()) for name, v in trace.kl.items()}, rel=1e-5)
    assert all(stderr[name] > 0 for name in kl)
    steps, nats = history["z3"]
    assert len(steps) == len(nats) >= 3 and steps == sorted(steps)


def test_a_hierarchys_latents_have_one_name_and_one_kl_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    small = SMALL | {"model.latent": 3, "model.between": [16], "model.upper": [2]}
    run = vaekit.train("hierarchical-vae", "digits", steps=6, device="cpu", pictures=False, set=small)
    names = ["z2.1", "z2.2", "z1.1", "z1.2", "z1.3"]
    moved = run.traverse(top=5)
    assert Session(run).facts["latents"] == names == [moved.names[i] for i in np.argsort(moved.dimensions)]
    assert run.traverse(dimensions=["z1.2", "z2.1"]).dimensions == [3, 0]
    with pytest.raises(UserError, match=r"no latent dimension z3\.1; they are z2\.1 to z1\.3"):
        run.traverse(dimensions=["z3.1"])
    for name in ("kl_per_dimension", "kl_layers"):
        given(monkeypatch, name)
    each, active, errors = pictures.kl(run)
    layers, _, _ = pictures.kl_layers(run)
    assert {name: sum(values) for name, values in each.items()} == pytest.approx(layers, rel=1e-4)
    assert {n: len(v) for n, v in active.items()} == {n: len(v) for n, v in errors.items()} == {"z2": 2, "z1": 3}
    assert run.evaluate(["active_units"])["active_units"].value == sum(sum(v) for v in active.values()), "one rule"


def test_samples_of_a_conditional_model_stand_in_rows_of_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    run = vaekit.train("cvae", "digits", steps=5, device="cpu", pictures=False, set=SMALL)
    shown: dict[str, Any] = {}
    monkeypatch.setattr(figures, "samples", lambda x, **more: shown.update(more, x=x))
    pictures.samples(run)
    assert shown["rows"] == [str(i) for i in range(10)]
    y = torch.arange(10).repeat_interleave(len(shown["x"]) // 10)
    with inference(run.model, 0):
        made = run.model.sample(len(y), y)
    assert np.allclose(shown["x"], run.prepare.picture(made), atol=1e-6)


def test_spectrograms_are_shown_with_the_lowest_band_at_the_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    run = vaekit.train("vae", "digits", steps=2, device="cpu", pictures=False, set=SMALL)
    before = {name: getattr(pictures, name)(run) for name in _pictured(monkeypatch)}
    shown = Session(run).decode(torch.zeros(1, 20))
    run.info = replace(run.info, modality="audio")
    assert np.array_equal(run.picture(run.test.inputs), run.prepare.picture(run.test.inputs).flip(-2))
    for name, was in before.items():
        assert np.allclose(getattr(pictures, name)(run)[0], np.asarray(was[0])[..., ::-1, :]), name
    session = Session(run)
    assert np.array_equal(session.decode(torch.zeros(1, 20)), shown[:, ::-1])
    drawn = session.shown(run.test.x[:1].float())[0, :, :, 0] / 255
    assert torch.equal(session.prepared(drawn[None], "unit"), run.test.x[:1]), "a drawing is read as it is shown"


def _pictured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names = ["reconstructions", "interpolation", "traversals"]
    for name in names:
        given(monkeypatch, name)
    return names


def test_a_flat_model_has_no_layers_to_show() -> None:
    run = vaekit.train("vae", "digits", steps=1, pictures=False, set=SMALL)
    assert pictures.kl_layers(run) is None


def test_rows_of_numbers_have_traversals_and_no_manifold() -> None:
    x = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    run = vaekit.train("vae", x, steps=2, pictures=False, set=SMALL | {"model.latent": 2})
    assert pictures.traversals(run) is not None and pictures.manifold(run) is None


def test_a_figure_that_fails_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no such colour")

    monkeypatch.setattr(figures, "samples", fail)
    with pytest.warns(UserWarning, match="the figure samples was left out: ValueError: no such colour"):
        run = vaekit.train("vae", "digits", steps=2, out=tmp_path / "run", set=SMALL)
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn >= {"curves", "reconstructions", "traversals", "kl"} and "samples" not in drawn
    assert (tmp_path / "run" / "report.html").is_file() and run.record["status"] == "done"


def test_the_rate_distortion_curve_is_drawn_once_it_is_measured(tmp_path: Path) -> None:
    run = vaekit.train("vae", "digits", steps=2, out=tmp_path / "run", pictures=False, set=SMALL)
    assert pictures.rate_distortion(run) is None
    run.evaluate(["rate_distortion"], options={"ais_steps": 8, "ais_chains": 1, "ais_limit": 4})
    entry = run.evaluation()["rate_distortion"]
    curve = pictures.rate_distortion(run).axes[0].lines[0]
    assert (list(curve.get_ydata()), list(curve.get_xdata())) == (entry["rate"], entry["distortion"])
    run.write_figures()
    run.write_report()
    assert (tmp_path / "run" / "figures" / "rate_distortion.png").is_file()
    assert "Rate and distortion" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_runs_are_compared_on_one_page(runs: list[Path], tmp_path: Path) -> None:
    report(*runs, out=tmp_path / "both.html")
    page = (tmp_path / "both.html").read_text(encoding="utf-8")
    assert "model.latent" in page and "Traversals" in page and "http-equiv" in page
    for bad, told in (
        ((runs, tmp_path / "both.txt"), ".html"),
        ((runs, tmp_path / "no" / "both.html"), "does not exist"),
        (([runs[0], runs[0]], tmp_path / "b.html"), "twice"),
        (([runs[0], tmp_path], tmp_path / "b.html"), "not a run folder"),
    ):
        with pytest.raises(UserError, match=told):
            report(*bad[0], out=bad[1])
    assert [path.name for path in tmp_path.iterdir()] == ["both.html"]


@pytest.mark.slow
def test_the_command_compares(runs: list[Path], tmp_path: Path) -> None:
    def typed(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vaekit", "report", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)

    done = typed(*map(str, runs))
    assert done.returncode == 0 and done.stdout.strip() == "comparison.html"
    assert (tmp_path / "comparison.html").is_file()
    assert typed(str(runs[0]), "--out", "x.html").returncode == 2
    assert typed().returncode == 2


@chromium_only
@pytest.mark.slow
def test_the_report_prints_on_paper(runs: list[Path], tmp_path: Path, browser: Any) -> None:
    """Printed by a browser: pages, nothing wider than the sheet, no figure cut in two, no navigation."""
    both = tmp_path / "both.html"
    report(*runs, out=both)
    page = browser.new_page(viewport={"width": 718, "height": 1040})  # A4 within margins, at 96 dots an inch
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for file in (runs[0] / "report.html", both):
        page.goto(file.as_uri())
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= 718
        assert not page.locator("nav:visible").count()
        tall = page.evaluate("Math.max(...[...document.querySelectorAll('figure')].map(f => f.offsetHeight))")
        assert 0 < tall <= 1040
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        colours = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colours in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
        assert page.pdf(format="A4")[:5] == b"%PDF-"
    page.close()
    assert all(url.startswith(("file:", "data:")) for url in asked)


def test_a_tables_report_compares_columns_and_pairs_with_samples(tmp_path: Path) -> None:
    small = {"model.hidden": [16], "model.latent": 2, "objective.k": 2}
    run = vaekit.train("tabular-vae", examples.source("tabular-vae"), steps=20, set=small, out=tmp_path / "run")
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert {"marginals", "correlations"} <= drawn
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert page.index("<h3>Columns</h3>") < page.index("<h3>Correlations</h3>") < page.index('id="training"')
    columns = table_figures.columns(run)
    names = [facts["name"] for facts in run.info.facts["columns"] if not facts.get("gap_of")]
    assert [column.name for column in columns] == names
    rows = run.lines(run.shown.first(5).inputs)
    for column in columns:  # values in the columns' own units, as the lines have them
        if not column.levels and np.isfinite(column.real[0]):
            said = dict(part.split("=", 1) for part in rows[0].split(", "))
            if column.kind != "date":
                assert float(said[column.name]) == pytest.approx(float(column.real[0]), rel=1e-3)


def test_a_report_of_sound_plays_it(tmp_path: Path) -> None:
    rate, time = 4000, np.arange(4000) / 4000
    (tmp_path / "sounds").mkdir()
    for i in range(24):
        write_wav(tmp_path / "sounds" / f"{i}.wav", np.sin(2 * np.pi * (200 + 20 * i) * time), rate)
    small = {"model.hidden": [16], "model.latent": 2}
    run = vaekit.train("vae", tmp_path / "sounds", steps=3, set=small, out=tmp_path / "run")
    assert run.info.modality == "audio"
    for name, count in (("samples", 6), ("reconstructions", 2 * len(run.shown.first(3).inputs))):
        sound = read_wav(tmp_path / "run" / "figures" / f"{name}.wav")
        one = run.info.facts["mel"]
        length = (one["frames"] - 1) * one["hop"]
        assert len(sound.samples) > count * 0.9 * length
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert page.count('<audio controls preload="none"') == 2 and "media-src data:" in page
    run.write_figures()
    (tmp_path / "run" / "figures" / "samples.wav").unlink()
    assert run.write_report().read_text(encoding="utf-8").count("<audio") == 1


@pytest.mark.parametrize(("likelihood", "rows"), [("bernoulli", 4), ("discretised-logistic", 3)])
def test_examples_made_black_or_white_stand_below_their_greys(likelihood: str, rows: int) -> None:
    run = vaekit.train("vae", "digits", steps=2, pictures=False, set={"model.likelihood": likelihood}, device="cpu")
    drawn: Any = pictures.reconstructions(run)
    names = [ax.get_ylabel() for ax in drawn.axes if ax.get_ylabel()]
    assert len(names) == rows
    first = np.asarray(drawn.axes[0].images[0].get_array())[:8, :8, 0]
    assert np.allclose(first, run.data.test.x[0, 0].numpy() / 16, atol=0.04), "greys come first"
