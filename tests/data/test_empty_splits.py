"""data.valid=0 and data.test=0: every kind of data loads with splits that are empty, and stay so when prepared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vaekit.data import DataSettings, eval_batches, load
from vaekit.data.audio.wav import write_wav
from vaekit.data.graphs.modality import GraphData
from vaekit.data.molecules.modality import Molecules
from vaekit.data.music.modality import Music
from vaekit.data.music.piano_roll import Piece
from vaekit.data.tables.modality import Tables
from vaekit.data.text.modality import Text

RNG = np.random.default_rng(0)
GREYS = RNG.integers(0, 256, (30, 4, 4)).astype(np.uint8)
NONE = {"valid": 0, "test": 0}


def images(folder: Path) -> Path:
    for i, picture in enumerate(GREYS):
        (folder / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / "ab"[i % 2] / f"{i}.png")
    return folder


def array_file(folder: Path) -> Path:
    np.save(folder / "x.npy", GREYS)
    return folder / "x.npy"


def recordings(folder: Path) -> Path:
    for i in range(6):
        write_wav(folder / f"{i}_ann_0.wav", RNG.normal(0, 0.1, 6400), 8000)
    return folder


def arrays(source: Callable[[Path], Any], wants: Any = "any", **more: Any) -> Callable[[Path], Any]:
    return lambda folder: load(source(folder), DataSettings.model_validate(NONE | more), wants=wants)


def of(modality: Any, source: Any, **more: Any) -> Callable[[Path], Any]:
    return lambda folder: modality.load(source, modality.settings(**NONE, **more))


RINGS = [{i: [(i + 1) % n, (i - 1) % n] for i in range(n)} for n in (5, 6, 7, 8)]
KINDS: dict[str, Callable[[Path], Any]] = {
    "greys": arrays(lambda _: GREYS, "binary"),
    "binarised once": arrays(lambda _: GREYS, "binary", binarise="fixed"),
    "standardised": arrays(lambda _: RNG.normal(size=(30, 3)), "real", standardise=True),
    "labelled": arrays(lambda _: (GREYS, np.arange(30) % 3)),
    "factors": arrays(lambda _: "sprites", limit=30),
    "images": arrays(images),
    "resized": arrays(images, size=3),
    "sound": arrays(recordings),
    "streamed array": arrays(array_file, "binary", stream="yes"),
    "streamed images": arrays(images, stream="yes"),
    "text": of(Text(), ["to be", "or not", "to be"], least=1),
    "molecules": of(Molecules(), ["CCO", "CCN", "CC=O"], property="weight"),
    "music": of(Music(), [Piece("scale", np.array([[60, 1, 62, 1] * 8]))] * 3, bars=1),
    "graphs": of(GraphData(), RINGS),
    "table": of(Tables(), {"a": [1.5, None, 3.5], "b": ["x", "y", "x"], "label": ["u", "v", "u"]}, label="label"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_empty_splits(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "molecules":
        pytest.importorskip("rdkit")
        pytest.importorskip("selfies")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    data = KINDS[kind](folder)
    assert data.info.n_train == len(data.train) > 0 and (data.info.n_valid, data.info.n_test) == (0, 0)
    for split in (data.valid, data.test):
        prepared = data.prepare.fixed(split)
        assert len(split) == len(split.x) == len(prepared) == len(split.first(5)) == len(prepared.in_memory) == 0
        assert (split.y is None) == (data.train.y is None) or kind == "molecules"
        assert all(part is None or len(part) == 0 for part in (split.y, split.factors))
        assert list(eval_batches(prepared, 10)) == []
        if isinstance(split.x, torch.Tensor):
            assert split.x.shape[1:] == data.train.x.shape[1:] and split.x.dtype == data.train.x.dtype


def test_one_graph_with_no_links_held_out() -> None:
    data = GraphData().load(RINGS[-1], GraphData.settings(**NONE))  # pyright: ignore[reportArgumentType]
    assert all(len(split.x.edges) == 8 for split in (data.train, data.valid, data.test))  # type: ignore[attr-defined]
    assert len(data.test.x.answers) == len(data.valid.x.answers) == 0  # type: ignore[attr-defined]
