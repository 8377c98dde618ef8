"""What a person reads on the terminal: within its width, in groups, the headline first, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from commands.conftest import Command
from vaekit.commands.main import _COMMANDS, app
from vaekit.recipes import catalogue
from vaekit.recipes.base import RECIPES

EXAMPLES = [(name, line) for rows in _COMMANDS.values() for name, _, _, lines in rows for line in lines]


@pytest.mark.parametrize(("name", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_every_example_is_a_command_that_is_understood(name: str, line: str) -> None:
    words = line.split()
    assert words[0] == name
    _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    assert bound.arguments or len(words) == 1


@pytest.mark.parametrize("width", [60, 80, 100])
def test_help_and_lists_keep_within_the_width(vaekit: Command, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(app, "console", Console())  # of this width, whichever another test left
    for words in (["--help"], ["train", "--help"], ["evaluate", "--help"], ["recipes"], ["datasets"], ["show", "vae"]):
        said = vaekit(*words).out
        body = said.split("\nExamples\n")[0]  # commands are not broken
        assert max(map(len, body.splitlines())) <= width, (words, max(body.splitlines(), key=len))
        assert "object at 0x" not in said
    assert "Examples\n  vaekit train vae --data mnist" in vaekit("train", "--help").out


def test_recipes_are_listed_by_family_and_each_once(vaekit: Command) -> None:
    said = vaekit("recipes").out
    names = re.findall(r"^  ([a-z0-9-]+) ", said, re.MULTILINE)
    assert sorted(names) == sorted(RECIPES.names)
    assert set(catalogue.families()) <= set(said.splitlines()) and "More" not in said.splitlines()


def test_the_end_of_training_says_what_came_out_and_what_to_do_next(
    vaekit: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaekit.runs.figures.MAKERS", {})
    done = vaekit("train", "vae", "--steps", 30, "--out", "run", "--set", "model.hidden=16")
    assert done.out == "run\n"
    *_, headline, verdict, report, first, second, third = done.err.splitlines()
    assert headline.startswith("held-out ELBO ") and "independent pixels" in verdict
    assert report.split() == ["report", "run/report.html"] and (here / "run" / "report.html").is_file()
    assert first.split() == ["next", "vaekit", "evaluate", "run"]
    assert [second.split()[1], third.split()[1]] == ["explore", "sample"]
    for line in (first.removeprefix("next"), second, third):
        app.parse_args(line.split()[1:], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("width", [80, 160])
def test_an_evaluation_is_in_groups_with_the_headline_first(
    vaekit: Command, copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    said = vaekit("evaluate", copied("vae"), "--metrics", "likelihood,mse,fid,coverage", "--k", 5).out
    lines = said.splitlines()
    assert max(map(len, lines)) <= width
    titles = [line for line in lines if not line.startswith((" ", "[", "↑"))]
    assert titles == ["Headline", "Likelihood", "Reconstruction", "Samples"][: len(titles)] or titles[0] == "Headline"
    first = lines[1]
    assert first.startswith("  ELBO ↑") and re.search(r"−\d+\.\d+ ± 0\.\d\d", first)
    assert any(line.startswith("  Reconstruction error (MSE) ↓") for line in lines)
    assert said.count("features: classifier") == 1, "what several numbers share is said once"


def test_completion_knows_commands_and_options(vaekit: Command) -> None:
    script = app.generate_completion(shell="bash")
    assert "--install-completion" in vaekit("--help").out
    assert "interpolate" in script and "--batch-size" in script
