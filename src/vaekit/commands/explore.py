"""vaekit explore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vaekit.commands.output import note


def explore(
    run: Path,
    /,
    *,
    port: int = 8765,
    browser: Annotated[bool, Parameter(negative="--no-browser")] = True,
) -> None:
    """Explore a run's latent space in the browser, on this machine alone; Ctrl-C ends it.

    Parameters
    ----------
    run
        The run's folder.
    port
        Where to listen on this machine; 0 takes any free port.
    browser
        Open the page in the browser.
    """
    from vaekit.explorer.server import serve

    def announce(url: str) -> None:
        print(url, flush=True)
        note("Open this address in a browser on this machine; Ctrl-C ends the explorer.")

    serve(run, port, browser, announce)
    note("the explorer has ended")
