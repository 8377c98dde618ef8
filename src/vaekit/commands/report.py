"""vaekit report."""

from __future__ import annotations

from pathlib import Path

from vaekit.commands.common import USE, Use
from vaekit.commands.files import check_out
from vaekit.errors import UserError


def report(*runs: Path, use: Use = USE, out: Path | None = None) -> None:
    """Write RUN/report.html and its figures again; with several runs, one page that compares them.

    Parameters
    ----------
    runs
        The run's folder, or the folders of several runs to compare.
    out
        The page that compares several runs; default comparison.html here.
    """
    from vaekit.atomic import write_text
    from vaekit.runs.folder import MOMENT
    from vaekit.runs.locks import locked
    from vaekit.runs.report import compare

    if not runs:
        raise UserError("name the folder of a run, or of several runs to compare")
    if len(runs) == 1:
        if out is not None:
            raise UserError("--out is for comparing several runs; one run's report is written into its folder")
        opened = use.load(runs[0])
        with locked(runs[0], wait=MOMENT):
            opened.write_figures()
            print(opened.write_report())
        return
    out = out or Path("comparison.html")
    check_out(out, (".html", ".htm"), runs)
    places = [run.resolve() for run in runs]
    for i, run in enumerate(runs):
        if places[i] in places[:i]:
            raise UserError(f"{run} is named twice; a comparison needs different runs")
    write_text(out, compare([use.load(run) for run in runs]))
    print(out)
