"""Exported programs against the model, at other batch sizes than they were traced with; hub folders offline."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from vaekit.commands.main import run as command
from vaekit.data.tables.columns import store
from vaekit.data.tables.quantiles import fit_curve, fit_cycle
from vaekit.errors import UserError
from vaekit.runs import hub
from vaekit.runs.loading import load
from vaekit.runs.train import train
from vaekit.tasks.export import Cells

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("vae", {}),
    "conv": ("vae", {"model.net": "conv"}),
    "logistic": ("vae", {"model.likelihood": "discretised-logistic"}),
    "labels": ("cvae", {}),
    "delta": ("ae", {}),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    for name, (recipe, settings) in KINDS.items():
        small = (
            {"model.hidden": "16", "model.latent": 3} if settings.get("model.net") != "conv" else {"model.latent": 3}
        )
        train(recipe, "digits", out=root / name, steps=10, set=small | settings, pictures=False)
    return {name: root / name for name in KINDS}


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        command([str(word) for word in words])
    return int(end.value.code or 0)


def expected(folder: Path, n: int) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Inputs of encoder and decoder, and what the model makes of them: [mean (, sd)] joined, and the decoder's mean."""
    run = load(folder)
    raw = run.data.test.x[:n]
    x = run.prepare.expected(raw)
    assert run.test.y is not None
    label = [torch.nn.functional.one_hot(run.test.y[:n], 10).float()] if run.model.takes_label else []
    with torch.no_grad():
        q = run.model.encode(x, *label)
        codes = torch.cat([q.mean, q.stddev]) if run.recipe != "ae" else q.mean
        mean = run.prepare.invert(run.model.decode(q.mean, *label).mean) * (16 if run.info.kind == "binary" else 1)
    return [raw, *label], [q.mean, *label], codes, mean


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_programs_give_what_the_model_gives(kind: str, format: str, runs: dict[str, Path], tmp_path: Path) -> None:
    assert call("export", runs[kind], "--format", format, "--out", tmp_path / "m.zip") == 0
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        made = {name.split(".")[0]: archive.read(name) for name in archive.namelist()}
    for n in (1, 17):
        x, z, codes, mean = expected(runs[kind], n)
        for part, inputs, right in (("encoder", x, codes), ("decoder", z, mean)):
            if format == "onnx":
                session = onnxruntime.InferenceSession(made[part])
                feed = {slot.name: value.numpy() for slot, value in zip(session.get_inputs(), inputs)}
                out = np.concatenate([np.asarray(o) for o in session.run(None, feed)])
                said = session.get_modelmeta().custom_metadata_map
                assert said["model"] == load(runs[kind]).fingerprint and said["part"] == part
            else:
                module = torch.export.load(io.BytesIO(made[part])).module()
                found = module(*inputs)
                out = torch.cat(list(found) if isinstance(found, tuple) else [found]).detach().numpy()
            assert np.abs(out - right.numpy()).max() < 1e-4  # greys up to 16


@pytest.mark.slow
def test_names_of_files(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("export", runs["mlp"], "--format", "torch", "--out", tmp_path / "m.pt2", "--json") == 0
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["out"]) == 2
    assert call("export", runs["mlp"], "--format", "torch", "--out", tmp_path / "decoder.pt2") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["decoder.pt2", "m.decoder.pt2", "m.encoder.pt2"]


def test_bad_names_and_runs(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, says in (
        (("export", runs["mlp"], "--out", tmp_path / "m.txt"), ".onnx or .zip"),
        (("export", runs["mlp"], "--format", "torch", "--out", tmp_path / "m.onnx"), ".pt2 or .zip"),
        (("export", runs["mlp"], "--out", tmp_path / "no" / "m.onnx"), "does not exist"),
        (("export", tmp_path, "--out", tmp_path / "m.onnx"), "not a run folder"),
        (("export", runs["mlp"], "--format", "tflite", "--out", tmp_path / "m.onnx"), "tflite"),
    ):
        assert call(*words) == 2
        said = capsys.readouterr().err.strip()
        assert says in said and "Traceback" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_cannot_be_exported_is_said(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vaekit.tasks import export as exporting

    def fails(*_: object) -> None:
        raise RuntimeError("no rule for this\nand a long story")

    monkeypatch.setattr(exporting, "traced", fails)
    assert call("export", runs["mlp"], "--format", "torch", "--out", tmp_path / "m.zip") == 2
    assert "cannot be exported to torch (RuntimeError: no rule for this)" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_hub_folder_round_trips_and_tells_no_paths(runs: dict[str, Path], tmp_path: Path) -> None:
    run = load(runs["mlp"])
    there = hub.save_pretrained(run, tmp_path / "hub")
    assert sorted(p.name for p in there.iterdir()) == ["README.md", "model.safetensors", "run.json"]
    again = hub.from_pretrained(there)
    assert again.fingerprint == run.fingerprint and torch.equal(again.sample(4), run.sample(4))
    assert str(tmp_path.parent) not in (there / "run.json").read_text() + (there / "README.md").read_text()


def test_a_run_in_memory_and_one_of_a_file_can_be_kept(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((60, 5)).astype(np.float32))
    for source in (tmp_path / "x.npy", np.load(tmp_path / "x.npy")):
        run = train("vae", source, steps=3, set={"model.hidden": "8"})
        again = hub.from_pretrained(hub.save_pretrained(run, tmp_path / "kept"))
        assert torch.equal(again.sample(2), run.sample(2))
        assert str(tmp_path) not in (tmp_path / "kept" / "run.json").read_text()


def test_the_hub_is_told_of_faults_in_one_sentence(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    class Offline:
        def __init__(self, token: str | None = None) -> None: ...

        def create_repo(self, *_: object, **__: object) -> None:
            raise ConnectionError("no route\nsecond line")

    monkeypatch.setattr(huggingface_hub, "HfApi", Offline)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: (_ for _ in ()).throw(OSError("gone")))
    with pytest.raises(UserError, match=r"could not be written \(no route\)"):
        hub.push_to_hub(load(runs["mlp"]), "someone/something")
    with pytest.raises(UserError, match=r"could not be read \(gone\)"):
        hub.from_pretrained("someone/something")
    for name in ("nowhere", "./a/b", "/a/b"):
        with pytest.raises(UserError, match="no folder"):
            hub.from_pretrained(name)


def test_pushing_sends_the_folder(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    sent: dict[str, Any] = {}

    class Api:
        def __init__(self, token: str | None = None) -> None:
            sent["token"] = token

        def create_repo(self, name: str, private: bool, exist_ok: bool) -> Any:
            sent["private"] = private
            return huggingface_hub.RepoUrl(f"https://huggingface.co/{name}")

        def upload_folder(self, repo_id: str, folder_path: str, commit_message: str) -> None:
            sent["repo"], sent["files"] = repo_id, sorted(p.name for p in Path(folder_path).iterdir())

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    address = hub.push_to_hub(load(runs["mlp"]), "someone/something", private=True, token="t")
    assert address.endswith("someone/something") and sent["repo"] == "someone/something" and sent["private"]
    assert sent["files"] == ["README.md", "model.safetensors", "run.json"]


def test_columns_with_spikes_are_taken_as_they_are_stored() -> None:
    """Whole numbers, and a value that many rows have, at the middle of the scores that stand for it."""
    rng = np.random.default_rng(0)
    spiked = np.concatenate([np.zeros(300), rng.exponential(5.0, 400), np.full(100, 7.5)])
    long, whole = rng.lognormal(3.0, 1.0, 800), rng.poisson(2.0, 800).astype(float)
    office = 19_000 + rng.choice([0, 1, 2, 3, 4], 800) + 7 * rng.integers(0, 40, 800) + rng.uniform(0.4, 0.7, 800)
    columns = [
        {"name": "office", "type": "date", "curve": fit_curve(office, cycle=fit_cycle(office, timed=True))},
        {"name": "spiked", "type": "numeric", "curve": fit_curve(spiked)},
        {"name": "long", "type": "positive", "curve": fit_curve(long, log=True)},
        {"name": "whole", "type": "count", "curve": fit_curve(whole, whole=True, floor=0.0)},
        {"name": "plain", "type": "numeric", "mean": 3.0, "sd": 2.0},
    ]
    raw = np.stack([office, spiked, long, whole, rng.normal(3, 2, 800)], 1)
    cells = Cells(columns)
    seen = cells.seen(torch.from_numpy(raw))
    for j, column in enumerate(columns):
        np.testing.assert_allclose(seen[:, j].numpy(), store(raw[:, j], column), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(cells.raw(seen).numpy(), raw, rtol=1e-4, atol=1e-4)
