"""Parts own their options: each can be set where its part can be chosen, and nowhere else."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.recipes.base import RECIPES
from vaekit.recipes.catalogue import KINDS, parts
from vaekit.recipes.parts import likelihood_name
from vaekit.recipes.settings import PARTS, choices
from vaekit.registry import Entry, Option, Registry

OPTIONS = [
    pytest.param(registry, entry, name, id=f"{entry.name}-{name}")
    for registry in PARTS
    for entry in registry
    for name in entry.options
]
each_option = pytest.mark.parametrize(("registry", "entry", "name"), OPTIONS)


RECORDED: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("recorded.json").read_text(encoding="utf-8"))


TABLES = ("latent", "prior", "prior_components", "prior_width", "prior_layers", "hide", "straight")
CHANGED = {"two-stage-vae": ("likelihood", "scale"), "tabular-vae": TABLES, "tabular-cvae": TABLES}
"""Settings of the model whose defaults are others than they were when recorded.json was made."""


def other(option: Option) -> Any:
    """Return a value that is not the option's default, by its type."""
    default = option.default
    literal = [value for kind in flat(option.type) if get_origin(kind) is Literal for value in get_args(kind)]
    if literal:
        return next(value for value in sorted(literal) if value != default)
    if isinstance(default, bool):
        return not default
    if isinstance(default, str):
        return 0.7 if default.startswith("linear") else "tanh"
    return (4, 3) if default is None else 2 * default if isinstance(default, int) else 0.25 if default == 0.5 else 0.5


def flat(kind: Any) -> list[Any]:
    return [kind, *(inner for one in get_args(kind) if not isinstance(one, str) for inner in flat(one))]


def info(recipe: Any, wants: str) -> DataInfo:
    """Return small data that a recipe takes, of the kind that a likelihood wants."""
    if recipe.takes == "tables":
        columns = [{"type": "numeric", "sd": 1.0}, {"type": "count", "mean": 3.0}]
        return DataInfo("t", (2,), "table", None, 9, 1, 1, modality="tables", facts={"columns": columns})
    if recipe.takes == "series":
        facts = {"values": "real", "channels": ["a"], "lengths": [[8, 9]], "mean": [0.0], "sd": [1.0]}
        return DataInfo("s", (1, 8), "series", None, 9, 1, 1, modality="series", facts=facts)
    if recipe.takes == "views":
        views = [{"name": name, "kind": "numbers", "shape": [3], "mean": [0.0] * 3, "sd": [1.0] * 3} for name in "ab"]
        return DataInfo("v", (6,), "views", None, 9, 1, 1, modality="views", facts={"views": views})
    kind: Any = "binary" if wants == "any" else wants
    return DataInfo("these", (1, 8, 8), kind, 17 if kind == "levels" else None, 9, 1, 1, tuple("01"))


OF_A_PAIR = {"numbers or zeros"}
"""Spaces of latents that a prior shares with the posterior of its own name alone."""


@each_option
def test_an_option_reaches_its_part_from_a_recipe(
    registry: Registry[Any], entry: Entry[Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set as `--set model.NAME` sets it, it arrives at the part's constructor."""
    value, part, given = other(entry.options[name]), entry.part, {}
    made = part.__init__

    @functools.wraps(made)
    def spy(self: Any, *args: Any, **more: Any) -> None:
        given.update(more)
        made(self, *args, **more)

    monkeypatch.setattr(part, "__init__", spy)
    tried: list[str] = []
    for recipe in (one.part for one in RECIPES if one.part.takes in ("array", "tables", "views", "series")):
        for setting, choice in choices(recipe.sections[0]).items():
            if choice.registry is not registry or entry.name not in choice.names:
                continue
            given.clear()
            pair = {"posterior": entry.name} if entry.part.__dict__.get("space") in OF_A_PAIR else {}
            try:
                settings = recipe.settings({"model": pair | {setting: entry.name, name: value}})
                recipe.build(settings, info(recipe, getattr(part, "wants", "any")))
            except UserError as error:  # parts that do not go together, e.g. codes and a normal prior
                tried.append(f"{recipe.name}: {error}")
                continue
            if name in given and given[name] == getattr(settings.model, name) != entry.options[name].default:
                return
            tried.append(f"{recipe.name}: not handed on")
    pytest.fail(f"model.{name} of {entry.name} can be set with no recipe: {tried}")


@each_option
def test_an_option_without_its_part_is_refused(registry: Registry[Any], entry: Entry[Any], name: str) -> None:
    recipe = RECIPES["vae"].part
    setting = next(one for one, choice in choices(recipe.sections[0]).items() if choice.registry is registry)
    if name in recipe.sections[0].model_fields:
        pytest.skip("a setting of every model")
    able = [one.name for one in registry if name in one.options and "of" not in one.facts]
    without = next(one.name for one in registry if name not in one.options and "of" not in one.facts)
    with pytest.raises(UserError) as refusal:
        recipe.settings({"model": {setting: without, name: other(entry.options[name])}})
    for word in (f"model.{name} is an option of the", *able, f"not of {without}; set model.{setting}"):
        assert word in str(refusal.value) or not able
    if not able:
        assert f"there is no setting 'model.{name}'" in str(refusal.value)


def test_an_option_belongs_to_one_kind_of_part_and_is_described() -> None:
    owners: dict[str, set[str]] = {}
    for registry in PARTS:
        for entry in registry:
            for name, option in entry.options.items():
                owners.setdefault(name, set()).add(registry.kind)
                assert option.description
    assert all(len(kinds) == 1 for kinds in owners.values()), owners


@pytest.mark.parametrize("name", RECIPES.names)
def test_a_recipe_s_defaults_are_settings_of_it_or_of_a_part(name: str) -> None:
    recipe = RECIPES[name].part
    own, _ = recipe.sections
    options = {option for registry in PARTS for entry in registry for option in entry.options}
    assert recipe.defaults.get("model", {}).keys() <= own.model_fields.keys() | options
    settings = recipe.settings()
    for section, values in recipe.defaults.items():
        for key, value in values.items():
            if key in type(getattr(settings, section)).model_fields:
                assert getattr(getattr(settings, section), key) == value


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"components": 3},
            "model.components is an option of the priors gaussian-mixture and vamp, not of",
        ),
        ({"componets": 3}, "there is no setting 'model.componets'; did you mean 'model.components'"),
        ({"prior": "vamp", "components": "x"}, "model.components='x' is not allowed: input should be a valid integer"),
        ({"prior": "vamp", "components": 0}, "model.components=0 is not allowed: input should be greater than 0"),
        ({"prior": "vanp"}, "model.prior=vanp: there is no prior 'vanp'; did you mean 'vamp'"),
        ({"likelihood": "gaussian", "scale": -1}, "model.scale=-1 is not allowed"),
        ({"likelihood": "mixed"}, "model.likelihood=mixed: it is a likelihood of tables"),
        ({"net": "linear", "hidden": 8}, "model.hidden is an option of the networks auto, conv, mlp and resnet"),
    ],
)
def test_what_is_refused_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as refusal:
        RECIPES["vae"].part.settings({"model": given})
    assert words in str(refusal.value)


def test_a_recipe_that_does_not_let_a_part_be_chosen_has_none_of_its_options() -> None:
    for name, option in (("hierarchical-vae", "components"), ("sequence-vae", "channels"), ("graph-vae", "scale")):
        with pytest.raises(UserError, match=rf"there is no setting 'model\.{option}'"):
            RECIPES[name].part.settings({"model": {option: 3}})


def test_what_was_recorded_with_a_run_that_had_no_use_for_it_is_dropped() -> None:
    recipe = RECIPES["vamp-vae"].part
    old = {"model": {"prior": "standard-normal", "components": 200, "likelihood": "bernoulli", "scale": None}}
    assert not hasattr(recipe.settings(under=old).model, "components")
    assert not hasattr(recipe.settings(under=old).model, "scale")
    with pytest.raises(UserError, match=r"model\.components is an option of"):
        recipe.settings({"model": {"components": 200}}, under=old)
    with pytest.raises(UserError, match=r"there is no setting 'model\.componets'"):
        recipe.settings(under={"model": {"componets": 200}})


@pytest.mark.parametrize("name", RECORDED)
def test_what_runs_recorded_before_parts_owned_their_options_is_read(name: str) -> None:
    """recorded.json holds each recipe's model section as runs of commit 5139d38 recorded it."""
    recipe = RECIPES[name].part
    read = recipe.settings(under={"model": RECORDED[name]}).model.model_dump(mode="json")
    now = recipe.settings().model.model_dump(mode="json")
    assert {key: read.get(key) for key in now if key not in CHANGED.get(name, ())} == {
        key: now[key] for key in now if key not in CHANGED.get(name, ())
    }
    assert {key: read[key] for key in read if key in RECORDED[name]} == {
        key: value for key, value in RECORDED[name].items() if key in read
    }
    # settings that came later, at defaults that leave such runs as they were
    assert {key for key in read if key not in RECORDED[name]} <= {"dispersion", "drop_condition", "hide", "straight"}
    assert read.get("drop_condition", 0) == read.get("hide", 0) == read.get("straight", 0) == 0


def test_a_run_recorded_before_sigma_had_a_rate_of_its_own_goes_on_at_its_old_one() -> None:
    recipe = RECIPES["vae"].part
    new = recipe.settings()
    old = new.model_dump(mode="json")
    del old["train"]["lr_sigma_factor"]
    assert (new.train.lr_sigma_factor, recipe.settings(under=old).train.lr_sigma_factor) == (5.0, 1.0)
    assert recipe.settings(under=new.model_dump(mode="json")).train == new.train
    assert recipe.settings(under={"model": old["model"]}).train == new.train  # of a run that another starts from


def test_small_greys_stay_greys_for_few_labels_alone() -> None:
    def chosen(name: str, *shape: int) -> str:
        model = RECIPES[name].part.settings().model
        return likelihood_name(model, DataInfo("these", shape, "levels", 17, 9, 1, 1, tuple("01")))

    shapes = ((1, 8, 8), (1, 28, 28), (3, 8, 8))
    assert [chosen("vae", *shape) for shape in shapes] == ["bernoulli", "bernoulli", "discretised-logistic"]
    assert [chosen("semi-supervised-vae", *s) for s in shapes] == ["gaussian", "bernoulli", "discretised-logistic"]
    # a run that was recorded has its likelihood by name
    recorded = RECIPES["semi-supervised-vae"].part.settings(under={"model": {"likelihood": "bernoulli"}})
    assert recorded.model.likelihood == "bernoulli"


def test_an_option_at_none_is_left_to_its_part() -> None:
    recipe = RECIPES["vae"].part
    assert recipe.settings({"model": {"scale": None, "likelihood": "gaussian"}}).model.scale == "shared"
    assert not hasattr(recipe.settings({"model": {"scale": None, "likelihood": "bernoulli"}}).model, "scale")


def test_every_kind_is_listed_with_what_each_part_is_and_takes() -> None:
    listed = parts()
    assert listed.keys() == KINDS.keys() == {"prior", "posterior", "likelihood", "network", "objective", "metric"}
    for kind, entries in listed.items():
        assert entries.keys() == set(KINDS[kind].names)
        for entry in entries.values():
            assert entry["summary"]
    assert listed["prior"]["gaussian-mixture"]["options"] == [
        {"name": "components", "type": "int", "default": 10, "description": "components of the mixture"}
    ]
    assert {"name": "pos_weight", "type": "float | balanced", "default": 1.0, "description": ""} in listed["objective"][
        "edge-reconstruction"
    ]["options"]
