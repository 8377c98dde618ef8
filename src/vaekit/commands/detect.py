"""vaekit detect."""

from __future__ import annotations

from pathlib import Path

from vaekit.commands.common import ANSWER, USE_DATA, Answer, Folder, UseData, Whole
from vaekit.commands.files import COLUMNS, check_out, left_out, write_rows
from vaekit.commands.output import describe
from vaekit.errors import UserError


def detect(
    run: Folder,
    /,
    *,
    against: str | None = None,
    anomalous: str | None = None,
    score: str = "iw",
    contamination: float = 0.05,
    k: Whole = 64,
    limit: Whole | None = None,
    seed: Whole = 0,
    use: UseData = USE_DATA,
    answer: Answer = ANSWER,
    out: Path,
) -> None:
    """Score examples by how strange they are to the model, and mark the strangest.

    Parameters
    ----------
    against
        Data whose examples are anomalies, to judge the score by (AUROC, AUPR).
    anomalous
        Classes of the data that are anomalies, e.g. 3,7, to judge the score by.
    score
        iw (-log p(x)), elbo, reconstruction, regret, complexity, distance.
    contamination
        The share of these examples that is marked.
    k
        Importance samples an example.
    limit
        Use only the first N examples of each source.
    seed
        Seed of the samples.
    out
        The file to write, .csv or .npz: file, row or line, example, score, anomaly, truth; or .png: their histogram,
        and the ROC curve where the truth is known.
    """
    import numpy as np

    from vaekit import figures

    suffix = check_out(out, (*COLUMNS, ".png"))
    if k < 1 or (limit is not None and limit < 1):
        raise UserError("--k and --limit must be at least 1")
    if against is not None and anomalous is not None:
        raise UserError("--against names anomalous data and --anomalous anomalous classes; give one of them")
    opened = use.load(run)
    split, odd = opened.split(use.data), None if against is None else opened.prepared(against)
    if limit is not None:
        split, odd = split.first(limit), None if odd is None else odd.first(limit)
    made = opened.detect(
        split,
        against=odd,
        anomalous=None if anomalous is None else [name.strip() for name in anomalous.split(",")],
        score=score,
        contamination=contamination,
        k=k,
        seed=seed,
    )
    if suffix == ".png":
        figures.save(figures.anomaly_scores(made.scores, made.threshold, made.truth), out)
    else:
        truth = None if made.truth is None else made.truth.astype(int)
        columns = {"example": np.arange(len(made.scores)), "score": made.scores, "anomaly": made.anomaly.astype(int)}
        write_rows(out, made.origin, columns | {"truth": truth})
    facts = {"score": score, "n": len(made.scores), "threshold": made.threshold, "flagged": int(made.anomaly.sum())}
    judged = "".join(f", {name.upper()} {describe(value)}" for name, value in made.judged.items())
    answer.tell(
        facts | dict(made.judged) | {"out": str(out)},
        f"{facts['flagged']} of {facts['n']} above {made.threshold:.4g} ({score}){judged}; {out}"
        f"{left_out(made.origin)}",
    )
