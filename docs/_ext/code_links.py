"""Links from a formula to the code that computes it and to the test that checks it.

``{src}`vaekit.bounds.elbo` `` and ``{test}`tests/test_bounds.py::test_name` `` are links to a page with the lines
themselves, generated before the pages are read. What does not exist is a warning, and so ends `make docs`.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

ROOT = Path(__file__).parents[2]
USE = re.compile(r"\{(src|test)\}`([^`]+)`")
log = logging.getLogger(__name__)


def label(name: str) -> str:
    """Return the anchor of a piece of code."""
    return "code-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def place(kind: str, name: str) -> tuple[Path, int, int]:
    """Return the file, first and last line of a function, class or test; ValueError where there is none."""
    if kind == "test":
        path, _, function = name.partition("::")
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines() if (ROOT / path).is_file() else []
        start = next((i for i, line in enumerate(lines, 1) if re.match(rf"def {re.escape(function)}\(", line)), 0)
        if not start:
            raise ValueError(f"there is no test {name}")
        end = next((i for i, line in enumerate(lines[start:], start) if line and line[0] not in " )"), len(lines))
        while start > 1 and lines[start - 2].startswith(("@", " ", ")")):  # its decorators
            start -= 1
        return ROOT / path, start, end
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = inspect.getattr_static(found, part, None)
            found = next((made for name in ("fget", "func", "__func__") if (made := getattr(found, name, None))), found)
        try:
            found = inspect.unwrap(found)  # from its decorators
            lines, start = inspect.getsourcelines(found)
        except TypeError:
            break
        return Path(inspect.getsourcefile(found) or ""), start, start + len(lines) - 1
    raise ValueError(f"there is no function or class {name}")


def collect(app: Sphinx) -> None:
    """Write the page of all code that pages link to, one section a piece."""
    uses: dict[str, str] = {}
    for page in sorted(Path(app.srcdir).rglob("*.md")):
        if not {"_build", "_generated"} & set(page.relative_to(app.srcdir).parts):
            uses |= {name: kind for kind, name in USE.findall(page.read_text(encoding="utf-8"))}
    lines = ["---", "orphan: true", "---", "", "# The code behind the formulas", ""]
    for kind, title in (("src", "Functions and classes"), ("test", "Tests")):
        lines += [f"## {title}", ""]
        for name in sorted(name for name, of in uses.items() if of == kind):
            try:
                path, start, end = place(kind, name)
            except ValueError as fault:
                log.warning("%s", fault, type="code_links")
                continue
            relative = path.resolve().relative_to(ROOT)
            lines += [f"({label(name)})=", f"### `{name}`", "", f"`{relative}`, line {start}", ""]
            lines += [f"```{{literalinclude}} /../{relative}", ":language: python", f":lines: {start}-{end}", "```", ""]
    target = Path(app.srcdir) / "_generated" / "code.md"
    target.parent.mkdir(exist_ok=True)
    text = "\n".join(lines)
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")


def link(name: str, rawtext: str, text: str, lineno: int, inliner: Any, **_: Any) -> tuple[list[nodes.Node], list[Any]]:
    """Make the link of one use."""
    shown = text.rpartition("::")[2] if "::" in text else text.removeprefix("vaekit.")
    found = addnodes.pending_xref(
        rawtext, nodes.literal(shown, shown), refdomain="std", reftype="ref", refexplicit=True, reftarget=label(text)
    )
    found["refwarn"] = True
    return [found], []


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the two roles, and the page before any is read."""
    app.add_role("src", link)
    app.add_role("test", link)
    app.connect("builder-inited", collect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
