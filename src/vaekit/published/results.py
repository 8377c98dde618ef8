"""Our figures as data: a JSON file a table, an entry a budget, with what they were measured by."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vaekit import __version__
from vaekit.atomic import write_json
from vaekit.devices import choose_device
from vaekit.errors import UserError
from vaekit.published.base import Measured, Table


@dataclass(frozen=True)
class Result:
    """What came of a table at a budget: our figures by row, or in `refused` why there are none.

    `terms` are those of the budget when it was measured, `by` the commit, version, device, seconds and CPU seconds.
    """

    budget: str
    terms: Mapping[str, Any]
    rows: Mapping[str, Measured] = field(default_factory=dict)
    refused: str = ""
    by: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the entry of the file."""
        rows = {
            name: {key: value for key, value in vars(row).items() if value is not None}
            for name, row in self.rows.items()
        }
        entry: dict[str, Any] = {"terms": dict(self.terms)}
        return entry | ({"refused": self.refused} if self.refused else {"rows": rows}) | {"by": dict(self.by)}

    @classmethod
    def of_json(cls, budget: str, entry: Mapping[str, Any]) -> Result:
        """Return what `as_json` gave."""
        rows = {
            name: Measured(tuple(row["each"]), row.get("stderr"), row.get("theirs"))
            for name, row in entry.get("rows", {}).items()
        }
        return cls(budget, entry["terms"], rows, entry.get("refused", ""), entry["by"])


def kept(folder: Path, name: str) -> dict[str, Result]:
    """Return the results of a table that a folder holds, by budget."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {budget: Result.of_json(budget, entry) for budget, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} holds no results of 'vaekit reproduce'; move it away, or name another --out") from None


def keep(folder: Path, name: str, result: Result) -> None:
    """Keep a result beside those of other budgets."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {budget: one.as_json() for budget, one in (kept(folder, name) | {result.budget: result}).items()}
    write_json(folder / f"{name}.json", entries)


def still_holds(result: Result | None, table: Table, terms: Mapping[str, Any]) -> bool:
    """Return whether a kept result is of these terms and rows, so that it need not be measured again."""
    if result is None or result.refused:
        return False
    return json.loads(json.dumps(dict(terms))) == dict(result.terms) and set(result.rows) == set(table.rows)


def measured_by(device: str) -> dict[str, Any]:
    """Return what measures: commit (with + where sources differ from it), version, device and threads."""
    chosen = choose_device(device)
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else f"{chosen.type}, {_processor()}"
    return {"commit": _commit(), "version": __version__, "device": name, "threads": torch.get_num_threads()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _commit() -> str | None:
    """Return the commit of the sources, None where they are no checkout of vaekit's own."""
    here = Path(__file__).resolve().parents[1]
    found = shutil.which("git")
    if found is None:
        return None
    git = [found, "-C", os.fspath(here)]
    try:
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", "registry.py"], capture_output=True, check=False)
        commit = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=False)
        changed = subprocess.run([*git, "status", "--porcelain", "."], capture_output=True, text=True, check=False)
    except OSError:
        return None
    if tracked.returncode or commit.returncode:
        return None
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")
