"""vaekit reconstruct."""

from __future__ import annotations

from vaekit.commands.common import USE_DATA, Count, Folder, Picture, UseData, at_least
from vaekit.commands.files import check_out, formats, write_drawn, write_examples
from vaekit.commands.output import note


def reconstruct(run: Folder, /, *, n: Count = 16, use: UseData = USE_DATA, out: Picture) -> None:
    """Reconstruct examples: a PNG of inputs, outputs and differences, or an NPZ (x, reconstruction).

    Parameters
    ----------
    n
        How many examples.
    """
    from vaekit import figures

    at_least("-n", n)
    opened = use.load(run)
    suffix = check_out(out, (*formats(opened), *((".png",) if opened.modality is None else ())))
    split = opened.split(use.data).first(n)
    made = opened.reconstruct(split)
    if opened.info.kind == "series" and suffix == ".png":
        figures.save(opened.draw_reconstructions(split), out)
    elif opened.modality is not None and suffix in opened.modality.formats:
        write_examples(opened, out, made)
    else:
        x = opened.prepare.values(split.inputs)
        shown = (opened.prepare.picture(part).numpy() for part in (x, made))
        write_drawn(out, figures.reconstructions, *shown, n, x=x, reconstruction=made)
    note(f"{len(split)} reconstructions in {out}")
