"""What a user of vaekit can type and read: collected from the package, and compared with a list kept in surface.json.

`python tests/surface.py` writes the list again, which only a deliberate change of the surface calls for.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import io
import json
import pkgutil
import random
import shlex
import shutil
import sys
import tempfile
import typing
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

LIST = Path(__file__).with_name("surface.json")

# -- commands ---------------------------------------------------------------------------------------------------------


def command_module() -> Any:
    """Return the module that holds `app` and `run`."""
    try:
        return importlib.import_module("vaekit.commands.main")
    except ModuleNotFoundError:  # before the folder had this name
        return importlib.import_module("vaekit.cli.main")


def commands() -> dict[str, Any]:
    """Return every command's arguments: positional ones by place, options by their first name."""
    app = command_module().app
    return {
        name: {"help": bool(app[name].help), "arguments": arguments(app[name])}
        for name in app
        if not name.startswith("-")
    }


def arguments(command: Any) -> dict[str, Any]:
    """Return a command's arguments: names, type, default, choices, and whether they are required and explained."""
    out: dict[str, Any] = {}
    for argument in command.assemble_argument_collection(parse_docstring=True):
        if argument.children:
            continue  # a dataclass of options, which come one by one
        default = argument.field_info.default
        entry = {"type": type_name(argument.hint), "help": bool(argument.parameter.help)}
        if argument.index is None:
            entry["names"] = sorted(argument.names)
        if argument.required:
            entry["required"] = True
        elif default not in (inspect.Parameter.empty, None):
            entry["default"] = default
        if argument.get_choices():
            entry["choices"] = sorted(argument.get_choices())
        out[argument.names[0] if argument.index is None else str(argument.index)] = entry
    return out


def type_name(hint: Any) -> str:
    """Return what a person types for an argument.

    >>> type_name(list[str] | None), type_name(Path), type_name(bool), type_name(int | None)
    ('text, repeated', 'text', 'flag', 'whole')
    """
    origin, inner = typing.get_origin(hint), [a for a in typing.get_args(hint) if a not in (type(None), ...)]
    if origin is typing.Annotated:
        return type_name(inner[0])
    if origin is Literal:
        return "choice"
    if origin in (list, tuple):
        return f"{type_name(inner[0])}, repeated"
    if origin is not None:  # X | None
        return " or ".join(sorted({type_name(one) for one in inner}))
    return {bool: "flag", int: "whole", float: "number"}.get(hint, "text")


# -- Python -----------------------------------------------------------------------------------------------------------


def python() -> dict[str, Any]:
    """Return the public names of the package and of `Run`, with the parameters of functions that go by name."""
    import vaekit

    functions = {name: parameters(getattr(vaekit, name)) for name in ("train", "load")}
    methods = {
        name: parameters(value) if inspect.isfunction(value) else "attribute"
        for name, value in inspect.getmembers(vaekit.Run)
        if not name.startswith("_")
    }
    return {"names": dir(vaekit), "functions": functions, "Run": methods}


def parameters(function: Any) -> dict[str, str]:
    """Return the parameters of a function that go by name, with their defaults."""
    return {
        name: "" if one.default is one.empty else repr(one.default)
        for name, one in inspect.signature(function).parameters.items()
        if one.kind is one.KEYWORD_ONLY
    } | dict.fromkeys(typed_keywords(function), ANY)


ANY = "any"
"""The default of a keyword that a TypedDict types: leaving it out is what it always was."""


def typed_keywords(function: Any) -> list[str]:
    """Return the names in the TypedDict that types a function's `**options`; none without one."""
    for one in inspect.signature(function).parameters.values():
        if one.kind is one.VAR_KEYWORD and str(one.annotation).startswith("Unpack["):
            kind = eval(str(one.annotation), function.__globals__)
            return list(typing.get_type_hints(typing.get_args(kind)[0]))
    return []


# -- parts and settings -----------------------------------------------------------------------------------------------


@cache
def registries() -> dict[str, Any]:
    """Return every registry of the package by the kind of its parts, wherever it lives."""
    import vaekit
    from vaekit.registry import Registry

    for module in pkgutil.walk_packages(vaekit.__path__, "vaekit."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    values = [
        value for name, module in [*sys.modules.items()] if name.startswith("vaekit") for value in vars(module).values()
    ]
    return {value.kind: value for value in values if isinstance(value, Registry)}


def parts() -> dict[str, list[str]]:
    """Return the names of all registered parts by kind."""
    return {kind: registry.names for kind, registry in registries().items()}


def metrics() -> dict[str, Any]:
    """Return each metric's group and the numbers it gives."""
    return {
        entry.name: {"group": entry.facts["group"], "slow": entry.facts["slow"], "gives": sorted(entry.facts["gives"])}
        for entry in registries()["metric"]
    }


def settings() -> dict[str, dict[str, Any]]:
    """Return every recipe's settings with their defaults, as section.name; "*" are those that most recipes have."""
    recipes = {entry.name: shown(entry.part.settings({})) for entry in registries()["recipe"]}
    names = set.intersection(*[set(one) for one in recipes.values()])
    values = {name: [one[name] for one in recipes.values()] for name in names}
    common = {name: max(some, key=some.count) for name, some in values.items()}
    return {"*": common} | {
        recipe: {name: value for name, value in one.items() if name not in common or value != common[name]}
        for recipe, one in recipes.items()
    }


def shown(values: Any) -> dict[str, Any]:
    """Return checked settings as one dict of section.name."""
    plain = values.model_dump(mode="json")
    return {f"{section}.{name}": value for section, group in plain.items() for name, value in group.items()}


# Settings that a recipe had and of which it refused every value.
_SEQUENCES = {"model.channels", "model.hidden", "model.scale"}
REFUSED = {
    **dict.fromkeys(("molecule-vae", "music-vae", "sequence-vae"), _SEQUENCES),
    "graph-vae": {"model.channels", "model.scale"},
    "very-deep-vae": {"model.channels", "model.hidden"},
}


def settings_lost(recipe: str, listed: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings of `listed` that the recipe no longer takes, or takes with another default.

    A setting that belongs to a part may want that part to be chosen.
    """
    from vaekit.errors import UserError

    found = registries()
    part = found["recipe"][recipe].part
    now = shown(part.settings({}))
    choices = [
        {kind: name}
        for kind, registry in (
            ("prior", "prior"),
            ("posterior", "posterior"),
            ("likelihood", "likelihood"),
            ("net", "network"),
        )
        for name in found[registry].names
    ]

    def taken(name: str, value: Any, chosen: Mapping[str, str]) -> bool:
        section, _, field = name.partition(".")
        try:
            if value is None:  # left to the part: it is enough that there is such a setting
                return name in shown(part.settings({"model": chosen}))
            return (
                shown(
                    part.settings(
                        {section: {field: value}} if section != "model" else {"model": {**chosen, field: value}}
                    )
                )[name]
                == value
            )
        except UserError:
            return False

    for name, default in listed.items():
        if name in now:
            if now[name] != default:
                yield f"{recipe}: {name} was {default!r}, is {now[name]!r}"
        elif name not in REFUSED.get(recipe, ()) and not any(taken(name, default, chosen) for chosen in choices):
            yield f"{recipe}: {name} is no longer a setting"


# -- what commands print and write ------------------------------------------------------------------------------------

USES: dict[str, list[str]] = {
    "lists": ["recipes --json", "datasets --json", "show vae --json", "show sequence-vae --json"],
    "vae": [
        "train vae --steps 2 --set model.hidden=16 --set model.latent=3 --out run --json",
        "evaluate run --limit 40 --k 4 --json",
        "report run",
        "sample run -n 4 --out a.png",
        "sample run -n 4 --draw --out a.npz",
        "sample run -n 4 --from aggregate --components 2 --out b.npz",
        "encode run --out c.npz",
        "encode run --data other.npy --out d.csv",
        "reconstruct run -n 4 --out e.npz",
        "reconstruct run -n 4 --out f.png",
        "interpolate run -n 2 --steps 3 --out g.npz",
        "interpolate run --examples 1,2 --kind spherical --out h.png",
        "traverse run --steps 3 --top 2 --out i.npz",
        "manifold run --size 3 --out j.npz",
        "arithmetic run --examples 0,1,2 --out k.npz",
        "arithmetic run --examples 0,1 --attribute 3 --amounts 0,1 --out l.npz",
    ],
    "tasks": [
        "train vae --steps 2 --set model.hidden=16 --set model.latent=3 --no-figures --out run --json",
        "detect run --limit 20 --k 4 --out a.csv --json",
        "detect run --score reconstruction --anomalous 3,7 --out b.npz --json",
        "detect run --score distance --against other.npy --out c.csv --json",
        "impute run --data gaps.npy --k 5 --draws 2 --out d.npz --json",
        "impute run --data gaps.npy --method gibbs --k 5 --out e.npy --json",
        "augment run -n 5 --out f.npz --json",
        "augment run --method class -n 5 --out g.npz --json",
        "augment run --method interpolate -n 5 --out h.npz --json",
        "augment run --method adversarial -n 5 --out i.npz --json",
        "cluster run --k 2 --bootstraps 2 --out j.csv --json",
        "cluster run --kind kmeans --k 2 --bootstraps 2 --out k.npz --json",
        "classify run --labels 20 --out l.csv --json",
        "classify run --labels 20 --data other.npy --out m.npz --json",
    ],
    "cvae": [
        "train cvae --steps 2 --set model.hidden=16 --set model.latent=3 --no-figures --out run --json",
        "evaluate run --limit 40 --k 4 --json",
        "sample run -n 4 --label 3 --out a.npz",
        "manifold run --size 3 --label 1 --out b.npz",
        "detect run --limit 10 --k 4 --out c.csv --json",
        "train ae --steps 2 --set model.hidden=16 --no-figures --out ae --json",
        "evaluate ae --metrics likelihood,reconstruction --k 4 --json",
        "report run ae --out both.html",
    ],
    "labels": [
        "train semi-supervised-vae --steps 2 --no-figures --out run --json",
        "evaluate run --metrics likelihood,classification,latents --limit 40 --k 4 --json",
        "sample run -n 2 --label 3 --out a.npz",
    ],
    "factors": [
        "train vae --data sprites --set data.limit=2000 --steps 1 --set model.hidden=8 --no-figures --out run --json",
        "evaluate run --metrics disentanglement --limit 200 --json",
    ],
    "levels": [
        "train vae --steps 2 --set model.hidden=16 --set data.binarise=none"
        " --set model.likelihood=discretised-logistic --no-figures --out run --json",
        "compress run few.npy a.vae --json",
        "decompress run a.vae b.npz --json",
        "train vq-vae --steps 2 --set model.prior_width=8 --set model.prior_layers=1 --no-figures --out codes --json",
        "evaluate codes --metrics likelihood,latents --limit 20 --k 2 --json",
        "encode codes --out c.npz",
    ],
    "export": [
        "train vae --steps 1 --set model.hidden=8 --set model.latent=2 --no-figures --out run",
        "export run --out a.zip --json",
        "export run --format torch --out b.pt2 --json",
    ],
    "table": [
        "train tabular-vae --data table.csv --steps 2 --set model.hidden=16 --no-figures --out run --json",
        "evaluate run --limit 20 --k 4 --json",
        "impute run --data table.csv --k 5 --out a.csv --json",
        "impute run --data table.csv --k 5 --draws 2 --multiple --out b.csv --json",
        "detect run --limit 10 --k 4 --out c.csv --json",
        "encode run --out d.csv",
        "sample run -n 4 --out e.csv",
        "reconstruct run -n 4 --out f.csv",
        "augment run -n 4 --out g.csv --json",
        "cluster run --k 2 --bootstraps 2 --out h.csv --json",
    ],
    "molecules": [
        "train molecule-vae --data molecules.smi --steps 2 --set data.property=logp --set model.width=16"
        " --set model.embedding=8 --set model.latent=3 --no-figures --out run --json",
        "evaluate run --limit 10 --k 2 --json",
        "optimise run -n 3 --steps 2 --out a.csv --json",
        "optimise run -n 3 --steps 2 --minimise --out b.npz --json",
        "sample run -n 4 --out c.smi",
        "reconstruct run -n 4 --out d.csv",
    ],
    "text": [
        "train sequence-vae --data lines.txt --steps 2 --set data.unit=words --set model.width=16"
        " --set model.embedding=8 --set model.latent=3 --no-figures --out run --json",
        "evaluate run --limit 10 --k 2 --json",
        "sample run -n 4 --greedy --out a.txt",
        "sample run -n 4 --top-p 0.9 --token-temperature 0.7 --out b.npz",
        "reconstruct run -n 4 --out c.txt",
        "interpolate run -n 2 --steps 3 --out d.txt",
        "encode run --data lines.txt --out e.npz",
    ],
    "graphs": [
        "train graph-vae --data graphs.npz --steps 2 --no-figures --out run --json",
        "evaluate run --limit 6 --k 2 --json",
        "sample run -n 4 --out a.npz",
        "encode run --out b.npz",
    ],
    "music": [
        "train music-vae --data tunes --steps 2 --set model.width=16 --set model.embedding=8 --set model.conductor=8"
        " --set model.latent=3 --set data.bars=1 --no-figures --out run --json",
        "evaluate run --limit 4 --k 2 --json",
        "sample run -n 2 --out a.mid",
        "reconstruct run -n 2 --out b.txt",
    ],
    "sound": [
        "train vae --data sounds --set data.seconds=0.1 --set data.mels=8 --set data.frames=8"
        " --set model.hidden=8 --steps 2 --no-figures --out run --json",
        "evaluate run --metrics likelihood --k 2 --json",
        "sample run -n 1 --out a.wav",
    ],
    "faults": [
        "train vae --lr 1e30 --steps 50 --set train.max_bad_steps=3 --no-figures --out bad",  # failed: 1
        "train no-such-recipe --out r",
        "train vae --data no-such-data --out r",
        "train vae --set model.nothing=1 --out r",
        "train vae --set model.latent=many --out r",
        "train vae --steps 2.5 --out r",
        "train vae --no-such-option --out r",
        "train --resume --out nowhere",
        "evaluate nowhere",
        "sample nowhere",
        "show no-such-recipe",
        "no-such-command",
        "--version",
        "--help",
        "train --help",
    ],
}

# Minutes of tests, not seconds.
SLOW: dict[str, list[str]] = {
    "gaps": [
        "train vae --steps 1 --set model.hidden=8 --set model.latent=2 --no-figures --out run",
        "evaluate run --metrics ais,gaps --limit 2 --k 2 --json",
    ],
}

PACKAGES = {
    "lists": ["music21", "rdkit"],
    "molecules": ["rdkit", "selfies"],
    "music": ["music21"],
    "levels": ["constriction"],
    "export": ["onnx", "onnxscript"],
}


def inputs(folder: Path) -> None:
    """Write the data that the uses read into `folder`."""
    import wave

    import numpy as np

    from recipes import examples

    rng = np.random.default_rng(0)
    greys = rng.integers(0, 17, (20, 8, 8)).astype(np.uint8)
    gaps = (greys > 8).astype(np.float32)
    gaps[:, 4:] = np.nan
    np.save(folder / "other.npy", greys)
    np.save(folder / "few.npy", greys[:3])
    np.save(folder / "gaps.npy", gaps)
    for name, source in (
        ("lines.txt", examples.lines()),
        ("molecules.smi", examples.smiles()),
        ("table.csv", examples.table()),
        ("graphs.npz", examples.communities()),
    ):
        shutil.copy(source, folder / name)
    shutil.copytree(examples.tunes(), folder / "tunes")
    (folder / "sounds").mkdir()
    for i in range(20):
        with wave.open(str(folder / "sounds" / f"{i % 10}_anna_{i}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            tone = 8000 * np.sin(np.arange(2000) * (0.1 + 0.05 * (i % 10)))
            file.writeframes(tone.astype("<i2").tobytes())


def use(lines: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run commands one after another in `folder`; return each one's exit code, JSON and files written."""
    found: dict[str, Any] = {}
    inputs(folder)
    with contextlib.chdir(folder):
        for line in lines:
            before = stamps(folder)
            code, out = command(shlex.split(line))
            entry: dict[str, Any] = {"code": code}
            if "--json" in line and code == 0:
                entry["json"] = shape(json.loads(out.splitlines()[-1]))
            wrote = {
                path: contents(folder / path) for path, stamp in stamps(folder).items() if before.get(path) != stamp
            }
            if wrote:
                entry["wrote"] = wrote
            found[line] = entry
    return found


def command(words: list[str]) -> tuple[Any, str]:
    """Run one command in this process and return its exit code and standard output."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            command_module().run(words)
        except SystemExit as end:
            return end.code or 0, out.getvalue()
    raise AssertionError("a command ends with an exit code")


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Return when each file was last written, and which it is: a file that is written anew is another."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def contents(path: Path) -> Any:
    """Return the form of what a file holds: arrays of an NPZ, columns of a CSV, keys of JSON; else "file"."""
    import numpy as np

    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: f"{arrays[name].dtype.kind}, {arrays[name].ndim} axes" for name in arrays.files}
    if path.suffix == ".npy":
        array = np.load(path)
        return f"{array.dtype.kind}, {array.ndim} axes"
    if path.suffix == ".csv":
        return path.read_text().splitlines()[0].split(",")
    if path.suffix == ".json":
        return shape(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return shape([json.loads(line) for line in path.read_text().splitlines()])
    return "file"


def shape(value: Any) -> Any:
    """Return the keys and types of a JSON value; the items of a list are taken together.

    >>> shape({"a": 1, "b": [{"c": None}, {"c": "x", "d": True}]})
    {'a': 'number', 'b': [{'c': 'null or text', 'd': 'flag'}]}
    """
    if isinstance(value, Mapping):
        # Which settings a run has is in the list of recipes.
        run = isinstance(value.get("settings"), dict) and isinstance(value["settings"]["model"], dict)
        return {key: "sections" if run and key == "settings" else shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        merged: Any = None
        for item in value:
            merged = shape(item) if merged is None else merge(merged, shape(item))
        return [] if merged is None else [merged]
    return {bool: "flag", int: "number", float: "number", str: "text", type(None): "null"}[type(value)]


def merge(a: Any, b: Any) -> Any:
    """Return the form that covers both."""
    if isinstance(a, dict) and isinstance(b, dict):
        return {key: merge(a[key], b[key]) if key in a and key in b else (a | b)[key] for key in [*a, *b]}
    if isinstance(a, list) and isinstance(b, list):
        return [merge(a[0], b[0])] if a and b else a or b
    if isinstance(a, str) and isinstance(b, str):
        return " or ".join(sorted({*a.split(" or "), *b.split(" or ")}))
    return "null" if a == b else b if a == "null" else a


# -- the list, and what is missing of it ------------------------------------------------------------------------------


def collected(slow: bool = True) -> dict[str, Any]:
    """Return the whole surface."""
    uses: dict[str, Any] = {}
    for name, lines in {**USES, **(SLOW if slow else {})}.items():
        with tempfile.TemporaryDirectory() as folder:
            uses[name] = use(lines, Path(folder).resolve())
    return {
        "commands": commands(),
        "python": python(),
        "parts": parts(),
        "metrics": metrics(),
        "settings": settings(),
        "uses": uses,
    }


def missing(listed: Any, now: Any, where: str = "") -> Iterator[str]:
    """Yield what of `listed` is absent from `now` or is something else there; what `now` has beyond it is welcome.

    >>> list(missing({"a": "number", "b": ["x"]}, {"a": "text", "b": ["y", "x"], "c": 1}))
    ["a: was 'number', is 'text'"]
    >>> list(missing({"a": {"b": 1}}, {"a": {}}))
    ['a / b: is missing']
    """
    place = where or "the surface"
    if isinstance(listed, dict) and isinstance(now, dict):
        for key, value in listed.items():
            inner = f"{where} / {key}" if where else key
            if key in now:
                yield from missing(value, now[key], inner)
            else:
                yield f"{inner}: is missing"
    elif isinstance(listed, list) and isinstance(now, list):
        if len(listed) == 1 and len(now) < 2:  # the form of a list's items, or no items
            yield from (difference for one in now for difference in missing(listed[0], one, f"{place} []"))
        else:
            yield from (f"{place}: lacks {one!r}" for one in listed if one not in now)
    elif isinstance(listed, str) and isinstance(now, str):  # "null or number" may have become "number"
        if now != ANY and listed != "null" and not {*now.split(" or ")} <= {*listed.split(" or ")}:
            yield f"{place}: was {listed!r}, is {now!r}"
    elif listed not in (now, "null"):
        yield f"{place}: was {listed!r}, is {now!r}"


def read() -> dict[str, Any]:
    """Return the list, with every name of a form replaced by the form."""
    listed = json.loads(LIST.read_text(encoding="utf-8"))
    forms = listed.pop("forms")

    def full(value: Any) -> Any:
        if isinstance(value, str) and value.startswith("="):
            return full(forms[value])
        if isinstance(value, dict):
            return {key: full(inner) for key, inner in value.items()}
        return [full(one) for one in value] if isinstance(value, list) else value

    return full(listed)


def write(surface: Mapping[str, Any]) -> None:
    """Write the list, one line for each entry of the second level; forms that come twice are written once, by name."""
    text = json.dumps(surface, sort_keys=True)
    forms: dict[str, Any] = {}

    def short(value: Any) -> Any:
        if not isinstance(value, dict | list):
            return value
        whole = json.dumps(value, sort_keys=True)
        inner = {key: short(one) for key, one in value.items()} if isinstance(value, dict) else [*map(short, value)]
        if len(whole) < 40 or text.count(whole) < 2:
            return inner
        name = f"={hashlib.sha256(whole.encode()).hexdigest()[:6]}"
        forms[name] = inner
        return name

    sections = []
    for title, entries in [*short(dict(sorted(surface.items()))).items(), ("forms", dict(sorted(forms.items())))]:
        lines = [
            f"{json.dumps(key)}: {json.dumps(value, sort_keys=True, ensure_ascii=False)}"
            for key, value in entries.items()
        ]
        sections.append(f"{json.dumps(title)}: {{\n" + ",\n".join(lines) + "\n}")
    LIST.write_text("{\n" + ",\n".join(sections) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    random.seed(0)
    write(collected())
