"""What a data set is, as the model sees it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

Kind = Literal["binary", "unit", "levels", "real", "counts", "tokens", "table", "graph", "series", "views"]
"""{0, 1} · continuous in [0, 1] · the grid i/(levels − 1) in [0, 1] · any real · non-negative integers · token numbers,
padded with 0 · mixed columns, NaN where missing · graphs · steps of channels, NaN where missing, inf after the
end · several modalities side by side, NaN where missing."""

ARRAY_KINDS: tuple[Kind, ...] = ("binary", "unit", "levels", "real", "counts")
"""The kinds whose examples are plain arrays of numbers; the others are left as they are stored."""


@dataclass(frozen=True)
class Plain:
    """A dataclass that is plain JSON, its tuples lists there."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_dict`'s answer."""
        return cls(**{name: tuple(part) if isinstance(part, list) else part for name, part in value.items()})


@dataclass(frozen=True)
class DataInfo(Plain):
    """A data set's name, shape, kind and sizes; plain JSON by `to_dict`.

    `shape` is one example's: (C, H, W) for images, (C, D, H, W) for volumes, (D,) for vectors. `levels` counts the
    source's grey levels (None where it is not quantised). `bits_offset` turns nats into bits a dimension, −nats / (D ln
    2) + bits_offset: 0 where the model scores the discrete values themselves, log2(levels) for a density of uniformly
    dequantised greys on [0, 1) (each grey owns a bin 1/levels wide; Theis et al. 2016, "A note on the evaluation of
    generative models"), None where bits a dimension mean nothing. `factor_names` and `factor_sizes` (numbers of values)
    are those of the known factors that made each example, where there are any. `mean` and `deviation` are those of real
    training data in their own units, one number for each entry of an example's first axis (columns, channels), and ()
    where they are not known; where the data are `standardised` the model sees (x - mean) / deviation, and scores
    densities of the values before. `modality` names what the numbers stand for (`MODALITIES`; "array": just numbers or
    pictures), and `facts`, plain JSON, is what that needs to read and write them: a vocabulary, the columns, a sample
    rate. `condition` describes labels that are no complete classes (`vaekit.data.conditions`).

    >>> info = DataInfo("digits", (1, 8, 8), "levels", 17, 1438, 179, 180, tuple("0123456789"), bits_offset=0.0)
    >>> info.is_image, info.n_classes, info.dimensions
    (True, 10, 64)
    >>> DataInfo.from_dict(info.to_dict()) == info
    True
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind
    levels: int | None
    n_train: int
    n_valid: int
    n_test: int
    classes: tuple[str, ...] = ()
    source: str = ""
    bits_offset: float | None = None
    factor_names: tuple[str, ...] = ()
    factor_sizes: tuple[int, ...] = ()
    modality: str = "array"
    facts: dict[str, Any] = field(default_factory=dict, hash=False)
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    standardised: bool = False
    condition: tuple[dict[str, Any], ...] = field(default=(), hash=False)

    @property
    def is_array(self) -> bool:
        """Whether an example is a plain array of numbers."""
        return self.kind in ARRAY_KINDS

    @property
    def is_image(self) -> bool:
        """Whether an example is (C, H, W)."""
        return len(self.shape) == 3

    @property
    def is_volume(self) -> bool:
        """Whether an example is (C, D, H, W)."""
        return len(self.shape) == 4

    @property
    def has_picture(self) -> bool:
        """Whether an example can be drawn as a picture: an image, or the middle slice of a volume."""
        return self.is_image or self.is_volume

    @property
    def n_classes(self) -> int:
        """The number of labels' values; 0 without labels."""
        return len(self.classes)

    @property
    def log_unit(self) -> float:
        """Σ log sd over an example's numbers, nats: log p(x) of standardised values less that of the values; else 0."""
        if not self.standardised:
            return 0.0
        return self.dimensions // len(self.deviation) * sum(math.log(sd) for sd in self.deviation)

    @property
    def dimensions(self) -> int:
        """How many numbers an example has."""
        return math.prod(self.shape)
