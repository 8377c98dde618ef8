"""Imports point one way. The table here is the rule; docs/architecture.md shows the same table, and a test compares."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "vaekit"

_BASE = {"errors", "registry", "distributed", "tokens", "graphs", "views"}
_SEAMS = _BASE | {"atomic", "schedules", "distributions", "trace", "nets", "conditional"}
_PARTS = {"posteriors", "priors", "likelihoods"}
# What reads a trained model: its protocol, traces and bounds, never its parts.
_READERS = _BASE | {"atomic", "devices", "distributions", "trace", "models.base", "bounds", "collapse", "data"}
_TRAINING = _READERS | {"schedules", "objectives", "schemas"}
_RECIPES = _SEAMS | _PARTS | {"models", "models.base", "bounds", "collapse", "objectives", "training", "data"}
_RUNS = {"runs.base", "runs.data", "runs.folder", "runs.locks"}
_SHOWN = {"figures", "report"}

ALLOWED: dict[str, set[str]] = {
    # seams
    "errors": set(),
    "schemas": {"errors"},
    "atomic": set(),
    "_env": set(),
    "registry": {"errors"},
    "distributed": {"errors"},
    "schedules": {"errors"},
    "intervals": {"errors"},
    "tokens": set(),
    "graphs": set(),
    "views": {"tokens"},
    "distributions": _BASE,
    "nets": _BASE,
    "trace": {"errors", "distributions"},
    "conditional": {"errors", "distributions", "nets"},
    # parts, and what composes them
    **dict.fromkeys(sorted(_PARTS), _SEAMS),
    "models.base": {"errors", "distributions", "trace"},
    "models": _SEAMS | _PARTS | {"models.base"},
    # what reads traces
    "devices": {"errors", "distributed"},
    "inference": {"errors", "devices", "models.base", "data"},
    "bounds": {"errors", "registry", "schedules", "distributions", "trace"},
    "collapse": {"distributed", "distributions", "trace"},
    "objectives": {"errors", "registry", "distributed", "schedules", "distributions", "trace", "bounds"},
    "data": _BASE | {"atomic", "figures", "schemas"},
    "training": _TRAINING,
    "metrics": _READERS | {"latents", "inference", "intervals"},
    "latents": _READERS | {"inference"},
    "tasks": _READERS | {"inference", "intervals", "schemas"},
    "recipes": _RECIPES,
    "recipes.catalogue": _RECIPES | {"recipes", "metrics"},
    # what is shown: numbers and arrays in, pictures and pages out
    "figures": {"errors", "atomic"},
    "report": {"errors", "atomic", "figures"},
    # what composes all of it, and what calls that
    "runs.base": _RECIPES
    | {"recipes", "metrics", "latents", "devices", "inference", "runs.data", "runs.display", "runs.folder"}
    | {"schemas"},
    "explorer": {
        "errors",
        "bounds",
        "data",
        "distributions",
        "figures",
        "inference",
        "latents",
        "models.base",
        "runs.base",
        "trace",
    },
    "runs.data": {"errors", "data", "conditional", "likelihoods", "recipes"},
    "runs.locks": {"errors"},
    "runs.links": {"errors"},
    "runs.record": {"errors", "data", "schemas"},
    "runs.folder": {"errors", "atomic", "schemas", "runs.links", "runs.locks", "runs.record"},
    "runs.display": {"errors", "metrics", "figures", "report"},
    "runs": _RECIPES
    | _SHOWN
    | _RUNS
    | {"recipes", "metrics", "latents", "tasks", "devices", "inference", "intervals", "explorer", "runs.display"}
    | {"runs.record", "schemas"},
    "studies": {
        "errors",
        "atomic",
        "data",
        "figures",
        "metrics",
        "recipes",
        "report",
        "runs",
        "runs.data",
        "runs.folder",
    }
    | {"training"},
    "published": {"errors", "registry", "atomic", "bounds", "data", "devices", "intervals", "likelihoods", "metrics"}
    | {"models.base", "nets", "objectives", "recipes", "runs", "runs.data", "studies", "tasks", "trace", "training"},
    "estimators": _RECIPES | _RUNS | {"recipes", "tasks", "inference", "runs"},
    "commands": {
        "errors",
        "atomic",
        "_env",
        "data",
        "distributed",
        "distributions",
        "tasks",
        "recipes.catalogue",
        "figures",
    }
    | {"explorer", "published", "runs", "studies"}
    | _RUNS,
    "__main__": {"errors", "_env", "commands"},
}

# Quick to import, and usable where there is no torch.
WITHOUT_TORCH = {"errors", "atomic", "_env", "registry", "figures", "report", "commands", "__main__"}


def imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Yield (line, full dotted name) of whatever `module` imports, anywhere in it, by whatever form."""
    home = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = home[: len(home) - node.level + 1] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0] if node.args else None
            if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
                yield node.lineno, str(first.value)


def at_start(tree: ast.Module) -> ast.Module:
    """Return what runs when a module is imported: the tree without the bodies of its functions."""
    tops = [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return ast.Module(tops, type_ignores=[])


def graph(sources: dict[str, str], packages: frozenset[str] = frozenset()) -> dict[str, set[str]]:
    """Return which module imports which, anywhere in it; of the commands only what they import when they start."""
    edges: dict[str, set[str]] = {}
    for module, source in sources.items():
        tree = ast.parse(source)
        tree = at_start(tree) if module.startswith("vaekit.commands.") else tree
        named = (name for _, name in imports(tree, module, module in packages))
        # "from vaekit.a import b" leads to the file of b, or to that of a
        edges[module] = {name if name in sources else name.rpartition(".")[0] for name in named} & sources.keys()
    return edges


def circles(edges: dict[str, set[str]]) -> list[str]:
    """Return a shortest circle through every module that is on one, each circle once."""
    found: dict[frozenset[str], str] = {}
    for start in sorted(edges):
        came = dict.fromkeys(sorted(edges[start]), start)
        queue = sorted(edges[start])
        for name in queue:
            if name == start:
                break
            for other in sorted(edges[name] - came.keys()):
                came[other] = name
                queue.append(other)
        if start in came:
            path = [start, came[start]]
            while path[-1] != start:
                path.append(came[path[-1]])
            found.setdefault(frozenset(path), " -> ".join(reversed(path)))
    return list(found.values())


def component(name: str) -> str | None:
    """Return the longest entry of the table that `name`, dotted and within vaekit, lies in."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in ALLOWED:
            return ".".join(parts[:length])
    return None


def faults(source: str, module: str, is_package: bool = False) -> list[str]:
    """Return what is wrong with the imports of `module`, given its source text."""
    if module == "vaekit":
        return []  # the front door leads everywhere; that it stays light is tested below
    mine = component(module.removeprefix("vaekit."))
    if mine is None:
        return [f"{module}: its folder or file is not in the table of tests/test_layers.py"]
    found = []
    for line, name in imports(ast.parse(source), module, is_package):
        at = f"{module}:{line}"
        if name.split(".")[0] == "torch" and mine in WITHOUT_TORCH:
            found.append(f"{at}: {mine} must not know torch")
        if name.split(".")[0] != "vaekit" or name == "vaekit.__version__":
            continue
        other = component(name.removeprefix("vaekit."))
        if other is None:
            found.append(f"{at}: '{name}' leads through the package's front door or to a place not in the table")
        elif other != mine and other not in ALLOWED[mine]:
            found.append(f"{at}: {mine} must not import {other} ('{name}')")
    return found


def modules() -> Iterator[tuple[Path, str, bool]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        yield path, ".".join(parts[:-1] if is_package else parts), is_package


@pytest.mark.parametrize(("path", "module", "is_package"), [pytest.param(*m, id=m[1]) for m in modules()])
def test_imports_point_one_way(path: Path, module: str, is_package: bool) -> None:
    assert not faults(path.read_text(encoding="utf-8"), module, is_package)


def test_the_table_has_no_cycle_and_no_unknown_name() -> None:
    assert {name for names in ALLOWED.values() for name in names} <= ALLOWED.keys()
    assert len(list(TopologicalSorter(ALLOWED).static_order())) == len(ALLOWED)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vaekit.priors.vamp", "from vaekit.models.vae import VAE"),  # upward
        ("vaekit.priors.vamp", "from vaekit.posteriors import DiagonalNormal"),  # sideways
        ("vaekit.trace", "import vaekit.bounds as b"),
        ("vaekit.training.loop", "def fit():\n    from vaekit import recipes"),  # inside a function, through the root
        ("vaekit.training.loop", "from vaekit.models.vae import VAE"),  # the protocol only
        ("vaekit.training.loop", "from vaekit.models import VAE"),
        ("vaekit.bounds", "from .models import base"),  # relative
        ("vaekit.nets.conv", "from ..likelihoods.base import LIKELIHOODS"),
        ("vaekit.objectives.base", "import importlib\nimportlib.import_module('vaekit.recipes')"),
        ("vaekit.objectives.base", "if TYPE_CHECKING:\n    from vaekit.training.loop import fit"),
        ("vaekit.metrics.likelihood", "from vaekit import train"),  # an attribute of the front door
        ("vaekit.commands.main", "from vaekit.models.vae import VAE"),
        ("vaekit.commands.main", "def run():\n    import torch"),
        ("vaekit.figures.plots", "from torch import Tensor"),
        ("vaekit.helpers.misc", ""),  # a folder that the table does not know
        ("vaekit.utils", "import math"),
    ],
)
def test_a_planted_fault_is_found(module: str, source: str) -> None:
    assert len(faults(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source", "is_package"),
    [
        (
            "vaekit.priors.vamp",
            "from vaekit.priors.base import PRIORS\nfrom vaekit.nets import mlp\nimport torch",
            False,
        ),
        ("vaekit.priors", "from .base import PRIORS\nfrom . import normal", True),
        ("vaekit.priors.vamp", "from . import base\nfrom .. import schedules\nfrom ..conditional import Prior", False),
        ("vaekit.training.loop", "from vaekit.models.base import Model\nfrom vaekit.models import base", False),
        ("vaekit.commands.main", "from vaekit import __version__, runs", False),
        ("vaekit", "from vaekit.runs import train", True),
    ],
)
def test_a_sound_import_passes(module: str, source: str, is_package: bool) -> None:
    assert faults(source, module, is_package) == []


def test_no_file_imports_in_a_circle() -> None:
    sources = {module: path.read_text(encoding="utf-8") for path, module, _ in modules()}
    found = circles(graph(sources, frozenset(module for _, module, is_package in modules() if is_package)))
    assert not found, f"{len(found)} circles:\n" + "\n".join(found)


def test_a_planted_circle_is_found() -> None:
    a, b, c = "from vaekit.x import b", "def f():\n    from . import c", "import vaekit.x.a"
    sources = {"vaekit.x": "", "vaekit.x.a": a, "vaekit.x.b": b, "vaekit.x.c": c}
    assert len(circles(graph(sources, frozenset({"vaekit.x"})))) == 1
    assert circles(graph({**sources, "vaekit.x.c": "import vaekit.x"}, frozenset({"vaekit.x"}))) == []
    # a command imports what it runs when it runs
    commands = {
        "vaekit.commands.a": "def f():\n    import vaekit.commands.b",
        "vaekit.commands.b": "import vaekit.commands.a",
    }
    assert circles(graph(commands)) == []
    at_once = {**commands, "vaekit.commands.a": "import vaekit.commands.b"}
    assert circles(graph(at_once)) == ["vaekit.commands.a -> vaekit.commands.b -> vaekit.commands.a"]


def test_the_architecture_page_shows_the_same_table() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.split("| these | may import, beside themselves |\n")[1].split("\n\n")[0]
    rows = table.splitlines()[1:]
    shown = {}
    for row in rows:
        mine, others = row.split("|")[1:3]
        for name in mine.replace("`", "").split():
            shown[name] = set(others.replace("`", "").replace("nothing", "").split())
    assert shown == {name: set(names) for name, names in ALLOWED.items()}


@pytest.mark.parametrize("module", ["vaekit", "vaekit._env", "vaekit.registry", "vaekit.commands.main"])
def test_starting_up_does_not_load_torch(module: str) -> None:
    heavy = "{'torch', 'sklearn', 'matplotlib', 'scipy', 'numpy'}"
    code = f"import sys, {module}; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
