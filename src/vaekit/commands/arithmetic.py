"""vaekit arithmetic."""

from __future__ import annotations

from vaekit.commands.common import USE_DATA, Folder, Picture, UseData, numbers, words
from vaekit.commands.files import ARRAYS, check_out, write_drawn
from vaekit.commands.output import note
from vaekit.errors import UserError


def arithmetic(
    run: Folder,
    /,
    *,
    examples: str,
    attribute: str | None = None,
    amounts: str = "0,0.5,1,1.5",
    use: UseData = USE_DATA,
    out: Picture,
) -> None:
    """Decode a - b + c of three examples' codes, or examples moved along a class's direction.

    Parameters
    ----------
    examples
        Three examples a,b,c, by number or file; with --attribute any number of them.
    attribute
        A class: its direction is its mean code less the others'.
    amounts
        How far along the direction, e.g. 0,0.5,1.
    """
    from vaekit import figures
    from vaekit.runs.examples import choose

    steps = numbers(amounts, "--amounts")
    opened = use.load(run)
    check_out(out, ARRAYS, (run, use.data), opened)
    split, chosen = choose(opened, words(examples), use.data)
    if attribute is None and len(chosen) != 3:
        raise UserError(f"--examples {examples}: a - b + c takes three examples, e.g. 3,17,42")
    made = opened.arithmetic(chosen, split, attribute=attribute, amounts=steps)
    write_drawn(out, figures.interpolation, opened.picture(made.x), made.done, x=made.x, z=made.z)
    note(f"{made.done} in {out}")
