"""The run folder: its files' names, its record, and its facts about versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any

from vaekit import __version__, distributed
from vaekit.atomic import write_json
from vaekit.errors import UserError
from vaekit.runs.links import check_links
from vaekit.runs.record import EVALUATION_FORMAT, RUN_FORMAT, check_evaluation, check_run
from vaekit.schemas import Place, or_else, read

RECORD, WEIGHTS, LOG, EVALUATION = "run.json", "model.safetensors", "log.jsonl", "evaluation.json"
VALUES = "evaluation.safetensors"
REPORT, FIGURES, CHECKPOINTS, THRESHOLDS = "report.html", "figures", "checkpoints", "thresholds.json"


def read_record(folder: Path) -> dict[str, Any]:
    """Return run.json, every field checked; a folder that is no run, or has links that lead out, is a UserError."""
    path = folder / RECORD
    if not folder.is_dir():
        raise UserError(f"there is no run folder {folder}; train one with 'vaekit train --out {folder}'")
    if not path.is_file():
        raise UserError(f"{folder} is not a run folder: it has no {RECORD}")
    check_links(folder, (RECORD, WEIGHTS, LOG, EVALUATION, VALUES, REPORT, FIGURES, CHECKPOINTS, THRESHOLDS))
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


def check_target(target: Path | None, overwrite: bool) -> None:
    """Refuse a folder that a run cannot be written into."""
    if target is None:
        return
    above = next(folder for folder in (target, *target.absolute().parents) if folder.exists())
    if above != target:
        if not above.is_dir():
            raise UserError(f"{target}: {above} is a file, so no folder can be made below it; name another")
        return
    if not target.is_dir():
        raise UserError(f"{target} is a file; name a folder")
    if (target / RECORD).exists():
        if not overwrite:
            raise UserError(f"{target} holds a run already; add resume to go on with it, overwrite to replace it")
    elif any(not path.name.startswith(".run.") for path in target.iterdir()):
        raise UserError(f"{target} is not empty and is not a run folder; name another")


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


def next_free(recipe: str, data: str) -> Path:
    """Return runs/DATA-RECIPE, with a number behind it when that is taken; processes of one run agree on it."""

    def free() -> str:
        if distributed.restarted():
            for path in Path("runs").glob(f"*/{RECORD}"):
                if read_record(path.parent).get("launch") == distributed.launch():
                    return str(path.parent)
        stem = f"{Path(data).stem or 'data'}-{recipe}"
        names = chain([stem], (f"{stem}-{number}" for number in count(2)))
        return next(f"runs/{name}" for name in names if not Path("runs", name).exists())

    distributed.start()
    return Path(distributed.from_main(free))
