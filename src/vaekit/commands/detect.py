"""vaekit detect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.commands.common import ANSWER, USE_DATA, Answer, Flag, Folder, UseData, Whole
from vaekit.commands.files import COLUMNS, check_out, left_out, write_rows
from vaekit.commands.output import describe
from vaekit.errors import UserError

if TYPE_CHECKING:
    from vaekit.runs.results import Detection
    from vaekit.runs.run import Run


def detect(
    run: Folder,
    /,
    *,
    against: str | None = None,
    anomalous: str | None = None,
    score: str | None = None,
    contamination: float = 0.05,
    threshold: str = "held-out",
    contributions: Flag = False,
    k: Whole = 64,
    limit: Whole | None = None,
    seed: Whole = 0,
    use: UseData = USE_DATA,
    answer: Answer = ANSWER,
    out: Path,
) -> None:
    """Score examples by how strange they are to the model, and mark those above a threshold.

    Parameters
    ----------
    against
        Data whose examples are anomalies, to judge the score by (AUROC, AUPR).
    anomalous
        Classes of the data that are anomalies, e.g. 3,7, to judge the score by.
    score
        iw (-log p(x)), elbo, reconstruction, regret, complexity, distance, neighbours, combined. Default:
        combined for tables, else iw.
    contamination
        The share of normal examples that may lie above the threshold.
    threshold
        held-out (from the run's own examples that training did not see), data (mark that share of these examples), or
        a number.
    contributions
        Write what each column or pixel adds to the score, too (scores iw, elbo, reconstruction).
    k
        Importance samples an example.
    limit
        Use only the first N examples of each source.
    seed
        Seed of the samples.
    out
        The file to write, .csv or .npz: file, row or line, example, score, anomaly, p_value, truth; or .png: their
        histogram, and the ROC curve where the truth is known.
    """
    suffix = check_out(out, (*COLUMNS, ".png"), (run, use.data, against))
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
        threshold=_limit(threshold),
        contributions=contributions and suffix != ".png",
        k=k,
        seed=seed,
    )
    facts = {
        "score": made.score,
        "n": len(made.scores),
        "threshold": made.threshold,
        "flagged": int(made.anomaly.sum()),
    }
    facts |= {"threshold_from": made.reference, "threshold_n": made.reference_n}
    source = {
        "data": "these examples' own",
        "given": "given",
        "training": f"from {made.reference_n} training examples; none were held out",
    }.get(made.reference, f"from {made.reference_n} held-out examples")
    judged = "".join(f", {name.upper()} {describe(value)}" for name, value in made.judged.items())
    words = f"{facts['flagged']} of {facts['n']} above {made.threshold:.4g} ({made.score}, {source}){judged}; {out}"
    with answer.telling(facts | dict(made.judged) | {"out": str(out)}, words + left_out(made.origin)):
        _write(made, opened, suffix, out)


def _write(made: Detection, run: Run, suffix: str, out: Path) -> None:
    import numpy as np

    from vaekit import figures

    if suffix == ".png":
        figures.save(figures.anomaly_scores(made.scores, made.threshold, made.truth), out)
        return
    truth = None if made.truth is None else made.truth.astype(int)
    columns = {"example": np.arange(len(made.scores)), "score": made.scores, "anomaly": made.anomaly.astype(int)}
    write_rows(out, made.origin, columns | {"p_value": made.p_values, "truth": truth} | _parts(made, run, suffix))


def _limit(text: str) -> Any:
    """Return a threshold as `Run.detect` takes it."""
    try:
        return float(text)
    except ValueError:
        return text


def _parts(made: Detection, run: Run, suffix: str) -> dict[str, Any]:
    """Return the contributions as a file holds them: an array in NPZ, a column for each number in CSV."""
    if made.contributions is None or made.latent is None:
        return {}
    if suffix == ".npz":
        return {"contributions": made.contributions, "latent": made.latent}
    flat = made.contributions.reshape(len(made.contributions), -1)
    known = [column["name"] for column in run.info.facts.get("columns", ())]
    names = known if len(known) == flat.shape[1] else [f"x{number}" for number in range(flat.shape[1])]
    return {f"contribution_{name}": flat[:, j] for j, name in enumerate(names)} | {"contribution_latent": made.latent}
