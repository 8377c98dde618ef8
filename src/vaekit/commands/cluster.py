"""vaekit cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from vaekit.commands.common import ANSWER, USE_DATA, Answer, Folder, UseData, Whole, at_least
from vaekit.commands.files import COLUMNS, check_out, left_out, write_rows
from vaekit.commands.output import describe


def cluster(
    run: Folder,
    /,
    *,
    k: Whole | None = None,
    kind: Literal["gmm", "kmeans"] = "gmm",
    bootstraps: Whole = 10,
    seed: Whole = 0,
    use: UseData = USE_DATA,
    answer: Answer = ANSWER,
    out: Path,
) -> None:
    """Cluster examples by their codes, and say how stable the clusters are.

    Parameters
    ----------
    k
        How many clusters; default the number of classes, or 10.
    kind
        gmm (a mixture of normals) or kmeans.
    bootstraps
        Fits to resampled examples, whose agreement is the stability.
    seed
        Seed of starts and resampling.
    out
        The file to write, .csv or .npz: file, row or line, example, cluster, probability, label.
    """
    import numpy as np

    check_out(out, COLUMNS, (run, use.data))
    at_least("--bootstraps", bootstraps)
    made = use.load(run).cluster(use.data, k=k, kind=kind, bootstraps=bootstraps, seed=seed)
    columns = {"example": np.arange(len(made.labels)), "cluster": made.labels, "probability": made.probability}
    facts = made.facts
    agrees = f", NMI with the labels {facts['nmi']:.3f}" if "nmi" in facts else ""
    words = (
        f"{facts['k']} clusters, stability {describe(facts['stability'])} (ARI){agrees}; {out}{left_out(made.origin)}"
    )
    with answer.telling(dict(facts) | {"out": str(out)}, words):
        write_rows(out, made.origin, columns | {"label": made.truth})
