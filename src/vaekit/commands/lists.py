"""vaekit recipes, datasets and show."""

from __future__ import annotations

from typing import Any

from vaekit.commands.common import Json
from vaekit.commands.output import bold, print_json, print_table


def recipes(*, json: Json = False) -> None:
    """List the recipes."""
    from vaekit.recipes import catalogue

    listed = catalogue.recipes()
    if json:
        print_json(listed)
        return
    width = max(map(len, listed))
    for family, names in catalogue.families().items():
        print(bold(family))
        print_table(["", ""], [[name, listed[name]["summary"]] for name in names], "  ", [width])
        print()
    print("vaekit show RECIPE: its settings, and its source")


def datasets(*, json: Json = False) -> None:
    """List the known data sets and where they were found."""
    from vaekit.recipes import catalogue

    listed = catalogue.datasets()
    if json:
        print_json(listed)
    else:
        rows = [[name, f"{entry['summary']} ({entry['found'] or _missing(entry)})"] for name, entry in listed.items()]
        print_table(["data set", "what it is, and where it was found"], rows)


def _missing(entry: dict[str, Any]) -> str:
    if entry["package"]:
        return f"comes with the package {entry['package']}"
    return "not on disk; downloaded when used" if entry["fetched"] else "not on disk; put it into VAEKIT_DATA"


def show(recipe: str, /, *, json: Json = False) -> None:
    """Show a recipe: what it is and every setting with its default.

    Parameters
    ----------
    recipe
        The recipe's name.
    """
    from vaekit.recipes import catalogue

    facts = catalogue.show(recipe)
    if json:
        print_json(facts)
        return
    print(f"{facts['name']}: {facts['summary']}\n{facts['reference']}\n")
    for section, settings in facts["settings"].items():
        rows = [[f"{section}.{s['name']}", str(s["default"]), s["description"]] for s in settings]
        print_table(["setting", "default", ""], rows)
        print()
