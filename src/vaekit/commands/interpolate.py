"""vaekit interpolate."""

from __future__ import annotations

from typing import Literal

from vaekit.commands.common import USE_DATA, Count, Folder, Picture, UseData, Whole, at_least, words
from vaekit.commands.files import check_out, formats, write_drawn
from vaekit.commands.output import note
from vaekit.errors import UserError


def interpolate(
    run: Folder,
    /,
    *,
    n: Count = 6,
    steps: Whole = 10,
    kind: Literal["linear", "spherical"] = "linear",
    examples: str | None = None,
    use: UseData = USE_DATA,
    out: Picture,
) -> None:
    """Decode paths between examples: a PNG or an NPZ (paths); text and the like one path after the other.

    Parameters
    ----------
    n
        How many paths.
    steps
        Points on a path, ends included.
    kind
        linear, or spherical (keeps the typical length).
    examples
        Which examples to join, by number or file, e.g. 3,17,42 or a.png,b.png: one path through them in order.
    """
    from vaekit import figures
    from vaekit.atomic import write_text
    from vaekit.runs.examples import choose

    at_least("-n", n)
    at_least("--steps", steps, 2)
    opened = use.load(run)
    suffix = check_out(out, formats(opened), (run, use.data), opened)
    if examples:
        split, chosen = choose(opened, words(examples, least=2), use.data)
        starts, stops = chosen[:-1], chosen[1:]
    else:
        split = opened.split(use.data)
        if len(split) < 2:
            raise UserError(f"a path needs two examples, and there is {len(split)}; give more data")
        chosen = list(range(min(2 * n, len(split) // 2 * 2)))
        starts, stops = chosen[::2], chosen[1::2]
    paths = opened.interpolate_examples(list(zip(starts, stops)), split, steps=steps, kind=kind)
    draw = None if opened.modality is None else type(opened.modality).path_picture
    if opened.modality is not None and suffix == ".txt":
        write_text(out, "\n".join("".join(f"{line}\n" for line in opened.lines(path)) for path in paths))
    elif draw is not None and suffix == ".png":
        figures.save(draw(paths, opened.info.facts, [f"{a} to {b}" for a, b in zip(starts, stops)], None), out)
    elif opened.modality is not None and suffix in opened.modality.formats:
        opened.modality.write(out, paths.flatten(0, 1), opened.info)
    else:
        write_drawn(out, figures.interpolation, opened.picture(paths), paths=paths)
    note(f"{len(paths)} paths of {steps} points in {out}")
