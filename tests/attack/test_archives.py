"""Compressed files whose header was made up: the same array or one sentence, never another array or a hang."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from attack.mutate import damaged, header_of, mutated, with_header
from attack.test_records import RANDOM, TRIES, refused
from vaekit.errors import UserError
from vaekit.runs.loading import load
from vaekit.runs.run import Run

EARLIER = Path(__file__).parents[1] / "runs" / "earlier"
X = np.random.default_rng(0).integers(0, 2, (40, 8, 8), dtype=np.uint8) * 255


@pytest.fixture(scope="module")
def run() -> Run:
    return load(EARLIER / "5e0e739" / "vae", "cpu")


@pytest.fixture(scope="module")
def archive(run: Run) -> bytes:
    data = run.compress(X)
    assert np.array_equal(run.decompress(data), X)
    assert with_header(data, header_of(data)) == data
    return data


def same_or_refused(run: Run, data: bytes) -> None:
    got: list[np.ndarray] = []
    if refused(lambda: got.append(run.decompress(data))) is None:
        assert got[0].dtype == X.dtype and np.array_equal(got[0], X)


@TRIES
@given(random=RANDOM)
def test_a_header_signed_again(random: Random, run: Run, archive: bytes) -> None:
    _, header = mutated(header_of(archive), random)
    same_or_refused(run, with_header(archive, header))


@TRIES
@given(random=RANDOM)
def test_bytes(random: Random, run: Run, archive: bytes) -> None:
    same_or_refused(run, damaged(archive, random))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"blocks": [[1, 10**9]]}, "count"),
        ({"blocks": [[1, 10**9]], "count": 10**9}, "does not decode"),
        ({"blocks": [[1, 10**15]], "count": 10**15}, "does not decode"),
        ({"blocks": [[10**9, 1]], "count": 10**9}, "blocks"),
        ({"blocks": []}, "blocks"),
        ({"initial": 10**12}, "initial"),
        ({"seed": -1}, "seed"),
        ({"levels": 256}, "levels"),
        ({"shape": [64]}, "shape"),
        ({"layout": {"shape": [8, 8], "channels_last": False, "dtype": "|u1", "unit": "levels"}}, "layout"),
        ({"layout": {"shape": [8, 8], "channels_last": False, "dtype": "<f8", "unit": "255"}}, "layout"),
        ({"layout": {"shape": [8, 8], "channels_last": False, "dtype": "O", "unit": "255"}}, "layout.dtype"),
        ({"layout": {"shape": [4, 16], "channels_last": False, "dtype": "|u1", "unit": "255"}}, "layout.shape"),
        ({"array_crc": None}, "version"),
        ({"fingerprint": "x"}, "fingerprint"),
    ],
)
def test_what_a_header_may_not_say(change: dict[str, Any], said: str, run: Run, archive: bytes) -> None:
    with pytest.raises(UserError, match=said):
        run.decompress(with_header(archive, header_of(archive) | change))


def test_a_file_of_version_1_is_read(run: Run, archive: bytes) -> None:
    header = header_of(archive)
    del header["array_crc"]
    assert np.array_equal(run.decompress(with_header(archive, header, 1)), X)
    with pytest.raises(UserError, match="version 3"):
        run.decompress(with_header(archive, header, 3))
