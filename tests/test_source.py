"""What holds for every source of the package: few parameters, no foreign private names, plain words."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_docs import PAGES, SOURCES, options, strings
from test_layers import PACKAGE, ROOT

MOST_PARAMETERS = 8
# A reader has to guess what these say; the field has words for it.
WORDS = re.compile(
    r"\b(mend(s|ed)?|at hand|none that|com(e|es) to naught|laid open|hangs? on|(told|tells?) apart)\b",
    re.IGNORECASE,
)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def where(path: Path) -> str:
    return str(path.relative_to(ROOT))


def long_signatures(module: ast.Module) -> Iterator[tuple[int, str, int]]:
    """Yield line, name and count of parameters of the functions that take too many."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [one.arg for one in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
            count = len([name for name in names if name not in ("self", "cls")])
            if count > MOST_PARAMETERS:
                yield node.lineno, node.name, count


def private_names(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the private names that a module takes from another of the package; the module `_env` is everyone's."""
    others: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == "vaekit"):
            others |= {alias.asname or alias.name for alias in node.names}
            for alias in node.names:
                if alias.name.startswith("_") and alias.name not in ("_env", "__version__"):
                    yield node.lineno, alias.name
    for node in ast.walk(module):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in others
            and re.match("_[^_]", node.attr)
        ):
            yield node.lineno, f"{node.value.id}.{node.attr}"


def test_no_function_but_a_command_has_many_parameters() -> None:
    found = [
        f"{where(path)}:{line}: {name} has {count}"
        for path in SOURCES
        for line, name, count in long_signatures(tree(path))
        if not (path.parent == PACKAGE / "commands" and name in options())
        # scikit-learn reads an estimator's parameters off its constructor
        and not (path.is_relative_to(PACKAGE / "estimators") and name == "__init__")
    ]
    assert not found, f"{len(found)} functions:\n" + "\n".join(found)


def test_no_private_name_is_taken_from_another_module() -> None:
    found = [f"{where(path)}:{line}: {name}" for path in SOURCES for line, name in private_names(tree(path))]
    assert not found, "\n".join(found)


def test_runs_know_no_flags() -> None:
    found = [
        f"{where(path)}:{number}: {line.strip()}"
        for path in SOURCES
        if path.is_relative_to(PACKAGE / "runs")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r'"--[a-z]', line)
    ]
    assert not found, "\n".join(found)


def test_git_ignores_no_source() -> None:
    words = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--", "src", "tests", "bench", "docs"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no checkout")
    built = ("docs/_build/", "docs/_generated/")
    found = [name for name in done.stdout.splitlines() if not name.startswith(built)]
    assert [name for name in found if name.endswith((".py", ".md", ".json"))] == []


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=where)
def test_words_are_plain(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    said = strings(text) if path.suffix == ".py" else text.splitlines()
    found = [f"'{match[0]}' in: {' '.join(one.split())[:200]}" for one in said if (match := WORDS.search(one))]
    assert not found, "\n".join(found)


def test_planted_faults_are_found() -> None:
    wide = ast.parse(
        "def f(a, b, c, /, d, e, *, f, g, h, i): ...\nclass A:\n    def g(self, a, b, c, d, e, f, g, h): ..."
    )
    assert [*long_signatures(wide)] == [(1, "f", 9)]
    taken = ast.parse("from vaekit import _env\nfrom vaekit.x import _a, b\nb._c()\n_env.leave()\nself._d = b.__name__")
    assert [*private_names(taken)] == [(2, "_a"), (3, "b._c")]
    source = 'def f(x):\n    """What is at hand."""\n    raise ValueError(f"{x}, and the mend")'
    assert [*strings(source)] == ["What is at hand.", "..., and the mend"]
    assert all(WORDS.search(text) for text in [*strings(source), "None that fits", "hangs on z", "told apart"])
    assert not any(WORDS.search(text) for text in ["amend", "a handful", "depends on", "recommend"])
