"""Published tables: verdicts, listing, refusals, results that are kept, the page, and one table from end to end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vaekit
from vaekit.commands.main import outcome
from vaekit.errors import UserError
from vaekit.metrics.base import METRICS
from vaekit.published.base import BUDGETS, OURS, TABLES, TAGS, Attempt, Budget, Figure, Measured, Table, published
from vaekit.published.by_study import ByStudy, by_study
from vaekit.published.page import page, rows
from vaekit.published.results import Result, keep, kept, still_holds
from vaekit.studies.points import check_settings, fixed_points
from vaekit.studies.trial import check_metrics

ROOT = Path(__file__).parents[2]
ROW, OTHER, ALONE, MEMORY = "a", "b", "alone", "from memory"


def nothing(at: Attempt) -> Iterator[tuple[str, Measured]]:
    """Measure nothing."""
    yield from ()


TABLE = Table(
    name="made",
    title="made up",
    source="nobody 1999",
    protocol="None.",
    data="digits",
    unit="nats",
    rows={ROW: Figure(86.5, "S", 0.2), OTHER: Figure(80.0, "R"), ALONE: OURS, MEMORY: Figure(1.0, "M")},
    budgets={"smoke": Budget({"seeds": [0, 1]}, "hardly trained", (ROW,)), "full": Budget(gates="all")},
    measure=nothing,
    tolerance=0.5,
)


@pytest.mark.parametrize(
    ("value", "lower", "exact", "verdict"),
    [
        (86.99, True, False, "reached"),
        (87.01, True, False, "missed"),
        (80.0, True, False, "reached"),  # better is no fault
        (80.0, True, True, "missed"),  # unless theory says where the optimum lies
        (86.01, False, False, "reached"),
        (85.99, False, False, "missed"),
        (90.0, False, False, "reached"),
        (90.0, False, True, "missed"),
    ],
)
def test_a_verdict_is_by_distance_and_direction(value: float, lower: bool, exact: bool, verdict: str) -> None:
    table = replace(TABLE, lower=lower, exact=exact)
    assert table.verdict(ROW, Measured((value,)), "full") == verdict


def test_only_confirmed_rows_that_the_budget_can_be_held_to_gate() -> None:
    far = Measured((200.0,))
    found = {row: (TABLE.verdict(row, far, "smoke"), TABLE.verdict(row, far, "full")) for row in TABLE.rows}
    assert found == {
        ROW: ("missed", "missed"),
        OTHER: ("not held to", "missed"),
        ALONE: ("ours alone", "ours alone"),
        MEMORY: ("unconfirmed", "unconfirmed"),
    }
    computed = Measured((200.0,), theirs=199.8)
    assert TABLE.verdict(ROW, computed, "full") == "reached"  # a reference of the same data comes first


def test_a_line_has_theirs_ours_and_the_difference() -> None:
    ours = {
        ROW: Measured((86.6, 86.8)),
        OTHER: Measured((81.0,), 0.25),
        ALONE: Measured((3.0,)),
        MEMORY: Measured((2.0,)),
    }
    lines = rows(TABLE, Result("smoke", {}, ours))
    assert lines == [
        # t of one degree of freedom is 12.706; s/√2 = 0.1
        [ROW, "86.50 ± 0.20 (S)", "86.7 ± 1.3 (2 seeds)", "+0.2", "**reached**"],
        [OTHER, "80 (R)", "81.00 ± 0.25 (test examples)", "+1", "not the whole protocol"],
        [ALONE, "–", "3", "–", ""],
        [MEMORY, "1 (M)", "2", "+1", "their figure is unconfirmed"],
    ]


def test_results_are_kept_by_budget_and_hold_for_their_own_terms(tmp_path: Path) -> None:
    some = {row: Measured((1.0, 2.0), 0.5, 3.0) for row in TABLE.rows}
    first = Result("smoke", {"seeds": [0, 1]}, some, by={"commit": "abc", "seconds": 1.0})
    keep(tmp_path, "made", first)
    keep(tmp_path, "made", Result("full", {}, refused="there is no data"))
    found = kept(tmp_path, "made")
    assert found == {"smoke": first, "full": Result("full", {}, refused="there is no data")}
    assert still_holds(found["smoke"], TABLE, {"seeds": (0, 1)})
    assert not still_holds(found["smoke"], TABLE, {"seeds": [0, 2]})
    assert not still_holds(found["smoke"], replace(TABLE, rows={ROW: OURS}), {"seeds": [0, 1]})
    assert not still_holds(found["full"], TABLE, {}) and not still_holds(None, TABLE, {})


@pytest.mark.parametrize("text", ["{", "[]", '{"smoke": {"rows": 3}}'])
def test_another_file_of_that_name_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "ppca.json").write_text(text)
    assert outcome(["reproduce", "--show", "--out", str(tmp_path)])[0] == 2
    with pytest.raises(UserError, match=r"ppca\.json holds no results of 'vaekit reproduce'"):
        kept(tmp_path, "ppca")


def test_every_table_is_complete() -> None:
    assert len(TABLES) > 20
    for entry in TABLES:
        table = entry.part
        assert set(table.budgets) <= set(BUDGETS) and {"smoke"} <= set(table.budgets), table.name
        for row, figure in table.rows.items():
            assert (figure.value is None or figure.tag in TAGS) and figure.tag in {*TAGS, ""}, (table.name, row)
        last = [*table.budgets.values()][-1]
        alone = all(f.value is None and f.tag != "T" for f in table.rows.values())
        assert table.tolerance > 0 or alone or not last.gates, table.name
        assert all(budget.differs for name, budget in table.budgets.items() if name != "full"), table.name


STUDIES = [entry.part for entry in TABLES if isinstance(entry.part.measure, ByStudy)]


@pytest.mark.parametrize("table", STUDIES, ids=lambda table: table.name)
def test_every_study_names_settings_metrics_and_rows_that_exist(table: Table) -> None:
    measure = table.measure
    assert isinstance(measure, ByStudy)
    for budget in table.budgets.values():
        made = measure.study(budget.terms)
        check_settings(made, fixed_points(made))
        check_metrics(made.metrics)
        given = {name for metric in made.metrics for name in METRICS[metric].facts["gives"]}
        assert set(measure.words) <= given
        assert {measure.row(arm, n) for arm in made.arms for n in measure.words} | {*measure.differences} == {
            *table.rows
        }


def test_a_definition_that_names_no_row_of_its_own_is_a_fault() -> None:
    facts = {key: value for key, value in vars(TABLE).items() if key not in ("name", "measure")}
    with pytest.raises(ValueError, match="no budget or row c"):
        published("strange", **facts | {"budgets": {"smoke": Budget(gates=("c",))}})(nothing)
    assert "strange" not in TABLES


def test_a_table_that_is_a_study(tmp_path: Path) -> None:
    measure = by_study(
        {"kl": "KL", "elbo": "bound"},
        scale=-1.0,
        offset=100.0,
        differences={"gain": ("wide, bound", "narrow, bound")},
        metrics=["elbo"],
        settings={"train.steps": 50, "model.latent": 2},
        arms={
            "narrow": {"settings": {"model.hidden": [4], "train.steps": 40}},
            "wide": {"settings": {"model.hidden": [16]}},
        },
    )
    at = Attempt({"settings": {"train.steps": 3}, "limit": 20, "seeds": [0, 1]}, "digits", tmp_path)
    found = dict(measure(at))
    assert list(found) == ["narrow, KL", "wide, KL", "narrow, bound", "wide, bound", "gain"]
    runs = {
        f"{arm}-{seed}": vaekit.load(tmp_path / "trials" / f"{arm}-{seed}")
        for arm in ("narrow", "wide")
        for seed in (0, 1)
    }
    assert {run.record["result"]["steps"] for run in runs.values()} == {3}  # the budget's settings come last
    for arm in ("narrow", "wide"):
        kl, bound = ([runs[f"{arm}-{s}"].evaluation()[n] for s in (0, 1)] for n in ("kl", "elbo"))
        assert found[f"{arm}, KL"].each == tuple(100 - one["value"] for one in kl)
        assert found[f"{arm}, bound"].stderr == pytest.approx(sum(one["stderr"] for one in bound) / 2)
    each = zip(found["wide, bound"].each, found["narrow, bound"].each)
    assert found["gain"].each == tuple(a - b for a, b in each)


def test_a_study_that_failed_is_tried_again(tmp_path: Path) -> None:
    measure = by_study("elbo", metrics=["elbo"], arms={"x": {"settings": {"model.hidden": [4]}}})
    at = Attempt({"settings": {"train.steps": 2}, "limit": 20}, str(tmp_path / "later.npz"), tmp_path / "runs")
    with pytest.raises(UserError, match="there is no file or folder"):
        dict(measure(at))
    digits = vaekit.train("vae", "digits", steps=1).data.train
    np.savez(tmp_path / "later.npz", x=digits.x.numpy())
    assert dict(measure(at))["x"].value < 0


def test_a_tiny_table_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """A theorem on a small table: 13 columns, 400 epochs, and everything that is written."""
    ppca = TABLES["ppca"].part
    budgets = {"smoke": Budget({"seeds": [0], "settings": {"train.epochs": 400}}, "400 epochs", "all")}
    tiny = replace(ppca, data="wine", budgets=budgets)
    monkeypatch.setitem(TABLES._entries, "ppca", replace(TABLES["ppca"], part=tiny))
    out, made = tmp_path / "out", tmp_path / "page.md"
    words = ["reproduce", "ppca", "--out", str(out), "--page", str(made)]
    assert outcome(words) == (0, None)
    told = capsys.readouterr()
    assert "linear VAE, exact log p(x)" in told.out and "reached" in told.out and "CPU seconds" in told.err
    entry = json.loads((out / "ppca.json").read_text())["smoke"]
    assert set(entry["by"]) == {"commit", "version", "device", "threads", "seconds", "cpu_seconds"}
    row = entry["rows"]["linear VAE, exact log p(x)"]
    assert f"{row['each'][0]:.4g}" in made.read_text() and "## sprites" in made.read_text()

    # what is there is not measured again, and what is asked to reach and does not ends with 1
    def never(at: Attempt) -> Iterator[tuple[str, Measured]]:
        raise AssertionError
        yield

    strict = replace(tiny, measure=never, tolerance=1e-12)
    monkeypatch.setitem(TABLES._entries, "ppca", replace(TABLES["ppca"], part=strict))
    code, sentence = outcome(words)
    assert code == 1 and sentence is not None and sentence.startswith("missed by more than the tolerance: linear VAE")


def test_what_is_not_there_costs_only_its_own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fine(at: Attempt) -> Iterator[tuple[str, Measured]]:
        yield from ((row, Measured((1.0,))) for row in TABLE.rows)

    real = {name: TABLES[name] for name in ("vq-vae", "ppca")}
    monkeypatch.setitem(TABLES._entries, "ppca", replace(real["ppca"], part=replace(TABLE, name="ppca", measure=fine)))
    found = vaekit.reproduce(["vq-vae", "ppca"], out=tmp_path)
    assert found["vq-vae"].refused.startswith("no data 'cifar10'") and len(found["ppca"].rows) == len(TABLE.rows)
    assert json.loads((tmp_path / "vq-vae.json").read_text())["smoke"]["refused"] == found["vq-vae"].refused
    with pytest.raises(UserError, match="no data 'cifar10'"):
        vaekit.reproduce("vq-vae")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["iwae-1-layr"], "there is no table 'iwae-1-layr'; did you mean 'iwae-1-layer'?"),
        (["ppca", "--budget", "day"], "there is no budget 'day'; use smoke, hour, full"),
        (["ppca", "--budget", "hour"], "ppca has no budget 'hour'; use smoke or full"),
        (["ppca", "miwae", "--data", "iris"], "--data is for one table; name it"),
        (["--show"], "name the folder of results with --out DIR"),
        (["--page", "x.md"], "name the folder of results with --out DIR"),
        (["--jobs", "0"], "--jobs"),
    ],
)
def test_what_is_asked_wrongly_is_refused(words: list[str], why: str) -> None:
    code, sentence = outcome(["reproduce", *words])
    assert code == 2 and sentence is not None and sentence.startswith(why)


def test_the_list(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    assert outcome(["reproduce", "--list"]) == (0, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["table", "data", "budgets", "what", "it", "is"] and len(lines) == len(TABLES) + 1
    assert outcome(["reproduce", "--list", "--json"]) == (0, None)
    assert set(json.loads(capsys.readouterr().out)) == set(TABLES.names)


def test_the_page_of_the_repository_is_made_of_its_results() -> None:
    folder = ROOT / "docs" / "published"
    results = {name: some for name in TABLES.names if (some := kept(folder, name))}
    assert {path.stem for path in folder.glob("*.json")} == set(results)
    tables = {entry.name: entry.part for entry in TABLES}
    assert (ROOT / "docs" / "published.md").read_text(encoding="utf-8") == page(tables, results)
    for name, some in results.items():
        for budget, one in some.items():
            # never a number of another definition than the one that is there
            assert one.refused or still_holds(one, tables[name], tables[name].budgets[budget].terms), (name, budget)
            assert one.by["commit"] and not one.by["commit"].endswith("+"), f"{name}: measured by changed sources"
