"""Whatever is wrong with arguments, data or a run's folder: exit code 2, one line that says what, nothing written."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands.conftest import Command, Done


def complaint(done: Done, *words: str) -> str:
    """Check that a command refused in one sentence that holds all of `words`, and return it."""
    assert done.code == 2, (done.code, done.err)
    lines = done.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("vaekit: "), done.err
    assert done.out == ""
    for word in words:
        assert word.lower() in lines[0].lower(), (word, lines[0])
    return lines[0]


def everything(folder: Path) -> list[str]:
    """Return all paths below a folder."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


# --- arguments of train ------------------------------------------------------------------------------------------

BAD_TRAIN = {
    "recipe": (["vea"], ["'vea'", "did you mean", "vae"]),
    "recipe far off": (["zzz"], ["'zzz'", "iwae"]),
    "data": (["--data", "mnits"], ["mnits", "mnist"]),
    "option": (["--epoch", "3"], ["--epoch"]),
    "two recipes": (["vae", "ae"], ["ae"]),
    "section": (["--set", "modle.latent=3"], ["modle", "model"]),
    "setting": (["--set", "model.laten=3"], ["model.laten", "model.latent"]),
    "setting of another section": (["--set", "model.beta=3"], ["model.beta", "objective.beta"]),
    "no section": (["--set", "latent=3"], ["latent=3", "section.name=value"]),
    "no value": (["--set", "model.latent"], ["model.latent", "section.name=value"]),
    "type": (["--set", "model.latent=many"], ["model.latent", "many", "integer"]),
    "type of an option": (["--epochs", "many"], ["many"]),
    "fraction": (["--epochs", "2.5"], ["2.5"]),
    "zero": (["--set", "model.latent=0"], ["model.latent", "greater than 0"]),
    "negative epochs": (["--epochs", "-1"], ["-1"]),
    "negative steps": (["--steps", "-5"], ["train.steps", "-5"]),
    "negative batch": (["--batch-size", "-5"], ["train.batch_size", "-5"]),
    "negative rate": (["--lr", "-0.1"], ["train.lr", "-0.1"]),
    "infinite rate": (["--lr", "inf"], ["train.lr", "finite"]),
    "rate that is no number": (["--lr", "nan"], ["train.lr"]),
    "negative seed": (["--seed", "-1"], ["seed", "-1"]),
    "enormous seed": (["--seed", "99999999999999999999"], ["seed"]),
    "device": (["--device", "nonsense"], ["nonsense", "cpu"]),
    "device that is not here": (["--device", "cuda:77"], ["cuda:77", "cpu"]),
    "precision": (["--precision", "fp8"], ["precision", "fp8", "bf16"]),
    "schedule": (["--set", "objective.beta=linear 0 1"], ["linear 0 1", "10ep"]),
    "β that is no number": (["--set", "objective.beta=.nan"], ["objective.beta"]),
    "negative β": (["--set", "objective.beta=-1"], ["objective.beta", "-1"]),
    "net": (["--set", "model.net=mlpp"], ["model.net", "mlpp", "conv"]),
    "widths": (["--set", "model.hidden=a,b"], ["model.hidden"]),
    "posterior": (["--set", "model.posterior=normal"], ["posterior", "'normal'", "diagonal-normal"]),
    "prior": (["--set", "model.prior=normal"], ["prior", "'normal'", "standard-normal"]),
    "likelihood": (["--set", "model.likelihood=gausian"], ["likelihood", "gausian", "gaussian"]),
    "scale": (["--set", "model.likelihood=gaussian", "--set", "model.scale=-1"], ["scale", "-1"]),
    "scale of a Bernoulli": (["--set", "model.scale=0.1"], ["model.scale", "bernoulli"]),
    "likelihood that cannot be": (["--set", "model.likelihood=bernoulli", "--set", "data.binarise=none"], ["0 or 1"]),
    "posterior that cannot be": (["iwae", "--set", "model.posterior=delta"], ["point mass"]),
    "prior that cannot be": (["--set", "model.prior=conditional-normal"], ["conditional-normal"]),
    "binarise": (["--set", "data.binarise=maybe"], ["data.binarise", "maybe"]),
    "all held out": (["--set", "data.valid=5000"], ["valid", "1797"]),
    "betas": (["--set", "train.betas=[0.9, 1.5]"], ["train.betas", "1.5"]),
    "decay of averages": (["--set", "train.ema=1.5"], ["train.ema", "1.5"]),
    "warm-up": (["--set", "train.warmup=soon"], ["train.warmup", "soon"]),
    "warm-up below 0": (["--set", "train.warmup=-3"], ["train.warmup", "-3"]),
    "logger": (["--logger", "wandbb"], ["logger", "wandbb"]),
    "resume without a run": (["--resume"], ["--resume", "--out"]),
    "resume what is not there": (["--resume", "--out", "nowhere"], ["nowhere"]),
    "out below a file": (["--out", "a.txt/run"], ["a.txt"]),
    "out is a file": (["--out", "a.txt"], ["a.txt", "file"]),
    "out is not empty": (["--out", "full"], ["full", "not empty"]),
    "no such path": (["--data", "nothing/here.npy"], ["nothing/here.npy"]),
}


@pytest.mark.parametrize("case", BAD_TRAIN)
def test_train_refuses(case: str, vaekit: Command, here: Path) -> None:
    (here / "a.txt").write_text("mine")
    (here / "full").mkdir()
    (here / "full" / "b.txt").write_text("mine")
    before = everything(here)
    arguments, words = BAD_TRAIN[case]
    done = vaekit("train", *arguments, *(() if "--steps" in arguments or "--epochs" in arguments else ("--steps", "2")))
    complaint(done, *words)
    assert everything(here) == before, "something was left behind"


def test_a_run_is_not_overwritten_unasked(vaekit: Command, copied: Callable[[str], Path]) -> None:
    run = copied("vae")
    before = (run / "model.safetensors").read_bytes()
    complaint(vaekit("train", "--out", run, "--steps", 2), str(run), "resume", "overwrite")
    # A fault that shows only after the old run could have been taken away.
    complaint(vaekit("train", "--out", run, "--overwrite", "--steps", 2, "--device", "nonsense"), "nonsense")
    complaint(vaekit("train", "--out", run, "--overwrite", "--steps", 2, "--data", "nothing.npy"), "nothing.npy")
    complaint(vaekit("train", "ae", "--out", run, "--resume"), "'vae'", "'ae'")
    complaint(vaekit("train", "--out", run, "--resume", "--lr", "0.5"), "train.lr", "0.5", "0.002")
    complaint(vaekit("train", "--out", run, "--resume", "--data", "mnist-that-is-not"), "mnist-that-is-not")
    assert (run / "model.safetensors").read_bytes() == before


# --- data --------------------------------------------------------------------------------------------------------


def idx(n: int = 20, keep: float = 1.0) -> bytes:
    data = struct.pack(">IIII", 0x803, n, 8, 8) + bytes(range(256)) * (n * 64 // 256)
    return data[: int(len(data) * keep)]


def images(folder: Path, *sizes: int) -> None:
    folder.mkdir()
    for i, size in enumerate(sizes):
        Image.fromarray(np.full((size, size), 40 * i, np.uint8)).save(folder / f"{i}.png")


def with_nan() -> np.ndarray:
    x = np.random.default_rng(0).random((30, 6)).astype(np.float32)
    x[17, 2] = np.nan
    return x


BAD_DATA: dict[str, tuple[Callable[[Path], object], str, list[str]]] = {
    "truncated IDX": (lambda d: (d / "x-idx3-ubyte").write_bytes(idx(keep=0.6)), "x-idx3-ubyte", ["x-idx3-ubyte"]),
    "corrupt gzip": (
        lambda d: (d / "x-idx3-ubyte.gz").write_bytes(gzip.compress(idx())[:60] + b"no gzip any more"),
        "x-idx3-ubyte.gz",
        ["x-idx3-ubyte.gz"],
    ),
    "not an IDX": (lambda d: (d / "x-idx3-ubyte").write_bytes(b"hello, world"), "x-idx3-ubyte", ["x-idx3-ubyte"]),
    "NaN": (lambda d: np.save(d / "x.npy", with_nan()), "x.npy", ["x.npy", "17"]),
    "infinity": (lambda d: np.save(d / "x.npy", np.where(np.isnan(with_nan()), np.inf, 1.5)), "x.npy", ["17"]),
    "text in NPY": (lambda d: np.save(d / "x.npy", np.array(["a", "b"])), "x.npy", ["x.npy"]),
    "objects": (lambda d: np.save(d / "x.npy", np.array([{}, []], object), allow_pickle=True), "x.npy", ["x.npy"]),
    "no examples": (lambda d: np.save(d / "x.npy", np.zeros((0, 8))), "x.npy", ["x.npy", "empty"]),
    "truncated NPY": (lambda d: truncated(d / "x.npy"), "x.npy", ["x.npy"]),
    "damaged NPZ": (lambda d: (d / "x.npz").write_bytes(b"PK\x03\x04 and no more"), "x.npz", ["x.npz"]),
    "empty folder": (lambda d: (d / "x").mkdir(), "x", ["x"]),
    "ragged images": (lambda d: images(d / "x", 8, 8, 9, 8), "x", ["2.png", "9"]),
    "damaged image": (lambda d: (images(d / "x", 8, 8), (d / "x" / "9.png").write_bytes(b"no")), "x", ["9.png"]),
    "word in CSV": (lambda d: (d / "x.csv").write_text("a,b\n1,2\n3,oops\n4,5\n"), "x.csv", ["x.csv", "oops"]),
    "unknown suffix": (lambda d: (d / "x.docx").write_bytes(b"no"), "x.docx", ["x.docx"]),
}


def truncated(path: Path) -> None:
    np.save(path, np.zeros((30, 8)))
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("case", BAD_DATA)
def test_train_and_encode_refuse_bad_data(case: str, vaekit: Command, here: Path, trained: dict[str, Path]) -> None:
    make, name, words = BAD_DATA[case]
    make(here)
    before = everything(here)
    complaint(vaekit("train", "--data", name, "--steps", 2), *words)
    if case != "ragged images":  # a trained model's size is theirs
        complaint(vaekit("encode", trained["vae"], "--data", name, "--out", "z.npz"), *words)
    assert everything(here) == before, "something was left behind"


def test_labels_are_asked_for(vaekit: Command, here: Path, trained: dict[str, Path]) -> None:
    np.save(here / "x.npy", np.random.default_rng(0).integers(0, 17, (30, 8, 8)).astype(np.uint8))
    complaint(vaekit("train", "cvae", "--data", "x.npy", "--steps", 2), "cvae", "labels", "x")
    for command in ("encode", "reconstruct", "interpolate"):
        complaint(vaekit(command, trained["cvae"], "--data", "x.npy", "--out", "z.npz"), "labels")
    np.savez(here / "y.npz", x=np.zeros((30, 8, 8), np.uint8), y=np.arange(30))
    complaint(vaekit("encode", trained["cvae"], "--data", "y.npz", "--out", "z.npz"), "'10'", "0, 1, 2")
    assert everything(here) == ["x.npy", "y.npz"]


# --- using a run -------------------------------------------------------------------------------------------------

BAD_USE = {
    "run": (["evaluate", "nowhere"], ["nowhere"]),
    "no run": (["evaluate", "."], ["run.json"]),
    "metric": (["evaluate", "{vae}", "--metrics", "elbow"], ["elbow", "elbo"]),
    "metric among good ones": (["evaluate", "{vae}", "--metrics", "elbo,elbow"], ["elbow"]),
    "k": (["evaluate", "{vae}", "--k", "0"], ["--k"]),
    "limit": (["evaluate", "{vae}", "--limit", "-3"], ["--limit"]),
    "seed": (["evaluate", "{vae}", "--seed", "99999999999999999999"], ["seed"]),
    "suffix": (["sample", "{vae}", "--out", "x.gif"], ["x.gif", ".png"]),
    "suffix of codes": (["encode", "{vae}", "--out", "x.png"], ["x.png", ".csv"]),
    "folder of the output": (["sample", "{vae}", "--out", "no/x.png"], ["no"]),
    "output is a folder": (["sample", "{vae}", "--out", "folder.png"], ["folder.png"]),
    "no output": (["sample", "{vae}"], ["out"]),
    "n": (["sample", "{vae}", "-n", "0", "--out", "x.png"], ["-n", "0"]),
    "n of reconstructions": (["reconstruct", "{vae}", "-n", "-2", "--out", "x.png"], ["-n", "-2"]),
    "n of paths": (["interpolate", "{vae}", "-n", "-2", "--out", "x.png"], ["-n", "-2"]),
    "points": (["interpolate", "{vae}", "--steps", "1", "--out", "x.png"], ["--steps", "1"]),
    "kind": (["interpolate", "{vae}", "--kind", "round", "--out", "x.png"], ["round", "spherical"]),
    "examples": (["interpolate", "{vae}", "--examples", "1,x", "--out", "x.png"], ["'x'", "3,17,42"]),
    "example that is not there": (["interpolate", "{vae}", "--examples", "1,9999", "--out", "x.png"], ["9999", "173"]),
    "temperature": (["sample", "{vae}", "--temperature", "-1", "--out", "x.png"], ["--temperature", "-1"]),
    "infinite temperature": (["sample", "{vae}", "--temperature", "inf", "--out", "x.png"], ["--temperature"]),
    "tokens of images": (["sample", "{vae}", "--top-p", "0.9", "--out", "x.png"], ["--top-p", "sequences"]),
    "seed of samples": (["sample", "{vae}", "--seed", "99999999999999999999", "--out", "x.png"], ["seed"]),
    "label of a plain model": (["sample", "{vae}", "--label", "3", "--out", "x.png"], ["not conditioned on labels"]),
    "label": (["sample", "{cvae}", "--label", "eleven", "--out", "x.png"], ["eleven", "0, 1, 2"]),
    "label by number": (["sample", "{cvae}", "--label", "10", "--out", "x.png"], ["10", "9"]),
    "shape": (["encode", "{vae}", "--data", "small.npy", "--out", "z.npz"], ["small.npy", "(1, 8, 8)"]),
    "one example": (["interpolate", "{vae}", "--data", "one.npy", "--out", "x.png"], ["two"]),
    "data": (["encode", "{vae}", "--data", "nothing.npy", "--out", "z.npz"], ["nothing.npy"]),
    "recipe": (["show", "vea"], ["vea", "vae"]),
    "command": (["trane"], ["trane"]),
}


@pytest.mark.parametrize("case", BAD_USE)
def test_use_refuses(case: str, vaekit: Command, here: Path, trained: dict[str, Path]) -> None:
    np.save(here / "small.npy", np.zeros((30, 16), np.uint8))
    np.save(here / "one.npy", np.full((1, 8, 8), 3, np.uint8))
    (here / "folder.png").mkdir()
    before = everything(here)
    arguments, words = BAD_USE[case]
    complaint(vaekit(*[a.format(**trained) for a in arguments]), *words)
    assert everything(here) == before, "something was left behind"


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without(path: Path, key: str) -> None:
    record = json.loads(path.read_text())
    del record[key]
    path.write_text(json.dumps(record))


DAMAGE: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "no run.json": (lambda r: (r / "run.json").unlink(), ["run.json"]),
    "damaged run.json": (lambda r: half(r / "run.json"), ["run.json", "damaged"]),
    "run.json of something else": (lambda r: (r / "run.json").write_text("[1]"), ["run.json"]),
    "run.json in part": (lambda r: without(r / "run.json", "settings"), ["run.json"]),
    "run.json without data": (lambda r: without(r / "run.json", "data"), ["run.json"]),
    "run.json with bytes": (lambda r: (r / "run.json").write_bytes(b"\xff\xfe\x00"), ["run.json", "damaged"]),
    "no weights": (lambda r: (r / "model.safetensors").unlink(), ["not finished", "--resume"]),
    "damaged weights": (lambda r: half(r / "model.safetensors"), ["model.safetensors", "damaged"]),
    "empty weights": (lambda r: (r / "model.safetensors").write_bytes(b""), ["model.safetensors", "damaged"]),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_run_is_named(case: str, vaekit: Command, here: Path, copied: Callable[[str], Path]) -> None:
    run = copied("vae")
    damage, words = DAMAGE[case]
    damage(run)
    before = everything(run)
    for command in (["evaluate", run], ["sample", run, "--out", "x.png"], ["report", run]):
        complaint(vaekit(*command), *words)
    assert everything(run) == before and everything(here) == []


def test_weights_of_another_model_are_named(vaekit: Command, here: Path, copied: Callable[[str], Path]) -> None:
    run, other = copied("vae"), copied("cvae")
    (run / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    complaint(vaekit("sample", run, "--out", "x.png"), "model.safetensors", "of another run", "SHA-256")
    without(run / "run.json", "weights")  # as earlier versions wrote it
    complaint(vaekit("sample", run, "--out", "x.png"), "run.json", "does not fit")
    assert everything(here) == []


@pytest.mark.parametrize("damage", ["half", "weights", "text"])
def test_a_damaged_checkpoint_is_named(damage: str, vaekit: Command, copied: Callable[[str], Path]) -> None:
    run = copied("vae")
    last = run / "checkpoints" / "last.safetensors"
    if damage == "half":
        half(last)
    elif damage == "weights":
        last.write_bytes((run / "model.safetensors").read_bytes())
    else:
        last.write_text("not a checkpoint at all")
    complaint(vaekit("train", "--out", run, "--resume"), "last.safetensors")


def test_damaged_side_files_do_not_stop_an_evaluation(vaekit: Command, copied: Callable[[str], Path]) -> None:
    """A log or an evaluation cut short costs what it held, not the run."""
    run = copied("vae")
    (run / "log.jsonl").unlink()
    assert vaekit("evaluate", run, "--metrics", "mse").code == 0
    half(run / "evaluation.json")
    (run / "log.jsonl").write_bytes(b'{"step": 1, "loss"\xff')
    done = vaekit("evaluate", run, "--metrics", "mse", "--json")
    assert done.code == 0 and "warning: " in done.err and "evaluation.json is damaged" in done.err
    assert "mse" in json.loads((run / "evaluation.json").read_text())
