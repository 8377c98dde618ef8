"""vaekit classify."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from vaekit.commands.common import ANSWER, USE_DATA, Answer, Folder, UseData, Whole
from vaekit.commands.files import COLUMNS, check_out, left_out, write_rows
from vaekit.commands.output import describe


def classify(
    run: Folder,
    /,
    *,
    labels: Whole = 100,
    shots: Whole | None = None,
    by: Literal["context", "likelihood"] = "context",
    seed: Whole = 0,
    use: UseData = USE_DATA,
    answer: Answer = ANSWER,
    out: Path,
) -> None:
    """Classify examples by their codes, from a few labels of the training split or of their own classes.

    Parameters
    ----------
    labels
        How many training labels are used, evenly over the classes.
    shots
        In place of labels: so many examples of each class of the data, which may be new classes; the others are
        classified, and nothing is trained.
    by
        With shots and a set-vae: by the context that an example shares with a class, or by log p(x | its examples).
    seed
        Seed of the choice of labels.
    out
        The file to write, .csv or .npz: file, row or line, example, predicted, probability, label.
    """
    import numpy as np

    check_out(out, COLUMNS, (run, use.data))
    opened = use.load(run)
    if shots is None:
        made, told = opened.classify(use.data, labels=labels, seed=seed), f"from {labels} labels"
    else:
        made, told = opened.few_shot(use.data, shots=shots, by=by, seed=seed), f"from {shots} examples of each class"
    n = len(made.predicted)
    columns = {"example": np.arange(n), "predicted": made.predicted, "probability": made.probability}
    facts: dict[str, Any] = ({"labels": labels} if shots is None else {"shots": shots, "by": by}) | {"n": n}
    right = ""
    if made.accuracy is not None:
        facts["accuracy"] = dict(made.accuracy)
        right = f", accuracy {describe(made.accuracy)}"
    words = f"{n} examples classified {told}{right}; {out}{left_out(made.origin)}"
    with answer.telling(facts | {"out": str(out)}, words):
        write_rows(out, made.origin, columns | {"label": made.truth})
