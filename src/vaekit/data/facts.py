"""What `DataInfo.facts` holds, by modality: what a run's record must have to read and write data of that kind.

The classes are checked when a run is loaded (`vaekit.runs.record`), so that a record that was damaged or made up is
refused by the name of the field.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from vaekit.schemas import Number, Positive, Record, Text, Whole
from vaekit.tokens import SPECIAL

Spread = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Counts = dict[str, Whole]
Size = Annotated[int, Field(gt=0, le=1 << 24)]


class Facts(Record):
    """Base of a modality's facts."""

    def problem(self, shape: Sequence[int], levels: int | None) -> str | None:
        """Return what does not fit examples of this `shape`, of `levels` tokens, or None."""
        return None


class FormFacts(Record):
    """How a column's numbers are written; see `NumberForm`."""

    decimal: str = "."
    group: str = ""
    prefix: str = ""
    suffix: str = ""
    brackets: bool = False


class CycleFacts(Record):
    """The weekly cycle of a column of dates; see `vaekit.data.tables.quantiles`."""

    start: Number
    shares: list[Spread]

    @model_validator(mode="after")
    def _sum(self) -> CycleFacts:
        if len(self.shares) not in (7, 168) or not math.isclose(sum(self.shares), 1.0, rel_tol=1e-6):
            raise ValueError("shares must be of a week's 7 days or 168 hours, with the sum 1")
        return self


class CurveFacts(Record):
    """A column's quantile function; see `vaekit.data.tables.quantiles`."""

    u: list[Number] = Field(min_length=2)
    v: list[Number] = Field(min_length=2)
    low: Number
    high: Number
    step: bool = False
    floor: Number | None = None
    cycle: CycleFacts | None = None

    @model_validator(mode="after")
    def _rises(self) -> CurveFacts:
        if len(self.u) != len(self.v):
            raise ValueError("u and v must be of one length")
        if any(b <= a for a, b in pairwise(self.u)) or any(b < a for a, b in pairwise(self.v)):
            raise ValueError("u must rise, and v must not fall")
        return self


class ColumnFacts(Record):
    """A table's column, or an attribute that is conditioned on; see `vaekit.data.tables.columns`."""

    name: Text
    type: Literal["numeric", "positive", "date", "count", "categorical", "boolean", "ordinal"]
    levels: list[Text] | None = None
    probs: list[Annotated[float, Field(ge=0, le=1)]] | None = None
    mean: Number | None = None
    sd: Spread | None = None
    log_mean: Number | None = None
    log_sd: Spread | None = None
    decimals: Annotated[int, Field(ge=0, le=100)] | None = None
    form: FormFacts | None = None
    format: Text | None = None
    bare: bool = False
    missing: bool = False
    curve: CurveFacts | None = None
    rare: Whole | None = None
    gap_of: Text | None = None

    @model_validator(mode="after")
    def _whole(self) -> ColumnFacts:
        needs = {
            "count": ("mean", "sd", "log_mean", "log_sd"),
            **dict.fromkeys(("categorical", "boolean", "ordinal"), ("levels",)),
            "date": ("mean", "sd", "format"),
        }.get(self.type, ("mean", "sd"))
        lost = [name for name in needs if getattr(self, name) is None]
        if lost:
            raise ValueError(f"a column of type {self.type} needs '{lost[0]}'")
        if self.levels is not None and (not self.levels or len(set(self.levels)) < len(self.levels)):
            raise ValueError("levels must be different words, at least one")
        if self.probs is not None and len(self.probs) != len(self.levels or ()):
            raise ValueError("probs must be one for each level")
        if self.rare is not None and not (self.probs is not None and 2 <= self.rare <= len(self.probs)):
            raise ValueError("rare must count levels of which probs are known, from 2")
        return self


class ArrayFacts(Facts):
    """Plain arrays: the names of the columns, where the source has them, and which `Scene` was rendered."""

    header: list[Text] = Field(default_factory=list)
    scene: Literal["shadows", "tank"] | None = None


class FrameColumnFacts(Record):
    """A data frame's column; see `vaekit.data.tables.dataframes`."""

    dtype: Text
    of: Literal["str", "bool", "int", "float", "date", "datetime"] | None = None
    categories: list[str | int | float] | None = None
    ordered: bool = False
    time_unit: Text | None = None
    time_zone: Text | None = None
    precision: Whole | None = None
    scale: Whole | None = None


class FrameFacts(Record):
    """The data frame that a table was: whose, and what its columns are made of."""

    library: Literal["pandas", "polars"]
    columns: dict[str, FrameColumnFacts]


class TableFacts(Facts):
    """Tables; see `vaekit.data.tables.modality`."""

    columns: list[ColumnFacts] = Field(min_length=1)
    header: list[Text]
    constants: dict[str, Text]
    label: Text | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    headless: bool = False
    notes: list[Text] = Field(default_factory=list)
    frame: FrameFacts | None = None

    @model_validator(mode="after")
    def _gaps(self) -> TableFacts:
        names = [column.name for column in self.columns]
        lost = next((c.gap_of for c in self.columns if c.gap_of is not None and c.gap_of not in names), None)
        if lost is not None:
            raise ValueError(f"a column tells of gaps in '{lost}', and there is no such column")
        return self

    def problem(self, shape: Sequence[int], levels: int | None) -> str | None:
        """The columns are an example's numbers."""
        return None if list(shape) == [len(self.columns)] else f"columns: {len(self.columns)} for the shape {shape}"


class TokeniserFacts(Record):
    """Text's tokeniser: its vocabulary, or the model of a tokeniser of pairs (the library's JSON)."""

    unit: Literal["characters", "words", "pairs"]
    lowercase: bool
    vocabulary: list[Text] | None = None
    model: Annotated[str, Field(max_length=1 << 28)] | None = None

    @model_validator(mode="after")
    def _one(self) -> TokeniserFacts:
        if (self.vocabulary is None) == (self.model is None):
            raise ValueError("a tokeniser has either a vocabulary or a model")
        return self


class TextFacts(Facts):
    """Text; see `vaekit.data.text.modality`."""

    tokeniser: TokeniserFacts
    truncated: bool = False
    counts: Counts = Field(default_factory=dict)

    def problem(self, shape: Sequence[int], levels: int | None) -> str | None:
        """The vocabulary has all tokens but the special ones."""
        return None if self.tokeniser.vocabulary is None else _tokens(self.tokeniser.vocabulary, shape, levels)


class PropertyFacts(Record):
    """A property that a latent learns to predict, and its scale."""

    name: Text
    mean: Number
    sd: Spread


class MoleculeFacts(Facts):
    """Molecules; see `vaekit.data.molecules.modality`."""

    vocabulary: list[Text]
    representation: Literal["selfies", "smiles"]
    left_out: Counts = Field(default_factory=dict)
    counts: Counts = Field(default_factory=dict)
    property: PropertyFacts | None = None

    def problem(self, shape: Sequence[int], levels: int | None) -> str | None:
        """The vocabulary has all tokens but the special ones."""
        return _tokens(self.vocabulary, shape, levels)


class MusicFacts(Facts):
    """Music; see `vaekit.data.music.modality`."""

    vocabulary: list[Text]
    voices: Size
    bars: Size
    steps: Size
    bar: Size
    pieces: list[Whole]
    left_out: Counts = Field(default_factory=dict)

    def problem(self, shape: Sequence[int], levels: int | None) -> str | None:
        """A row has the tokens of its bars, and END."""
        if self.bar != self.steps * self.voices or list(shape) != [self.bars * self.bar + 1]:
            return f"voices, bars, steps, bar: they make no row of the shape {shape}"
        return _tokens(self.vocabulary, shape, levels)


class MelFacts(Record):
    """The scale of spectrograms; see `vaekit.data.audio.mel`."""

    rate: Size
    window: Size
    hop: Size
    bins: Size
    mels: Size
    frames: Size
    low: Spread = 50.0


class AudioFacts(Facts):
    """Sound; see `vaekit.data.audio.modality`."""

    mel: MelFacts
    mean: Number
    sd: Spread
    counts: Counts = Field(default_factory=dict)

    def problem(self, shape: Sequence[int], levels: int | None) -> str | None:
        """An example is a picture of bands and frames."""
        own = [1, self.mel.mels, self.mel.frames]
        return None if list(shape) == own else f"mel: its spectrograms are {own}, not of the shape {shape}"


class GraphFacts(Facts):
    """Graphs; see `vaekit.data.graphs.modality`."""

    links: bool
    features: Literal["given", "indicator", "spectral"]
    spectral: Whole
    inputs: Size
    sizes: list[Annotated[list[Size], Field(min_length=2, max_length=2)]] = Field(min_length=1)
    density: Annotated[float, Field(ge=0, le=1)]
    classes: list[Text] = Field(default_factory=list)
    names: list[Any] = Field(default_factory=list)

    def problem(self, shape: Sequence[int], levels: int | None) -> str | None:
        """Names are the nodes'."""
        return f"names: {len(self.names)} for {shape[0]} nodes" if self.names and len(self.names) != shape[0] else None


class SeriesFacts(Facts):
    """Time series; see `vaekit.data.series.modality`."""

    values: Literal["real", "counts"]
    channels: list[Text] = Field(min_length=1)
    lengths: list[Annotated[list[Positive], Field(min_length=2, max_length=2)]]
    layout: Literal["T", "TC", "CT"]
    rate: Spread | None = None
    mean: list[Number] | None = None
    sd: list[Spread] | None = None

    def problem(self, shape: Sequence[int], levels: int | None) -> str | None:
        """Everything by channel is of the example's channels."""
        for name, each in (("channels", self.channels), ("mean", self.mean), ("sd", self.sd)):
            if each is not None and len(each) != shape[0]:
                return f"{name}: {len(each)} for {shape[0]} channels"
        return None


class ViewFacts(Record):
    """A modality of several; see `vaekit.data.views`."""

    name: Text
    kind: Literal["picture", "sound", "numbers", "text", "cells"]
    shape: list[Size] = Field(min_length=1, max_length=4)
    values: Literal["binary", "levels"] | None = None
    mean: list[Number] | None = None
    sd: list[Spread] | None = None
    mel: MelFacts | None = None
    tokeniser: TokeniserFacts | None = None
    truncated: bool = False
    columns: list[ColumnFacts] | None = None

    @model_validator(mode="after")
    def _whole(self) -> ViewFacts:
        own = {"picture": ("values",), "sound": ("mel", "mean", "sd"), "numbers": ("mean", "sd")}
        needs = {**own, "text": ("tokeniser",), "cells": ("columns",)}[self.kind]
        lost = next((name for name in needs if getattr(self, name) is None), None)
        if lost is not None:
            raise ValueError(f"a modality of kind {self.kind} needs '{lost}'")
        counts = {len(part) for part in (self.mean, self.sd, self.columns) if part is not None}
        if counts - {self.shape[0]}:
            raise ValueError(f"what is told by entry is not of the shape {self.shape}")
        return self


class ViewsFacts(Facts):
    """Several modalities; see `vaekit.data.views.modality`."""

    views: list[ViewFacts] = Field(min_length=2)
    header: list[Text]
    constants: dict[str, Text] = Field(default_factory=dict)
    label: Text | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    headless: bool = False
    notes: list[Text] = Field(default_factory=list)

    def problem(self, shape: Sequence[int], levels: int | None) -> str | None:
        """The modalities are an example's numbers."""
        total = sum(math.prod(view.shape) for view in self.views)
        return None if list(shape) == [total] else f"views: {total} numbers for the shape {shape}"


def _tokens(vocabulary: Sequence[str], shape: Sequence[int], levels: int | None) -> str | None:
    if len(shape) != 1 or levels != SPECIAL + len(vocabulary):
        return f"vocabulary: its {len(vocabulary)} words do not make {levels} tokens"
    return None


FACTS: dict[str, type[Facts]] = {
    "array": ArrayFacts,
    "tables": TableFacts,
    "text": TextFacts,
    "molecules": MoleculeFacts,
    "music": MusicFacts,
    "audio": AudioFacts,
    "graphs": GraphFacts,
    "series": SeriesFacts,
    "views": ViewsFacts,
}
"""What facts are, by modality; of others they are taken as they are."""
