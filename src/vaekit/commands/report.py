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
    if len(runs) < 1:
        raise UserError("name the folder of a run, or of several runs to compare")
    if len(runs) > 1:
        print(_compare(runs, out or Path("comparison.html"), use))
        return
    if out is not None:
        raise UserError("--out is for comparing several runs; one run's report is written into its folder")
    first, *_ = runs
    opened = use.load(first)
    opened.write_figures()
    print(opened.write_report())


def _compare(folders: tuple[Path, ...], out: Path, use: Use) -> Path:
    """Write a page that compares finished runs: numbers, differing settings, figures; return its path."""
    from vaekit.atomic import write_text
    from vaekit.runs.report import compare

    check_out(out, (".html", ".htm"))
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise UserError(f"{folder} is named twice; a comparison needs different runs")
        seen.add(folder.resolve())
    write_text(out, compare([use.load(folder) for folder in folders]))
    return out
