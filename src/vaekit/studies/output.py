"""What a study leaves in its folder: study.json, table.csv, table.json, figures/ and report.html."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from vaekit import report
from vaekit.atomic import write_bytes, write_json, write_text
from vaekit.data.csv_files import write_csv
from vaekit.figures import studies as drawing
from vaekit.figures import style
from vaekit.report.content import differing
from vaekit.report.numbers import format_number
from vaekit.runs.folder import versions
from vaekit.studies.definition import Definition
from vaekit.studies.findings import Finding, caution, findings
from vaekit.studies.points import Point, shown
from vaekit.studies.results import Results

TABLE_CSV, TABLE_JSON, FIGURES, REPORT, RECORD = "table.csv", "table.json", "figures", "report.html", "study.json"
MOST_PANELS = 6
"""Panels of one figure; more numbers go on to the next."""


@dataclass(frozen=True)
class Written:
    """What a study found, as it stands in its files: rows of the table, and findings in words."""

    rows: list[dict[str, Any]]
    findings: list[Finding]


def write_results(folder: Path, results: Results, record: dict[str, Any]) -> Written:
    """Write the study's record, table, figures and report."""
    rows, found = table(results), findings(results)
    trials = {name: asdict(one) for name, one in sorted(results.outcomes.items())}
    said = [asdict(one) for one in found]
    write_json(folder / RECORD, record | {"versions": versions(), "findings": said, "trials": trials})
    write_json(folder / TABLE_JSON, {"study": results.study.name, "points": rows})
    _write_csv(folder / TABLE_CSV, rows, results)
    figures = _figures(folder / FIGURES, results)
    write_text(folder / REPORT, report.study(_page(results, record, found, figures)))
    return Written(rows, found)


def table(results: Results) -> list[dict[str, Any]]:
    """Return a row for each point: where it lies, its trials, and each number's mean, interval and values by seed."""
    rows = []
    for point in results.points:
        numbers: dict[str, Any] = {}
        for name in results.numbers:
            mean, unit = results.mean(point, name), results.unit(name)
            if mean is None:
                notes = [number.note for number in results.at(point, name).values() if number.note]
                numbers[name] = {"mean": None, "unit": unit, "refused": notes[0] if notes else "no trial has it"}
            else:
                each = {str(seed): value for seed, value in mean.each.items()}
                numbers[name] = {"mean": mean.value, "half_interval": mean.half, "unit": unit, "seeds": each}
        status = [one.status for one in results.outcomes.values() if one.point == point.name]
        counts = {kind: status.count(kind) for kind in ("done", "failed", "pruned") if kind in status}
        rows.append({"point": point.name, "at": dict(point.at), "trials": counts, "numbers": numbers})
    return rows


def _write_csv(path: Path, rows: list[dict[str, Any]], results: Results) -> None:
    """Write the table as CSV: a column for each axis, and three for each number: mean, half its interval, seeds."""
    axes = list(dict.fromkeys(name for row in rows for name in row["at"]))
    header = ["point", *axes, *(f"{n}{end}" for n in results.numbers for end in ("", "_half_interval", "_seeds"))]
    lines = []
    for row in rows:
        cells = [row["point"], *(row["at"].get(name) for name in axes)]
        for name in results.numbers:
            entry = row["numbers"][name]
            cells += [entry["mean"], entry.get("half_interval"), len(entry.get("seeds", {}))]
        lines.append(cells)
    write_csv(path, header, lines)


def _figures(folder: Path, results: Results) -> list[report.Figure]:
    """Draw the study's figures; one that fails costs only itself."""
    drawn = []
    for name, title, make in _drawings(results):
        try:
            made = make()
        except Exception as error:
            drawn.append((name, title, f"not drawn: {type(error).__name__}: {error}", None))
            continue
        folder.mkdir(exist_ok=True)
        png = style.png(made)
        write_bytes(folder / f"{name}.png", png)
        drawn.append((name, title, _CAPTION, png))
    return [report.Figure(png, title, caption) for _, title, caption, png in drawn if png is not None]


_CAPTION = "Means over seeds with 95% t intervals; each small dot is one seed."


def _drawings(results: Results) -> list[tuple[str, str, Any]]:
    """Return what to draw: each figure's file, its title, and what makes it."""
    study = results.study
    out: list[tuple[str, str, Any]] = []
    names = [name for name in results.numbers if any(results.mean(point, name) for point in results.points)]
    for start in range(0, len(names), MOST_PANELS):
        some = names[start : start + MOST_PANELS]
        number = start // MOST_PANELS + 1
        title = "Numbers" if len(names) <= MOST_PANELS else f"Numbers, {number}"
        out.append((f"numbers{'' if number == 1 else f'-{number}'}", title, lambda some=some: _numbers(results, some)))
    for a, b in study.planes:
        pair = f"{results.words(a)} and {results.words(b)}"
        out.append((f"{a}-{b}", pair[:1].upper() + pair[1:], lambda a=a, b=b: _plane(results, a, b)))
    return out


def _numbers(results: Results, names: list[str]) -> Any:
    main = next(iter(results.axes), None)
    if main is None:
        groups: Mapping[str, list[Point]] = {"": list(results.points)}
        values: list[Any] = [results.place(point.at) for point in results.points]
    else:
        groups, values = results.groups(), results.axes[main]
    numeric = main is not None and all(drawing.number_of(value) is not None for value in values)

    def spot(point: Point, name: str) -> drawing.Spot | None:
        mean = results.mean(point, name)
        x = results.place(point.at) if main is None else point.at[main]
        x = drawing.number_of(x) if numeric else shown(x)
        return None if mean is None else drawing.Spot(x, mean.value, mean.half, list(mean.each.values()))

    panels = []
    for name in names:
        kinds = groups if numeric or len(groups) > 1 else _alike(results, name)
        lines = {kind: [s for point in points if (s := spot(point, name))] for kind, points in kinds.items()}
        panels.append(drawing.Panel(results.words(name), results.unit(name), lines))
    label = "" if main is None else results.study.label(main)
    return drawing.along(panels, label) if numeric else drawing.by_name(panels)


def _alike(results: Results, name: str) -> dict[str, list[Point]]:
    """Return the points whose numbers are of the same thing together, by what sets them apart from others."""
    first = {point.name: next(iter(results.at(point, name).values()), None) for point in results.points}
    known = {place: number for place, number in first.items() if number is not None and number.value is not None}
    aspects = differing([*known.values()])
    out: dict[str, list[Point]] = {}
    for point in results.points:
        if point.name in known:
            kind = ", ".join(known[point.name].of.get(aspect, "") for aspect in aspects)
            out.setdefault(kind, []).append(point)
    return out


def _plane(results: Results, a: str, b: str) -> Any:
    points = {}
    for point in results.points:
        pair = results.mean(point, a), results.mean(point, b)
        if pair[0] is not None and pair[1] is not None:
            first, second = (drawing.Spot(0, mean.value, mean.half, ()) for mean in pair if mean is not None)
            points[results.place(point.at)] = (first, second)
    return drawing.plane(points, _with_unit(results, a), _with_unit(results, b))


def _with_unit(results: Results, name: str) -> str:
    unit = results.unit(name)
    return f"{results.words(name)}{f', {unit}' if unit else ''}"


def _page(
    results: Results, record: Mapping[str, Any], found: list[Finding], figures: list[report.Figure]
) -> report.StudyReport:
    study, done = results.study, results.done
    data = list(dict.fromkeys(str(one.facts.get("data")) for one in done))
    steps = sorted({one.facts["steps"] for one in done if "steps" in one.facts})
    facts = {
        "data": ", ".join(data) or "–",
        "recipe": ", ".join(dict.fromkeys(str(one.facts.get("recipe")) for one in done)) or study.recipe,
        "points": f"{len(results.points)}, each with {len(study.seeds)} seed{'s' if len(study.seeds) > 1 else ''}",
        "trials": f"{len(done)} done, {len(results.lost('failed'))} failed, {len(results.lost('pruned'))} pruned",
        "steps of a trial": " to ".join(f"{count:,}" for count in dict.fromkeys([*steps[:1], *steps[-1:]])) or "–",
        "time": f"{record.get('seconds', 0):.0f} s",
    }
    if record.get("length"):
        facts["budget"] = record["length"]
    return report.StudyReport(
        title=f"{study.name} on {', '.join(data)}" if data else study.name,
        question=study.question,
        facts=facts,
        findings=[(one.text, one.supported) for one in found],
        caution=caution(found, len(study.seeds)),
        note=study.note,
        figures=figures,
        head=["Point", *(_with_unit(results, name) for name in results.numbers)],
        rows=[
            [results.place(point.at), *(_cell(results, point, name) for name in results.numbers)]
            for point in results.points
        ],
        meanings={name: results.meaning(name) for name in results.numbers if results.meaning(name)},
        problems=_problems(results),
        definition=as_yaml(study),
        command=record.get("command", ""),
        environment=versions(),
    )


def _cell(results: Results, point: Point, name: str) -> str:
    mean = results.mean(point, name)
    return "–" if mean is None else format_number(mean.value, mean.half)


def _problems(results: Results) -> list[str]:
    """Return sentences on trials without numbers and on metrics that were left out, each once."""
    lost = [f"{one.trial} {one.status}: {one.reason}" for one in [*results.lost("failed"), *results.lost("pruned")]]
    out = {(metric, why) for one in results.done for metric, why in one.left_out.items()}
    refused: dict[str, None] = {}
    for point in results.points:
        for name in results.numbers:
            notes = [n.note for n in results.at(point, name).values() if n.value is None and n.note]
            if notes and name not in dict(out):
                refused[f"{results.place(point.at)} has no {name}: {notes[0]}"] = None
    return [*lost, *(f"{metric} was left out: {why}" for metric, why in sorted(out)), *refused]


def as_yaml(study: Definition) -> str:
    """Return a study's definition as the YAML file that declares it."""
    values = study.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
