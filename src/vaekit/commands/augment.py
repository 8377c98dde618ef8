"""vaekit augment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from vaekit.commands.common import ANSWER, USE_FILE, Answer, Count, Folder, Seed, UseFile
from vaekit.commands.files import check_out, write_examples
from vaekit.errors import UserError


def augment(
    run: Folder,
    /,
    *,
    data: str | None = None,
    method: Literal["near", "class", "interpolate", "adversarial"] = "near",
    n: Count | None = None,
    radius: float = 0.3,
    seed: Seed = 0,
    use: UseFile = USE_FILE,
    answer: Answer = ANSWER,
    out: Path,
) -> None:
    """Make new examples and write them as a data set, with a record of where they come from.

    Parameters
    ----------
    data
        Examples to start from; default the run's training split.
    method
        near (codes moved at random), class (codes drawn by class), interpolate (between two of a class), adversarial
        (codes moved to where a classifier of these examples errs).
    n
        How many; default as many as there are.
    radius
        How far codes move, in standard deviations of the prior.
    out
        The file to write, .npz (x, y, of, provenance).
    """
    import json

    import numpy as np

    from vaekit import __version__
    from vaekit.data.save import write_npz
    from vaekit.runs.base import describe_source

    if radius < 0 or (n is not None and n < 1):
        raise UserError("--radius must not be negative, and -n at least 1")
    opened = use.load(run)
    own = () if opened.modality is None or opened.info.is_array else opened.modality.formats
    suffix = check_out(out, (".npz", *own), (run, data))
    made = opened.augment(data, method=method, n=n, radius=radius, seed=seed)
    provenance = {
        "made_by": f"vaekit {__version__} augment",
        "run": str(run.resolve()),
        "model": opened.fingerprint,
        "data": describe_source(data if data is not None else opened.record["data"]["source"]),
        "method": method,
        "radius": radius,
        "seed": seed,
        "n": len(made.of),
        **made.facts,
    }
    with answer.telling(provenance | {"out": str(out)}, f"{len(made.of)} new examples ({method}) in {out}"):
        if suffix == ".npz":
            write_npz(out, x=made.x, of=made.of, provenance=np.array(json.dumps(provenance)), y=made.y)
        else:
            write_examples(opened, out, made.means)
