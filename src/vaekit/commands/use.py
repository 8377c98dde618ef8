"""Commands that ask a trained run for something: sample, encode, reconstruct, interpolate, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vaekit.commands.arguments import WHOLE, Whole
from vaekit.commands.output import note


def sample(
    run: Path,
    /,
    *,
    n: Annotated[int, WHOLE, Parameter(alias="-n")] = 64,
    label: str | None = None,
    temperature: float = 1.0,
    draw: Annotated[bool, Parameter(negative="")] = False,
    greedy: Annotated[bool, Parameter(negative="")] = False,
    top_p: float = 1.0,
    token_temperature: float = 1.0,
    source: Annotated[Literal["prior", "aggregate"], Parameter(name="--from")] = "prior",
    components: Whole = 10,
    seed: Whole = 0,
    out: Path,
) -> None:
    """Sample from the model: a PNG grid or an NPZ of arrays.

    Parameters
    ----------
    run
        The run's folder.
    n
        How many.
    label
        The label to sample, for conditional models; default every class in turn.
    temperature
        Multiplies the prior's standard deviation.
    draw
        Draw x from p(x|z) instead of showing its mean.
    greedy
        Sequences: take the likeliest token at each place.
    top_p
        Sequences: draw among the likeliest tokens that hold this much probability together (nucleus).
    token_temperature
        Sequences: draw tokens in proportion to p^(1/this).
    source
        Where codes come from: the prior, or the aggregate posterior (a mixture of normals fitted to training codes).
    components
        Normals in that mixture.
    seed
        Seed of the draws.
    out
        The file to write, .png or .npz.
    """
    from vaekit.experiment import actions

    if source == "aggregate":
        from vaekit.experiment import moving

        done = moving.sample_aggregate(
            run, out, n=n, components=components, label=label, temperature=temperature, draw=draw, seed=seed
        )
        note(done)
        return
    tokens = {"greedy": greedy, "top_p": top_p, "temperature": token_temperature}
    note(actions.sample(run, out, n=n, label=label, temperature=temperature, draw=draw, seed=seed, tokens=tokens))


def encode(run: Path, /, *, data: str | None = None, out: Path) -> None:
    """Write posterior means of data as NPZ (z, y) or CSV.

    Parameters
    ----------
    run
        The run's folder.
    data
        A known set or a path; default the run's own test split.
    out
        The file to write, .npz or .csv.
    """
    from vaekit.experiment import actions

    note(actions.encode(run, out, data=data))


def reconstruct(
    run: Path, /, *, data: str | None = None, n: Annotated[int, WHOLE, Parameter(alias="-n")] = 16, out: Path
) -> None:
    """Reconstruct examples: a PNG of inputs, outputs and differences, or an NPZ (x, reconstruction).

    Parameters
    ----------
    run
        The run's folder.
    data
        A known set or a path; default the run's own test split.
    n
        How many examples.
    out
        The file to write, .png or .npz.
    """
    from vaekit.experiment import actions

    note(actions.reconstruct(run, out, data=data, n=n))


def interpolate(
    run: Path,
    /,
    *,
    data: str | None = None,
    n: Annotated[int, WHOLE, Parameter(alias="-n")] = 6,
    steps: Whole = 10,
    kind: Literal["linear", "spherical"] = "linear",
    examples: Annotated[str | None, Parameter(negative="")] = None,
    out: Path,
) -> None:
    """Decode paths between examples: a PNG or an NPZ.

    Parameters
    ----------
    run
        The run's folder.
    data
        A known set or a path; default the run's own test split.
    n
        How many paths.
    steps
        Points on a path, ends included.
    kind
        linear, or spherical (keeps the typical length).
    examples
        Which examples to join, e.g. 3,17,42: one path through them in order.
    out
        The file to write, .png or .npz.
    """
    from vaekit.experiment import actions

    note(actions.interpolate(run, out, data=data, n=n, steps=steps, kind=kind, examples=examples))


def report(*runs: Path, out: Path | None = None) -> None:
    """Write RUN/report.html and its figures again; with several runs, one page that compares them.

    Parameters
    ----------
    runs
        The run's folder, or the folders of several runs to compare.
    out
        The page that compares several runs; default comparison.html here.
    """
    from vaekit import experiment
    from vaekit.errors import UserError

    if not runs:
        raise UserError("name the folder of a run, or of several runs to compare")
    first, *others = runs
    if others:
        from vaekit.experiment.comparing import compare_runs

        print(compare_runs(runs, out or Path("comparison.html")))
        return
    if out is not None:
        raise UserError("--out is for comparing several runs; one run's report is written into its folder")
    loaded = experiment.load(first)
    loaded.write_figures()
    print(loaded.write_report())
