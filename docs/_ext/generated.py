"""Pages made from the registries: recipes, parts, metrics, settings, commands and the Python interface."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
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
    example = False
    for i, line in enumerate(lines):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if example:
            continue
        pieces = re.split(r"`([^`]*)`", line)
        for j in range(0, len(pieces), 2):
            pieces[j] = re.sub(r"([\\*|])|(?<=\w)(_)(?!\w)", r"\\\g<0>", pieces[j])
        lines[i] = "".join(f"``{piece}``" if j % 2 else piece for j, piece in enumerate(pieces))


def public_name(app: Sphinx, env: Any, node: Any, shown: nodes.Node) -> nodes.Node | None:
    """Resolve a class by its name alone, or by where it is defined, to the name under which it is documented."""
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    last = node["reftarget"].rpartition(".")[2]
    named = [name for name, entry in domain.objects.items() if name.rpartition(".")[2] == last and entry.objtype in KINDS]
    public = [f"vaekit.{last}"] if last in vaekit.__all__ else []
    found = next((name for name in [*public, *named] if name in named), None)
    if found is None:
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found, node, shown)


KINDS = ("class", "exception", "function")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before any is read."""
    app.connect("builder-inited", write)
    app.connect("autodoc-process-docstring", plain_text, priority=100)
    app.connect("missing-reference", public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
