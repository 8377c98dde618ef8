"""How a source becomes a data set: splits, binarisation, dequantisation, size."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from vaekit.data.shares import Shares

Binarise = Literal["auto", "stochastic", "fixed", "threshold", "none"]


class SettingsBase(BaseModel):
    """Base of the settings' sections: unknown names are errors, values never change.

    A setting that is text, or one of several words, gets the text that was written, whatever YAML makes of it: a column
    called 1, true or null, the words yes and no.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        fields = {name: field.annotation for name, field in cls.model_fields.items() if name in values}
        return {**values, **{name: _written(values[name], kind) for name, kind in fields.items()}}


def _written(value: Any, kind: Any) -> Any:
    """Return a value as text where its setting is text alone, maybe optional, or one of several words."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    texts = [part for part in kinds if part is not type(None)]
    words = [word for part in texts if get_origin(part) is Literal for word in get_args(part)]
    takes = all(part is str or get_origin(part) is Literal for part in texts) and all(isinstance(w, str) for w in words)
    if not takes or not isinstance(value, bool | int | float | None) or (value is None and type(None) in kinds):
        return value
    if isinstance(value, bool) and {"yes", "no"} <= {*words}:
        return "yes" if value else "no"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


class DataSettings(SettingsBase):
    """Settings of `vaekit.data.load`.

    >>> DataSettings(valid=5000).valid
    5000
    """

    binarise: Binarise = Field(
        default="auto",
        description="how greys become 0 and 1: 'stochastic' draws afresh at every visit, 'fixed' draws once, "
        "'threshold' cuts at one half, 'none' never; 'auto' is stochastic where the likelihood needs binary data, "
        "else none",
    )
    dequantise: bool = Field(
        default=False, description="add uniform noise to greys, (i + u) / levels, for a density on [0, 1)"
    )
    valid: float | int = Field(
        default=0.1,
        ge=0,
        description="held out of training: below 1 about that fraction (halved until at most 5,000 examples), else "
        "a count; which ones is decided by a hash of what each holds",
    )
    test: float | int = Field(
        default=0.1, ge=0, description="the same for the test split, where the source has none of its own"
    )
    unseen: str = Field(
        default="",
        description="classes that are the test split and of which nothing trains or validates: their names with "
        "commas, or a share of the classes, chosen by the seed (0.3)",
    )
    repeats: Literal["together", "apart"] = Field(
        default="together",
        description="where identical examples go: 'together' into one split, so that none is held out that was trained "
        "on; 'apart' each for itself, for data of few different examples",
    )
    size: int | None = Field(
        default=None, ge=1, description="resize images so that the shorter side is this, then crop the centre"
    )
    limit: int | None = Field(default=None, ge=1, description="train on this many examples only, chosen by the seed")
    standardise: bool | Literal["auto"] = Field(
        default="auto",
        description="subtract the training mean and divide by the training deviation, of each column of vectors or "
        "each channel of images; auto: real data",
    )
    stream: Literal["auto", "yes", "no"] = Field(
        default="auto",
        description="leave data on disk and read batches ahead; auto: NPY files, folders of them and "
        "of images above 1 GiB",
    )
    shuffle: Literal["auto", "exact", "blocks"] = Field(
        default="auto",
        description="order of data on disk: exact, or by blocks of neighbours for slow disks; auto: "
        "exact up to 33,554,432 examples",
    )
    label: str = Field(
        default="auto",
        description="the columns of a CSV that are labels or conditions, status or status,amount; sound: the 'digit' "
        "or 'speaker' of names like 7_anna_0.wav, or a file's 'folder'; none: no labels; auto: a column called label "
        "or class; of sound folders, else digits, else none",
    )
    labels: Literal["auto", "classes", "numbers"] = Field(
        default="auto",
        description="what labels are: classes, or numbers to be conditioned on; auto: numbers where some are not whole",
    )
    rate: int | None = Field(default=None, ge=100, description="sound: resample to this many samples a second")
    seconds: float = Field(default=0.8, gt=0, description="sound: longer recordings are cut, shorter ones filled up")
    mels: int = Field(default=64, ge=4, description="sound: bands of the spectrogram")
    frames: int = Field(default=64, ge=4, description="sound: frames of the spectrogram")
    allow_large: bool = Field(
        default=False,
        description="read files that become far larger in memory than they are, or take more than half of it",
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="chooses the splits and draws the fixed binarisation")
    _shares: Shares = PrivateAttr(default=Shares())

    @field_validator("valid", "test")
    @classmethod
    def _whole_count(cls, value: float | int) -> float | int:
        if value >= 1 and value != int(value):
            raise ValueError(f"{value} is neither a fraction below 1 nor a whole number of examples")
        return int(value) if value >= 1 else value

    @property
    def shares(self) -> Shares:
        """How examples are dealt out: as the settings ask, or as a recorded run settled it."""
        return self._shares

    def dealt_as(self, shares: Shares) -> Self:
        """Return the settings of data that are dealt out as a recorded run's were."""
        copy = self.model_copy()
        copy._shares = shares
        return copy


S = TypeVar("S", bound=DataSettings)


def settings_as(kind: type[S], settings: DataSettings) -> S:
    """Return settings as those of a kind of data: themselves, or with its defaults for what they lack."""
    if isinstance(settings, kind):
        return settings
    return kind.model_validate(settings.model_dump()).dealt_as(settings.shares)
