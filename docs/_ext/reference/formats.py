"""The page of the files: what a run's folder holds, what is read, what is written."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from reference.facts import type_words
from reference.text import ROOT, code, first, folded, link, md, table, target
from vaekit.data import facts as data_facts
from vaekit.data.modality import MODALITIES
from vaekit.runs import folder, record
from vaekit.schemas import Record
from vaekit.tasks import compressed_file
from vaekit.training import control, log, saved

RECORDS: dict[str, tuple[Any, ...]] = {
    folder.RECORD: (record,),
    folder.LOG: (log,),
    f"{folder.CHECKPOINTS}/last.safetensors": (saved,),
    "control.jsonl": (control,),
    "an archive of `vaekit compress`": (compressed_file,),
}
"""Which module has the classes of a file's fields."""


def page() -> str:
    """Return the page."""
    lines = [
        *target("formats"),
        "# Files",
        "",
        "## A run's folder",
        "",
        "Files are written beside their names and renamed over them, so that a kill leaves the old file or the new "
        "one. Nothing is pickled. How they are kept together, and what is done where one is damaged: "
        "[How vaekit is built](../architecture.md).",
        "",
        *table(["file", "content"], _described()),
        *folded(
            "All files that vaekit writes there, and so all that it ever replaces or removes",
            [", ".join(map(code, folder.OWN)), ""],
        ),
        "## Fields",
        "",
        "JSON is strict: types are not converted, and unknown fields are refused. Where a number is not finite it is "
        "null, and `not_finite` says what it was.",
        "",
    ]
    for name, modules in RECORDS.items():
        shown = name if name.startswith("an ") else code(name)
        lines += [f"### {shown}", ""]
        for module in modules:
            for one in records(module):
                lines += _record(one)
    lines += ["### `data.info.facts` of `run.json`", "", "What is known of data of a kind.", ""]
    for one in records(data_facts):
        lines += _record(one)
    lines += [
        "## Data that are read and written",
        "",
        "[Readers](parts/readers.md) has what each holds.",
        "",
        *table(
            ["kind of data", "read from", "written as"],
            [
                ["arrays", "IDX, NPY, NPZ, CSV, pictures, folders of them", "`.npz`, `.png`, `.csv`"],
                *(
                    [
                        link(entry.name, "part", "reader", entry.name),
                        ", ".join(map(code, entry.part.reads)) or "–",
                        ", ".join(map(code, entry.part.formats)) or "–",
                    ]
                    for entry in MODALITIES
                ),
            ],
        ),
    ]
    return "\n".join(lines)


def _described() -> Iterator[list[str]]:
    """Yield the files of a run's folder as docs/architecture.md describes them."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.split("## The run folder")[1].split("\n\n")[1]
    for line in table.splitlines()[2:]:
        name, said = re.split(r"(?<!\\)\|", line.strip("| "), maxsplit=1)
        yield [name.strip(), said.strip()]


def records(module: Any) -> list[type[BaseModel]]:
    """Return the records that a module defines."""
    return [
        one
        for _, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, Record) and one.__module__ == module.__name__ and one.model_fields
    ]


def _record(one: type[BaseModel]) -> list[str]:
    rows = []
    for name, field in one.model_fields.items():
        needed = "needed" if field.is_required() else code(_shown(field.get_default(call_default_factory=True)))
        rows.append([code(field.alias or name), md(type_words(field.annotation, field.metadata)), needed])
    return folded(f"{one.__name__}: {first(one)}", table(["field", "type", "default"], rows))


def _shown(value: Any) -> str:
    return "null" if value is None else str(value) or "empty"
