"""Several modalities read from files, frames and memory, written and read again; what does not fit is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vaekit.data.audio.wav import write_wav
from vaekit.data.facts import ViewsFacts
from vaekit.data.info import DataInfo
from vaekit.data.views.modality import Views, arrays_of
from vaekit.data.views.settings import ViewSettings
from vaekit.errors import UserError
from vaekit.views import views_of

ALL: Any = {"valid": 0, "test": 0}
SOUND = {"mels": 8, "frames": 16, "seconds": 0.2}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Write a table whose columns are pictures, sounds, captions, a number and a town, with gaps."""
    rng = np.random.default_rng(0)
    rows = ["photo,voice,caption,age,town"]
    for i in range(30):
        grey = np.full((6, 5), 250 if i % 2 else 10, np.uint8)
        Image.fromarray(grey).save(tmp_path / f"{i}.png")
        write_wav(tmp_path / f"{i}.wav", np.sin(np.arange(1600) * (0.1 + 0.02 * i)).astype(np.float32) * 0.5, 8000)
        photo, voice = ("" if i == 4 else f"{i}.png"), ("" if i == 5 else f"{i}.wav")
        caption = "" if i == 6 else f"a picture of number {i}"
        rows.append(f"{photo},{voice},{caption},{rng.normal():.2f},{'York' if i % 2 else 'Hull'}")
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_table_with_columns_of_pictures_sounds_and_text(table: Path) -> None:
    data = Views().load(table, ViewSettings(**ALL, **SOUND))
    views = {view.name: view for view in views_of(data.info.facts["views"])}
    assert {name: (view.kind, view.shape) for name, view in views.items()} == {
        "photo": ("picture", (1, 6, 5)),
        "voice": ("sound", (1, 8, 16)),
        "caption": ("text", (6,)),
        "cells": ("cells", (2,)),
    }
    x = data.train.x
    for name, row in (("photo", 4), ("voice", 5), ("caption", 6)):
        assert (~views[name].seen(x)).nonzero().flatten().tolist() == [row]
    assert views["photo"].of(x)[1].unique().tolist() == [1.0] and views["photo"].of(x)[2].unique().tolist() == [0.0]
    sound = views["voice"].of(x)[views["voice"].seen(x)]
    assert abs(float(sound.mean())) < 1e-4 and float(sound.std(correction=0)) == pytest.approx(1, abs=1e-3)
    assert Views().lines(x[7:8], data.info)[0].count("a picture of number 7") == 1


def test_other_examples_are_read_as_the_runs_own_and_modalities_that_are_not_there_are_missing(table: Path) -> None:
    settings = ViewSettings(**ALL, **SOUND)
    data = Views().load(table, settings)
    again = Views().encode(table, data.info, settings)
    assert torch.equal(again.x.nan_to_num(-9), data.train.x.nan_to_num(-9))
    with pytest.warns(UserWarning, match="2 tokens are unknown"):
        other = Views().encode({"caption": ["a picture of blue sky"]}, data.info, settings)
    seen = [view.name for view in views_of(data.info.facts["views"]) if bool(view.seen(other.x)[0])]
    assert seen == ["caption"]
    with pytest.raises(UserError, match="none of this run's modalities"):
        Views().encode({"weight": [1.0, 2.0]}, data.info, settings)


def test_what_is_written_as_a_csv_is_read_again(table: Path, tmp_path: Path) -> None:
    settings = ViewSettings(**ALL, **SOUND)
    data = Views().load(table, settings)
    out = tmp_path / "again" / "made.csv"
    out.parent.mkdir()
    Views().write(out, data.train.x, data.info)
    again = Views().encode(out, data.info, settings).x
    for view in views_of(data.info.facts["views"]):
        assert torch.equal(view.seen(again), view.seen(data.train.x)), view.name
        if view.kind in ("picture", "text"):
            assert torch.equal(view.whole(again), view.whole(data.train.x))
    with np.load(_npz(tmp_path, data)) as arrays:
        assert arrays["photo"].shape == (30, 1, 6, 5) and arrays["caption"][7] == "a picture of number 7"
        assert set(arrays["town"]) == {"York", "Hull"}


def _npz(folder: Path, data: Any) -> Path:
    Views().write(folder / "made.npz", data.train.x, data.info)
    return folder / "made.npz"


def test_arrays_and_columns_in_memory_with_gaps() -> None:
    rng = np.random.default_rng(0)
    colour = [None if i == 3 else rng.integers(0, 256, (4, 4, 3)) for i in range(12)]
    vector = rng.normal(5.0, 2.0, (12, 3)).astype(np.float32)
    vector[2] = np.nan
    word = ["a" if i % 2 else "b" for i in range(12)]
    data = Views().load({"colour": colour, "vector": vector, "word": word}, ViewSettings(**ALL))
    picture, numbers, cells = views_of(data.info.facts["views"])
    assert (picture.shape, numbers.shape, cells.name) == ((3, 4, 4), (3,), "word")
    x = data.train.x
    assert data.info.facts["views"][0]["values"] == "levels"
    np.testing.assert_allclose(picture.of(x)[0].numpy() * 255, np.moveaxis(np.asarray(colour[0]), 2, 0), atol=1e-3)
    assert not bool(picture.seen(x)[3]) and not bool(numbers.seen(x)[2])
    made = arrays_of(x, data.info)
    np.testing.assert_allclose(made["vector"][4], vector[4], rtol=1e-5)
    assert made["word"].tolist() == word


def test_keys_are_of_what_is_held_wherever_files_lie(table: Path, tmp_path: Path) -> None:
    settings = ViewSettings(**ALL, **SOUND)
    first = Views().load(table, settings).train.keys
    assert first is not None and len(set(first.tolist())) == 30
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in [*table.parent.glob("*.png"), *table.parent.glob("*.wav"), table]:
        (moved / path.name).write_bytes(path.read_bytes())
    again = Views().load(moved / table.name, settings).train.keys
    assert again is not None and (first == again).all()
    Image.fromarray(np.zeros((6, 5), np.uint8)).save(moved / "1.png")
    changed = Views().load(moved / table.name, settings).train.keys
    assert changed is not None and (first != changed).nonzero()[0].tolist() == [1]


@pytest.mark.parametrize(
    ("source", "settings", "says"),
    [
        ({"a": [1.0, 2.0, 3.0]}, {}, "has one modality"),
        ({"p": np.zeros((3, 2)), "a": [1.0, 2.0]}, {}, "differ in length"),
        ({"p": np.zeros((3, 2)), "a": [1.0, 2.0, 3.0]}, {"types": "b=text"}, "no such column"),
        ({"p": [np.zeros(2), np.zeros(3)], "a": [1.0, 2.0]}, {}, "differ in shape"),
        ({"p": np.full((3, 2), np.inf), "a": [1.0, 2.0, 3.0]}, {}, "infinite"),
        ({"p": ["x.png", "y.png"], "a": ["u", "v"]}, {}, "row 1, column 'p': there is no file"),
        (7, {}, "cannot read several modalities from int"),
        ("digits", {}, "has one modality"),
    ],
)
def test_what_cannot_be_read_is_named(source: Any, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Views().load(source, ViewSettings(**ALL, **settings))


def test_the_record_of_the_modalities_is_checked(table: Path) -> None:
    info = Views().load(table, ViewSettings(**ALL, **SOUND)).info
    plain = json.loads(json.dumps(info.to_dict()))
    assert DataInfo.from_dict(plain).facts == info.facts
    facts = ViewsFacts.model_validate(info.facts)
    assert facts.problem(info.shape, None) is None
    assert "numbers for the shape" in (facts.problem([3], None) or "")
    for name, lost in (("photo", "values"), ("voice", "mel"), ("caption", "tokeniser"), ("cells", "columns")):
        broken = json.loads(json.dumps(info.facts))
        del next(view for view in broken["views"] if view["name"] == name)[lost]
        with pytest.raises(ValueError, match=f"needs '{lost}'"):
            ViewsFacts.model_validate(broken)


def test_the_known_sets() -> None:
    """Captions say what the pictures show: bold ones have more ink, and what leans right moves right to the top."""
    data = Views().load("captioned-digits", ViewSettings(**ALL))
    assert data.info.classes == tuple("0123456789") and data.train.y is not None
    picture, caption, digit = views_of(data.info.facts["views"])
    made = arrays_of(data.train.x, data.info)
    ink = picture.of(data.train.x).mean((1, 2, 3)).numpy()
    texts = made["caption"].tolist()
    bold, thin = (np.array([word in text for text in texts]) for word in ("bold", "thin"))
    assert ink[bold].mean() > ink[~bold & ~thin].mean() > ink[thin].mean()
    assert all(name in text for name, text in zip(made["digit"], texts))
    across = np.arange(8) @ picture.of(data.train.x)[:, 0].numpy().swapaxes(1, 2) / 8
    right, left = (np.array([f"leaning {side}" in text for text in texts]) for side in ("right", "left"))
    top, bottom = across[:, 1:3].sum(1), across[:, 5:7].sum(1)
    count = picture.of(data.train.x)[:, 0].numpy().sum(2)
    drift = top / count[:, 1:3].sum(1).clip(1) - bottom / count[:, 5:7].sum(1).clip(1)
    assert drift[right].mean() > drift[left].mean()
    assert digit.kind == "cells" and caption.kind == "text"
