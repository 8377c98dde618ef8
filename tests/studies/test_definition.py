"""Studies as files: what is wrong in one is said with the file, the key and the near one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vaekit.errors import UserError
from vaekit.studies.definition import definition, known, names
from vaekit.studies.points import check_settings, fixed_points, slug, trials_of
from vaekit.studies.trial import check_metrics

GRID = "grid: {objective.beta: [1, 4]}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GRID + "metric: [elbo]\n", "there is no key 'metric'; did you mean 'metrics'?"),
        ("arms: {a: {recipes: vae}}\n", "there is no key 'arms.a.recipes'; did you mean 'recipe'?"),
        ("search: {space: {train.lr: {low: 1, hihg: 2}}}\n", "'search.space.train.lr.hihg'; did you mean 'high'?"),
        ("search: {space: {train.lr: {low: 2, high: 1}}}\n", "low must be below high"),
        ("search: {space: {train.lr: {low: 0, high: 1, log: true}}}\n", "a log range begins above 0"),
        ("search: {spaces: {}}\n", "there is no key 'search.spaces'; did you mean 'space'?"),
        ("search: {space: {train.lr: [1]}, goals: {kl: minimise}, prune: true}\n", "the only goal must be elbo"),
        ("question: why\n", "nothing varies"),
        (GRID + "search: {space: {train.lr: [1]}}\n", "not both"),
        (GRID + "seeds: 0\n", "seeds: "),
        (GRID + "seeds: [1, 1]\n", "repeat"),
        ("grid: {objective.beta: [1, 1]}\n", "the values of objective.beta repeat"),
        ("grid: {objective.beta: []}\n", "grid.objective.beta: "),
        ("arms: {a: {}}\nbaseline: b\n", "the baseline 'b' is none of the arms a"),
        ("- a\n", "a study is a mapping of keys"),
        ("grid: {a: [\n", "line 2: this is not YAML"),
    ],
)
def test_a_fault_is_said_with_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        definition(path)
    assert said in str(error.value) and str(path) in str(error.value)


def test_a_name_that_is_unknown_is_answered_with_the_near_one() -> None:
    with pytest.raises(UserError, match="there is no study 'betta'; did you mean 'beta'"):
        definition("betta")
    with pytest.raises(UserError, match=r"there is no file none\.yaml"):
        definition("none.yaml")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"grid": {"objective.betta": [1]}}, "did you mean 'objective.beta'"),
        ({"grid": {"objective.beta": ["x"]}}, "objective.beta='x' is not allowed"),
        ({"grid": {"beta": [1]}}, "the setting 'beta' has no section"),
        ({"arms": {"a": {"recipe": "vaee"}}}, "did you mean 'vae'"),
        ({"grid": {"train.seed": [1]}}, "sets train.seed"),
    ],
)
def test_settings_are_checked_before_anything_is_trained(values: dict[str, Any], said: str) -> None:
    made = definition({"name": "mine"} | values)
    with pytest.raises(UserError, match=said):
        check_settings(made, fixed_points(made))


def test_metrics_are_checked_before_anything_is_trained(tmp_path: Path) -> None:
    check_metrics(["elbo", "latents", "all"])
    with pytest.raises(UserError, match="did you mean 'elbo'"):
        check_metrics(["elbow"])
    own = tmp_path / "own.py"
    own.write_text("def sharp(trace): return trace.log_px\nnumber = 3\n", encoding="utf-8")
    check_metrics([f"{own}:sharp"])
    for name, said in (("blunt", "has no function blunt"), ("number", "has no function number")):
        with pytest.raises(UserError, match=said):
            check_metrics([f"{own}:{name}"])
    with pytest.raises(UserError, match="there is no file"):
        check_metrics([f"{tmp_path}/none.py:sharp"])


def test_a_file_of_metrics_lies_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GRID + "metrics: [elbo, own.py:sharp]\n", encoding="utf-8")
    assert definition(tmp_path / "mine.yaml").metrics == ["elbo", f"{tmp_path / 'own.py'}:sharp"]


def test_points_are_arms_and_grid_crossed_and_every_point_comes_before_a_second_seed() -> None:
    made = definition(
        {
            "name": "mine",
            "settings": {"model.latent": 3, "train.steps": 5},
            "arms": {"plain": {}, "an AE": {"recipe": "ae", "settings": {"model.latent": 4}}},
            "grid": {"objective.beta": [1, 2], "model.act": ["relu"]},
            "seeds": [3, 5],
        }
    )
    points = fixed_points(made)
    assert [(p.recipe, p.settings["model.latent"], p.settings["objective.beta"]) for p in points] == [
        *[("vae", 3, 1), ("vae", 3, 2), ("ae", 4, 1), ("ae", 4, 2)]
    ]
    assert [trial.seed for trial in trials_of(points, made.seeds)] == [3] * 4 + [5] * 4
    assert len({trial.name for trial in trials_of(points, made.seeds)}) == 8
    assert slug({"a.b": "x/../y", "arm": "/"}) == "b=x_.._y._".strip("_.") and "/" not in slug({"a.b": "x/y"})


def test_points_of_one_name_get_two_folders() -> None:
    made = definition({"name": "mine", "arms": {"a b": {}, "a/b": {}}})
    assert len({point.name for point in fixed_points(made)}) == 2


def test_random_points_are_the_same_each_time_and_in_the_space() -> None:
    space = {"train.lr": {"low": 1e-4, "high": 1e-1, "log": True}, "model.latent": {"low": 2, "high": 9, "whole": True}}
    made = definition({"name": "r", "search": {"space": space | {"model.act": ["relu", "silu"]}, "by": "random"}})
    points = fixed_points(made)
    assert points == fixed_points(made) and len(points) == 20
    assert all(1e-4 <= p.settings["train.lr"] <= 1e-1 for p in points)
    assert {type(p.settings["model.latent"]) for p in points} == {int}
    assert {p.settings["model.act"] for p in points} == {"relu", "silu"}
    assert len({p.settings["train.lr"] for p in points}) == 20


@pytest.mark.parametrize("name", names())
def test_every_built_in_study_is_sound(name: str) -> None:
    made = definition(name)
    assert made.name == name and known()[name].endswith("?")
    check_settings(made, fixed_points(made))
    check_metrics(made.metrics)
    assert made.numbers, "it says which numbers to show"
