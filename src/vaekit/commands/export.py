"""vaekit export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vaekit.commands.common import ANSWER, MODULE, Answer, Folder
from vaekit.commands.files import check_out
from vaekit.errors import UserError

SUFFIX = {"onnx": ".onnx", "torch": ".pt2"}


def export(
    run: Folder,
    /,
    *,
    format: Literal["onnx", "torch"] = "onnx",
    module: Annotated[str | None, Parameter(help=MODULE)] = None,
    answer: Answer = ANSWER,
    out: Path,
) -> None:
    """Write encoder (mean and sd) and decoder (mean) as programs that run without vaekit, for any batch size.

    They take and give raw values: grey levels, the data's own units. See docs/deployment.md.

    Parameters
    ----------
    format
        onnx, or torch (torch.export).
    out
        F.zip for both parts in one file; F.onnx (F.pt2) for F.encoder.onnx and F.decoder.onnx; a name with encoder or
        decoder in it for that part alone.
    """
    import zipfile

    from vaekit.atomic import replacing, write_bytes
    from vaekit.runs.loading import load
    from vaekit.tasks.export import PARTS, Part

    suffix = SUFFIX[format]
    if out.suffix.lower() not in (suffix, ".zip"):
        raise UserError(f"--out {out}: write a file ending in {suffix} or .zip for --format {format}")
    zipped = check_out(out, (suffix, ".zip"), (run,)) == ".zip"
    one: list[Part] = [name for name in PARTS if name in out.stem.lower() and not zipped]
    if len(one) != 1 and not zipped:
        for name in PARTS:
            check_out(out.with_name(f"{out.stem}.{name}{suffix}"), (suffix,), (run,))
    made = load(run, "cpu", module=module).export(format, parts=one if len(one) == 1 else PARTS)
    if zipped:
        with replacing(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for name, data in made.items():
                archive.writestr(f"{name}{suffix}", data)
        written = [str(out)]
    else:
        paths = {name: out if len(one) == 1 else out.with_name(f"{out.stem}.{name}{suffix}") for name in made}
        for name, data in made.items():
            write_bytes(paths[name], data)
        written = [str(path) for path in paths.values()]
    sizes = {name: len(data) for name, data in made.items()}
    answer.tell({"format": format, "parts": sizes, "out": written}, f"{' and '.join(sizes)} in {' and '.join(written)}")
