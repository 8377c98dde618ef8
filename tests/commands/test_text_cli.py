"""Text from the command line: a file of lines in, lines out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands.conftest import Command

WORDS = ("the king", "the queen", "my lord", "a lady", "no man", "the sea")
LINES = [f"{a} loves {b} and {c}" for a in WORDS for b in WORDS for c in WORDS[:4]]


@pytest.fixture
def run(here: Path, vaekit: Command) -> Path:
    (here / "lines.txt").write_text("\n".join([*LINES, "", "x" * 90]) + "\n")
    small = ["model.width=16", "model.embedding=8", "model.latent=4", "data.unit=words", "data.longest=16"]
    settings = [part for text in small for part in ("--set", text)]
    arguments = ["sequence-vae", "--data", "lines.txt", "--steps", 40, "--out", "run", "--json", *settings]
    done = vaekit("train", *arguments)
    assert done.code == 0, done.err
    assert json.loads(done.out.splitlines()[-1])["elbo"] < 0
    return here / "run"


def read(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_file_of_lines_in_and_lines_out(run: Path, here: Path, vaekit: Command) -> None:
    counts = json.loads((run / "run.json").read_text())["data"]["info"]["facts"]["counts"]
    assert counts["empty"] == 1
    drawn = []
    for options in ([], [], ["--seed", 1], ["--greedy"], ["--top-p", 0.5], ["--token-temperature", 0.5]):
        assert vaekit("sample", "run", "-n", 6, "--out", "s.txt", *options).code == 0
        drawn.append(read(here / "s.txt"))
        assert len(drawn[-1]) == 6
    assert drawn[0] == drawn[1] != drawn[2] and drawn[0] != drawn[3]
    (here / "two.txt").write_text("the king loves the sea and my lord\nno man loves the queeeen and a lady\n")
    done = vaekit("interpolate", "run", "--data", "two.txt", "-n", 1, "--steps", 5, "--out", "path.txt")
    assert done.code == 0 and len(read(here / "path.txt")) == 5
    assert "vaekit: warning: two.txt: 1 of 16 tokens are unknown to this run, the first in line 2\n" in done.err
    assert vaekit("reconstruct", "run", "--data", "two.txt", "--out", "r.txt").code == 0
    assert len(read(here / "r.txt")) == 2
    done = vaekit("evaluate", "run", "--metrics", "perplexity", "--k", 3, "--limit", 20, "--json")
    found = json.loads(done.out.splitlines()[-1])
    assert 1 < found["perplexity"]["value"] < 40 and found["perplexity"]["stderr"] > 0


def test_what_is_wrong_is_one_sentence(run: Path, here: Path, vaekit: Command) -> None:
    (here / "bad.txt").write_bytes(b"fine\nna\xefve\x81\n")
    for arguments, words in (
        (["train", "sequence-vae", "--data", "bad.txt", "--out", "r2"], ["bad.txt", "line 2", "UTF-8"]),
        (["train", "sequence-vae", "--data", "digits", "--out", "r2"], ["sequence-vae", "digits"]),
        (["train", "vae", "--data", "lines.txt", "--out", "r2"], ["lines.txt", "sequence-vae"]),
        (["train", "sequence-vae", "--data", "lines.txt", "--set", "model.prior=vamp", "--out", "r2"], ["vamp"]),
        (["train", "sequence-vae", "--data", "lines.txt", "--set", "model.hidden=8", "--out", "r2"], ["model.hidden"]),
        (["train", "sequence-vae", "--data", "lines.txt", "--set", "model.likelihood=gaussian", "--out", "r2"],
         ["gaussian", "tokens"]),
        (["sample", "run", "--top-p", "2", "--out", "s.txt"], ["top_p"]),
        (["sample", "run", "--out", "s.png"], ["not images", ".txt"]),
    ):  # fmt: skip
        done = vaekit(*arguments)
        assert done.code == 2 and "Traceback" not in done.err, done.err
        assert all(word in done.err for word in words), done.err
        assert not (here / "r2").exists()
