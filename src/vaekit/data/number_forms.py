"""Numbers as people write them: thousands, decimal commas, currency, per cent, brackets; found, read and written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

SIGNS = "$€£¥₹₩₽₺₪₫₴₦¢"
CODES = "USD|EUR|GBP|JPY|CHF|CNY|INR|AUD|CAD|NZD|BRL|MXN|SEK|NOK|DKK|PLN|CZK|HUF|TRY|ZAR|KRW|SGD|HKD"
MARKS = "|".join((rf"(?:US|R|C|A|NZ|HK)?[{SIGNS}]", CODES, "kr", "zł", "Kč", "Ft", "lei", "%", "‰"))
WRITTEN = re.compile(
    rf"(?P<bracket>\()?\s?(?P<sign>[-+−]?)\s?(?P<prefix>{MARKS})?\s?(?P<inner>[-+−]?)"
    rf"(?P<digits>[0-9][0-9.,'’ \u00a0\u202f]*|[.,][0-9]+)(?P<power>[eE][-+]?[0-9]+)?"
    rf"\s?(?P<suffix>{MARKS})?(?(bracket)\))"
)
DECIMAL_AND_GROUP = ((".", ""), (".", ","), (",", ""), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"))
"""Marks of decimals and of thousands, the likeliest first; a blank stands for every kind of blank."""
WITH_COMMA = ((",", "."), (",", ""), (",", " "), (",", "'"), (".", ""))
"""The same for a table that is known to have decimal commas."""
MOST_DECIMALS = 6
MOST_WHOLE = 2**53
"""float64 holds every whole number up to here; beyond, different ones become one."""


def number_of(text: str) -> float | None:
    """Return the number that a cell spells, None if it is not one, or is whole and too large to be held exactly.

    >>> number_of("1e3"), number_of("1_000"), number_of("12 kg"), number_of("9007199254740993")
    (1000.0, None, None, None)
    """
    text = text.strip().replace("−", "-")
    if not text.isascii() or "_" in text or is_too_large(text):
        return None
    try:
        return float(text)
    except ValueError:
        return None


def is_too_large(text: str) -> bool:
    """Whether a text is a whole number beyond ±2^53, which a float would round: an id rather than a quantity.

    >>> is_too_large("9007199254740993"), is_too_large("9007199254740992"), is_too_large("1e300")
    (True, False, False)
    """
    digits = text.strip().lstrip("+-−")
    return len(digits) > 15 and digits.isascii() and digits.isdecimal() and _beyond(digits)


def _beyond(digits: str) -> bool:
    digits = digits.lstrip("0")
    return len(digits) > 16 or (len(digits) == 16 and int(digits) > MOST_WHOLE)


def why_no_number(text: str) -> str:
    """Return in words why a cell that is not empty is taken for no number."""
    if is_too_large(text):
        return f"'{text}' is a whole number beyond ±2^53, which would be rounded"
    return f"'{text}' is not a number"


@dataclass(frozen=True)
class NumberForm:
    """How the numbers of a column are written.

    `decimal` and `group` are the marks of decimals and thousands, `prefix` and `suffix` the currency or %, with its
    blank; `brackets`: numbers below 0 stand in brackets.

    >>> form = NumberForm(group=",", prefix="$", brackets=True)
    >>> form.read("$1,234.50"), form.read("($12.50)"), form.read("€3"), form.write(-1234.5, 2)
    (1234.5, -12.5, None, '($1,234.50)')
    """

    decimal: str = "."
    group: str = ""
    prefix: str = ""
    suffix: str = ""
    brackets: bool = False

    def read(self, text: str) -> float | None:
        """Return the number that a cell spells in this form, with or without its currency; None if it is not one."""
        if self == PLAIN:
            return number_of(text)
        found = WRITTEN.fullmatch(text.strip())
        if found is None:
            return number_of(text) if self.decimal == "." else None
        for part, own in (("prefix", self.prefix), ("suffix", self.suffix)):
            if found[part] and found[part] != own.strip():
                return None
        digits = _plain(found["digits"], self.decimal, self.group)
        if digits is None:
            return None
        minus = (found["bracket"] is not None) + (found["sign"] in ("-", "−")) + (found["inner"] in ("-", "−"))
        return None if minus > 1 else float(digits + (found["power"] or "")) * (-1.0) ** minus

    def write(self, value: float, decimals: int | None) -> str:
        """Return a number in this form with so many decimals, with six digits where that is None."""
        size = abs(value)
        text = f"{size:,.{decimals}f}" if decimals is not None else f"{size:,.6g}"
        text = text.replace(",", "\0").replace(".", self.decimal).replace("\0", self.group)
        minus = value < 0 and any(digit in text for digit in "123456789")
        text = f"{self.prefix}{text}{self.suffix}"
        return text if not minus else f"({text})" if self.brackets else f"-{text}"

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from plain numbers, plain JSON."""
        return {name: value for name, value in asdict(self).items() if value != getattr(PLAIN, name)}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> NumberForm:
        """Return the form that a column's facts hold, plain numbers if they hold none."""
        return cls(**facts.get("form", {}))


PLAIN = NumberForm()


def _plain(digits: str, decimal: str, group: str) -> str | None:
    """Return digits as Python reads them, None where they do not have these marks.

    >>> _plain("1.234,5", ",", "."), _plain("1,5", ".", ","), _plain("0,123", ".", ",")
    ('1234.5', None, None)
    """
    digits = re.sub(r"\s", " ", digits).replace("’", "'").strip()
    group = " " if group.isspace() else group
    whole, _, rest = digits.partition(decimal)
    if group and group in whole:
        if not re.fullmatch(rf"[1-9]\d{{0,2}}(?:{re.escape(group)}\d{{3}})+", whole):
            return None
        whole = whole.replace(group, "")
    fits = (whole + rest).isdecimal() and (whole or rest)
    return f"{whole or '0'}.{rest or '0'}" if fits and not _beyond(whole if not rest.strip("0") else "") else None


def form_of(texts: Collection[str], comma: bool = False) -> tuple[NumberForm, float]:
    """Return the form in which most of a column's texts are numbers, and how large a share of them is.

    `comma`: the table has decimal commas, so 1.234 is one thousand.

    >>> form_of(["1.5", "2"]), form_of(["39,72", "4,10"])[0].decimal, form_of(["x", "y"])[1]
    ((NumberForm(decimal='.', group='', prefix='', suffix='', brackets=False), 1.0), ',', 0.0)
    """
    most = sum(number_of(text) is not None for text in texts) / max(len(texts), 1)
    best = PLAIN
    if (most == 1 and not comma) or not texts:
        return best, most
    found = [match for text in texts if (match := WRITTEN.fullmatch(text.strip()))]
    if len(found) <= most * len(texts) and not comma:
        return best, most
    prefix, suffix = (_mark(found, part) for part in ("prefix", "suffix"))
    brackets = any(match["bracket"] for match in found)
    for decimal, group in WITH_COMMA if comma else DECIMAL_AND_GROUP:
        form = NumberForm(decimal, group, prefix, suffix, brackets)
        share = sum(form.read(text) is not None for text in texts) / len(texts)
        if share > most or (comma and share == most and best == PLAIN and decimal == ","):
            best, most = form, share
        if most == 1:
            break
    return (_least(best, found), most) if best != PLAIN else (best, most)


def any_number(text: str) -> float | None:
    """Return the number that a cell alone spells in whatever form, None if it is not one.

    >>> any_number("$1,234.50"), any_number("5,1"), any_number("x1")
    (1234.5, 5.1, None)
    """
    return number if (number := number_of(text)) is not None else form_of([text])[0].read(text)


def are_codes(texts: Sequence[str]) -> bool:
    """Whether whole numbers are codes: some have zeros before them.

    >>> are_codes(["02134", "94110"]), are_codes(["0", "10"]), are_codes(["0.5", "1"])
    (True, False, False)
    """
    return any(len(text) > 1 and text[0] == "0" for text in texts) and all(map(str.isdecimal, texts))


def _least(form: NumberForm, found: Sequence[re.Match[str]]) -> NumberForm:
    """Return a form without the marks that no text has: numbers that are plain have the plain form."""
    digits = [match["digits"].replace("’", "'") for match in found]
    grouped = [d for d in digits if form.group and re.search(r"\d[\s.,']\d{3}", d) and _grouped(d, form)]
    decimal = form.decimal if (grouped and form.group == ".") or any(form.decimal in d for d in digits) else "."
    blank = next((mark for mark in "\u00a0\u202f" if any(mark in d for d in grouped)), " ")
    group = "" if not grouped else blank if form.group == " " else form.group
    return NumberForm(decimal, group, form.prefix, form.suffix, form.brackets)


def _grouped(digits: str, form: NumberForm) -> bool:
    whole = digits.partition(form.decimal)[0].strip()
    return bool(re.search(r"\s", whole)) if form.group == " " else form.group in whole


def _mark(found: Sequence[re.Match[str]], part: str) -> str:
    """Return the commonest currency mark in a place, with its blank; "" where the most have none."""
    marks = Counter(match[part] or "" for match in found)
    mark = marks.most_common(1)[0][0] if marks else ""
    if not mark:
        return ""
    sample = next(match for match in found if match[part] == mark)
    text, (start, end) = sample.string.strip(), sample.span(part)
    blank = text[end : end + 1] if part == "prefix" else text[start - 1 : start]
    blank = blank if blank.isspace() else ""
    return mark + blank if part == "prefix" else blank + mark


def decimals_of(texts: Sequence[str], form: NumberForm = PLAIN) -> int | None:
    """Return how many decimals a column's numbers are written with.

    That is the number that all have, else what nearly all (19 of 20) need; None beyond 6, or with powers of ten.

    >>> decimals_of(["1.5", "2.25", "3"]), decimals_of(["1.50", "2.00"]), decimals_of(["1e-3"])
    (2, 2, None)
    """
    if not texts or any("e" in text.lower() and number_of(text) is not None for text in texts):
        return None if texts else 0
    written = [(match["digits"] if (match := WRITTEN.fullmatch(text.strip())) else text) for text in texts]
    tails = [text.partition(form.decimal)[2].strip() for text in written]
    sizes = {len(tail) for tail in tails}
    if len(sizes) == 1 and max(sizes) <= MOST_DECIMALS:
        return max(sizes)
    many = sorted(len(tail.rstrip("0")) for tail in tails)
    most = many[min(len(many) - 1, -(-95 * len(many) // 100))]
    return most if most <= MOST_DECIMALS else None
