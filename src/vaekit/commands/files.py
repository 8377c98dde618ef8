"""Files that commands write: their formats, checked before anything is computed, and writing them whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.atomic import check_writable
from vaekit.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vaekit.data.dataset import Split
    from vaekit.data.origin import Origin
    from vaekit.runs.run import Run

ARRAYS = (".png", ".npz")
COLUMNS = (".csv", ".npz")
TAKEN = (
    *(".npz", ".npy", ".csv", ".tsv", ".parquet", ".png", ".jpg", ".txt", ".json", ".jsonl", ".safetensors", ".html"),
    *(".onnx", ".pt", ".pt2", ".zip", ".gz", ".mid", ".wav", ".py"),
)
"""Suffixes of files that are something else than a compressed one."""
FOLDER = "/"
"""In place of a suffix: a folder with a picture an example."""


def suffix_of(out: Path, suffixes: Sequence[str]) -> str | None:
    """Return the longest of `suffixes` that a file's name ends in, or None.

    >>> suffix_of(Path("A.CSV.gz"), (".gz", ".csv.gz"))
    '.csv.gz'
    """
    return max((suffix for suffix in suffixes if out.name.lower().endswith(suffix)), key=len, default=None)


def check_out(
    out: Path, suffixes: Sequence[str], inputs: Iterable[str | Path | None] = (), run: Run | None = None
) -> str:
    """Return the suffix of the file to write; a UserError where it cannot be, or must not, be written.

    `inputs` are the run's folder and what else is read: neither they nor the data that the run names are replaced, nor
    files of a run, nor what is not a plain file. With a `run`, its examples are what is written, and pictures are
    refused of data that are not images.
    """
    if run is not None and out.suffix.lower() == ".png" and not run.info.has_picture and ".png" not in formats(run):
        others = " or FILE".join(suffix for suffix in suffixes if suffix != ".png")
        raise UserError(f"{run.info.name} are not images, so there is no picture to write; use --out FILE{others}")
    suffix = suffix_of(out, [suffix for suffix in suffixes if suffix != FOLDER])
    try:
        folder = suffix is None and FOLDER in suffixes and (out.is_dir() or not out.suffix)
        suffix = FOLDER if folder else suffix
        if suffix is None:
            ends = " or ".join(suffix for suffix in suffixes if suffix != FOLDER)
            more = ", or name a folder, which gets a PNG for each" if FOLDER in suffixes else ""
            raise UserError(f"--out {out}: write a file ending in {ends}{more}")
        check_place(out, inputs, folder)
    except OSError as error:
        raise UserError(f"--out {out}: it cannot be written there ({error.strerror}); name another file") from error
    return suffix


def check_place(out: Path, inputs: Iterable[str | Path | None], folder: bool = False) -> None:
    """Refuse a file (or new folder) to write that cannot be written, or that something else would be lost by."""
    if "\0" in str(out):
        raise UserError(f"--out {str(out)!r} holds a NUL character, which no file's name can; name another")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: the folder {out.parent} does not exist; make it first")
    if out.is_symlink():
        raise UserError(f"--out {out} is a link to {out.readlink()}; name that file itself, or another")
    if out.is_dir() and not folder:
        raise UserError(f"--out {out} is a folder; name a file")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"--out {out} is not empty; name a new folder")
    if out.exists() and not (out.is_file() or folder):
        raise UserError(f"--out {out} is not a plain file but a device or a pipe; name another")
    place = out.resolve()
    _check_run_files(out, place)
    for name in _all_inputs(inputs):
        read = Path(name)
        if read.exists() and (read.resolve() == place or (out.exists() and read.resolve() in place.parents)):
            raise UserError(f"--out {out} is among what is read ({name}), and would replace it; name another file")
    check_writable(out)


def check_compressed(out: Path, inputs: Iterable[str | Path | None]) -> None:
    """Refuse a compressed file to write as `check_place` does, and by a name that says it is something else."""
    suffix = suffix_of(out, TAKEN)
    if suffix is not None:
        raise UserError(f"{out}: a compressed file is no {suffix}; let its name end in .vkz")
    try:
        check_place(out, inputs)
    except OSError as error:
        raise UserError(f"{out}: it cannot be written there ({error.strerror}); name another file") from error


def _all_inputs(inputs: Iterable[str | Path | None]) -> Iterator[str]:
    """Yield what is read, and where the data are that a run among it was trained on."""
    from vaekit.runs.folder import RECORD, read_record

    for name in inputs:
        if name is None:
            continue
        if (Path(name) / RECORD).is_file():  # its own files: `_check_run_files`
            data = read_record(Path(name))["data"]
            yield from (str(source) for source in (data.get("source"), *data.get("held_out", {}).values()) if source)
        else:
            yield str(name)


def _check_run_files(out: Path, place: Path) -> None:
    """Refuse a name that vaekit itself writes to in a run's folder."""
    from vaekit.runs.folder import OWN, RECORD

    for above in place.parents:
        if (above / RECORD).is_file():
            own = {Path(name).parts[0] for name in OWN} | {".new", ".complete", ".lock"}
            if place.relative_to(above).parts[0] in own:
                raise UserError(f"--out {out} is a file of the run {above}, which would be lost; name another")


def formats(run: Run) -> tuple[str, ...]:
    """Return the suffixes that examples of a run can be written in, the one to prefer first."""
    own = () if run.modality is None else run.modality.formats
    more = (*((".png",) if run.info.has_picture else ()), *(() if run.info.kind == "graph" else (".npz",)))
    return tuple(dict.fromkeys((*own, *more)))


def pictures(run: Run) -> tuple[str, ...]:
    """Return (FOLDER,) where examples of a run can be written as a picture each, else ()."""
    return (FOLDER,) if run.info.is_image and run.info.shape[0] in (1, 3) and ".png" in formats(run) else ()


def file_names(split: Split) -> list[str] | None:
    """Return the names of the files that examples come from, without suffix; None where they come from elsewhere."""
    files = [] if split.origin is None else [Path(str(name)) for name in split.origin.columns.get("file", ())]
    return [str((Path(path.name) if path.is_absolute() else path).with_suffix("")) for path in files] or None


def write_examples(run: Run, out: Path, x: Any, y: Any = None, names: Sequence[str] | None = None) -> None:
    """Write examples `x`, as `Run.sample` gives them, in the form that the suffix names.

    In a folder each picture has its name, else its number; those with labels lie in a folder a class, as data do.
    """
    from vaekit.data.save import write_images, write_npz, write_pictures

    own = () if run.modality is None else run.modality.formats
    if suffix_of(out, (*own, *ARRAYS)) is None:
        numbers = [f"{i:0{len(str(len(x) - 1))}d}" for i in range(len(x))]
        classes = run.class_names(y) if y is not None and y.ndim == 1 and run.info.classes else []
        inside = [f"{name.replace('/', '_')}/{i}" for name, i in zip(classes, numbers)]
        write_pictures(out, run.picture(x), names or inside or numbers)
        return
    if run.modality is not None and suffix_of(out, own):
        run.modality.write(out, x, run.info, y)
    elif out.suffix.lower() == ".png":
        write_images(out, run.picture(x))
    else:
        write_npz(out, x=x, y=y)


def write_drawn(out: Path, draw: Callable[..., Figure], *shown: Any, **arrays: Any) -> None:
    """Write `draw(*shown)` as PNG, or the arrays as NPZ, by the file's suffix."""
    from vaekit import figures
    from vaekit.data.save import write_npz

    if out.suffix.lower() == ".png":
        figures.save(draw(*shown), out)
    else:
        write_npz(out, **arrays)


def write_rows(out: Path, origin: Origin | None, columns: Mapping[str, Any]) -> None:
    """Write columns of a value an example, after those that say where each comes from, as CSV or NPZ by the suffix.

    What was left out stands in a CSV where it was, its place and the reason alone; an NPZ has the places in `left_out`
    and the reasons in `left_out_why`.
    """
    from vaekit.data.save import write_npz

    known = {name: column for name, column in columns.items() if column is not None}
    places = {} if origin is None else {name: v for name, v in origin.columns.items() if name not in known}
    lost = () if origin is None else origin.left_out
    if out.suffix.lower() == ".npz":
        why = {"left_out": [place for place, _ in lost], "left_out_why": [reason for _, reason in lost]} if lost else {}
        write_npz(out, **places, **known, **why)
        return
    if not lost:
        write_columns(out, places | known)
        return
    _write_with_gaps(out, places | known, lost)


def left_out(origin: Origin | None) -> str:
    """Return how many examples were left out, in words to end a sentence with."""
    return f"; {len(origin.left_out)} left out" if origin is not None and origin.left_out else ""


def _write_with_gaps(out: Path, columns: Mapping[str, Any], lost: Sequence[tuple[Any, str]]) -> None:
    """Write columns with a row for each place that was left out, where it was if places are numbers, else last."""
    rows = [(row[0], [*row, ""]) for row in zip(*columns.values())]
    rows += [(place, [place, *[""] * (len(columns) - 1), reason]) for place, reason in lost]
    if not any(isinstance(place, str) for place, _ in rows):
        rows.sort(key=lambda entry: entry[0])
    write_columns(out, dict(zip([*columns, "left_out"], zip(*(row for _, row in rows)))))


def write_columns(out: Path, columns: Mapping[str, Any]) -> None:
    """Write named columns of one length (None is left out) as CSV or NPZ, by the file's suffix."""
    import numpy as np

    from vaekit.data.csv_files import write_csv
    from vaekit.data.save import write_npz

    if out.suffix.lower() == ".npz":
        write_npz(out, **columns)
        return
    known = {name: column for name, column in columns.items() if column is not None}
    rows = ([repr(float(v)) if isinstance(v, float | np.floating) else v for v in row] for row in zip(*known.values()))
    write_csv(out, list(known), rows)
