"""What a study found, in sentences made from its numbers, and what its numbers do not support."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vaekit.figures.studies import number_of
from vaekit.report.numbers import format_number
from vaekit.studies.definition import Search
from vaekit.studies.points import ARM, Point, shown
from vaekit.studies.results import Results
from vaekit.studies.statistics import Comparison


@dataclass(frozen=True)
class Apart:
    """Points whose number is of another thing than the baseline's, said once for all the numbers of which it holds."""

    where: str
    points: str
    base: str
    reason: str

    def sentence(self, numbers: Sequence[str]) -> str:
        """Return the sentence about these numbers."""
        are, that = ("is", "that") if len(numbers) == 1 else ("are", "those")
        text = f"for {self.points}, {_list(numbers)} {are} not compared with {that} of {self.base}: {self.reason}"
        return _sentence(self.where, text)


@dataclass(frozen=True)
class Finding:
    """A sentence, and whether the data support a difference; `number` is what it is of."""

    text: str
    supported: bool
    number: str
    apart: Apart | None = None


def findings(results: Results) -> list[Finding]:
    """Return the findings of a study, one or two for each of its numbers in each group of points."""
    if results.study.search is not None:
        return [*_of_search(results)]
    found = [
        one
        for name in results.numbers
        for group, points in results.groups().items()
        for one in _along(results, name, group, points)
    ]
    apart: dict[Apart, list[str]] = {}
    for one in found:
        if one.apart is not None:
            apart.setdefault(one.apart, []).append(one.number)
    once = [Finding(key.sentence(names), False, names[0], key) for key, names in apart.items()]
    return [*(one for one in found if one.apart is None), *once]


def caution(found: Sequence[Finding], seeds: int) -> str:
    """Return what the intervals say and do not say.

    >>> caution([Finding("", True, "kl")], 1)
    'With one seed no difference can be supported: another seed might reverse it. Give --seeds 3 or more.'
    """
    if seeds < 2:
        return "With one seed no difference can be supported: another seed might reverse it. Give --seeds 3 or more."
    text = (
        "± is half a 95% interval: of t over the seeds, whose runs are paired, and of the test examples where the "
        f"number is a mean over them. There are {len(found)} sentences at 95% each: of differences that do not exist, "
        "about one in twenty would be reported all the same."
    )
    return text + (" Two seeds make wide intervals; three or more are worth their time." if seeds == 2 else "")


def _along(results: Results, name: str, group: str, points: Sequence[Point]) -> Iterator[Finding]:
    """Yield the findings about one number along the main axis."""
    main = next(iter(results.axes))
    if len(points) < 2:
        return
    where = f"With {group}: " if group else ""
    values = [point.at[main] for point in points]
    ordered = all(number_of(value) is not None for value in values)
    if ordered and main != ARM:
        yield _trend(results, name, where, points)
        best = _interior(results, name, where, points)
        if best is not None:
            yield best
    else:
        yield from _against(results, name, where, points)


def _trend(results: Results, name: str, where: str, points: Sequence[Point]) -> Finding:
    """Return what becomes of a number from the first point to the last."""
    first, last = points[0], points[-1]
    main = next(iter(results.axes))
    what = results.the(name)
    way = f"from {_at(results, main, first)} to {_at(results, main, last)}"
    found = results.compared(first, last, name)
    if found.value is None:
        return Finding(_sentence(where, f"{what} is not compared {way}: {found.reason}"), False, name)
    if not found.supported:
        return Finding(
            _sentence(where, f"the data do not support a change of {what} {way}: {_covers(results, name, found)}"),
            False,
            name,
        )
    verb = "rises" if found.value > 0 else "falls"
    return Finding(_sentence(where, f"{way} {what} {verb} by {_size(results, name, found)}"), True, name)


def _interior(results: Results, name: str, where: str, points: Sequence[Point]) -> Finding | None:
    """Return where a number is best, if that is between the ends and better than at both."""
    better, means = results.better(name), [results.mean(point, name) for point in points]
    if better is None or len(points) < 3 or any(mean is None for mean in means):
        return None
    order = [mean.value for mean in means if mean is not None]
    top = order.index(max(order) if better else min(order))
    if top in (0, len(points) - 1):
        return None
    ends = [results.compared(points[top], points[end], name) for end in (0, -1)]
    if not all(end.supported for end in ends):
        return None
    main, mean = next(iter(results.axes)), means[top]
    assert mean is not None
    value = format_number(mean.value, mean.half)
    text = f"at {_at(results, main, points[top])} {results.the(name)} is best, {value}"
    return Finding(_sentence(where, f"{text}, and better than at both ends"), True, name)


def _against(results: Results, name: str, where: str, points: Sequence[Point]) -> Iterator[Finding]:
    """Yield how a number of each point differs from the baseline's.

    Points whose numbers are of other things than the baseline's are compared among themselves, with their first.
    """
    main = next(iter(results.axes))
    base = next((point for point in points if point.at[main] == results.study.baseline), points[0])
    higher, lower, same, without, others = [], [], [], {}, []
    for point in points:
        if point is base:
            continue
        found, label = results.compared(base, point, name), shown(point.at[main])
        if found.apart:
            others.append(point)
        elif found.value is None:
            without.setdefault(found.reason, []).append(label)
        elif found.supported:
            (higher if found.value > 0 else lower).append(f"{label} ({_signed(found)}, {_seeds(found)})")
        else:
            same.append(f"{label} ({_unsupported(found)})")
    parts = [
        *([f"higher for {_list(higher)}"] if higher else []),
        *([f"lower for {_list(lower)}"] if lower else []),
        *([f"not different, as far as the data say, for {_list(same)}"] if same else []),
        *(f"not compared for {_list(labels)}: {reason}" for reason, labels in without.items()),
    ]
    if parts:
        text = f"against {shown(base.at[main])}, {results.the(name, with_unit=True)} is {'; '.join(parts)}"
        yield Finding(_sentence(where, text), bool(higher or lower), name)
    if others:
        reason = results.compared(base, others[0], name).reason
        labels = [shown(point.at[main]) for point in others]
        yield Finding("", False, name, Apart(where, _list(labels), shown(base.at[main]), reason))
    if len(others) > 1:
        yield from _against(results, name, where, others)


def _unsupported(found: Comparison) -> str:
    if not any(found.each):
        return "the same in every seed"
    return _signed(found) + (", one seed" if found.half is None else "")


def _of_search(results: Results) -> Iterator[Finding]:
    """Yield, for each goal of a search, its best point beside the next one."""
    search = results.study.search
    assert search is not None
    if len(search.goals) > 1:
        yield _front(results, search)
    for name, goal in search.goals.items():
        sign = 1 if goal == "maximise" else -1
        known = [(mean.value * sign, point) for point in results.points if (mean := results.mean(point, name))]
        known.sort(key=lambda pair: -pair[0])
        if not known:
            yield Finding(f"No trial has {name}.", False, name)
            continue
        best = known[0][1]
        mean = results.mean(best, name)
        assert mean is not None
        text = f"at {results.place(best.at)} {results.the(name)} is best, {format_number(mean.value, mean.half)}"
        if len(known) < 2:
            yield Finding(_sentence("", text), False, name)
            continue
        found = results.compared(best, known[1][1], name)
        second = f"the second best, {results.place(known[1][1].at)}"
        if found.supported:
            yield Finding(_sentence("", f"{text}, ahead of {second}, by {_size(results, name, found)}"), True, name)
        else:
            yield Finding(
                _sentence("", f"{text}; the data do not separate it from {second}: {_covers(results, name, found)}"),
                False,
                name,
            )


def _front(results: Results, search: Search) -> Finding:
    """Return which points no other is better than in every goal, by the means."""
    values: dict[str, list[float]] = {}
    for point in results.points:
        means = [results.mean(point, name) for name in search.goals]
        signs = [1 if goal == "maximise" else -1 for goal in search.goals.values()]
        known = [sign * mean.value for sign, mean in zip(signs, means, strict=True) if mean is not None]
        if len(known) == len(means):
            values[results.place(point.at)] = known
    front = [
        place
        for place, own in values.items()
        if not any(other != own and all(b >= a for a, b in zip(own, other, strict=True)) for other in values.values())
    ]
    goals = " and ".join(search.goals)
    text = (
        f"of {len(values)} points {len(front)} are on the Pareto front of {goals}, by their means: {'; '.join(front)}"
    )
    return Finding(_sentence("", text), False, goals)


def _at(results: Results, main: str, point: Point) -> str:
    return results.place({main: point.at[main]})


def _size(results: Results, name: str, found: Comparison) -> str:
    unit = results.unit(name)
    return f"{format_number(abs(found.value or 0.0), found.half)}{f' {unit}' if unit else ''}, in {_seeds(found)}"


def _seeds(found: Comparison) -> str:
    return f"{found.agreeing} of {len(found.each)} seeds"


def _signed(found: Comparison) -> str:
    value = found.value or 0.0
    return f"{'+' if value > 0 else ''}{format_number(value, found.half)}"


def _covers(results: Results, name: str, found: Comparison) -> str:
    """Return why a difference is not supported."""
    unit = results.unit(name)
    unit = f" {unit}" if unit else ""
    if found.value is None:
        return found.reason
    if found.half is None:
        return f"{_signed(found)}{unit} in one seed, and with one seed nothing is"
    if not any(found.each):
        return f"it is the same in {len(found.each)} of {len(found.each)} seeds"
    return f"{_signed(found)}{unit}, and the 95% interval of the paired difference covers 0"


def _list(items: Sequence[str]) -> str:
    return ", ".join(items[:-1]) + f" and {items[-1]}" if len(items) > 1 else items[0]


def _sentence(where: str, text: str) -> str:
    whole = f"{where}{text}"
    return f"{whole[:1].upper()}{whole[1:]}."
