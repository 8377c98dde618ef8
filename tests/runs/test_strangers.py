"""A run from somebody else: it shows no file of yours, and makes Python import nothing."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from vaekit.errors import UserError
from vaekit.runs.folder import read_record
from vaekit.runs.hub import from_pretrained, save_pretrained
from vaekit.runs.loading import load
from vaekit.runs.train import train

EARLIER = Path(__file__).parent / "earlier" / "5e0e739"
SECRET = "a line of a file that is yours"
FILES = (
    *("run.json", "model.safetensors", "log.jsonl", "evaluation.json", "evaluation.safetensors", "thresholds.json"),
    *("report.html", "figures/samples.txt", "figures/curves.png", "checkpoints/last.safetensors", "checkpoints/more"),
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(EARLIER.parent / "data")
    return Path(shutil.copytree(EARLIER / "vae", tmp_path / "run"))


@pytest.mark.parametrize("name", FILES)
def test_no_file_outside_is_read_or_written_through_a_link(name: str, run: Path, tmp_path: Path) -> None:
    yours, link = tmp_path / "yours", run / name
    link.parent.mkdir(exist_ok=True)
    yours.write_bytes(link.read_bytes() if link.is_file() else SECRET.encode())
    before = yours.read_bytes()
    link.unlink(missing_ok=True)
    link.symlink_to(yours)
    again = lambda: train(out=run, resume=True, steps=9)  # noqa: E731
    for use in (lambda: load(run), again, lambda: train(init=run, steps=1)):
        with pytest.raises(UserError, match=rf"{name}.* is a link that leads out"):
            use()
    assert yours.read_bytes() == before


@pytest.mark.parametrize("target", ["..", "/etc", "/etc/passwd", "nowhere/at/all", "../run2/../yours", "loop"])
def test_links_of_any_kind(target: str, run: Path, tmp_path: Path) -> None:
    (run / "loop").symlink_to("loop")
    (run / "figures").symlink_to(target)
    inside = target == "nowhere/at/all"  # it leads nowhere, but to no file outside
    if inside:
        assert read_record(run)["recipe"] == "vae"
    else:
        with pytest.raises(UserError, match="figures is a link that leads out"):
            read_record(run)


def test_links_within_the_run_and_to_it_are_followed(run: Path, tmp_path: Path) -> None:
    (run / "model.safetensors").rename(run / "weights")
    (run / "model.safetensors").symlink_to("weights")
    (tmp_path / "link").symlink_to(run)
    assert load(tmp_path / "link", "cpu").sample(1).shape[0] == 1


def test_a_cache_of_the_hub_is_followed(run: Path, tmp_path: Path) -> None:
    """There the files of a revision are links to blobs beside it."""
    blobs, there = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "abc"
    save_pretrained(load(run, "cpu"), tmp_path / "saved")
    blobs.mkdir(parents=True)
    there.mkdir(parents=True)
    for path in (tmp_path / "saved").iterdir():
        shutil.move(path, blobs / path.name[:3])
        (there / path.name).symlink_to(f"../../blobs/{path.name[:3]}")
    assert from_pretrained(there).sample(1).shape[0] == 1
    (there / "log.jsonl").symlink_to("../../secret")
    with pytest.raises(UserError, match="leads out"):
        from_pretrained(there)


# -- code -------------------------------------------------------------------------------------------------------------


def made_up(run: Path, **fields: object) -> None:
    path = run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    "recipe", ["evil", "vaekit.evil", "../evil", "evil:make", "os", "custom", "vaekit.recipes.evil", "__main__"]
)
def test_a_record_imports_nothing(recipe: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = tmp_path / "ran"
    for folder in (tmp_path / "here", run):
        folder.mkdir(exist_ok=True)
        (folder / "evil.py").write_text(f"from pathlib import Path\nPath({str(ran)!r}).touch()\ndef make(**k): pass\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(tmp_path / "here")
    made_up(run, recipe=recipe, model={"class": "evil:make", "layers": "", "arguments": {"module": "evil.py:make"}})
    known = set(sys.modules)
    for path in (run, run.parent / "run"):
        with pytest.raises(UserError):
            load(path)
        with pytest.raises(UserError):
            train(out=path, resume=True, steps=9)
    assert not ran.exists() and not {name for name in set(sys.modules) - known if "evil" in name}


@pytest.mark.parametrize("section", ["model.likelihood", "model.prior", "model.net", "model.act", "train.device"])
def test_a_setting_imports_nothing(section: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    part, name = section.split(".")
    record = json.loads((run / "run.json").read_text())
    record["settings"][part][name] = "evil"
    (run / "run.json").write_text(json.dumps(record))
    for use in (lambda: load(run), lambda: train(out=run, resume=True, steps=9)):
        with pytest.raises(UserError):
            use()
            raise UserError("a device is chosen when the run is used")
    assert not (tmp_path / "ran").exists() and "evil" not in sys.modules


def test_a_module_is_run_where_it_is_named_alone(run: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "mine.py").write_text(
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\nfrom torch import nn\n"
        "from vaekit import VAE, Bernoulli, DiagonalNormal, StandardNormal\n"
        "def make(): return VAE(DiagonalNormal(nn.Linear(64, 4)), StandardNormal(2), Bernoulli(nn.Linear(2, 64)))\n"
    )
    made_up(run, recipe="custom", model={"class": "mine:make", "layers": ""})
    with pytest.raises(UserError, match="module"):
        load(run)
    assert not mark.exists()
    with pytest.raises(UserError, match="does not fit"):
        load(run, module=f"{tmp_path / 'mine.py'}:make")
    assert mark.exists()
