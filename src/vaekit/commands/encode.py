"""vaekit encode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from vaekit.commands.common import USE_DATA, Folder, UseData
from vaekit.commands.files import COLUMNS, check_out, left_out, write_rows
from vaekit.commands.output import note


def encode(run: Folder, /, *, use: UseData = USE_DATA, out: Path) -> None:
    """Write posterior means of data: NPZ (z, y) or CSV (z0, z1, ..., label), with the file, row, line or node of each.

    Parameters
    ----------
    out
        The file to write, .npz or .csv.
    """
    suffix = check_out(out, COLUMNS, (run, use.data))
    opened = use.load(run)
    split = opened.split(use.data)
    nodes = bool(opened.info.facts.get("links"))
    z, y = opened.node_codes(split) if nodes else (opened.encode(split), split.y)
    if suffix == ".npz":
        write_rows(out, split.origin, {"z": z, "y": y})
    else:
        columns: dict[str, Any] = {f"z{i}": [f"{v:.9g}" for v in column] for i, column in enumerate(z.T.tolist())}
        known = opened.label_names(replace(split, y=y) if nodes else split)
        labels = opened.label_columns(y) if known is None else {"label": known}
        write_rows(out, split.origin, columns | labels)
    note(f"{len(z)} codes of {z.shape[1]} dimensions in {out}{left_out(split.origin)}")
