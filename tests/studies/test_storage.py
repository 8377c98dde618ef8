"""Claims end with the process that holds them, outcomes stay: in a folder and in a PostgreSQL database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgres import server
from vaekit.errors import UserError
from vaekit.studies.places import open_storage
from vaekit.studies.storage import Outcome, Storage, hidden

HOLD = """
import sys, time
from pathlib import Path
from vaekit.studies.places import open_storage
with open_storage(Path(sys.argv[1]), sys.argv[2] or None, "key").claim("a-0") as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.fixture(params=["folder", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str | None]:
    return tmp_path, request.getfixturevalue("database") if request.param == "postgresql" else None


def opened(place: tuple[Path, str | None], key: str = "key") -> Storage:
    return open_storage(*place, key)


def test_a_claim_ends_with_the_process_that_holds_it(place: tuple[Path, str | None]) -> None:
    storage, command = opened(place), [sys.executable, "-c", HOLD, str(place[0]), place[1] or ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "True\n"
        with storage.claim("a-0") as mine:
            assert not mine
        with storage.claim("b-0") as mine:
            assert mine
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with storage.claim("a-0") as mine:
            if mine:
                break
        time.sleep(0.05)
    assert mine
    storage.close()


def test_one_process_claims_once(place: tuple[Path, str | None]) -> None:
    storage = opened(place)
    with storage.claim("a-0") as first, storage.claim("a-0") as second:
        assert (first, second) == (True, False)
    with storage.claim("a-0") as again:
        assert again
    storage.close()


def test_the_first_outcome_stays(place: tuple[Path, str | None]) -> None:
    one, other = opened(place), opened(place)
    one.record(Outcome("x-0", "x", 0, "done", numbers={"kl": {"value": None, "unit": "nats", "n": 3}}), None)
    other.record(Outcome("x-0", "x", 0, "failed", reason="later"), None)
    for storage in (one, other):
        assert storage.outcomes()["x-0"].status == "done"
        assert storage.outcomes()["x-0"].numbers["kl"]["value"] is None
    assert one.recall("plan") is None
    one.keep("plan", {"steps": 3, "said": "β"})
    one.keep("plan", {"steps": 4, "said": "β"})
    assert other.recall("plan") == {"steps": 4, "said": "β"}
    one.close()
    other.close()


def test_studies_in_one_database_are_apart(database: str, tmp_path: Path) -> None:
    one, other = (open_storage(tmp_path, database, key) for key in ("first", "second"))
    one.record(Outcome("y-0", "y", 0, "done"), None)
    assert "y-0" in one.outcomes() and "y-0" not in other.outcomes()
    with one.claim("z") as mine, other.claim("z") as too:
        assert mine and too
    one.close()
    other.close()


def test_example_values_come_back(place: tuple[Path, str | None]) -> None:
    import torch

    from vaekit.training import checkpoint

    storage, path = opened(place), place[0] / "trials" / "v-0" / "evaluation.safetensors"
    path.parent.mkdir(parents=True)
    checkpoint.save(path, {"kl": torch.tensor([1.0, 2.5])}, {})
    storage.record(Outcome("v-0", "v", 0, "done"), path)
    assert storage.values("v-0")["kl"].tolist() == [1.0, 2.5]
    assert storage.values("w-0") == {}
    storage.close()


def test_a_database_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="needs psycopg")
    with pytest.raises(UserError, match=r"postgresql://me:\*\*\*@127.0.0.1:1/none cannot be used"):
        open_storage(tmp_path, "postgresql://me:secret@127.0.0.1:1/none", "key")
    with pytest.raises(UserError, match="write postgresql://"):
        open_storage(tmp_path, "sqlite:///x.db", "key")
    assert "secret" not in hidden("postgresql://me:secret@host/x")
