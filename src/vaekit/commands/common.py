"""What commands have in common: shared parameters, loading the run, and answering."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from vaekit.commands.output import note, print_json
from vaekit.errors import UserError, said

if TYPE_CHECKING:
    from vaekit.runs.run import Run


def _whole(kind: Any, tokens: Sequence[Any]) -> int:
    """Read a whole number; "2.5" is an error, not 2."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a whole number") from None


WHOLE = Parameter(converter=_whole)
Whole = Annotated[int, WHOLE]
Count = Annotated[int, WHOLE, Parameter(alias="-n")]
Words = Annotated[list[str] | None, Parameter(negative="")]
Flag = Annotated[bool, Parameter(negative="")]
Json = Annotated[Flag, Parameter(help="Print one JSON object.")]
Folder = Annotated[Path, Parameter(help="The run's folder.")]
Picture = Annotated[Path, Parameter(help="The file to write, .png or .npz; where pictures are made also a folder.")]
Seed = Annotated[int, WHOLE, Parameter(help="Seed of the draws.")]


CHANGED = "Take the run's own data though they have changed since training; what was trained on stays out of the test."
MODULE = "What makes a hand-made model, FILE.py:NAME; the file is run, and nothing else of the run's is."


@Parameter(name="*")
@dataclass(frozen=True)
class Use:
    """Where a run is used."""

    device: Annotated[str, Parameter(help="Where to compute: auto, cpu, cuda, cuda:1, mps.")] = "auto"
    module: Annotated[str | None, Parameter(help=MODULE)] = None
    own_data: Annotated[str | None, Parameter(help="Where the run's own data lie now, if they have moved.")] = None
    changed_data: Annotated[Flag, Parameter(help=CHANGED)] = False

    def load(self, run: Path) -> Run:
        """Load the run onto the device."""
        from vaekit.runs.loading import load

        own, changed = self.own_data, self.changed_data
        return load(run, self.device, module=self.module, data=own, changed_data=changed)


LARGE = "Read files that become far larger in memory than they are, or take more than half of it."


@Parameter(name="*")
@dataclass(frozen=True)
class UseFile(Use):
    """Where a run is used, on data of a file."""

    allow_large: Annotated[Flag, Parameter(help=LARGE)] = False

    def load(self, run: Path) -> Run:
        """Load the run onto the device."""
        if self.allow_large:
            from vaekit.data.limits import allow_large

            allow_large()
        return super().load(run)


@Parameter(name="*")
@dataclass(frozen=True)
class UseData(UseFile):
    """Where a run is used, and on which data."""

    data: Annotated[str | None, Parameter(help="A known set or a path; default the run's own test split.")] = None


@Parameter(name="*")
@dataclass(frozen=True)
class Answer:
    """How a command answers."""

    json: Annotated[Flag, Parameter(help="Print one JSON object on the last line of standard output.")] = False

    def tell(self, values: Mapping[str, Any], words: str) -> None:
        """Print the values as JSON on standard output, or say the words on standard error."""
        if self.json:
            print_json(dict(values))
        else:
            note(words)

    @contextmanager
    def telling(self, values: Mapping[str, Any], words: str) -> Iterator[None]:
        """Tell at the end of the block, which writes the file; where it cannot be written, tell all the same."""
        try:
            yield
        except OSError as error:
            self.tell(dict(values) | {"out": None, "not_written": said(error)}, f"{words} (not written)")
            raise
        self.tell(values, words)


USE, USE_FILE, USE_DATA, ANSWER = Use(), UseFile(), UseData(), Answer()


def at_least(name: str, value: float, least: float = 1) -> None:
    """Raise a UserError if an option's value is too small."""
    if value < least:
        raise UserError(f"{name} must be at least {least}, not {value}")


def numbers(text: str, option: str) -> list[float]:
    """Read finite numbers with commas between them."""
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if not values or not all(abs(v) < float("inf") for v in values):
        raise UserError(f"{option} {text}: write numbers with commas, e.g. 0,0.5,1")
    return values


def words(text: str, option: str = "--examples", least: int = 1) -> list[str]:
    """Read at least `least` numbers or names with commas between them.

    >>> words("3, 17,my file.png")
    ['3', '17', 'my file.png']
    """
    named = [word.strip() for word in text.split(",") if word.strip()]
    if len(named) < least:
        raise UserError(f"{option} {text}: name at least {least} examples, e.g. 3,17,42 or a.png,b.png")
    return named


def example_numbers(text: str, count: int, option: str = "--examples", least: int = 1) -> list[int]:
    """Read at least `least` numbers below `count`, with commas between them."""
    try:
        values = [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if not values:
        raise UserError(f"{option} {text}: write numbers with commas, e.g. 3,17,42")
    if len(values) < least:
        raise UserError(f"{option} {text}: name at least {least} examples")
    bad = next((i for i in values if not 0 <= i < count), None)
    if bad is not None:
        raise UserError(f"{option} {text}: {bad} is out of range; numbers go from 0 to {count - 1}")
    return values
