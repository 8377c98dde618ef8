"""The page of the commands: what `vaekit COMMAND --help` says, of all of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from reference.facts import written
from reference.text import code, docstring, md, paragraphs, table, target
from vaekit.commands.main import app


def names() -> dict[str, list[str]]:
    """Return the commands' names by group, in the order of the help."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for name in app:
        if name.startswith("-"):
            continue
        command: Any = app[name]
        groups.setdefault(command.group[0]._name, []).append((command.sort_key or 0, name))
    return {title: [name for _, name in sorted(each)] for title, each in groups.items()}


def arguments(name: str) -> Iterator[Any]:
    """Yield a command's arguments and options."""
    for argument in app[name].assemble_argument_collection(parse_docstring=True):
        if not argument.children and argument.parameter.show is not False:
            yield argument


def page() -> str:
    """Return the page."""
    found = names()
    lines = [
        *target("commands"),
        "# Commands",
        "",
        "What `vaekit COMMAND --help` says. `vaekit --version` prints the version, `vaekit --install-completion` "
        "completes commands and options by the Tab key. A command ends with 0 when it is done, 2 where arguments or "
        "data are wrong (one sentence says what), 1 where it failed, 130 where it was interrupted.",
        "",
    ]
    for title, each in found.items():
        lines += [f"## {title}", ""]
        for name in each:
            lines += _command(name)
    return "\n".join(lines)


def _command(name: str) -> list[str]:
    command = app[name]
    each = [*arguments(name)]
    placed = [one for one in each if one.index is not None]
    usage = " ".join(["vaekit", name, *(_placed(one) for one in placed), "[OPTIONS]"])
    lines = [*target("command", name), f"### `{name}`", "", md(command.help), "", "```text", usage, "```", ""]
    lines += _more(command)
    lines += table(["argument", ""], ([code(one.names[0]), _meaning(one)] for one in placed))
    rest = [one for one in each if one.index is None]
    lines += table(["option", ""], ([", ".join(_option(one, n) for n in one.names), _meaning(one)] for one in rest))
    shown = [line.strip() for line in (command.help_epilogue or "").splitlines()[1:]]
    return [*lines, *(["```sh", *shown, "```", ""] if shown else [])]


def _more(command: Any) -> list[str]:
    """Return what the command's docstring says beside its first line and its parameters."""
    function = inspect.unwrap(command.default_command)
    blocks = paragraphs(function)
    kept = ["\n".join(block) for block in blocks[1:] if len(block) < 2 or set(block[1]) != {"-"}]
    end = next((i for i, block in enumerate(blocks[1:]) if len(block) > 1 and set(block[1]) == {"-"}), len(kept))
    return docstring("\n\n".join(kept[:end]))


def _placed(argument: Any) -> str:
    several = "..." if _several(argument) else ""
    name = f"{argument.names[0]}{several}"
    return name if argument.required else f"[{name}]"


def _several(argument: Any) -> bool:
    kinds = [argument.hint, *get_args(argument.hint)]
    return any(get_origin(kind) in (list, tuple) for kind in kinds)


def _option(argument: Any, name: str) -> str:
    kinds = [kind for kind in (argument.hint, *get_args(argument.hint)) if kind is not type(None)]
    if bool in kinds:
        return code(name)
    words = {int: "INT", float: "FLOAT"}
    kind = next((words[one] for one in kinds if one in words), "PATH" if "Path" in str(argument.hint) else "TEXT")
    kind = "CHOICE" if any(get_origin(one) is Literal for one in kinds) else kind
    return code(name if len(name) == 2 else f"{name} {kind}{'...' if _several(argument) else ''}")


def _meaning(argument: Any) -> str:
    said = md(" ".join((argument.parameter.help or "").split()))
    choices = argument.get_choices()
    default = argument.field_info.default
    shown = (
        "" if default in (None, False, inspect.Parameter.empty, ()) else f"Default: {code(written(_plain(default)))}."
    )
    pieces = [
        said,
        f"One of {', '.join(map(code, choices))}." if choices else "",
        shown,
        "Required." if argument.required else "",
    ]
    return " ".join(piece for piece in pieces if piece)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | tuple) else str(value)
