"""Data on disk against the same data in memory: the same splits, batches and checks."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vaekit import train
from vaekit.data import DataSettings, disk_rows, load, streamed, train_batches
from vaekit.data.batches import ahead
from vaekit.data.disk import NpyRows
from vaekit.data.disk_rows import DiskRows
from vaekit.data.shuffling import BlockOrder, epoch_order
from vaekit.errors import UserError
from vaekit.training.loop import Fit

N = 300
STREAM = DataSettings(stream="yes")
MEMORY = DataSettings(stream="no")


def greys(n: int = N, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 6, 5), dtype=np.uint8)


def shards(folder: Path, x: np.ndarray, y: np.ndarray | None = None, ends: tuple[int, ...] = (110, 111)) -> Path:
    folder.mkdir()
    for i, rows in enumerate(np.split(np.arange(len(x)), list(ends))):
        np.save(folder / f"x-{i:03}.npy", x[rows])
        if y is not None:
            np.save(folder / f"y-{i:03}.npy", y[rows])
    return folder


def images(folder: Path, x: np.ndarray) -> Path:
    for i, picture in enumerate(x):
        (folder / f"k{i % 3}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"k{i % 3}" / f"{i:04}.png")
    return folder


def batches(data: Any, epoch: int, skip: int = 0, size: int = 32) -> list[Any]:
    return list(train_batches(data.train, data.prepare, size, seed=3, epoch=epoch, skip=skip))


def made(kind: str, folder: Path) -> Path:
    y = np.arange(N) % 7
    if kind == "images":
        return images(folder / "pictures", greys(60))
    if kind in ("shards", "shards with labels"):
        return shards(folder / "many", greys(), y if "labels" in kind else None)
    x: dict[str, np.ndarray] = {
        "greys": greys(),
        "bits": (greys() > 128).astype(np.uint8),
        "real": np.random.default_rng(1).normal(size=(N, 4)),
        "unit": np.random.default_rng(1).random((N, 1, 4, 4)).astype(np.float32),
        "colour": np.random.default_rng(1).integers(0, 256, (N, 4, 5, 3), dtype=np.uint8),
    }
    np.save(folder / "one.npy", x[kind])
    return folder / "one.npy"


@pytest.mark.parametrize("limit", [None, 40])
@pytest.mark.parametrize("kind", ["greys", "bits", "real", "unit", "colour", "shards", "shards with labels", "images"])
def test_the_same_batches_as_in_memory(kind: str, limit: int | None, tmp_path: Path) -> None:
    path = made(kind, tmp_path)
    wants = "binary" if kind == "greys" else "any"
    ours, theirs = (
        load(path, settings.model_copy(update={"limit": limit}), wants=wants) for settings in (STREAM, MEMORY)
    )
    assert isinstance(ours.train.x, DiskRows) and isinstance(theirs.train.x, torch.Tensor)
    assert ours.info == theirs.info and ours.prepare.to_dict() == theirs.prepare.to_dict()
    for a, b in ((ours.valid, theirs.valid), (ours.test, theirs.test)):
        assert torch.equal(a.x, b.x) and (a.y is None) == (b.y is None)
    for epoch in (0, 1):
        pairs = list(itertools.zip_longest(batches(ours, epoch), batches(theirs, epoch)))
        assert all(torch.equal(a[0], b[0]) for a, b in pairs)
        assert all(torch.equal(a[1], b[1]) if b[1] is not None else a[1] is None for a, b in pairs)
    torch.testing.assert_close(ours.train_mean(), theirs.train_mean())


@pytest.mark.parametrize("shuffle", ["exact", "blocks"])
def test_an_epoch_taken_up_in_the_middle_goes_on_the_same(shuffle: str, tmp_path: Path) -> None:
    data = load(made("greys", tmp_path), STREAM.model_copy(update={"shuffle": shuffle}), wants="binary")
    whole, rest = batches(data, 5), batches(data, 5, skip=4)
    assert len(rest) == len(whole) - 4 > 0
    assert all(torch.equal(a[0], b[0]) for a, b in zip(whole[4:], rest))


@pytest.mark.parametrize(
    ("n", "block", "group"), [(0, 4, 2), (1, 4, 2), (64, 4, 4), (103, 7, 3), (50, 100, 2), (9, 1, 64)]
)
def test_an_order_by_blocks_visits_every_row_once(n: int, block: int, group: int) -> None:
    told: list[tuple[int, int]] = []
    order = BlockOrder(n, block, 1, 2, lambda a, b: told.append((a, b)), group)
    parts = [order[i : i + 5] for i in range(0, n, 5)]
    assert sorted(torch.cat(parts).tolist()) == list(range(n)) if parts else n == 0
    again = BlockOrder(n, block, 1, 2, None, group)
    assert all(torch.equal(again[i : i + 5], part) for i, part in zip(range(0, n, 5), parts))
    groups = math.ceil(math.ceil(n / block) / group)
    assert sum(b - a for a, b in told) == n - min(n, len(order._rows(0))) if groups > 1 else not told


def test_blocks_are_neighbours_and_epochs_differ() -> None:
    order = BlockOrder(1000, 10, 0, 0, group=5)
    first = order[:50]
    assert len({int(row) // 10 for row in first}) == 5
    assert not torch.equal(first, BlockOrder(1000, 10, 0, 1, group=5)[:50])
    assert not torch.equal(first.sort().values, first)


def test_automatic_streaming_goes_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made("greys", tmp_path)
    assert isinstance(load(path).train.x, torch.Tensor)
    monkeypatch.setattr(streamed, "STREAM_ABOVE", 1000)
    data = load(path)
    assert isinstance(data.train.x, DiskRows) and not data.train.x.blocks
    monkeypatch.setattr(disk_rows, "EXACT_MOST", 100)
    assert load(path).train.x.blocks  # type: ignore[attr-defined]
    assert isinstance(load(images(tmp_path / "p", greys(60))).train.x, DiskRows)
    assert isinstance(load((greys(), np.arange(N))).train.x, torch.Tensor)


@pytest.mark.parametrize("many", [False, True])
def test_a_file_cut_short_is_named_with_its_first_missing_row(many: bool, tmp_path: Path) -> None:
    path = shards(tmp_path / "many", greys()) if many else made("greys", tmp_path)
    file = path / "x-002.npy" if many else path
    with file.open("r+b") as handle:
        handle.truncate(file.stat().st_size - 45)
    rows = N - 111 if many else N
    with pytest.raises(UserError, match=rf"{file.name} is cut short.* rows from {rows - 2} on are missing"):
        load(path, STREAM)


def test_a_file_that_shrinks_while_it_is_read_names_the_row(tmp_path: Path) -> None:
    path = made("greys", tmp_path)
    rows = NpyRows(path)
    with path.open("r+b") as handle:
        handle.truncate(path.stat().st_size - 45)
    with pytest.raises(UserError, match="row 298 is missing"):
        rows.read(np.array([297, 298, 299]))


def spoilt(tmp_path: Path, kind: str, value: float) -> tuple[Path, int]:
    """Return a file with one bad value in a training row that the sample does not read, and that row."""
    path = made(kind, tmp_path)
    x = np.load(path)
    data = load(path, STREAM)
    assert isinstance(data.train.x, DiskRows)
    row = int(data.train.x.held.rows(np.array([1]))[0])
    x.reshape(N, -1)[row, 2] = value
    np.save(path, x)
    return path, row


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        ("real", np.nan, "is nan"),
        ("unit", 1.5, "outside \\[0, 1\\]"),
        ("bits", 7, "had 2 levels"),
    ],
)
def test_a_bad_row_that_no_sample_saw_is_named_when_its_batch_is_read(
    kind: str, value: float, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "SAMPLE_ROWS", 3)
    path, row = spoilt(tmp_path, kind, value)
    data = load(path, STREAM)
    with pytest.raises(UserError, match=rf"row {row}[ ,].*{problem}"):
        batches(data, 0)


def test_a_bad_row_within_the_sample_is_named_before_training(tmp_path: Path) -> None:
    path, row = spoilt(tmp_path, "real", np.inf)
    with pytest.raises(UserError, match=f"row {row}, column 2 is inf"):
        load(path, STREAM)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f: np.save(f / "x-001.npy", greys()[:1, :5]), "x-001.npy holds rows of shape"),
        (lambda f: np.save(f / "x-001.npy", np.asfortranarray(greys())), "column by column"),
        (lambda f: (f / "x-001.npy").write_bytes(b"nothing"), "x-001.npy is not a readable array"),
        (lambda f: np.save(f / "y-001.npy", np.arange(2)), "2 labels and .*x-001.npy 1 rows"),
        (lambda f: np.save(f / "y-001.npy", np.zeros((1, 2), int)), r"y-001.npy has labels of shape \(1, 2\)"),
        (lambda f: np.save(f / "y-001.npy", np.zeros(1, "M8[s]")), "y-001.npy has type datetime64"),
        (lambda f: (f / "y-001.npy").unlink(), "x-001.npy has no labels"),
        (lambda f: (f / "x-001.npy").unlink(), "y-001.npy holds labels, and there is no x-001.npy"),
    ],
)
def test_shards_that_do_not_fit_are_named(change: Any, problem: str, tmp_path: Path) -> None:
    folder = shards(tmp_path / "many", greys(), np.arange(N))
    change(folder)
    with pytest.raises(UserError, match=problem):
        load(folder, STREAM)


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    folder = images(tmp_path / "p", greys(60))
    Image.fromarray(greys(1, 1)[0][:3]).save(folder / "k1" / "0001.png")
    with pytest.raises(UserError, match=r"0001\.png differs in size"):
        batches(load(folder, STREAM), 0)
    sized = STREAM.model_copy(update={"size": 4})
    assert batches(load(folder, sized), 0)[0][0].shape[1:] == (1, 4, 4)


@pytest.mark.parametrize("change", [{"binarise": "fixed"}, {"size": 3}])
def test_what_would_rewrite_the_data_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stream=no"):
        load(made("greys", tmp_path), STREAM.model_copy(update=change), wants="binary")


def test_what_cannot_stream_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be streamed"):
        load("digits", STREAM)


def test_reading_ahead_keeps_order_and_passes_errors_on() -> None:
    seen: list[int] = []

    def work(i: int) -> int:
        seen.append(i)
        if i == 5:
            raise UserError("the fifth")
        return i

    found = ahead(work, itertools.count(), depth=2)
    assert [next(found) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match="the fifth"):
        next(found)
    assert len(seen) <= 8
    early = ahead(work, itertools.count(10))
    assert next(early) == 10
    early.close()  # a run that is left in the middle of an epoch leaves no thread behind


def test_a_streamed_run_is_that_of_data_in_memory_and_resumes_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made("bits", tmp_path)
    common = {"data": path, "steps": 25, "batch_size": 64, "set": {"model.latent": 2, "train.checkpoint_steps": 9}}

    def weights(run: Any) -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in run.model.parameters()])

    def changed(**more: Any) -> dict[str, Any]:
        return common | {"set": common["set"] | more}  # type: ignore[operator]

    memory = train("vae", **changed())
    stream = train("vae", **changed(**{"data.stream": "yes"}))
    assert torch.equal(weights(memory), weights(stream))
    out, step = tmp_path / "run", Fit._step

    def cut(self: Fit, x: Any, y: Any) -> None:
        if self.at.step == 14:
            raise KeyboardInterrupt
        step(self, x, y)

    monkeypatch.setattr(Fit, "_step", cut)
    with pytest.raises(KeyboardInterrupt):
        train("vae", **changed(**{"data.stream": "yes"}), out=out, pictures=False)
    monkeypatch.setattr(Fit, "_step", step)
    assert torch.equal(weights(train("vae", out=out, resume=True, pictures=False)), weights(stream))


def test_the_exact_order_is_that_of_memory(tmp_path: Path) -> None:
    data = load(made("greys", tmp_path), STREAM)
    assert isinstance(data.train.x, DiskRows)
    assert torch.equal(data.train.x.order(1, 2)[:], epoch_order(len(data.train), 1, 2))
