"""Every reader reads or refuses what is damaged, in a sentence, in little time and memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from attack.readers import OBJECTS, READERS, run, try_one
from vaekit.data.loading import load
from vaekit.errors import UserError

COUNT = 40
"""Tries a reader here; `make attack` makes many more, by the same seeds from 0 on."""
FOUND = {
    "gml": (5159,),  # a refusal of thousands of letters
    "series tsv": (5145,),
    "npy streamed": (20120,),
    "npz sparse": (20013, 20122, 20238, 20284),
    "table csv": (31, 1011, 1025),
    "array in memory": (15, 1025, 1054, 1123, 1127),
    "tables in memory": (12, 1006, 1059, 1077, 1141),
    "series in memory": (21, 1007, 1041),
    "graphs in memory": (14, 27),
    "text in memory": (8, 1073, 1103, 1133),
    "molecules in memory": (2, 1033, 1053, 1109),
}
"""Seeds that were bad once."""


@pytest.mark.parametrize("name", [*READERS, *OBJECTS])
def test_a_reader_reads_or_refuses(name: str, tmp_path: Path) -> None:
    for seed in sorted({*range(COUNT), *FOUND.get(name, ())}):
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
            made = run(lambda plain=plain, source=source, random=random: plain.read(source, random))
            assert made.outcome == "read", f"{name}: {made.why}"


@pytest.mark.parametrize(
    "call",
    [
        lambda: 1 / 0,
        lambda: load(np.array([[1, 2], [3, 4]]), None) and (_ for _ in ()).throw(UserError("a" * 2000)),
        lambda: torch.zeros(3).numpy()[9],
    ],
)
def test_what_is_bad_is_seen(call: Callable[[], object]) -> None:
    assert run(call).outcome == "bad"  # type: ignore[arg-type]
