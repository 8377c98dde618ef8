"""Every command, in a child, with arguments that people and programs mistype, and under bad conditions.

A command must end with 0, 1, 2 or 130, say one sentence where that is not 0, print no traceback, leave the run as it
was (all but `evaluate` and `report` only read it), and change no file that it was not asked to write.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import numpy as np

from attack.mutations import WORDS
from attack.tries import Try

SECONDS = 60
DATA = "{data}/x.npz"
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("train", "vae", "--data", DATA, "--out", "{out}/new", "--steps", "2", "--seed", "3", "--set", "model.hidden=[4]"),
    ("train", "vae", "--data", DATA, "--out", "{run}", "--resume"),
    (
        "train",
        "vae",
        "--data",
        DATA,
        "--out",
        "{out}/new",
        "--steps",
        "2",
        "--batch-size",
        "8",
        "--lr",
        "0.01",
        "--json",
    ),
    ("train", "tabular-vae", "--data", "{data}/t.csv", "--out", "{out}/new", "--steps", "2", "--set", "model.latent=2"),
    ("evaluate", "{run}", "--metrics", "elbo,mse", "--limit", "5", "--k", "3", "--json"),
    ("evaluate", "{run}", "--metrics", "likelihood", "--limit", "3", "--k", "2"),
    ("sample", "{run}", "-n", "3", "--out", "{out}/s.npz", "--seed", "1"),
    ("sample", "{run}", "-n", "3", "--out", "{out}/s.npy"),
    ("encode", "{run}", "--data", DATA, "--out", "{out}/z.csv"),
    ("encode", "{run}", "--data", DATA, "--out", "{out}/z.npz"),
    ("reconstruct", "{run}", "--data", DATA, "--out", "{out}/r.npz"),
    ("interpolate", "{run}", "--examples", "0,1", "--steps", "3", "--out", "{out}/i.npz"),
    ("traverse", "{run}", "--example", "0", "--out", "{out}/t.npz"),
    ("detect", "{run}", "--data", DATA, "--out", "{out}/d.csv"),
    ("impute", "{run}", "--data", "{data}/gaps.npy", "--out", "{out}/f.npy"),
    ("cluster", "{run}", "--data", DATA, "--out", "{out}/c.csv"),
    ("export", "{run}", "--format", "torch", "--out", "{out}/m.pt2"),
    ("report", "{run}"),
    ("report", "{run}", "{run}", "--out", "{out}/both.html"),
    ("recipes", "--json"),
    ("show", "vae", "--json"),
    ("parts", "priors"),
    ("datasets",),
)
PATHS = (
    *(
        "{run}",
        "{run}/run.json",
        "{run}/model.safetensors",
        "{data}",
        "{data}/x.npz",
        "{data}/t.csv",
        "{data}/none.npz",
    ),
    *(
        "{out}",
        "{out}/a/b/c.npz",
        "/dev/null",
        "/dev/full",
        "/proc/self/mem",
        ".",
        "..",
        "/",
        "",
        "~",
        "x" * 300,
        "{out}/é\u202e.npz",
    ),
    *(
        "{out}/\udcff.npz",
        "{out}/link",
        "{data}/empty.npz",
        "{data}/text.npz",
        "-",
        "--",
        "http://127.0.0.1:1/x.npz",
        "*.npz",
    ),
)
SET = (
    *(
        "model.latent=0",
        "model.latent=-1",
        "model.latent=1e9",
        "model.latent=yes",
        "model.hidden=[]",
        "model.hidden=[0]",
    ),
    *(
        "model.likelihood=gaussian",
        "model.likelihood=nope",
        "model.prior=vamp",
        "objective.beta=nan",
        "objective.beta=-1",
    ),
    *(
        "train.lr=inf",
        "train.ema=2",
        "train.precision=bf16",
        "data.valid=0",
        "data.test=1",
        "data.valid=.9",
        "data.seed=²",
    ),
    *(
        "data.stream=no",
        "data.size=0",
        "data.size=10000000",
        "=",
        "model",
        "model.=1",
        "a.b.c=1",
        "model.hidden=!!python/object:x",
    ),
    *(
        "objective.beta={schedule: linear}",
        "objective.beta=[1",
        "train.max_bad_steps=0",
        "train.clip=0",
        "model.scale=1e-30",
    ),
)


def fingerprint(folder: Path) -> dict[str, str]:
    """Return the digest of each file in a folder; a link is what it points to."""
    made = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            made[str(path)] = f"-> {path.readlink()}"
        elif path.is_file():
            made[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return made


def contents(folder: Path) -> dict[Path, bytes]:
    """Return what each file in a folder holds."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def replaceable(words: list[str], data: Path) -> set[str]:
    """Return the file that a command is asked to write with --out, where it reads it neither itself nor by its run."""
    asked = {word for option, word in itertools.pairwise(words) if option == "--out" and words.count(word) == 1}
    return asked - {str(data / "x.npz")}


class Place:
    """A trained run and files to use it on, from which each try begins anew."""

    def __init__(self, folder: Path) -> None:
        import vaekit

        self.folder = folder
        data = folder / "data"
        data.mkdir()
        rng = np.random.default_rng(0)
        x = rng.normal(size=(60, 4)).astype(np.float32)
        np.savez(data / "x.npz", x=x)
        x[::3, 1] = np.nan
        np.save(data / "gaps.npy", x)
        rows = "\n".join(f"{a:.3f},{'ab'[i % 2]},{i % 5}" for i, a in enumerate(x[:, 0]))
        (data / "t.csv").write_text(f"size,kind,count\n{rows}\n")
        (data / "empty.npz").write_bytes(b"")
        (data / "text.npz").write_text("no archive")
        small: Any = {"model.hidden": [4], "model.latent": 2, "train.checkpoint_steps": 1}
        vaekit.train("vae", str(data / "x.npz"), out=folder / "run", steps=2, device="cpu", pictures=False, set=small)

    def arguments(self, random: Random, out: Path) -> list[str]:
        """Return a command, often with some of its arguments changed."""
        words = list(random.choice(COMMANDS))
        for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
            at = random.randrange(1, len(words)) if len(words) > 1 else 1
            if random.random() < 0.15:
                words[at:at] = random.choice(
                    (["--set", random.choice(SET)], ["--json"], ["--help"], ["--device", "cuda"])
                )
            elif random.random() < 0.1 and len(words) > 1:
                del words[at]
            elif at < len(words):
                old = words[at]
                new = random.choice(PATHS if "{" in old and random.random() < 0.8 else SET if "=" in old else WORDS)
                words[at] = new.replace("\0", "")
        places = {"{run}": out / "run", "{data}": self.folder / "data", "{out}": out}
        words = [*_safe(words)]
        for name, place in places.items():
            words = [word.replace(name, str(place)) for word in words]
        return words

    def try_one(self, seed: int, out: Path) -> Try:
        """Run one command in a child, and look at what it said and left."""
        random = Random(f"command {seed}")
        shutil.copytree(self.folder / "run", out / "run")
        (out / "link").symlink_to(self.folder / "data" / "x.npz")
        words = self.arguments(random, out)
        signalled = random.choice((None,) * 12 + (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
        data, files = self.folder / "data", contents(self.folder / "data")
        before = fingerprint(data), fingerprint(out / "run")
        code, text, seconds = child(words, out, signalled, random.random() * 2)
        why = _complaint(code, text, signalled is not None)
        changed = {path for path, _ in before[0].items() ^ fingerprint(data).items()}
        if changed - replaceable(words, data):
            why = why or "the data were changed"
        for path in map(Path, changed):
            path.write_bytes(files[path]) if path in files else path.unlink()
        if words[:1] not in (["train"], ["evaluate"], ["report"]) and _weights(fingerprint(out / "run")) != _weights(
            before[1]
        ):
            why = why or "the run was changed"
        if why:
            return Try("bad", f"vaekit {words} (signal {signalled}): {why}\n{text[-1500:]}", seconds)
        return Try("works" if code == 0 else "refused", text[-200:], seconds)


def _weights(made: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in made.items() if k.endswith((".safetensors", "run.json", "log.jsonl", "evaluation.json"))}


def _safe(words: list[str]) -> Iterator[str]:
    """Leave out what would harm this machine rather than try vaekit."""
    for word in words:
        yield word if word not in ("/", "..", ".", "~") else "{out}"


def child(words: list[str], out: Path, signalled: int | None, after: float) -> tuple[int, str, float]:
    """Run a command in a fork of this process; return its exit code (-9: it hung), what it said, and the seconds."""
    said, start = out / "said.txt", time.monotonic()
    pid = os.fork()
    if pid == 0:
        _become(words, out, said)
    done, status = 0, 0
    while not done:
        done, status = os.waitpid(pid, os.WNOHANG)
        if not done and signalled is not None and time.monotonic() - start > after:
            os.kill(pid, signalled)
            signalled = None
        if not done and time.monotonic() - start > SECONDS:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
    text = said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
    return os.waitstatus_to_exitcode(status), text, time.monotonic() - start


def _become(words: list[str], out: Path, said: Path) -> NoReturn:
    """Be the command, with what it says in a file."""
    from vaekit.commands.main import run

    code = 99
    try:
        os.chdir(out)
        os.setsid()
        null, file = os.open(os.devnull, os.O_RDWR), os.open(said, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        for number, source in enumerate((null, file, file)):
            os.dup2(source, number)
        sys.stdout, sys.stderr = os.fdopen(1, "w", encoding="utf-8"), os.fdopen(2, "w", encoding="utf-8")
        run(words)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _complaint(code: int, text: str, signalled: bool) -> str:
    if code == -signal.SIGKILL:
        return f"it hung for {SECONDS} s"
    if code not in (0, 1, 2, 130) and not (signalled and code in (-signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT)):
        return f"it ended with {code}"
    if "Traceback (most recent call last)" in text:
        return "it printed a traceback"
    if code in (1, 2) and not any(line.startswith("vaekit: ") for line in text.splitlines()):
        return f"it ended with {code} and gave no reason"
    return ""


@contextmanager
def ready() -> Iterator[Callable[[int, Path], Try]]:
    """Make the run that all tries share, with everything imported that a child would."""
    import tempfile

    import matplotlib.pyplot as plt
    import sklearn.mixture

    import vaekit.commands.main
    import vaekit.report
    import vaekit.runs.report

    assert plt and sklearn.mixture and vaekit.commands.main and vaekit.report and vaekit.runs.report
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        yield place.try_one
