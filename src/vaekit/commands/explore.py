"""vaekit explore."""

from __future__ import annotations

from vaekit.commands.common import USE, Folder, Use
from vaekit.commands.output import note


def explore(
    run: Folder,
    /,
    *,
    port: int = 8765,
    browser: bool = True,
    use: Use = USE,
) -> None:
    """Explore a run's latent space in the browser, on this machine alone; Ctrl-C ends it.

    Of a run in training the page shows curves, samples and the latent map as checkpoints come, and can pause or stop
    it and lower β and the learning rate.

    Parameters
    ----------
    port
        Where to listen on this machine; 0 takes any free port.
    browser
        Open the page in the browser.
    """
    from vaekit.explorer.server import require_web

    def announce(url: str) -> None:
        print(url, flush=True)
        note("Open this address in a browser on this machine; Ctrl-C ends the explorer.")

    require_web()
    from vaekit.runs.watched import in_training, watch

    if in_training(run) is not None:
        watch(run, port, browser=browser, announce=announce)
        return
    use.load(run).explore(port, browser=browser, announce=announce)
    note("the explorer has ended")
