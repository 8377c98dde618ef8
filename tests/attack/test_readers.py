"""Every reader reads or refuses what is damaged, in a sentence, in little time and memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from attack.readers import OBJECTS, READERS, try_one
from attack.tries import attempt
from vaekit.data.loading import load
from vaekit.errors import UserError

COUNT = 40
"""Tries a reader here; `make attack` makes many more, by the same seeds from 0 on."""
CORPUS = json.loads((Path(__file__).parent / "corpus.json").read_text(encoding="utf-8"))
"""Seeds that were bad once, by area."""


@pytest.mark.parametrize("name", [*READERS, *OBJECTS])
def test_a_reader_reads_or_refuses(name: str, tmp_path: Path) -> None:
    for seed in sorted({*range(COUNT), *CORPUS.get(f"readers.{name}", ())}):
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = try_one(name, seed, folder)
        assert made.outcome != "bad", f"{name} {seed}: {made.why}"


def test_undamaged_sources_are_read(tmp_path: Path) -> None:
    for name, reader in READERS.items():
        for seed in range(2):
            random, folder = Random(seed), tmp_path / f"{name} {seed}"
            plain = replace(reader, settings=reader.settings[:1])
            files = reader.make(random)
            for file, data in files.items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(data)
            source = folder if reader.folder else folder / next(iter(files))
            made = attempt(lambda plain=plain, source=source, random=random: plain.read(source, random))
            assert made.outcome == "works", f"{name}: {made.why}"


@pytest.mark.parametrize(
    "call",
    [
        lambda: 1 / 0,
        lambda: load(np.array([[1, 2], [3, 4]]), None) and (_ for _ in ()).throw(UserError("Traceback of it")),
        lambda: torch.zeros(3).numpy()[9],
    ],
)
def test_what_is_bad_is_seen(call: Callable[[], object]) -> None:
    assert attempt(call).outcome == "bad"
