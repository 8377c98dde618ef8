"""What the pages and messages name exists: files, commands, options, settings, recipes, modules, extras."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import surface
from test_layers import ALLOWED, PACKAGE, ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("[!_]*.md"))]
PAGES += sorted((ROOT / "docs").glob("[!_]*/*.md"))
SOURCES = sorted(PACKAGE.rglob("*.py"))
SECTION = r"(?:model|objective|train|data)"


# -- what there is ----------------------------------------------------------------------------------------------------


@cache
def options() -> dict[str, set[str]]:
    """Return the options of every command."""
    help_of_all = {"--help", "-h"}
    return {
        name: help_of_all | {option for one in entry["arguments"].values() for option in one.get("names", ())}
        for name, entry in surface.commands().items()
    }


@cache
def known_settings() -> set[str]:
    """Return the settings of all recipes, and those that come with a part that no recipe has by default."""
    from vaekit.errors import UserError

    names: set[str] = set()
    found = surface.registries()
    for entry in found["recipe"]:
        names |= surface.shown(entry.part.settings({})).keys()
    for kind in ("prior", "posterior", "likelihood"):
        for part in found[kind].names:
            try:
                names |= surface.shown(found["recipe"]["vae"].part.settings({"model": {kind: part}})).keys()
            except UserError:  # a part that the recipe refuses
                continue
    return names


def is_there(path: str) -> bool:
    """Return whether a path, from the repository's root, the sources' or the package's, leads to a file or folder."""
    return any(next(folder.glob(path.rstrip("/")), None) for folder in (ROOT, ROOT / "src", PACKAGE))


def hasattr_of_run(name: str) -> bool:
    """Return whether a run has an attribute or method of this name; `run.json` and `run.py` are files."""
    import vaekit

    source = inspect.getsource(vaekit.Run.__init__)
    return name in ("json", "py") or hasattr(vaekit.Run, name) or re.search(rf"\bself\.{name}\b", source) is not None


def is_importable(name: str) -> bool:
    """Return whether a dotted name is a module of the package or something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            value = getattr(value, attribute, None)
        return value is not None
    return False


# -- what is said -----------------------------------------------------------------------------------------------------


def faults(page: str, folder: Path = ROOT / "docs") -> Iterator[str]:
    """Yield what a page in a folder, in Markdown, names that does not exist."""
    page = page.replace("\\\n", " ")  # a line that goes on
    blocks = re.findall(r"^```([^\n`]*)\n(.*?)^```", page, re.M | re.S)
    prose = re.sub(r"^```.*?^```", "", page, flags=re.M | re.S)
    blocks += [("", line) for line in re.findall(r"^    (vaekit .*|python .*|run\..*)$", prose, re.M)]
    for code in re.findall(r"`([^`]+)`", prose):
        yield from faults_of_code(" ".join(code.split()))
    for language, block in blocks:
        if language.startswith(("{dropdown}", "{admonition}", "{note}")):
            yield from faults(block, folder)
        elif language.endswith("python"):
            plain = re.sub(r"^(!.*|:tags:.*)$", "", block, flags=re.M)
            yield from (f"no {name}" for name in imported(plain) if not is_importable(name))
            for line in re.findall(r"^!(vaekit .*)$", block, re.M):
                yield from faults_of_code(line)
        else:
            for line in block.splitlines():
                yield from faults_of_code(line.removeprefix("$ ").partition(" #")[0].strip())
    for path in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose):
        yield from () if (folder / path).exists() else (f"no page {path}",)
    yield from extras_lacking(page)


def faults_of_code(code: str) -> Iterator[str]:
    """Yield what a piece of code names that does not exist."""
    words = code.split()
    for word in words:
        if re.fullmatch(r"(\.ci|bench|docs|examples|src|tests|vaekit)/[\w./*-]+", word):
            yield from () if is_there(word) or word.startswith("docs/_build/") else (f"no file {word}",)
    if re.fullmatch(r"(?!(?:bench|src|tests|vaekit)/)[\w/]+\.py", code) and not (
        is_there(code) or any(next(folder.rglob(code), None) for folder in (PACKAGE, ROOT / "tests"))
    ):
        yield f"no file {code}"
    for name in re.findall(r"\brun\.(\w+)", code):
        yield from () if hasattr_of_run(name) else (f"no run.{name}",)
    for name in re.findall(r"\brun\.model\.(\w+)", code):
        if not any(
            re.search(rf"\bdef {name}\b", path.read_text("utf-8")) for path in (PACKAGE / "models").glob("*.py")
        ):
            yield f"no run.model.{name}"
    for name in re.findall(r"\bvaekit(?:\.\w+)+", code):
        yield from () if is_importable(name) else (f"no {name}",)
    # model.trace is the model's; model.prior=flow and `model.prior` are settings
    for name in re.findall(rf"(?<![\w./]){SECTION}\.[a-z]\w*(?=$|[\s=])", code):
        if name.partition(".")[2] in ("onnx", "safetensors", "zip"):
            continue  # a file
        if name not in known_settings() and not is_importable(f"vaekit.models.base.Model.{name.partition('.')[2]}"):
            yield f"no setting {name}"
    if words[:1] == ["make"]:
        yield from (f"no {code}" for word in words[1:2] if not re.search(rf"^{word}:", MAKEFILE, re.M))
    recipes = surface.registries()["recipe"].names
    if words and (words[0] == "vaekit" or words[0] in [*recipes, *options()] or words[0].startswith("--")):
        yield from faults_of_command(words)


OTHERS = {"--version", "--install-completion", "--max-restarts"}  # of vaekit itself, and of torchrun
OTHERS |= {option for path in (ROOT / "bench").glob("*.py") for option in re.findall(r'"(--[\w-]+)"', path.read_text())}
MODELS = "".join(path.read_text(encoding="utf-8") for path in (PACKAGE / "models").glob("*.py"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def faults_of_command(words: list[str]) -> Iterator[str]:
    """Yield what a line of a shell names: `vaekit train vae --set ...`, or the end of one, `vae --set ...`."""
    recipes = surface.registries()["recipe"].names
    rest = words[1:] if words[0] == "vaekit" else words
    mine = set.union(*options().values())
    if rest and rest[0] in options():
        mine = options()[rest[0]]
        if rest[0] in ("train", "show") and rest[1:] and re.fullmatch(r"[a-z0-9-]+", rest[1]) and rest[1][0] != "-":
            yield from () if rest[1] in recipes else (f"no recipe {rest[1]}",)
    elif words[0] == "vaekit" and rest and not rest[0].startswith("-"):
        yield f"no command {rest[0]}"
    for option in (word.partition("=")[0].rstrip(",;:.)") for word in rest):
        if re.fullmatch(r"--?[a-z][\w-]*", option) and option not in mine | OTHERS:
            yield f"no option {option} in '{' '.join(words)}'"


def imported(block: str) -> Iterator[str]:
    """Yield the names of the package that a block of Python imports."""
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vaekit":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "vaekit")


def extras_lacking(text: str) -> Iterator[str]:
    """Yield the extras that a text names and the package does not have."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [one for some in re.findall(r"vaekit\[([\w,-]+)\]", text) for one in some.split(",")]
    named += re.findall(r"\bextra ['`](\w+)['`]", text)
    yield from (f"no extra {name}" for name in named if name not in project["optional-dependencies"])


def strings(source: str) -> Iterator[str]:
    """Yield the strings of a source, what stands between braces in a formatted one as `...`."""
    tree = ast.parse(source)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
            yield "".join(str(part) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def faults_of_message(text: str) -> Iterator[str]:
    """Yield what a message names that does not exist: 'vaekit train --out ...', --set section.name, pip install."""
    yield from extras_lacking(text)
    for line in re.findall(r"'(vaekit [a-z][^']*)'", text):
        yield from faults_of_command(line.split())
    for name in re.findall(rf"--set ({SECTION}\.[a-z]\w*)", text):
        yield from () if name in known_settings() else (f"no setting {name}",)


# -- tests ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_what_exists(page: Path) -> None:
    found = [*faults(page.read_text(encoding="utf-8"), page.parent)]
    if page.name == "compared.md":  # the files that it names are other packages'
        found = [fault for fault in found if not fault.startswith("no file")]
    assert not found, "\n".join(found)


def test_messages_name_what_exists() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in SOURCES
        for text in strings(path.read_text(encoding="utf-8"))
        for fault in faults_of_message(text)
    ]
    assert not found, "\n".join(found)


def test_the_readme_lists_every_recipe_and_the_pages_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in surface.registries()["recipe"].names if f"`{name}`" not in readme] == []
    assert [name for name in options() if not re.search(rf"`{name}`|\bvaekit {name}\b", pages)] == []


def test_the_tables_of_folders_name_what_is_there_and_all_of_it() -> None:
    there = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"} - {
        "__init__",
        "__pycache__",
    }
    assert {name.partition(".")[0] for name in ALLOWED} == there - {"py"}
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = page.split("| folder or file | meaning |\n")[1].split("\n\n")[0].splitlines()[1:]
    names = [name.strip(" `/").removesuffix(".py") for row in rows for name in row.split("|")[1].split(",")]
    assert sorted(names) == sorted(there - {"__main__", "tokens", "graphs"})


@pytest.mark.parametrize(
    "planted",
    [
        "see `tests/data/test_nothing.py`",
        "see `bench/nothing.py`",
        "see `figures/nothing.py`",
        "see `test_nothing.py`",
        "see [it](nothing.md)",
        "`vaekit.experiments.hub`",
        "`vaekit.train_all(…)`",
        "`model.nothing=3`",
        "`--set objective.nothing=3`",
        "`vae --set model.nothing=3`",
        "`vaekit paint RUN`",
        "`vaekit train nothing-vae`",
        "`sample RUN --colour`",
        "`make nothing`",
        "`run.paint(x)`",
        "`run.model.paint(x)`",
        "    vaekit train vae --steps 3 \\\n        --colour red",
        "```sh\nvaekit sample runs/x --colour red   # and more\n```",
        "```python\nfrom vaekit.data import nothing\n```",
        "`pip install 'vaekit[flows,nothing]'`",
    ],
)
def test_a_planted_name_is_seen(planted: str) -> None:
    assert len([*faults(planted)]) == 1, [*faults(planted)]


@pytest.mark.parametrize(
    "planted",
    [
        "pip install 'vaekit[nothing]'",
        "needs the extra 'nothing'",
        "go on with 'vaekit train --resume --into ...'",
        "lower the weight (--set objective.nothing=0.1)",
        "see 'vaekit paint'",
    ],
)
def test_a_planted_message_is_seen(planted: str) -> None:
    assert len([*faults_of_message(planted)]) == 1
