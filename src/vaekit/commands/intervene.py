"""vaekit intervene."""

from __future__ import annotations

from vaekit.commands.common import USE_DATA, Count, Folder, Picture, UseData, at_least, words
from vaekit.commands.files import FOLDER, check_out, file_names, formats, pictures, write_drawn, write_examples
from vaekit.commands.output import note
from vaekit.errors import UserError


def intervene(
    run: Folder,
    values: str,
    /,
    *,
    n: Count = 8,
    examples: str | None = None,
    use: UseData = USE_DATA,
    out: Picture,
) -> None:
    """Set concepts of examples, and decode what follows: a PNG of both, an NPZ (x, made), or a folder of pictures.

    A causal-vae lets what the concepts cause follow; a cvae changes what is set and nothing else.

    Parameters
    ----------
    values
        What is set, in the label's own units, e.g. light=0.9 or light=0.9,angle=10.
    n
        How many examples.
    examples
        Which examples, by number or file, e.g. 3,17,42 or a.png,b.png; default the first.
    """
    import numpy as np

    from vaekit import figures
    from vaekit.runs.examples import picked

    at_least("-n", n)
    asked = dict(_pair(part) for part in values.split(",") if part.strip())
    opened = use.load(run)
    suffix = check_out(out, (*formats(opened), *pictures(opened), ".png"), (run, use.data))
    split = picked(opened, words(examples), use.data) if examples else opened.split(use.data).first(n)
    made = opened.intervene(split, **asked)
    if suffix == FOLDER:
        write_examples(opened, out, made, names=file_names(split))
    else:
        x = opened.prepare.values(split.inputs)
        both = np.concatenate([opened.picture(part).numpy() for part in (x, made)])
        said = ", ".join(f"{name} = {value:g}" for name, value in asked.items())
        write_drawn(out, figures.samples, both, None, f"Examples, and with {said}", ("as it is", said), x=x, made=made)
    note(f"{len(split)} examples with {values} in {out}")


def _pair(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise UserError(f"'{text.strip()}': write what is set as NAME=NUMBER, e.g. light=0.9") from None
