"""vaekit compress and decompress."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vaekit.commands.output import note, print_json


def compress(run: Path, source: str, out: Path, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Compress images without loss, by bits back coding with the run's model.

    Parameters
    ----------
    run
        The run's folder: its likelihood gives every value a mass (bernoulli, discretised-logistic, categorical).
    source
        A file (NPY, NPZ with x, IDX) or a folder of images; a known data set's name (its test split); or test, the
        run's own test split.
    out
        The file to write.
    json
        Print one JSON object on the last line of standard output.
    """
    from vaekit.experiment import compressing

    found = compressing.compress_file(run, source, out)
    if json:
        print_json(found)
    else:
        note(
            f"{found['n']} examples ({found['source']}) in {found['bytes']:,} bytes: "
            f"{found['bits_per_example']:.1f} bits each, {found['bits_per_dim']:.4f} a dimension, "
            f"{100 * found['over_elbo']:+.2f}% on -ELBO; {out}"
        )


def decompress(run: Path, source: Path, out: Path, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Bring a compressed file's images back, bit by bit.

    Parameters
    ----------
    run
        The run that compressed it.
    source
        The compressed file.
    out
        The file to write, .npz (x) or .npy.
    json
        Print one JSON object on the last line of standard output.
    """
    from vaekit.experiment import compressing

    found = compressing.decompress_file(run, source, out)
    if json:
        print_json(found)
    else:
        note(f"{found['n']} examples of type {found['dtype']} and shape {tuple(found['shape'][1:])} in {out}")
