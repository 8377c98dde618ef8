"""vaekit manifold."""

from __future__ import annotations

from vaekit.commands.common import USE, Folder, Picture, Use, Whole
from vaekit.commands.files import ARRAYS, check_out, write_drawn
from vaekit.commands.output import note
from vaekit.errors import UserError


def manifold(
    run: Folder, /, *, size: Whole = 20, reach: float = 2.5, label: str | None = None, use: Use = USE, out: Picture
) -> None:
    """Decode a plane of the latent space: all of it in two dimensions, else the codes' main plane.

    Parameters
    ----------
    size
        Points a side.
    reach
        How far the plane goes, in standard deviations of the codes (more than two dimensions only).
    label
        The label to decode with, for conditional models.
    """
    from vaekit import figures

    check_out(out, ARRAYS, (run,))
    if size < 2 or not 0 < reach < float("inf"):
        raise UserError("a plane needs a --size of at least 2 and a --reach above 0")
    opened = use.load(run)
    made = opened.manifold(size, reach=reach, label=label)
    drawn = (opened.picture(made.x), made.xs, made.ys, made.axes)
    write_drawn(out, figures.manifold, *drawn, x=made.x, z=made.z, xs=made.xs, ys=made.ys)
    note(f"a plane of {size} × {size} points in {out}")
