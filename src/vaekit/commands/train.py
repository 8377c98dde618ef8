"""vaekit train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit import _env
from vaekit.commands.common import Flag, Whole, Words
from vaekit.commands.launch import on_devices
from vaekit.commands.output import note, print_json
from vaekit.commands.page import Page
from vaekit.errors import UserError

if TYPE_CHECKING:
    from vaekit.runs.run import Run


def train(
    recipe: str | None = None,
    /,
    *,
    data: str | None = None,
    valid: str | None = None,
    test: str | None = None,
    out: Path | None = None,
    epochs: Whole | None = None,
    steps: Whole | None = None,
    batch_size: Whole | None = None,
    lr: float | None = None,
    seed: Whole | None = None,
    device: str | None = None,
    precision: str | None = None,
    set: Words = None,
    init: Path | None = None,
    freeze: str | None = None,
    resume: Flag = False,
    changed_data: Flag = False,
    overwrite: Flag = False,
    logger: Words = None,
    devices: Whole | None = None,
    shard: Flag = False,
    compile: Flag = False,
    allow_large: Flag = False,
    figures: bool = True,
    watch: Flag = False,
    json: Flag = False,
) -> None:
    """Train a recipe on data into a run folder.

    Parameters
    ----------
    recipe
        The variant; 'vaekit recipes' lists them. Default: vae.
    data
        A known set ('vaekit datasets') or a path: IDX, NPY, NPZ, CSV, a folder of images or WAV files;
        text, SMILES, MIDI, graphs or tables where the recipe takes them. Default: digits, or what the recipe brings.
    valid
        Validation data, as a path or a known set, in place of a part of --data.
    test
        Test data, likewise.
    out
        The run's folder. Default: runs/DATA-RECIPE.
    epochs
        Passes over the training data.
    steps
        Optimiser steps, instead of epochs.
    batch_size
        Examples a step.
    lr
        Peak learning rate.
    seed
        Seed of initial weights, order and noise.
    device
        auto, cpu, cuda, cuda:1, mps.
    precision
        auto, fp32, bf16, or tf32 on CUDA.
    set
        Any setting, as section.name=value (see 'vaekit show RECIPE'); may be repeated.
    init
        A run whose weights to start from, where names and shapes agree; its recipe and data unless others are named.
    freeze
        Parts that stay as --init has them, e.g. encoder,decoder or posterior,likelihood.
    resume
        Go on with the run in --out from its last checkpoint; with --epochs or --steps to that length.
    changed_data
        Resume though the data hold anything else than when training began.
    overwrite
        Replace the run in --out.
    logger
        A further logger: tensorboard, mlflow, wandb or trackio; local unless its own settings say otherwise. May be
        repeated.
    devices
        Train on as many devices, a process each: CUDA devices, else shares of the processor.
    shard
        Share the model's weights out over the processes, for a model that one device cannot hold.
    compile
        Compile the networks (torch.compile): half a minute at the start, worth it on CUDA and in long runs.
    allow_large
        Read files that become far larger in memory than they are, or take more than half of it.
    figures
        Draw the run's figures and report at the end, about a second ('vaekit report RUN' does it later).
    watch
        Open the explorer's page on the training: curves, samples and the latent map as checkpoints come; it stays open
        until Ctrl-C. 'vaekit explore RUN' opens it for a training that runs already.
    json
        Print one JSON object on the last line of standard output.
    """
    on_devices(devices)
    if resume and out is None:
        raise UserError("--resume needs --out RUN, the folder of the run to go on with")
    if resume and init is not None:
        raise UserError("--resume goes on with a run's own weights, and --init starts from another's: give one of them")
    flags = {"train.shard": shard, "train.compile": compile, "data.allow_large": allow_large}
    from vaekit.runs.train import train as train_run

    with (
        nullcontext(out) if out is not None else _next_free(recipe, data, init) as folder,
        Page(folder) if watch else nullcontext() as page,
    ):
        run = train_run(
            recipe,
            data,
            valid=valid,
            test=test,
            out=folder,
            epochs=epochs,
            steps=steps,
            batch_size=batch_size,
            lr=lr,
            seed=seed,
            device=device,
            precision=precision,
            set=[*(set or []), *(f"{name}=true" for name, on in flags.items() if on)],
            freeze=freeze,
            init=init,
            resume=resume,
            changed_data=changed_data,
            overwrite=overwrite,
            loggers=logger or [],
            progress=True,
            pictures=figures,
        )
        if _env.is_first():
            _tell(run, json)
            if page is not None:
                page.stay()


def _tell(run: Run, json: bool) -> None:
    """Print how the run ended."""
    result = run.record["result"]
    if json:
        print_json({"run": str(run.path), "recipe": run.recipe, "data": run.info.name, **result})
        return
    for line in _closing(run, result):
        note(line)
    print(run.path)


def _closing(run: Run, result: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is said at the end: the held-out number and what to think of it, the report, the next commands."""
    from vaekit.runs.report import verdict

    if result["elbo"] is None:
        what = "no bound on log p(x)" if result["held_out_n"] else "no held-out number"
        yield f"{what}: {result['refused']}"
    else:
        error = result["elbo_stderr"]  # None where one example is all there is, a graph say
        yield f"held-out ELBO {result['elbo']:.2f}{'' if error is None else f' ± {error:.2f}'} nats/example"
        said = verdict(run)
        yield f"{said.title}. {said.sentences[0]}"
    assert run.path is not None
    page = run.path / "report.html"
    if page.is_file():
        yield f"report  {page}"
    suffix = ".png" if run.modality is None or not run.modality.formats else run.modality.formats[0]
    then = [f"vaekit evaluate {run.path}", f"vaekit sample {run.path} --out samples{suffix}"]
    then.insert(1, f"vaekit report {run.path}" if run.info.kind == "graph" else f"vaekit explore {run.path}")
    for i, command in enumerate(then):
        yield f"{'next' if not i else '':<6}  {command}"


def _next_free(recipe: str | None, data: str | None, init: Path | None) -> AbstractContextManager[Path]:
    """Return a folder for the run that has none named."""
    from vaekit.runs.data import default_source
    from vaekit.runs.folder import read_record
    from vaekit.runs.target import next_free

    begun = None if init is None else read_record(init)
    name = recipe or ("vae" if begun is None else begun["recipe"])
    return next_free(name, data or (default_source(name) if begun is None else begun["data"]["source"]))
