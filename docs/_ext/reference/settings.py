"""The page of every setting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from reference import facts
from reference.facts import Setting
from reference.text import code, link, md, target
from vaekit.recipes.base import RECIPES

TITLES = {
    "model": "Settings of the model: its parts and their sizes, and the options of the parts that are chosen.",
    "objective": "Settings of what is minimised.",
    "train": "Settings of training, which every recipe has.",
    "data": "Settings of how data are read, split and prepared.",
}


def every() -> dict[str, dict[str, Setting]]:
    """Return every setting as each recipe has it: {path: {recipe: setting}}; {} for an option of no recipe's parts."""
    out: dict[str, dict[str, Setting]] = {}
    for name in RECIPES.names:
        for one in facts.settings(name):
            out.setdefault(one.path, {})[name] = one
    for path in facts.settings_of_parts():
        out.setdefault(path, {})
    return out


def page() -> str:
    """Return the page."""
    found = every()
    lines = [
        *target("settings"),
        "# Settings",
        "",
        f"{len(found)} settings in four sections. On the command line `--set SECTION.NAME=VALUE`, in Python "
        '`vaekit.train("vae", set={"objective.beta": 4})`. A value is YAML; a list is written with commas, '
        "`model.hidden=512,256`, and `null` leaves a setting to what its description says. `vaekit show RECIPE` prints "
        "a recipe's settings. A schedule is a number or words such as `linear 0 1 30%`: see "
        "[Schedules](parts/schedules.md).",
        "",
    ]
    for section, said in TITLES.items():
        paths = [path for path in found if path.startswith(f"{section}.")]
        lines += [f"## {section}", "", said, ""]
        for path in sorted(paths):
            lines += _setting(path, found[path])
    return "\n".join(lines)


def _setting(path: str, by_recipe: dict[str, Setting]) -> list[str]:
    used = {name: one for name, one in by_recipe.items() if one.description != "not used"}
    lines = [*target("setting", path), f"### `{path}`", ""]
    kinds: dict[tuple[str, str], list[str]] = {}
    for name, one in used.items():
        kinds.setdefault((one.description, one.kind), []).append(name)
    options = facts.settings_of_parts().get(path, [])
    if not kinds:
        for one in {(one.description, one.kind): one for one, _, _ in options}.values():
            kinds[one.description, one.kind] = []
    several = sorted(kinds.items(), key=lambda item: -len(item[1]))
    for (said, kind), names in several:
        whose = f" ({_listed(names, used)})" if len(several) > 1 else ""
        lines += [f"- {md(said[:1].upper() + said[1:])}{whose}. Type: {md(kind)}."]
    lines += [f"- Default: {_defaults(used, options)}"]
    if used:
        lines += [f"- Recipes: {_recipes(used)}"]
    if options:
        kinds_of = dict.fromkeys(kind for _, kind, _ in options)
        parts = [
            f"{kind} {', '.join(link(part, 'part', kind, part) for _, own, part in options if own == kind)}"
            for kind in kinds_of
        ]
        lines += [f"- An option of the parts {'; '.join(parts)}: of every recipe that is given one of them."]
    return [*lines, ""]


def _defaults(used: dict[str, Setting], options: Sequence[tuple[Setting, str, str]]) -> str:
    """Return the commonest default, and the recipes and parts that have others."""
    if not used:
        values = {one.shown for one, _, _ in options}
        if len(values) == 1:
            return f"{code(*values)}."
        return "; ".join(f"{code(one.shown)} of {link(part, 'part', kind, part)}" for one, kind, part in options) + "."
    count = Counter(one.shown for one in used.values())
    common = count.most_common(1)[0][0]
    others: dict[str, list[str]] = {}
    for name, one in used.items():
        if one.shown != common:
            others.setdefault(one.shown, []).append(name)
    rest = "; ".join(f"{code(value)} in {', '.join(_links(names))}" for value, names in others.items())
    return f"{code(common)}{f'; {rest}' if rest else ''}."


def _recipes(used: dict[str, Setting]) -> str:
    missing = [name for name in RECIPES.names if name not in used]
    if not missing:
        return "all."
    if len(missing) <= 12 and len(used) > len(missing):
        return f"all but {', '.join(_links(missing))}."
    return f"{', '.join(_links(used))}."


def _listed(names: Sequence[str], used: dict[str, Setting]) -> str:
    return ", ".join(_links(names)) if len(names) <= max(6, len(used) // 2) else "most recipes"


def _links(names: Sequence[str] | dict[str, Setting]) -> Iterator[str]:
    return (link(name, "recipe", name) for name in names)
