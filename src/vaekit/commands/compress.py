"""vaekit compress and decompress."""

from __future__ import annotations

from pathlib import Path

from vaekit.commands.common import ANSWER, USE, USE_FILE, Answer, Use, UseFile
from vaekit.commands.files import check_compressed, check_out
from vaekit.errors import UserError


def compress(run: Path, source: str, out: Path, /, *, use: UseFile = USE_FILE, answer: Answer = ANSWER) -> None:
    """Compress images without loss, by bits back coding with the run's model.

    Parameters
    ----------
    run
        The run's folder: its likelihood gives every value a mass (bernoulli, discretised-logistic, categorical).
    source
        A file (NPY, NPZ with x, IDX) or a folder of images; a known data set's name (its test split); or test, the
        run's own test split.
    out
        The file to write, e.g. x.vkz.
    """
    from vaekit.atomic import write_bytes
    from vaekit.tasks.compressed_file import elbo_bits, pack
    from vaekit.tasks.grey_levels import to_levels

    check_compressed(out, (run, source))
    opened = use.load(run)
    x, name = opened.stored_levels(None if source == "test" and not Path(source).exists() else source)
    data = pack(opened.codec(), x, opened.fingerprint, where=name)
    level, _ = to_levels(x, tuple(opened.info.shape), opened.levels, name)
    ideal = elbo_bits(opened.model, level, opened.levels)
    facts = {
        "source": name,
        "n": len(x),
        "bytes": len(data),
        "bits_per_example": 8 * len(data) / len(x),
        "bits_per_dim": 8 * len(data) / level.size,
        "elbo_bits_per_example": ideal / len(x),
        "over_elbo": 8 * len(data) / ideal - 1,
        "raw_bytes": int(x.nbytes),
        "out": str(out),
    }
    words = (
        f"{len(x)} examples ({name}) in {len(data):,} bytes: {facts['bits_per_example']:.1f} bits each, "
        f"{facts['bits_per_dim']:.4f} a dimension, {100 * facts['over_elbo']:+.2f}% on -ELBO; {out}"
    )
    with answer.telling(facts, words):
        write_bytes(out, data)


def decompress(run: Path, source: Path, out: Path, /, *, use: Use = USE, answer: Answer = ANSWER) -> None:
    """Bring a compressed file's images back, bit by bit.

    Parameters
    ----------
    run
        The run that compressed it.
    source
        The compressed file.
    out
        The file to write, .npz (x) or .npy.
    """
    from vaekit.data.save import write_npy, write_npz

    suffix = check_out(out, (".npz", ".npy"), (run, source))
    if not source.is_file():
        raise UserError(f"there is no file {source}; check the path")
    x = use.load(run).decompress(source.read_bytes(), where=str(source))
    facts = {"n": len(x), "shape": list(x.shape), "dtype": str(x.dtype), "out": str(out)}
    with answer.telling(facts, f"{len(x)} examples of type {x.dtype} and shape {tuple(x.shape[1:])} in {out}"):
        if suffix == ".npz":
            write_npz(out, x=x)
        else:
            write_npy(out, x)
