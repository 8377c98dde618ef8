"""Modalities: data other than plain arrays; how they are read, shown and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vaekit.atomic import write_text
from vaekit.data.contents import Contents
from vaekit.data.dataset import DataSet, Split
from vaekit.data.info import DataInfo, Kind
from vaekit.data.prepare import Prepare
from vaekit.data.preprocessing import Wants
from vaekit.data.settings import DataSettings
from vaekit.errors import UserError
from vaekit.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Modality:
    """A kind of data: a reader into a `DataSet`, and a writer back into a form that a person can read, hear or see.

    `noun` names them in a sentence ("lines of text"). `settings` are those of its data; `reads` the suffixes of files
    that only it reads, `formats` those it writes (the default first); `default` a source that needs no download, or
    None; `picture` draws examples, called with (examples, facts), or None; `path_picture` draws rows of decoded ones,
    called with (rows, facts, titles, values), or None.
    `reads_lines`: `encode` takes a list of lines as a person types them. `as_arrays`: its examples are arrays that
    every recipe for arrays takes, read with them. `also_reads` are other modalities whose known sets it reads too.
    """

    name: ClassVar[str]
    noun: ClassVar[str]
    as_arrays: ClassVar[bool] = False
    reads_lines: ClassVar[bool] = False
    settings: ClassVar[type[DataSettings]] = DataSettings
    reads: ClassVar[tuple[str, ...]] = ()
    formats: ClassVar[tuple[str, ...]] = ()
    default: ClassVar[str | None] = None
    also_reads: ClassVar[tuple[str, ...]] = ()
    picture: ClassVar[Callable[[Any, Mapping[str, Any]], Figure] | None] = None
    path_picture: ClassVar[Callable[[Any, Mapping[str, Any], Sequence[str], Any], Figure] | None] = None

    def load(self, source: Any, settings: DataSettings) -> DataSet:
        """Read three splits; whatever is fitted (a vocabulary, scales, columns) is fitted on the training split."""
        raise UserError(f"{self.name} data are read as arrays: use a recipe that takes arrays")

    def fitted(self, data: DataSet, wants: Wants) -> DataSet:
        """Return what was read, prepared for a likelihood that `wants` a kind: here as it is."""
        return data

    def encode(self, source: Any, info: DataInfo, settings: DataSettings) -> Split:
        """Read other data the way the run's own were, `info` being theirs."""
        raise UserError(f"{self.name} data are read as arrays: use a recipe that takes arrays")

    def data_set(
        self,
        name: str,
        source: str,
        kind: Kind,
        splits: Sequence[Split],
        facts: dict[str, Any],
        levels: int | None = None,
        classes: tuple[str, ...] = (),
        contents: Contents | None = None,
    ) -> DataSet:
        """Return a data set of this kind, of three splits of rows."""
        train, valid, test = splits
        sizes = len(train), len(valid), len(test)
        shape = tuple(train.x.shape[1:])
        info = DataInfo(name, shape, kind, levels, *sizes, classes, source, modality=self.name, facts=facts)
        return DataSet(info, train, valid, test, Prepare(kind), contents)

    def lines(self, x: Any, info: DataInfo) -> list[str]:
        """Return one readable line an example."""
        raise UserError(f"{self.name} data have no lines to read")

    def write(self, path: Path, x: Any, info: DataInfo, y: Any = None) -> None:
        """Write examples in the form that the suffix of `path` names, whole or not at all: here one a line.

        `y` are their conditions, which tables have columns for.
        """
        write_text(path, "".join(" ".join(line.splitlines()) + "\n" for line in self.lines(x, info)))


MODALITIES: Registry[Modality] = Registry("modality", "vaekit.data", module="modality")
"""The `modality.py` of each folder of this one."""


def modality_of(info: DataInfo) -> Modality | None:
    """Return the modality of a data set, None for plain arrays."""
    return None if info.modality == "array" else MODALITIES[info.modality].part


def reading(suffixes: Sequence[str]) -> str | None:
    """Return the modality that reads files of these suffixes, or None.

    >>> reading([".xyz"]) is None
    True
    """
    return next((entry.name for entry in MODALITIES if set(entry.part.reads) & set(suffixes)), None)
