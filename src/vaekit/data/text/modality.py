"""Text: lines of files and lists, as rows of characters, words or byte pairs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from vaekit.data.contents import contents_of
from vaekit.data.dataset import DataSet, Split
from vaekit.data.datasets import read_if_known
from vaekit.data.digest import Keys, text_keys
from vaekit.data.info import DataInfo
from vaekit.data.limits import bounded
from vaekit.data.lines import Lines, lines_of, read_column
from vaekit.data.modality import MODALITIES, Modality
from vaekit.data.paths import resolve_path
from vaekit.data.settings import DataSettings, settings_as
from vaekit.data.splits import deal
from vaekit.data.text.tokeniser import Tokeniser, Unit, fit
from vaekit.data.token_rows import token_rows
from vaekit.errors import UserError
from vaekit.tokens import UNKNOWN

COLUMNS = ("text", "texts", "sentence", "content", "review", "line", "lines")
"""Names of a table's column that holds text."""
Longer = Literal["split", "cut", "drop", "refuse"]


class TextSettings(DataSettings):
    """Settings of text."""

    unit: Unit = Field(default="characters", description="tokens: characters, words (and marks), or byte pairs")
    vocabulary: int | None = Field(
        default=None, ge=1, description="tokens at most: 10000 for words, 1000 for pairs, all characters, if not said"
    )
    least: int = Field(default=2, ge=1, description="characters and words that occur less often become UNKNOWN")
    column: str | None = Field(default=None, description="a table's column of text, if it is not called text")
    lowercase: bool = Field(default=False, description="make all letters small")
    longest: int = Field(default=64, ge=1, description="tokens a line at most")
    longer: Longer = Field(
        default="split",
        description="longer lines: 'split' them into several, 'cut' (scored as beginnings), 'drop' or 'refuse' them",
    )
    duplicates: Literal["keep", "drop"] = Field(
        default="keep", description="what becomes of a line met again; kept, it may be in training and test split both"
    )


class Text(Modality):
    """Lines of a .txt file, a column of a CSV file (each maybe gzipped), known sets, or a list of texts.

    One example a line or row.

    `info.facts`: `tokeniser` (see `Tokeniser.to_dict`; the training split's), `truncated` (whether rows may be cut),
    and `counts`: how many lines were empty, met again, too long, and how many tokens of each split are unknown.
    """

    name = "text"
    noun = "lines of text"
    settings = TextSettings
    reads = (".txt",)
    reads_lines = True
    formats = (".txt",)
    default = "tiny-shakespeare"

    def load(self, source: Any, settings: DataSettings) -> DataSet:
        """Read lines; vocabulary and width are the training split's.

        Raises:
            UserError: the source cannot be read, or a line is too long and `data.longer` refuses it.

        >>> lines = ["to be", "or not", "to sleep", "that is", "the question"]
        >>> data = Text().load(lines, TextSettings(valid=1, test=1, least=1))
        >>> data.info.kind, len(data.train), Text().lines(data.train.x, data.info)[0] in lines
        ('tokens', 3, True)
        """
        settings = settings_as(TextSettings, settings)
        lines = _lines(source, settings)
        rows = lines.rows
        if settings.duplicates == "drop":
            first = {text: number for number, text in reversed(rows)}
            rows = sorted((number, text) for text, number in first.items())
        keys = text_keys(text for _, text in rows)
        parts = deal(keys, lines.source, settings)
        train = [rows[i][1] for i in parts.train]
        tokeniser = fit(
            train, settings.unit, most=settings.vocabulary, least=settings.least, lowercase=settings.lowercase
        )
        longest = min(settings.longest, max(len(tokeniser.encode(text)) for text in train))
        counts = {"empty": lines.empty, "met again": len(lines.rows) - len(rows), "too long": 0}
        splits: list[Split] = []
        for name, index in zip(("train", "valid", "test"), (parts.train, parts.valid, parts.test)):
            made = _encoded(lines, [rows[i] for i in index], tokeniser, longest, settings.longer)
            counts["too long"] += made.long
            counts[f"unknown in {name}"] = sum(row.count(UNKNOWN) for row in made.ids)
            origin = lines.origin(made.numbers).of_some
            splits.append(Split(token_rows(made.ids, longest + 1), origin=origin, keys=_keys(rows, made.numbers)))
        if not len(splits[0]):
            raise UserError(
                f"{lines.source} has no line that data.longest={settings.longest} leaves in; make it larger"
            )
        facts = {"tokeniser": tokeniser.to_dict(), "truncated": settings.longer == "cut", "counts": counts}
        contents = contents_of(parts, keys)
        return self.data_set(lines.name, lines.source, "tokens", splits, facts, tokeniser.size, contents=contents)

    def encode(self, source: Any, info: DataInfo, settings: DataSettings) -> Split:
        """Read other lines with the run's vocabulary: unknown tokens become UNKNOWN, with a warning that counts them.

        Longer lines are treated as in training, and empty ones left out, with a warning too.

        Raises:
            UserError: the source cannot be read, or a line is too long and `data.longer` refuses it.
        """
        mine = settings_as(TextSettings, settings)
        longer = mine.longer
        lines, tokeniser = _lines(source, mine), Tokeniser.from_dict(info.facts["tokeniser"])
        made = _encoded(lines, lines.rows, tokeniser, info.shape[0] - 1, longer)
        if not made.ids:
            raise UserError(f"{lines.source} has no line of at most {info.shape[0] - 1} tokens; give shorter lines")
        _warn(lines, made, tokeniser, longer)
        origin = lines.origin(made.numbers, made.left_out)
        return Split(token_rows(made.ids, info.shape[0]), origin=origin, keys=_keys(lines.rows, made.numbers))

    def lines(self, x: Tensor, info: DataInfo) -> list[str]:
        """Return the text of each row; what is unknown is shown as �."""
        tokeniser = Tokeniser.from_dict(info.facts["tokeniser"])
        return [tokeniser.decode(row) for row in x.tolist()]


@dataclass
class _Encoded:
    """Token numbers of each example, the number of its line, how many lines were too long, and those left out."""

    ids: list[list[int]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    long: int = 0
    left_out: list[tuple[int, str]] = field(default_factory=list)

    def add(self, number: int, *examples: list[int]) -> None:
        self.ids += examples
        self.numbers += [number] * len(examples)


def _keys(rows: Sequence[tuple[int, str]], numbers: Sequence[int]) -> Keys:
    """Return the keys of the lines with these numbers, (N,)."""
    keyed = dict(zip((number for number, _ in rows), text_keys(text for _, text in rows)))
    return np.array([keyed[number] for number in numbers], np.uint64)


def _encoded(
    lines: Lines, rows: Sequence[tuple[int, str]], tokeniser: Tokeniser, longest: int, longer: Longer
) -> _Encoded:
    """Encode lines. A cut row has longest + 1 tokens."""
    out = _Encoded()
    for number, text in rows:
        ids = tokeniser.encode(text)
        if len(ids) <= longest:
            out.add(number, ids)
            continue
        out.long += 1
        if longer == "refuse":
            raise UserError(
                f"{lines.place(number)} has {len(ids)} tokens, more than {longest}; shorten it, set data.longest, or "
                f"let data.longer split, cut or drop such lines"
            )
        if longer == "split":
            out.add(number, *(ids[i : i + longest] for i in range(0, len(ids), longest)))
        elif longer == "cut":
            out.add(number, ids[: longest + 1])
        else:
            out.left_out.append((number, "too long"))
    return out


def _warn(lines: Lines, made: _Encoded, tokeniser: Tokeniser, longer: Longer) -> None:
    ids, long = made.ids, made.long
    unknown, total = sum(row.count(UNKNOWN) for row in ids), sum(len(row) for row in ids)
    notes = []
    if unknown:
        where = next(number for number, text in lines.rows if UNKNOWN in tokeniser.encode(text))
        notes.append(f"{unknown} of {total} tokens are unknown to this run, the first in {lines.word} {where}")
    if long:
        done = {"split": "split", "cut": "cut", "drop": "left out", "refuse": ""}[longer]
        notes.append(f"{long} lines are too long and were {done}")
    if lines.empty:
        notes.append(f"{lines.empty} empty lines were left out")
    if notes:
        warnings.warn(f"{lines.source}: {'; '.join(notes)}", stacklevel=3)


@bounded
def _lines(source: Any, settings: TextSettings) -> Lines:
    known = read_if_known(source, Text.name, "holds no text; give a file of lines, or tiny-shakespeare")
    if known is not None or not isinstance(source, str | Path):
        return known or lines_of(source)
    path = resolve_path(source)
    if not {suffix.lower() for suffix in path.suffixes} & {".csv", ".tsv"}:
        return lines_of(path)
    cells = [(number, " ".join(text.split())) for number, text in read_column(path, settings.column, COLUMNS)]
    rows = [(number, text) for number, text in cells if text]
    if not rows:
        raise UserError(f"{path} holds no text; give at least a few rows")
    return Lines(path.name.split(".")[0], str(path), rows, len(cells) - len(rows), "row")


MODALITIES.register("text", summary="lines of text, as characters, words or byte pairs (extra: text)")(Text())
