"""Examples of any modality as files: pictures and arrays, and what a modality writes (text, tables, sound)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaekit.atomic import write_text
from vaekit.data.save import write_images, write_npz
from vaekit.errors import UserError

if TYPE_CHECKING:
    from vaekit.experiment.run import Run

SHOWN = 32
"""How many examples the files of lines in a run's folder hold."""


def formats(run: Run) -> tuple[str, ...]:
    """Return the suffixes that examples of a run can be written in, the one to prefer first."""
    own = () if run.modality is None else run.modality.formats
    return (*own, *((".png",) if run.info.is_image else ()), *((".npz",) if _are_tensors(run) else ()))


def _are_tensors(run: Run) -> bool:
    return run.info.kind != "graph"


def suffix_of(out: Path, suffixes: Sequence[str]) -> str | None:
    """Return the longest of `suffixes` that a file's name ends in, or None.

    >>> suffix_of(Path("A.CSV.gz"), (".gz", ".csv.gz"))
    '.csv.gz'
    """
    ending = [suffix for suffix in suffixes if out.name.lower().endswith(suffix)]
    return max(ending, key=len, default=None)


def write_examples(run: Run, out: Path, x: Any, y: Tensor | None = None) -> None:
    """Write examples `x`, as the model makes them, in the form that the suffix names."""
    if run.modality is not None and suffix_of(out, run.modality.formats):
        run.modality.write(out, run.prepare.invert(x), run.info)
    elif out.suffix.lower() == ".png":
        write_images(out, run.prepare.show(x))
    else:
        write_npz(out, x=run.prepare.show(x).numpy(), **({} if y is None else {"y": y.numpy()}))


def write_paths(run: Run, out: Path, paths: Tensor) -> None:
    """Write paths of examples (R, steps, ...), one after the other; as text with an empty line between them."""
    assert run.modality is not None
    if out.suffix.lower() == ".txt":
        write_text(out, "\n".join("".join(f"{line}\n" for line in lines(run, path)) for path in paths))
    else:
        run.modality.write(out, run.prepare.invert(paths.flatten(0, 1)), run.info)


def lines(run: Run, x: Any) -> list[str]:
    """Return a readable line an example, of examples as the model makes them; only for data of a modality."""
    if run.modality is None:
        raise UserError(f"{run.info.name} are arrays of numbers, which have no lines to read")
    return run.modality.lines(run.prepare.invert(x), run.info)


def write_lines(run: Run) -> list[Path]:
    """Write samples and reconstructions of a run as lines of text into its figures folder, and return the files."""
    from vaekit.experiment.folder import FIGURES

    assert run.path is not None
    folder = run.path / FIGURES
    samples, pairs = folder / "samples.txt", folder / "reconstructions.txt"
    write_text(samples, "".join(f"{line}\n" for line in lines(run, run.drawn(_few(run, SHOWN)))))
    split = run.test if len(run.test) else run.data.valid
    x, y = split.first(SHOWN).inputs, split.first(SHOWN).y
    found = zip(lines(run, x), lines(run, run.reconstruct(x, y)))
    write_text(pairs, "".join(f"{before}\n→ {after}\n\n" for before, after in found))
    return [samples, pairs]


def _few(run: Run, n: int) -> int:
    """Return how many examples to draw for showing: of graphs no more than the data have, one where it is one."""
    return min(n, run.info.n_train) if run.info.kind == "graph" else n


def picture(run: Run, n: int) -> Any:
    """Return the modality's figure of `n` samples, or None where it has none."""
    name = None if run.modality is None else run.modality.picture
    if name is None:
        return None
    module, function = name.split(":")
    draw = getattr(importlib.import_module(module), function)
    return draw(run.prepare.invert(run.drawn(_few(run, n))), run.info.facts)


def joined(parts: list[Any]) -> Any:
    """Join batches of examples; rows of tokens are padded with 0 to the widest.

    >>> joined([torch.ones(1, 2, dtype=torch.int64), torch.ones(1, 3, dtype=torch.int64)]).shape
    torch.Size([2, 3])
    """
    if parts and isinstance(parts[0], Tensor) and parts[0].dtype == torch.int64:
        width = max(part.shape[-1] for part in parts)
        parts = [torch.nn.functional.pad(part, (0, width - part.shape[-1])) for part in parts]
    return torch.cat(parts) if not parts or isinstance(parts[0], Tensor) else type(parts[0]).cat(parts)
