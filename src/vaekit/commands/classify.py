"""vaekit classify."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vaekit.commands.common import ANSWER, USE_DATA, Answer, Folder, UseData, Whole
from vaekit.commands.files import COLUMNS, check_out, left_out, write_rows
from vaekit.commands.output import describe


def classify(
    run: Folder,
    /,
    *,
    labels: Whole = 100,
    seed: Whole = 0,
    use: UseData = USE_DATA,
    answer: Answer = ANSWER,
    out: Path,
) -> None:
    """Classify examples by their codes, from a few labels of the training split.

    Parameters
    ----------
    labels
        How many training labels are used, evenly over the classes.
    seed
        Seed of the choice of labels.
    out
        The file to write, .csv or .npz: file, row or line, example, predicted, probability, label.
    """
    import numpy as np

    check_out(out, COLUMNS, (run, use.data))
    made = use.load(run).classify(use.data, labels=labels, seed=seed)
    n = len(made.predicted)
    columns = {"example": np.arange(n), "predicted": made.predicted, "probability": made.probability}
    facts: dict[str, Any] = {"labels": labels, "n": n}
    right = ""
    if made.accuracy is not None:
        facts["accuracy"] = dict(made.accuracy)
        right = f", accuracy {describe(made.accuracy)}"
    words = f"{n} examples classified from {labels} labels{right}; {out}{left_out(made.origin)}"
    with answer.telling(facts | {"out": str(out)}, words):
        write_rows(out, made.origin, columns | {"label": made.truth})
