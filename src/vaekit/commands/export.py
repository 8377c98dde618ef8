"""vaekit export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vaekit.commands.output import note, print_json


def export(
    run: Path,
    /,
    *,
    format: Literal["onnx", "torch"] = "onnx",
    json: Annotated[bool, Parameter(negative="")] = False,
    out: Path,
) -> None:
    """Write encoder (mean and sd) and decoder (mean) as programs that run without vaekit, for any batch size.

    Parameters
    ----------
    run
        The run's folder.
    format
        onnx, or torch (torch.export).
    json
        Print one JSON object on the last line of standard output.
    out
        F.zip for both parts in one file; F.onnx (F.pt2) for F.encoder.onnx and F.decoder.onnx; a name with encoder or
        decoder in it for that part alone.
    """
    from vaekit.experiment import exporting

    found = exporting.export(run, out, format=format)
    if json:
        print_json(found)
    else:
        note(f"{' and '.join(found['parts'])} in {' and '.join(found['out'])}")
