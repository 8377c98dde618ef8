"""The run folder: its files' names, its record, files that change together, and its facts about versions."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vaekit import __version__
from vaekit.atomic import new_folder, sweep, write_json
from vaekit.errors import UserError
from vaekit.runs.links import check_links
from vaekit.runs.locks import locked
from vaekit.runs.record import EVALUATION_FORMAT, RUN_FORMAT, check_evaluation, check_run
from vaekit.schemas import Place, or_else, read

RECORD, WEIGHTS, LOG, EVALUATION = "run.json", "model.safetensors", "log.jsonl", "evaluation.json"
VALUES = "evaluation.safetensors"
REPORT, FIGURES, CHECKPOINTS, THRESHOLDS = "report.html", "figures", "checkpoints", "thresholds.json"
PICTURES = (
    *("curves", "reconstructions", "samples", "interpolation", "traversals", "manifold", "latent_map", "kl"),
    *("kl_layers", "aggregate_posterior", "rate_distortion", "rank_histograms"),
    *("marginals", "correlations", "part", "latent_map_umap"),
)
"""The figures' names."""
NEW = ".new"
"""A run that is to replace the one in the folder, until it has ended."""
OWN = (
    *(RECORD, WEIGHTS, LOG, EVALUATION, VALUES, REPORT, THRESHOLDS, "mlflow.db", "control.jsonl"),
    *(f"{CHECKPOINTS}/last.safetensors", f"{CHECKPOINTS}/best.safetensors"),
    *(f"{FIGURES}/{name}.png" for name in PICTURES),
    *(f"{FIGURES}/samples.txt", f"{FIGURES}/reconstructions.txt"),
    *(f"{FIGURES}/samples.wav", f"{FIGURES}/reconstructions.wav"),
    "tensorboard/events.out.tfevents.*",
)
"""What vaekit writes into a run's folder: all that it ever replaces or removes there."""
COMPLETE, GONE = ".complete", "gone.json"
"""A folder of files that are being put in place of the run's, and the names of those that go."""
MOMENT = 10.0
"""Seconds to wait for one that writes for a moment."""


def read_record(folder: Path) -> dict[str, Any]:
    """Return run.json, every field checked; a folder that is no run, or has links that lead out, is a UserError."""
    path = folder / RECORD
    if not folder.is_dir():
        raise UserError(f"there is no run folder {folder}; train one with 'vaekit train --out {folder}'")
    check_links(folder, (RECORD, WEIGHTS, LOG, EVALUATION, VALUES, REPORT, FIGURES, CHECKPOINTS, THRESHOLDS, COMPLETE))
    settle(folder)
    if not path.is_file():
        raise UserError(f"{folder} is not a run folder: it has no {RECORD}")
    place = Place(path, "restore a copy of it, or train again")
    value = read(path, place)
    if isinstance(value, dict) and not {"recipe", "settings", "data"} & value.keys():
        raise UserError(f"{path} is not a run's record: it has no 'recipe'; train again")
    return check_run(value, place)


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write run.json, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, {"format": RUN_FORMAT} | record)


def read_evaluation(folder: Path) -> dict[str, Any]:
    """Return the numbers of evaluation.json by name; {} without one, and with a warning where it is damaged."""
    path = folder / EVALUATION
    place = Place(path, "evaluate again")
    return or_else(lambda: check_evaluation(read(path, place), place), {}) if path.is_file() else {}


def write_evaluation(folder: Path, numbers: Mapping[str, Any]) -> None:
    """Write evaluation.json, whole or not at all."""
    write_json(folder / EVALUATION, {"format": EVALUATION_FORMAT, **numbers})


def weights_of(folder: Path) -> tuple[int, int] | None:
    """Return what tells a run's weights from later ones without reading them; None where there are none."""
    path = folder / WEIGHTS
    return (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else None


# -- files that change together ----------------------------------------------------------------------------------------


def own_files(folder: Path) -> list[str]:
    """Return the files in a run's folder that vaekit wrote, relative to it; none behind a link."""
    found = (path for name in OWN for path in folder.glob(name) if not path.parent.is_symlink())
    return sorted(path.relative_to(folder).as_posix() for path in found)


@contextmanager
def together(folder: Path, gone: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a folder whose files replace the run's at the end, all of them or none, while those in `gone` go.

    Whoever comes after a kill in between finds them complete, and ends the work (`settle`).
    """
    sweep(folder)
    with new_folder(folder / COMPLETE) as part:
        yield part
        write_json(part / GONE, sorted(set(gone) - set(own_files(part))))
    _put_in_place(folder)


def swap_in(folder: Path) -> None:
    """Put the run in `folder`/.new, which has ended, in place of the run in `folder`."""
    new = folder / NEW
    write_json(new / GONE, sorted(set(own_files(folder)) - set(own_files(new))))
    new.rename(folder / COMPLETE)
    _put_in_place(folder)


def settle(folder: Path) -> None:
    """End what a killed process had begun to put in place in a run's folder."""
    if (folder / COMPLETE).is_dir():
        with locked(folder, wait=MOMENT):
            _put_in_place(folder)


def _put_in_place(folder: Path) -> None:
    complete = folder / COMPLETE
    if not complete.is_dir() or complete.is_symlink():
        return  # another process has
    listed = json.loads((complete / GONE).read_text(encoding="utf-8")) if (complete / GONE).is_file() else []
    for name in set(own_files(folder)).intersection(listed):
        (folder / name).unlink(missing_ok=True)
    for path in sorted(complete.rglob("*")):
        target = folder / path.relative_to(complete)
        if path == complete / GONE or (path.is_dir() and not path.is_symlink()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{target.parent} is a link to another folder, so nothing is written there; take it away")
        path.replace(target)
    shutil.rmtree(complete)
    remove_empty(folder / FIGURES)


def remove_empty(folder: Path) -> None:
    """Remove a folder if there is nothing in it."""
    with suppress(OSError):
        folder.rmdir()


def versions() -> dict[str, str]:
    """Return the versions that a run's numbers depend on, and the machine's kind."""
    import numpy
    import torch

    return {
        "vaekit": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "threads": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }
