"""Several runs side by side in one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vaekit import report
from vaekit.atomic import write_text
from vaekit.errors import UserError
from vaekit.experiment.reporting import gather
from vaekit.experiment.run import load


def compare_runs(folders: Sequence[Path], out: Path) -> Path:
    """Write a page that compares finished runs: numbers, differing settings, figures; return its path.

    Raises UserError with fewer than two runs, the same one twice, a folder that is no run, or a place not to write in.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {out}: write a file ending in .html")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: the folder {out.parent} does not exist; make it first")
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise UserError(f"{folder} is named twice; a comparison needs different runs")
        seen.add(folder.resolve())
    reports = [gather(load(folder)) for folder in folders]
    write_text(out, report.compare(reports))
    return out
