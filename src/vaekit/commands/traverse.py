"""vaekit traverse."""

from __future__ import annotations

from vaekit.commands.common import USE_DATA, Folder, Picture, UseData, Whole, example_numbers, words
from vaekit.commands.files import ARRAYS, check_out, write_drawn
from vaekit.commands.output import note
from vaekit.errors import UserError


def traverse(
    run: Folder,
    /,
    *,
    example: str = "0",
    dimensions: str | None = None,
    top: Whole = 10,
    steps: Whole = 9,
    reach: float = 3.0,
    use: UseData = USE_DATA,
    out: Picture,
) -> None:
    """Decode an example's code as one latent dimension at a time moves: a PNG or an NPZ.

    Parameters
    ----------
    example
        The example to start from, its number or file.
    dimensions
        Which latent dimensions: names as the report has them, e.g. z1,z4, or numbers counted from 0, e.g. 0,3. Default:
        the most informative.
    top
        How many of the most informative.
    steps
        Points on a row.
    reach
        The dimension moves from -reach to reach.
    """
    from vaekit import figures
    from vaekit.runs.examples import choose

    if steps < 2 or top < 1 or not 0 < reach < float("inf"):
        raise UserError("a traversal needs --steps of at least 2, --top of at least 1 and a --reach above 0")
    opened = use.load(run)
    check_out(out, ARRAYS, (run, use.data), opened)
    chosen = None if dimensions is None else _dimensions(dimensions)
    split, (number,) = choose(opened, [example], use.data)
    made = opened.traverse(split, example=number, dimensions=chosen, top=top, steps=steps, reach=reach)
    arrays = {"x": made.x, "dimensions": made.dimensions, "values": made.values, "kl": made.kl}
    draw = None if opened.modality is None else type(opened.modality).path_picture
    if draw is not None:
        write_drawn(out, draw, made.x, opened.info.facts, made.names, made.values, **arrays)
    else:
        write_drawn(out, figures.traversals, opened.picture(made.x), made.names, made.kl, made.values, **arrays)
    note(f"{len(made.dimensions)} traversals of {steps} points from example {example} in {out}")


def _dimensions(text: str) -> list[int | str]:
    """Read latent dimensions, by name or counted from 0."""
    if not text.strip().startswith("z"):
        return [*example_numbers(text, 2**31, "--dimensions")]
    return [*words(text, "--dimensions")]
