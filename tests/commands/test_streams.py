"""What is printed on any console, into closed streams, of names in any encoding; and memory that runs out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import vaekit
from vaekit.commands.main import outcome
from vaekit.errors import OutOfMemory, UserError
from vaekit.recipes.settings import parse_assignments
from vaekit.tasks.grey_levels import to_levels

UNIX = pytest.mark.skipif(os.name != "posix", reason="closed descriptors, limits and names of bytes are Unix's")


def command(arguments: str, redirect: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    line = f"exec {sys.executable} -m vaekit {arguments} {redirect}"
    return subprocess.run(["sh", "-c", line], capture_output=True, env=os.environ | environment, check=False)


@UNIX
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_lists_are_printed_on_consoles_of_few_letters(encoding: str) -> None:
    made = command("recipes", PYTHONIOENCODING=encoding)
    assert made.returncode == 0, made.stderr
    assert b"beta" in made.stdout and b"Traceback" not in made.stderr


def test_json_keeps_every_letter_on_a_console_of_few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from vaekit.commands.output import print_json

    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        print_json({"name": "β-VAE \udcff"})
    assert json.loads((tmp_path / "out").read_text()) == {"name": "β-VAE \udcff"}


@UNIX
@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_end_nothing(redirect: str) -> None:
    assert command("datasets", redirect).returncode == 0


@UNIX
def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.npy")
    try:
        np.save(name, np.random.default_rng(0).normal(size=(40, 3)))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    run = vaekit.train("vae", name, steps=2, out=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["data"]["source"] == name
    assert run.test.x.shape[1:] == (3,)
    assert vaekit.load(tmp_path / "run").record["data"]["source"] == name
    from vaekit.data.csv_files import write_csv

    write_csv(tmp_path / "a.csv", ["file"], [[Path(name).name]])
    assert b"caf\xe9.npy" in (tmp_path / "a.csv").read_bytes()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, text) for text in ("yes", "no", "off", "1_0", "010", "1:30", "0x1f", "2024-01-31", "512,256")),
        *(("true", True), ("null", None), ("4", 4), ("-0.5", -0.5), ("1e-3", 0.001), ("'4'", "4")),
        *(("[1, 2]", [1, 2]), ("{a: 1}", {"a": 1})),
    ],
)
def test_settings_are_read_as_they_are_written(text: str, value: Any) -> None:
    assert parse_assignments([f"data.x={text}"]) == {"data": {"x": value}}


def test_a_setting_of_words_gets_the_word() -> None:
    from vaekit.recipes.base import RECIPES

    recipe = RECIPES["vae"].part
    for text, wanted in (("yes", "yes"), ("no", "no"), ("true", "yes"), ("false", "no")):
        assert recipe.settings(parse_assignments([f"data.stream={text}"])).data.stream == wanted
    for text in ("1", "true", "null", "no", "1.0"):
        assert recipe.settings(parse_assignments([f"data.label={text}"])).data.label == text
    assert recipe.settings(parse_assignments(["train.compile=yes"])).train.compile is True
    assert recipe.settings(parse_assignments(["data.limit=null"])).data.limit is None
    with pytest.raises(UserError, match=r"data\.stream='on' is not allowed"):
        recipe.settings(parse_assignments(["data.stream=on"]))


def test_whole_numbers_of_few_bits_are_levels_or_refused() -> None:
    with pytest.raises(UserError, match="other than 0 and 1"):
        to_levels(np.array([[-1, 0], [1, 1]], np.int8), (2,), 2, "x")
    assert to_levels(np.array([[0, 255], [255, 0]], np.uint8), (2,), 2, "x")[0].tolist() == [[0, 1], [1, 0]]


# -- memory ------------------------------------------------------------------------------------------------------------

TRAIN = """
import resource, sys, numpy as np, torch, vaekit
run = vaekit.train("vae", np.zeros((64, 40)) + np.arange(40), steps=1, seed=0)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20),) * 2)
try:
    {call}
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads what is used from /proc")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("run.sample(3_000_000)", ("OutOfMemory", "-n, --k, --limit")),
        ("vaekit.train('vae', np.ones((1_500_000, 40), np.float32), steps=1)", ("OutOfMemory", "data.limit")),
        ("vaekit.train('vae', np.eye(4000, 40), steps=1, batch_size=3000, set={'model.hidden': '9000'})", ("batch",)),
    ],
)
def test_memory_that_runs_out_names_what_to_lower(call: str, words: tuple[str, ...]) -> None:
    made = subprocess.run([sys.executable, "-c", TRAIN.format(call=call)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-500:]
    assert all(word in made.stdout for word in words), made.stdout


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_a_metric_without_memory_costs_only_itself(error: Exception) -> None:
    from vaekit.metrics.base import _contained

    def fail(_: object) -> None:
        raise error

    entry: Any = SimpleNamespace(name="costly", part=fail, facts={"gives": ("costly",)})
    subject: Any = None
    with pytest.warns(UserWarning, match="costly: there is not enough memory for it; lower --k or --limit"):
        made = _contained(entry, subject)
    assert made["costly"].value is None and "lower --k or --limit" in str(made["costly"].facts)


def test_the_command_says_in_a_sentence_that_memory_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from vaekit.recipes import catalogue

    for error in (MemoryError(), OutOfMemory("there is not enough memory for this: lower -n")):

        def fail(error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(catalogue, "recipes", fail)
        code, sentence = outcome(["recipes"])
        assert code == 1 and sentence is not None and "not enough memory for this" in sentence
