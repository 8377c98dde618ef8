"""vaekit reconstruct."""

from __future__ import annotations

from vaekit.commands.common import USE_DATA, Count, Folder, Picture, UseData, at_least, words
from vaekit.commands.files import FOLDER, check_out, file_names, formats, pictures, write_drawn, write_examples
from vaekit.commands.output import note


def reconstruct(
    run: Folder, /, *, n: Count = 16, examples: str | None = None, use: UseData = USE_DATA, out: Picture
) -> None:
    """Reconstruct examples: a PNG of inputs, outputs and differences, an NPZ (x, reconstruction), or a folder of PNGs.

    Parameters
    ----------
    n
        How many examples.
    examples
        Which examples, by number or file, e.g. 3,17,42 or a.png,b.png; default the first.
    """
    from vaekit import figures
    from vaekit.runs.examples import picked

    at_least("-n", n)
    opened = use.load(run)
    suffixes = (*formats(opened), *pictures(opened), *((".png",) if opened.modality is None else ()))
    suffix = check_out(out, suffixes, (run, use.data))
    split = picked(opened, words(examples), use.data) if examples else opened.split(use.data).first(n)
    made = opened.reconstruct(split)
    if suffix == FOLDER:
        write_examples(opened, out, made, names=file_names(split))
    elif opened.info.kind == "series" and suffix == ".png":
        figures.save(opened.draw_reconstructions(split), out)
    elif opened.modality is not None and suffix in opened.modality.formats:
        write_examples(opened, out, made)
    else:
        x = opened.prepare.values(split.inputs)
        shown = (opened.picture(part).numpy() for part in (x, made))
        write_drawn(out, figures.reconstructions, *shown, n, x=x, reconstruction=made)
    note(f"{len(split)} reconstructions in {out}")
