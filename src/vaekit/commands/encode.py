"""vaekit encode."""

from __future__ import annotations

from pathlib import Path

from vaekit.commands.common import USE_DATA, Folder, UseData
from vaekit.commands.files import COLUMNS, check_out, write_columns
from vaekit.commands.output import note


def encode(run: Folder, /, *, use: UseData = USE_DATA, out: Path) -> None:
    """Write posterior means of data as NPZ (z, y) or CSV (z0, z1, ..., label); of one graph those of its nodes.

    Parameters
    ----------
    out
        The file to write, .npz or .csv.
    """
    from vaekit.data.save import write_npz

    suffix = check_out(out, COLUMNS)
    opened = use.load(run)
    split = opened.split(use.data)
    z, y = opened.node_codes(split) if opened.info.facts.get("links") else (opened.encode(split), split.y)
    if suffix == ".npz":
        write_npz(out, z=z, y=y)
    else:
        columns = {f"z{i}": [f"{value:.9g}" for value in column] for i, column in enumerate(z.T.tolist())}
        write_columns(out, columns | opened.label_columns(y))
    note(f"{len(z)} codes of {z.shape[1]} dimensions in {out}")
