"""What `--devices N` does."""

from __future__ import annotations

import os
import sys

from vaekit.errors import UserError


def on_devices(devices: int | None, restarts: int = 3) -> None:
    """Run this command line again as `devices` processes and exit, unless this is one of them or none are asked for."""
    if devices is None or "RANK" in os.environ:
        return
    if devices < 1:
        raise UserError("--devices must be at least 1")
    from vaekit.commands.main import outcome
    from vaekit.distributed.launcher import launch

    sys.exit(launch(devices, outcome, restarts))
