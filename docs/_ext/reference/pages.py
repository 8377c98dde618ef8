"""All pages of the reference."""

from __future__ import annotations

from reference import api, commands, formats, metrics, parts, recipes, settings


def pages() -> dict[str, str]:
    """Return every page as Markdown, by its path below `_generated`."""
    return {
        **recipes.pages(),
        **parts.pages(),
        "metrics.md": metrics.page(),
        "settings.md": settings.page(),
        "commands.md": commands.page(),
        "formats.md": formats.page(),
        **api.pages(),
    }
