"""vaekit optimise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vaekit.commands.arguments import WHOLE, Whole
from vaekit.commands.output import describe, note, print_json


def optimise(
    run: Path,
    /,
    *,
    data: str | None = None,
    n: Annotated[int, WHOLE, Parameter(alias="-n")] = 50,
    steps: Whole = 100,
    rate: float = 0.1,
    keep: float = 0.0,
    minimise: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    out: Path,
) -> None:
    """Move molecules' codes towards more of the property that the run learned, and decode them.

    Parameters
    ----------
    run
        The run's folder, of a molecule-vae trained with data.property.
    data
        A known set or a path; default the run's own test split.
    n
        How many molecules.
    steps
        Steps of the climb.
    rate
        Length of a step.
    keep
        Weight of the prior's log-density, which holds codes where the decoder was trained.
    minimise
        Seek less of the property.
    json
        Print one JSON object on the last line of standard output.
    out
        The file to write, .csv or .npz: molecule, before, reconstruction, reconstructed, optimised, after, predicted,
        similarity.
    """
    from vaekit.experiment import optimising

    found = optimising.optimise(run, out, data=data, n=n, steps=steps, rate=rate, keep=keep, minimise=minimise)
    if json:
        print_json(found)
        return
    words = f"{found['n']} molecules, {found['valid']:.0%} decode to one"
    if "gain" in found:
        words += f"; {found['property']} {describe(found['before'])} before, {describe(found['after'])} after"
        words += f", {found['improved']['value']:.0%} improved"
    note(f"{words}; {out}")
