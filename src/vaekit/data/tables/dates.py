"""Dates of tables: the forms they are written in, and days since 1970."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from vaekit.data.number_forms import number_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d.%m.%y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%b %d, %Y",
    "%d %B %Y",
    "%B %d, %Y",
    "%Y%m%d",
)
TIMES = ("T%H:%M:%S", " %H:%M:%S", " %H:%M", "T%H:%M", "T%H:%M:%SZ", "T%H:%M:%S.%f", " %H:%M:%S.%f", " %I:%M %p")
FORMATS = (*DAYS, *(day + time for day in DAYS[:8] for time in TIMES), "%Y-%m", "%m/%Y", "%Y%m%d%H%M%S")
"""The forms that are recognised, the likelier first where a text could be of two."""
ZONE = re.compile(r":\d\d(?:\.\d+)?([+-]\d\d:?\d\d)$")
"""The zone of a time: where all have one, it is a part of their form."""
_COMPACT = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{6})?")


def days_of(text: str, format: str) -> float | None:
    """Return days since 1970, None where the text is not a date of that form.

    >>> days_of("1970-01-03", "%Y-%m-%d"), days_of("3.1.", "%Y-%m-%d"), days_of("1970012", "%Y%m%d")
    (2.0, None, None)
    """
    if format == "%Y%m%d" and not (len(text) == 8 and text.isdecimal()):
        return None
    try:
        return (datetime.strptime(text, format).replace(tzinfo=UTC) - EPOCH) / timedelta(days=1)
    except ValueError:
        return None


def formats_of(texts: Sequence[str]) -> list[str]:
    """Return the forms in which every text is a date; of whole numbers, those of 8 or 14 digits in 1900 to 2099.

    >>> formats_of(["20220328", "19991231"]), formats_of(["03/28/2022", "12/01/2021"]), formats_of(["12345678"])
    (['%Y%m%d'], ['%m/%d/%Y'], [])
    """
    if not texts or sum(map(str.isdigit, texts[0])) < 3:  # quickly, where they are words
        return []
    if not texts[0].isdecimal() and number_of(texts[0]) is not None:  # trying every form takes milliseconds
        return []
    zone = ZONE.search(texts[0])
    if zone and all(text.endswith(zone[1]) for text in texts):
        return [format + zone[1] for format in formats_of([text.removesuffix(zone[1]) for text in texts])]
    if texts[0].isdecimal() and not all(_COMPACT.fullmatch(text) for text in texts):
        return []
    return [format for format in FORMATS if all(days_of(text, format) is not None for text in texts)]


def nearest_format(texts: Sequence[str]) -> str:
    """Return the form in which the most of the texts are dates."""
    return max(FORMATS, key=lambda format: sum(days_of(text, format) is not None for text in texts[:50]))


def date_of(days: float, format: str) -> datetime:
    """Return the date nearest to a number of days since 1970: whole days, or seconds where the form has hours."""
    seconds = days * 86400 if has_time(format) else round(days) * 86400
    # Years 1 to 9999 are all that can be written.
    return EPOCH + timedelta(seconds=round(min(max(seconds, -6.2e10), 2.5e11)))


def has_time(format: str) -> bool:
    """Whether a form has hours."""
    return "%H" in format or "%I" in format


def write_date(days: float, format: str, bare: bool = False) -> str:
    """Return a date in its form; `bare`: days and months below 10 have no zero before them.

    >>> write_date(2, "%m/%d/%Y"), write_date(2, "%m/%d/%Y", bare=True), write_date(2.25, "%d.%m.%Y %H:%M", bare=True)
    ('01/03/1970', '1/3/1970', '3.1.1970 06:00')
    """
    date = date_of(days, format)
    if not bare:
        return date.strftime(format)
    day, blank, time = format.partition(" %H" if " %H" in format else " %I")
    zero = r"(?<!\d)0(?=\d\D|\d$)" if day.endswith(("%d", "%m")) else r"(?<!\d)0(?=\d\D)"
    return re.sub(zero, "", date.strftime(day)) + (date.strftime(blank + time) if blank else "")


def is_bare(texts: Sequence[str], format: str) -> bool:
    """Whether dates are written without the zeros before days and months below 10.

    >>> is_bare(["3/28/2022", "12/1/2021"], "%m/%d/%Y"), is_bare(["03/28/2022"], "%m/%d/%Y")
    (True, False)
    """
    known = [(text, days) for text in texts if (days := days_of(text, format)) is not None]
    return any(write_date(days, format) != text for text, days in known) and all(
        write_date(days, format, bare=True) == text for text, days in known
    )
