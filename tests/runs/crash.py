"""A process that starts trainings, kills them at chosen moments, and takes them up again; test_resume.py runs it.

It loads torch once, and every attempt is a child that it forks and that dies by SIGKILL, so a death costs no start-up.
It never computes a gradient itself: a forked child must not inherit torch's worker threads.

    python crash.py SCENE PARENT '{"whole": [], "cut": [["step", 7], ["half", 3], ...], ...}'

trains SCENE in PARENT/whole, PARENT/cut and so on; attempt i dies at the i-th moment, the one after the last finishes.
It prints one JSON object: for each folder a list of how the attempts ended and what they left behind.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

SETTINGS = {
    "train.ema": 0.9,
    "train.early_stop": 4,
    "train.checkpoint_steps": 3,
    "train.log_every": 4,
    "train.clip": 5.0,
    "train.batch_size": 256,
    "data.binarise": "stochastic",
    "objective.k": 3,
    "model.hidden": "16",
    "model.latent": 3,
}
STEPS = 40


def digits(folder: Path, resume: bool) -> None:
    """An IWAE on binarised digits with weight averages and early stopping, by the same call as the command line's."""
    from vaekit.runs.train import train

    if resume:
        train(out=folder, resume=True, pictures=False)
    else:
        train("iwae", "digits", out=folder, steps=STEPS, set=SETTINGS, device="cpu", pictures=False)


def players(folder: Path, resume: bool) -> None:
    """Two stages, the first with two players, through `fit`."""
    from training.toys import ToySource, toy_vae, two_stages
    from vaekit.training import checkpoint
    from vaekit.training.loop import fit
    from vaekit.training.settings import TrainSettings

    settings = TrainSettings(
        steps=45, batch_size=16, checkpoint_steps=4, log_every=5, ema=0.8, keep="best", lr=0.01, weight_decay=0.01
    )
    model, stages = toy_vae(), two_stages()
    folder.mkdir(exist_ok=True)
    fit(model, stages, ToySource(), settings, folder=folder, resume=resume)
    objectives = {f"{i}.{k}": v for i, s in enumerate(stages) for k, v in s.objective.state_dict().items()}
    checkpoint.save(folder / "model.safetensors", checkpoint.model_tensors(model) | objectives)


SCENES: dict[str, Callable[[Path, bool], None]] = {"digits": digits, "players": players}


def die() -> NoReturn:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def arm(kind: str, n: int) -> None:
    """Die at the n-th (from 1) step, checkpoint half written, moment before or after a renaming, or log line."""
    from vaekit.training import checkpoint
    from vaekit.training.log import JsonLines
    from vaekit.training.loop import Fit

    seen = 0

    def reached() -> bool:
        nonlocal seen
        seen += 1
        return seen == n

    if kind == "step":
        true_step = Fit._step

        def step(self: Any, x: Any, y: Any) -> None:
            if reached():
                die()
            true_step(self, x, y)

        Fit._step = step
    elif kind == "half":
        true_replacing = checkpoint.replacing

        @contextmanager
        def replacing(path: Any) -> Iterator[Path]:
            with true_replacing(path) as part:
                yield part
                if reached():
                    part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
                    die()

        checkpoint.replacing = replacing
    elif kind in ("before", "after"):
        true_replace = Path.replace

        def replace(self: Path, target: Any) -> Path:
            last = reached()
            if last and kind == "before":
                die()
            done = true_replace(self, target)
            if last:
                die()
            return done

        Path.replace = replace
    elif kind == "log":

        def log(self: Any, record: Any) -> None:
            line = (json.dumps(record) + "\n").encode()
            if reached():
                self._file.write(line[: len(line) // 2])
                self._file.flush()
                die()
            self._file.write(line)
            self._file.flush()

        JsonLines.log = log
    else:
        raise ValueError(kind)


def attempt(scene: Callable[[Path, bool], None], folder: Path, moment: tuple[str, float] | None) -> dict[str, Any]:
    """Run one child to its death or end."""
    resume = (folder / "run.json").exists() or (folder / "checkpoints" / "last.safetensors").exists()
    child = os.fork()
    if child == 0:
        code = 3
        try:
            if moment is not None and moment[0] != "time":
                arm(moment[0], int(moment[1]))
            scene(folder, resume)
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    if moment is not None and moment[0] == "time":
        time.sleep(moment[1])
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return {
        "moment": moment,
        "resumed": resume,
        "ended": os.waitstatus_to_exitcode(status),
        "files": sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()),
    }


def main() -> None:
    """See the module."""
    name, parent, plan = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import safetensors.torch
    import torch
    from sklearn.datasets import load_digits

    import vaekit.runs.train
    from training import toys

    assert safetensors.torch and vaekit.runs and toys
    torch.set_num_threads(1)
    load_digits()
    found = {}
    for folder, moments in plan.items():
        found[folder] = [attempt(SCENES[name], parent / folder, moment) for moment in [*moments, None]]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
