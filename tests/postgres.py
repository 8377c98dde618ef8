"""A PostgreSQL server of the tests' own, from Debian's package, in a scratch folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def programs() -> Path | None:
    """The folder of initdb and pg_ctl, in the path or where Debian keeps them."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


@contextmanager
def server() -> Iterator[str]:
    """Yield the URL of a server that lives as long as the block; skip the test where there is none to start."""
    pytest.importorskip("psycopg", reason="needs psycopg")
    place = programs()
    if place is None:
        pytest.skip("needs a PostgreSQL server: apt-get install postgresql")
    # Not pytest's folder: postgres refuses to run as root, and another user may not read that.
    folder = Path(tempfile.mkdtemp(prefix="vaekit-postgres-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(*words: str) -> None:
        done = subprocess.run(words, user=user, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + (folder / "log").read_text() if (folder / "log").exists() else ""

    call(str(place / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    control = [str(place / "pg_ctl"), "-D", str(folder / "data"), "-w", "-l", str(folder / "log")]
    try:
        with (folder / "out").open("wb") as out:  # a pipe would stay open in the server
            words = [*control, "-o", options, "start"]
            assert subprocess.run(words, user=user, cwd=folder, stdout=out, stderr=out, check=False).returncode == 0
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], user=user, cwd=folder, capture_output=True, check=False)
        time.sleep(0.1)
        shutil.rmtree(folder, ignore_errors=True)
