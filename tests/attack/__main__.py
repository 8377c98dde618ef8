"""`make attack`: tries at breaking vaekit, by area, for as long as is given; the counts, and every bad try.

Areas take turns by their share of the time. Every try is made again by its area and seed:
`python -m attack --area readers.npz --seed 17`. Bad tries are kept in `corpus.json`, which is tried first.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from attack import page
from attack.areas import AREAS, Area, area_named
from attack.tries import Try

CORPUS = Path(__file__).parent / "corpus.json"


@dataclass
class Tally:
    """How the tries of one area ended."""

    works: int = 0
    refused: int = 0
    bad: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    peak_mb: float = 0.0
    failures: list[tuple[int, str]] = field(default_factory=list)

    @property
    def tries(self) -> int:
        """All of them."""
        return self.works + self.refused + self.bad

    def count(self, seed: int, made: Try, seconds: float) -> None:
        """Count one."""
        setattr(self, made.outcome, getattr(self, made.outcome) + 1)
        self.seconds += seconds
        self.slowest, self.peak_mb = max(self.slowest, made.seconds), max(self.peak_mb, made.mb)
        if made.outcome == "bad":
            self.failures.append((seed, made.why))


def once(try_one: Callable[[int, Path], Try], seed: int) -> Try:
    """Make one try in an empty folder of its own; a fault of the attack itself is a bad try."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return try_one(seed, Path(folder))
        except Exception:
            return Try("bad", traceback.format_exc())


def attack(areas: dict[str, Area], minutes: float, first: int, corpus: dict[str, list[int]]) -> dict[str, Tally]:
    """Give each area its share of the time, the tries of the corpus first."""
    tallies: dict[str, Tally] = {}
    whole = sum(area.share for area in areas.values())
    for name, area in areas.items():
        tally, until = Tally(), time.monotonic() + 60 * minutes * area.share / whole
        seeds = iter(corpus.get(name, []))
        following = first
        with area.ready() as try_one:
            while time.monotonic() < until and tally.tries < area.most:
                seed = next(seeds, None)
                if seed is None:
                    seed, following = following, following + 1
                start = time.monotonic()
                tally.count(seed, once(try_one, seed), time.monotonic() - start)
        tallies[name] = tally
        print(f"{name:<24} {tally.tries:>7,} tries  {tally.works:>7,} work  {tally.refused:>7,} refused  "
              f"{tally.bad:>4} bad  {tally.seconds:6.0f} s", flush=True)  # fmt: skip
        for seed, why in tally.failures[:5]:
            print(f"--- {name} {seed}\n{why}", flush=True)
    return tallies


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser("attack", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--area", action="append", help="an area, or the start of several areas' names")
    parser.add_argument("--seed", type=int, help="make this one try alone")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--tries", type=int, help="at most so many tries of an area")
    parser.add_argument("--out", type=Path, help="a JSON file of the counts")
    parser.add_argument("--keep", action="store_true", help="add bad tries to the corpus")
    parser.add_argument("--page", action="store_true", help="write docs/reliability.md from the counts kept")
    given = parser.parse_args()
    chosen = {name: area for name, area in AREAS.items() if not given.area or name.startswith(tuple(given.area))}
    if given.tries is not None:
        chosen = {name: replace(area, most=given.tries) for name, area in chosen.items()}
    if given.seed is not None:
        name = given.area[0]
        with area_named(name).ready() as try_one:
            print(once(try_one, given.seed))
        return
    corpus = json.loads(CORPUS.read_text())
    tallies = attack(chosen, given.minutes, given.first, corpus)
    if given.keep:
        for name, tally in tallies.items():
            corpus[name] = sorted({*corpus.get(name, []), *(seed for seed, _ in tally.failures)})
        CORPUS.write_text(json.dumps({name: seeds for name, seeds in corpus.items() if seeds}, indent=1) + "\n")
    if given.out:
        made = {name: asdict(tally) | {"tries": tally.tries} for name, tally in tallies.items()}
        about = {"python": platform.python_version(), "system": platform.system(), "minutes": given.minutes}
        about["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        given.out.write_text(json.dumps({"about": about, "areas": made}, indent=1) + "\n")
    if given.page:
        page.write()
    bad = sum(tally.bad for tally in tallies.values())
    print(f"{sum(t.tries for t in tallies.values()):,} tries, {bad} bad")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
