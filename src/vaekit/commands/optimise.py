"""vaekit optimise."""

from __future__ import annotations

from pathlib import Path

from vaekit.commands.common import ANSWER, USE_DATA, Answer, Count, Flag, UseData, Whole, at_least
from vaekit.commands.files import COLUMNS, check_out, write_columns
from vaekit.commands.output import describe


def optimise(
    run: Path,
    /,
    *,
    n: Count = 50,
    steps: Whole = 100,
    rate: float = 0.1,
    keep: float = 0.0,
    minimise: Flag = False,
    use: UseData = USE_DATA,
    answer: Answer = ANSWER,
    out: Path,
) -> None:
    """Move molecules' codes towards more of the property that the run learned, and decode them.

    Parameters
    ----------
    run
        The run's folder, of a molecule-vae trained with data.property.
    n
        How many molecules.
    steps
        Steps of the climb.
    rate
        Length of a step.
    keep
        Weight of the prior's log-density, which holds codes where the decoder was trained.
    minimise
        Seek less of the property.
    out
        The file to write, .csv or .npz: molecule, before, reconstruction, reconstructed, optimised, after, predicted,
        similarity.
    """
    from vaekit.tasks.optimisation import summary

    check_out(out, COLUMNS, (run, use.data))
    at_least("-n", n)
    opened = use.load(run)
    columns = opened.optimise(use.data, n=n, steps=steps, rate=rate, keep=keep, minimise=minimise)
    facts = {"property": opened.info.facts["property"]["name"]} | summary(columns, minimise)
    words = f"{facts['n']} molecules, {facts['valid']:.0%} decode to one"
    if "gain" in facts:
        words += f"; {facts['property']} {describe(facts['before'])} before, {describe(facts['after'])} after"
        words += f", {facts['improved']['value']:.0%} improved"
    with answer.telling(facts, f"{words}; {out}"):
        write_columns(out, columns)
