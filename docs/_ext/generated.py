"""Pages made from the registries: recipes, parts, metrics, settings, commands and the Python interface."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from reference.text import options_as_code
from sphinx.application import Sphinx

import vaekit

FOLDER = "_generated"


def write(app: Sphinx) -> None:
    """Write the pages whose text is another than the file's, and remove those that are no longer made."""
    from reference.pages import pages

    folder = Path(app.srcdir) / FOLDER
    made = pages()
    for name, text in made.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
    for path in folder.rglob("*.md"):
        if path.parent != folder and path.relative_to(folder).as_posix() not in made:
            path.unlink()


def plain_text(app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """Bring a docstring's backticks and signs to reStructuredText; examples stay as they are."""
    out: list[str] = []
    example = False
    for line in lines:
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        out.append(line if example else _escaped(line))
    if "Returns:" in out:  # as a field: what stands before a colon in it is no type
        start = out.index("Returns:")
        end = next((i for i in range(start + 1, len(out)) if not out[i].strip()), len(out))
        out[start:end] = [f":returns: {' '.join(line.strip() for line in out[start + 1 : end])}"]
    lines[:] = out


def whole_line(app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """Undo what napoleon makes of a property's first line: words before a colon are no type."""
    kind = next((line for line in lines if line.startswith(":type: ")), None)
    if what in ("property", "attribute") and kind is not None:
        lines.remove(kind)
        lines[0] = f"{kind.removeprefix(':type: ')}: {lines[0]}"


def _escaped(line: str) -> str:
    """Return a line of plain text with code between backticks as reStructuredText."""
    pieces = re.split(r"`([^`]*)`", options_as_code(line))
    for i in range(0, len(pieces), 2):
        pieces[i] = re.sub(r"[\\*|]|(?<=\w)_(?!\w)", r"\\\g<0>", pieces[i])
    return "".join(f"``{piece}``" if i % 2 else piece for i, piece in enumerate(pieces))


def public_name(app: Sphinx, env: Any, node: Any, shown: nodes.Node) -> nodes.Node | None:
    """Resolve a class by its name alone, or by where it is defined, to the name under which it is documented."""
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    last = node["reftarget"].rpartition(".")[2]
    public = [f"vaekit.{name}" for name in vaekit.__all__ if name == last or _is(name, last)]
    named = [name for name in domain.objects if name.rpartition(".")[2] == last]
    found = next(
        (one for one in [*public, *named] if one in domain.objects and domain.objects[one].objtype in KINDS), ""
    )
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found, node, shown) if found else None


def _is(name: str, other: str) -> bool:
    """Return whether a public name is that of a class which is called otherwise where it is defined."""
    return getattr(getattr(vaekit, name), "__qualname__", "") == other


KINDS = ("class", "exception", "function", "type")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before any is read."""
    app.connect("builder-inited", write)
    app.connect("autodoc-process-docstring", plain_text, priority=100)
    app.connect("autodoc-process-docstring", whole_line, priority=900)
    app.connect("missing-reference", public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
