"""Write docs/own-models.ipynb from docs/own-models.md, with what its cells print.

    python bench/notebook.py

Cells of packages that are not installed keep no output.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"


def cells_of(page: str) -> list[tuple[str, str]]:
    """Return a page's (kind, text): "code" for its blocks of Python, "markdown" for what is between them.

    >>> cells_of("# A\\n\\n```python\\nx = 1\\n```\\n\\nB\\n")
    [('markdown', '# A'), ('code', 'x = 1'), ('markdown', 'B')]
    """
    parts = re.split(r"^```python\n(.*?)^```$", page, flags=re.M | re.S)
    cells = [("code" if number % 2 else "markdown", part.strip("\n")) for number, part in enumerate(parts)]
    return [(kind, text) for kind, text in cells if text]


def lines(text: str) -> list[str]:
    """Return a text as a notebook holds it."""
    return text.splitlines(keepends=True)


def notebook(page: str, outputs: list[str]) -> dict[str, Any]:
    """Return a page as a notebook (nbformat 4.5); `outputs` are what its code cells print, in order."""
    printed, cells = iter(outputs), []
    for number, (kind, text) in enumerate(cells_of(page)):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": lines(text)}
        if kind == "code":
            said = next(printed, "")
            shown = [{"name": "stdout", "output_type": "stream", "text": lines(said)}] if said else []
            cell |= {"execution_count": None, "outputs": shown}
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def run_cells(codes: list[str]) -> list[str]:
    """Return what each code cell prints, all run in one namespace in an empty folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    said: list[str] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for code in codes:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                try:
                    exec(compile(code, "<cell>", "exec"), names)
                except ModuleNotFoundError as error:
                    if error.name not in ("lightning", "accelerate"):
                        raise
            said.append(out.getvalue())
    return said


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "Agg")
    text = (DOCS / "own-models.md").read_text(encoding="utf-8")
    printed = run_cells([code for kind, code in cells_of(text) if kind == "code"])
    made = json.dumps(notebook(text, printed), indent=1, ensure_ascii=False) + "\n"
    (DOCS / "own-models.ipynb").write_text(made, encoding="utf-8")
