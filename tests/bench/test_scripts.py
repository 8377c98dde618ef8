"""Every script of the benchmark starts: what it imports from the package exists, and --help says what it does."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "bench").glob("*.py"))


def lacking(source: str) -> Iterator[str]:
    """Yield the names that a source imports from the package, within functions too, and that are not there."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vaekit":
            for alias in node.names:
                try:
                    module = importlib.import_module(node.module or "")
                    if not hasattr(module, alias.name):
                        importlib.import_module(f"{node.module}.{alias.name}")
                except ModuleNotFoundError as error:
                    yield f"line {node.lineno}: {error}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_what_a_script_imports_exists(script: Path) -> None:
    assert not (found := [*lacking(script.read_text(encoding="utf-8"))]), "\n".join(found)


@pytest.mark.parametrize("source", ["def f():\n    from vaekit.ranks import gather", "from vaekit.data import nothing"])
def test_a_planted_import_is_seen(source: str) -> None:
    assert len([*lacking(source)]) == 1


@pytest.mark.parametrize(
    "script", [script for script in SCRIPTS if "argparse" in script.read_text(encoding="utf-8")], ids=lambda s: s.stem
)
def test_help(script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    monkeypatch.syspath_prepend(str(script.parent))
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(script), run_name="__main__")
    assert end.value.code == 0 and "usage" in capsys.readouterr().out


def test_every_sheet_is_of_a_kind_stands_in_the_documentation_and_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS[0].parent))
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "kinds.md").read_text(encoding="utf-8")
    sheets = sorted((docs / "screenshots" / "kinds").glob("*.png"))
    named = re.findall(r"\(screenshots/kinds/(.*)\.png\)", page)
    assert sorted(named) == sorted(sheet.stem for sheet in sheets)
    assert {*named} <= {*runpy.run_path(str(docs.parent / "bench" / "kinds.py"))["KINDS"]}
    sizes = [sheet.stat().st_size for sheet in sheets]
    assert max(sizes) <= 300_000 and sum(sizes) <= 2_000_000
