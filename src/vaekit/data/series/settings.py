"""Settings of series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from vaekit.data.series.csv_series import AUTO, is_long
from vaekit.data.settings import DataSettings


class SeriesSettings(DataSettings):
    """Settings of series.

    >>> SeriesSettings(length=100).length
    100
    """

    length: int | None = Field(
        default=None, ge=1, description="cut series after this many steps; without it the longest says how many"
    )
    channels: Literal["auto", "first", "last"] = Field(
        default="auto",
        description="arrays with three axes: 'last' is (series, steps, channels), 'first' (series, channels, steps); "
        "auto: the shorter of the two axes is that of the channels",
    )
    id: str = Field(default=AUTO, description="long tables: the column that says which series a row belongs to")
    time: str = Field(default=AUTO, description="long tables: the column of times")

    def is_long(self, names: Sequence[str]) -> bool:
        """Whether columns of these names hold series in long form."""
        return {self.id, self.time} <= {*names} or is_long(names)
