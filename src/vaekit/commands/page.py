"""The explorer's page beside a training, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from vaekit import _env
from vaekit.commands.output import note


class Page:
    """Within the block 'vaekit explore' serves the run in `folder`, from when its training has begun."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()

    def __enter__(self) -> Page:
        if _env.is_first():
            from vaekit.explorer.server import require_web

            require_web()
            threading.Thread(target=self._begin, args=(time.time(),), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def _begin(self, since: float) -> None:
        """Start the page once the training has written its record."""
        from vaekit.runs.watched import in_training

        while not self._over.wait(0.1):
            with suppress(Exception):
                place = in_training(self._folder)
                if place is not None and (place / "run.json").stat().st_mtime >= since - 1:
                    words = [sys.executable, "-m", "vaekit", "explore", str(self._folder), "--port", "0"]
                    safe = {**os.environ, "PYTHONSAFEPATH": "1"}  # no module of the current folder is run
                    self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=safe)
                    return

    def stay(self) -> None:
        """Keep the page until Ctrl-C."""
        if self._process is not None and self._process.poll() is None:
            note("the page stays open; Ctrl-C ends it")
            with suppress(KeyboardInterrupt):
                self._process.wait()
