"""vaekit parts."""

from __future__ import annotations

from typing import Literal

from vaekit.commands.common import Json
from vaekit.commands.output import print_json, print_table

Kind = Literal["prior", "posterior", "likelihood", "network", "objective", "metric"]


def parts(kind: Kind | None = None, /, *, json: Json = False) -> None:
    """List the parts: what each is, where it comes from, and its options.

    Parameters
    ----------
    kind
        The kind of part. Default: all.
    """
    from vaekit.recipes import catalogue

    listed = catalogue.parts(kind)
    if json:
        print_json(listed)
        return
    for one, entries in listed.items():
        cited = [[n, f"{e['summary']} {e['reference']}".strip()] for n, e in entries.items()]
        print_table([one, "what it is, and where it comes from"], cited)
        rows = [
            [name, o["name"], o["type"], str(o["default"]), o["description"]]
            for name, e in entries.items()
            for o in e["options"]
        ]
        if rows:
            print()
            print_table([one, "option", "type", "default", ""], rows)
        print()
