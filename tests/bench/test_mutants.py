"""The program that plants faults: what it changes, where, and which tests meet it."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = '''"""Text with 3 numbers."""
from __future__ import annotations

LIMIT = 5

@decorated(7)
def f(x: int = 2) -> float:
    """Return 1."""
    if not x > 0:
        raise ValueError(f"{x + 1} is 3")
    assert x != 4
    total = -x.mean(0) + min(x, 1.5)
    return total if x == 1 and x else [1] + [x]
'''


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "bench/mutants.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def faults(bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list:
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    (tmp_path / "f.py").write_text(SOURCE, encoding="utf-8")
    return bench.mutants("area", tmp_path / "f.py")


def test_faults_are_operators_signs_numbers_comparisons_and_reductions(faults: list) -> None:
    assert {(one.function, one.before, one.after) for one in faults} == {
        ("module", "5", "6"),
        ("f", "not x > 0", "x > 0"),
        ("f", "x > 0", "x <= 0"),
        ("f", "0", "1"),
        ("f", "-x.mean(0) + min(x, 1.5)", "-x.mean(0) - min(x, 1.5)"),
        ("f", "-x.mean(0)", "x.mean(0)"),
        ("f", "x.mean(0)", "x.sum(0)"),
        ("f", "min(x, 1.5)", "max(x, 1.5)"),
        ("f", "1.5", "3.0"),
        ("f", "x == 1 and x", "x == 1 or x"),
        ("f", "x == 1", "x != 1"),
        ("f", "1", "2"),
    }


def test_each_is_the_only_change_and_keeps_the_lines(bench: ModuleType, faults: list) -> None:
    before = ast.dump(ast.parse(SOURCE))
    for one in faults:
        made = bench.planted(SOURCE.encode(), one).decode()
        assert ast.dump(ast.parse(made)) != before
        assert len(made.splitlines()) == len(SOURCE.splitlines())
        same = [a == b for a, b in zip(made.splitlines(), SOURCE.splitlines())]
        assert same.count(False) == 1 and not same[one.line - 1]


def test_the_sample_is_decided_by_the_seed(bench: ModuleType) -> None:
    first, again, other = (bench.sample(["bounds"], "", 5, seed) for seed in (0, 0, 1))
    assert first == again != other and len(first) == 5
    assert bench.sample(["bounds"], "no such file", 5, 0) == []


def test_every_module_has_tests_and_every_file_named_exists(bench: ModuleType) -> None:
    for area in bench.AREAS:
        for path in ROOT.glob(bench.AREAS[area]):
            if path.name != "__init__.py":
                files = bench.test_files(str(path.relative_to(ROOT)))
                assert len(files) > 1, f"{path} has no test file: name one in TESTS"
                assert all((ROOT / file.partition("::")[0]).is_file() for file in files), files


def test_functions_are_named_as_in_the_source(bench: ModuleType) -> None:
    assert bench.plain("A.f.<locals>.g") == "A.f.g"
    assert bench.plain("f.<locals>.<listcomp>") == bench.plain("f.<locals>.<lambda>") == "f"


def test_explained_faults_are_left_out_of_the_share(bench: ModuleType) -> None:
    seen = [{"area": "a", "verdict": verdict} for verdict in ("killed", "late", "explained", "survived", "killed")]
    assert bench.summary(seen)["a"] == {
        "planted": 5,
        "killed": 2,
        "late": 1,
        "survived": 1,
        "explained": 1,
        "share_killed": 0.667,
    }
