"""Pictures a file each, and examples that are named: by number, by file name, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from commands.conftest import Command
from vaekit.atomic import new_folder, sweep
from vaekit.commands.files import file_names
from vaekit.data.dataset import Prepared
from vaekit.data.origin import Origin
from vaekit.data.save import write_pictures
from vaekit.errors import UserError
from vaekit.runs.examples import choose
from vaekit.runs.loading import load


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def levels(x: Any) -> np.ndarray:
    """Return values in [0, 1] as a PNG holds them."""
    return (np.asarray(x).clip(0, 1) * 255).round().astype(np.uint8)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_samples_and_reconstructions_are_a_picture_each(vaekit: Command, here: Path, trained: dict[str, Path]) -> None:
    """The same values as the arrays; those of a conditional model lie in a folder a class, as data sets do."""
    assert vaekit("sample", trained["vae"], "-n", 11, "--seed", 3, "--out", "new/").code == 0
    assert names(here / "new") == [f"{i:02d}.png" for i in range(11)]
    expected = load(trained["vae"]).sample(11, seed=3)
    for i, name in enumerate(names(here / "new")):
        assert np.array_equal(read(here / "new" / name), levels(expected[i, 0])), name
    assert vaekit("sample", trained["cvae"], "-n", 20, "--out", "classes").code == 0
    assert names(here / "classes")[:3] == ["0/00.png", "0/10.png", "1/01.png"]
    (here / "rec").mkdir()  # an empty folder is as good as none
    assert vaekit("reconstruct", trained["vae"], "--examples", "5,2", "--out", "rec").code == 0
    run = load(trained["vae"])
    made = run.prepare.show(run.reconstruct(run.test.take(torch.tensor([5, 2]))))
    assert names(here / "rec") == ["0.png", "1.png"]
    assert np.array_equal(read(here / "rec" / "0.png"), levels(made[0, 0]))


def test_written_folders_are_read_back_as_data(vaekit: Command, here: Path, trained: dict[str, Path]) -> None:
    from vaekit.data import load as load_data

    assert vaekit("sample", trained["cvae"], "-n", 40, "--out", "made").code == 0
    data = load_data(str(here / "made"))
    assert data.info.shape == (1, 8, 8) and data.info.classes == tuple("0123456789")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sample", "{vae}", "--out", "full"], ["full", "not empty"]),
        (["reconstruct", "{vae}", "--out", "none/there"], ["none", "does not exist"]),
        (["reconstruct", "{vae}", "--out", "x.jpg"], ["x.jpg", "name a folder"]),
        (["interpolate", "{vae}", "--out", "folder"], ["folder", ".png or .npz"]),
        (["sample", "{vae}", "--from", "aggregate", "--out", "folder"], ["folder", ".png or .npz"]),
        (
            ["reconstruct", "{vae}", "--examples", "3,,a.png", "--out", "x.png"],
            ["'a.png'", "not a file", "174 examples"],
        ),
        (["reconstruct", "{vae}", "--examples", "3,174", "--out", "x.png"], ["174", "0 to 173"]),
        (["reconstruct", "{vae}", "--examples", "-1", "--out", "x.png"], ["-1", "0 to 173"]),
        (["interpolate", "{vae}", "--examples", "one.npy", "--out", "x.png"], ["at least 2"]),
        (["interpolate", "{vae}", "--examples", "one.npy,two.npy", "--out", "x.png"], ["two.npy", "2 examples"]),
        (["traverse", "{vae}", "--example", "2.5", "--out", "x.png"], ["'2.5'"]),
    ],
)
def test_what_cannot_be_written_or_found_is_named(
    vaekit: Command, here: Path, trained: dict[str, Path], arguments: list[str], words: list[str]
) -> None:
    (here / "full").mkdir()
    (here / "full" / "kept.txt").write_text("mine")
    np.save(here / "one.npy", np.zeros((1, 1, 8, 8), np.uint8))
    np.save(here / "two.npy", np.zeros((2, 1, 8, 8), np.uint8))
    done = vaekit(*[a.format(**trained) for a in arguments])
    assert done.code == 2 and "Traceback" not in done.err and len(done.err.splitlines()) == 1
    assert all(word in done.err for word in words), done.err
    assert names(here) == ["full/kept.txt", "one.npy", "two.npy"]


def test_examples_named_by_file_are_those_of_the_arrays(vaekit: Command, here: Path, trained: dict[str, Path]) -> None:
    """A file's one example, prepared as the data were, beside numbered ones; in every command that takes examples."""
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 17, (3, 1, 8, 8), dtype=np.uint8)
    for name, x in zip("abc", stored):
        np.save(here / f"{name}.npy", x[None])
    np.save(here / "all.npy", stored)
    run = load(trained["vae"])
    split, chosen = choose(run, ["b.npy", 7, "a.npy", "b.npy"])
    assert chosen == [174, 7, 175, 174] and len(split) == 176
    assert np.array_equal(split.x[chosen[1]], run.test.x[7])
    for i, name in ((0, "b.npy"), (2, "a.npy")):
        assert np.array_equal(split.x[chosen[i]], run.prepared(str(here / name)).x[0])
    only, order = choose(run, ["c.npy", "a.npy"])
    assert len(only) == 2 and order == [0, 1]
    for command, one, other, key, first in (
        ("interpolate", ["--examples", "a.npy,b.npy"], ["--examples", "0,1"], "paths", (0, 0)),
        ("traverse", ["--example", "c.npy"], ["--example", "0"], "x", ()),
        ("arithmetic", ["--examples", "a.npy,b.npy,c.npy"], ["--examples", "0,1,2"], "z", (0, 0)),
        ("reconstruct", ["--examples", "c.npy,a.npy"], ["--examples", "0,1"], "reconstruction", (0,)),
    ):
        done = vaekit(command, trained["vae"], *one, "--out", "named.npz")
        assert done.code == 0, done.err
        order = ["c.npy"] if command == "traverse" else one[1].split(",")
        np.save(here / "these.npy", np.stack([stored["abc".index(name[0])] for name in order]))
        assert vaekit(command, trained["vae"], "--data", "these.npy", *other, "--out", "numbered.npz").code == 0
        # The noise of binarising goes by the row, so the first example is the same both ways.
        named, numbered = (np.load(here / f"{name}.npz")[key] for name in ("named", "numbered"))
        assert np.allclose(named[first], numbered[first], atol=1e-6), command


def test_a_folder_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true = Image.Image.save
    calls: list[Any] = []

    def fails(self: Any, *arguments: Any, **more: Any) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError("the disk is full")
        true(self, *arguments, **more)

    monkeypatch.setattr(Image.Image, "save", fails)
    with pytest.raises(OSError, match="full"):
        write_pictures(tmp_path / "out", torch.zeros(5, 1, 4, 4), list("abcde"))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    write_pictures(tmp_path / "out", torch.zeros(3, 3, 4, 5), ["x/a", "b", "b"])
    assert names(tmp_path / "out") == ["b-1.png", "b-2.png", "x/a.png"]
    assert read(tmp_path / "out" / "x" / "a.png").shape == (4, 5, 3)


def test_a_folder_that_a_killed_process_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(*_: Any) -> None:
        raise ProcessLookupError

    with new_folder(tmp_path / "out") as part:
        (part / "a.png").write_text("half")
        left = tmp_path / f".out.{2**22 + 1}.part"
        left.mkdir()
        (left / "a.png").write_text("half")
    monkeypatch.setattr("os.kill", kill)
    sweep(tmp_path)
    assert names(tmp_path) == ["out/a.png"] and not left.exists()


def test_examples_are_found_by_their_file_names(trained: dict[str, Path]) -> None:
    """By the name in the data's folder, or by its last part where that is one example's alone."""
    run = load(trained["vae"])
    files = np.array([f"{'cat' if i % 2 else 'dog'}/{i // 2:02d}.png" for i in range(10)] + ["dog/only.png"])

    named = Prepared(run.test.x[:11], origin=Origin({"file": files}))
    assert choose(run, ["cat/01.png", "only.png", "4", 0], named)[1] == [3, 10, 4, 0]
    assert file_names(named) == [str(Path(name).with_suffix("")) for name in files]
    assert file_names(run.test.first(2)) is None
    with pytest.raises(UserError, match=r"2 examples are called 01\.png; write the folder too, e\.g\. dog/01\.png"):
        choose(run, ["01.png"], named)
    with pytest.raises(UserError, match=r"'02\.jpg' is not a file.*11 examples \(they are called e\.g\. dog/00\.png\)"):
        choose(run, ["02.jpg"], named)
