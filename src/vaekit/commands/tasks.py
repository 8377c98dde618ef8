"""Commands for tasks: detect, impute, augment, cluster, classify, and ways through the latent space."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from vaekit.commands.arguments import WHOLE, Whole
from vaekit.commands.output import describe, note, print_json

Json = Annotated[bool, Parameter(negative="")]


def _tell(found: Mapping[str, Any], json: bool, words: str) -> None:
    if json:
        print_json(dict(found))
    else:
        note(words)


def detect(
    run: Path,
    /,
    *,
    data: str | None = None,
    against: str | None = None,
    anomalous: str | None = None,
    score: str = "iw",
    contamination: float = 0.05,
    k: Whole = 64,
    limit: Whole | None = None,
    seed: Whole = 0,
    json: Json = False,
    out: Path,
) -> None:
    """Score examples by how strange they are to the model, and mark the strangest.

    Parameters
    ----------
    run
        The run's folder.
    data
        A known set or a path; default the run's own test split.
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
    json
        Print one JSON object on the last line of standard output.
    out
        The file to write, .csv or .npz: example, score, anomaly, truth.
    """
    from vaekit.experiment import tasking

    found = tasking.detect(
        run,
        out,
        data=data,
        against=against,
        anomalous=anomalous,
        score=score,
        contamination=contamination,
        k=k,
        limit=limit,
        seed=seed,
    )
    judged = "".join(f", {name.upper()} {describe(found[name])}" for name in ("auroc", "aupr") if name in found)
    _tell(found, json, f"{found['flagged']} of {found['n']} above {found['threshold']:.4g} ({score}){judged}; {out}")


def impute(
    run: Path,
    /,
    *,
    data: str,
    method: Literal["resampling", "gibbs"] = "resampling",
    draws: Whole = 10,
    k: Whole = 200,
    seed: Whole = 0,
    multiple: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
    out: Path,
) -> None:
    """Fill missing values (NaN, or a table's empty cells); what is there stays as it is.

    Parameters
    ----------
    run
        The run's folder.
    data
        NPY, NPZ or CSV with missing values; for a run of tables a table as it was trained on.
    method
        resampling (importance resampling) or gibbs (pseudo-Gibbs).
    draws
        Multiple imputations, kept in an NPZ beside their mean.
    k
        Importance samples an example, or sweeps.
    seed
        Seed of the draws.
    multiple
        Write the draws themselves, one table under the other, numbered in a first column (runs of tables).
    json
        Print one JSON object on the last line of standard output.
    out
        The file to write: .npz (x, draws, missing), .npy, or .csv (or .parquet) for a table.
    """
    from vaekit.experiment import imputing

    found = imputing.impute_file(run, out, data=data, method=method, draws=draws, k=k, seed=seed, multiple=multiple)
    _tell(found, json, f"{found['missing']} values of {found['n']} examples filled ({method}) in {out}")


def augment(
    run: Path,
    /,
    *,
    data: str | None = None,
    method: Literal["near", "class", "interpolate", "adversarial"] = "near",
    n: Annotated[int | None, WHOLE, Parameter(alias="-n")] = None,
    radius: float = 0.3,
    seed: Whole = 0,
    json: Json = False,
    out: Path,
) -> None:
    """Make new examples and write them as a data set, with a record of where they come from.

    Parameters
    ----------
    run
        The run's folder.
    data
        Examples to start from; default the run's training split.
    method
        near (codes moved at random), class (codes drawn by class), interpolate (between two of a class), adversarial
        (codes moved to where a classifier of these examples errs).
    n
        How many; default as many as there are.
    radius
        How far codes move, in standard deviations of the prior.
    seed
        Seed of the draws.
    json
        Print one JSON object on the last line of standard output.
    out
        The file to write, .npz (x, y, of, provenance).
    """
    from vaekit.experiment import tasking

    found = tasking.augment(run, out, data=data, way=method, n=n, radius=radius, seed=seed)
    _tell(found, json, f"{found['n']} new examples ({method}) in {out}")


def cluster(
    run: Path,
    /,
    *,
    data: str | None = None,
    k: Whole | None = None,
    kind: Literal["gmm", "kmeans"] = "gmm",
    bootstraps: Whole = 10,
    seed: Whole = 0,
    json: Json = False,
    out: Path,
) -> None:
    """Cluster examples by their codes, and say how stable the clusters are.

    Parameters
    ----------
    run
        The run's folder.
    data
        A known set or a path; default the run's own test split.
    k
        How many clusters; default the number of classes, or 10.
    kind
        gmm (a mixture of normals) or kmeans.
    bootstraps
        Fits to resampled examples, whose agreement is the stability.
    seed
        Seed of starts and resampling.
    json
        Print one JSON object on the last line of standard output.
    out
        The file to write, .csv or .npz: example, cluster, probability, label.
    """
    from vaekit.experiment import tasking

    found = tasking.cluster_run(run, out, data=data, k=k, kind=kind, bootstraps=bootstraps, seed=seed)
    agrees = f", NMI with the labels {found['nmi']:.3f}" if "nmi" in found else ""
    _tell(found, json, f"{found['k']} clusters, stability {describe(found['stability'])} (ARI){agrees}; {out}")


def classify(
    run: Path,
    /,
    *,
    data: str | None = None,
    labels: Whole = 100,
    seed: Whole = 0,
    json: Json = False,
    out: Path,
) -> None:
    """Classify examples by their codes, from a few labels of the training split.

    Parameters
    ----------
    run
        The run's folder.
    data
        A known set or a path; default the run's own test split.
    labels
        How many training labels are used, evenly over the classes.
    seed
        Seed of the choice of labels.
    json
        Print one JSON object on the last line of standard output.
    out
        The file to write, .csv or .npz: example, predicted, probability, label.
    """
    from vaekit.experiment import tasking

    found = tasking.classify(run, out, data=data, labels=labels, seed=seed)
    right = f", accuracy {describe(found['accuracy'])}" if "accuracy" in found else ""
    _tell(found, json, f"{found['n']} examples classified from {labels} labels{right}; {out}")


def traverse(
    run: Path,
    /,
    *,
    data: str | None = None,
    example: Whole = 0,
    dimensions: str | None = None,
    top: Whole = 10,
    steps: Whole = 9,
    reach: float = 3.0,
    out: Path,
) -> None:
    """Decode an example's code as one latent dimension at a time moves: a PNG or an NPZ.

    Parameters
    ----------
    run
        The run's folder.
    data
        A known set or a path; default the run's own test split.
    example
        The example to start from.
    dimensions
        Which latent dimensions, e.g. 0,3; default the most informative.
    top
        How many of the most informative.
    steps
        Points on a row.
    reach
        The dimension moves from -reach to reach.
    out
        The file to write, .png or .npz.
    """
    from vaekit.experiment import moving

    note(
        moving.traverse_run(
            run, out, data=data, example=example, dimensions=dimensions, top=top, steps=steps, reach=reach
        )
    )


def manifold(run: Path, /, *, size: Whole = 20, reach: float = 2.5, label: str | None = None, out: Path) -> None:
    """Decode a plane of the latent space: all of it in two dimensions, else the codes' main plane.

    Parameters
    ----------
    run
        The run's folder.
    size
        Points a side.
    reach
        How far the plane goes, in standard deviations of the codes (more than two dimensions only).
    label
        The label to decode with, for conditional models.
    out
        The file to write, .png or .npz.
    """
    from vaekit.experiment import moving

    note(moving.manifold_run(run, out, size=size, label=label, reach=reach))


def arithmetic(
    run: Path,
    /,
    *,
    data: str | None = None,
    examples: Annotated[str, Parameter(negative="")],
    attribute: str | None = None,
    amounts: str = "0,0.5,1,1.5",
    out: Path,
) -> None:
    """Decode a - b + c of three examples' codes, or examples moved along a class's direction.

    Parameters
    ----------
    run
        The run's folder.
    data
        A known set or a path; default the run's own test split.
    examples
        Three examples a,b,c; with --attribute any number.
    attribute
        A class: its direction is its mean code less the others'.
    amounts
        How far along the direction, e.g. 0,0.5,1.
    out
        The file to write, .png or .npz.
    """
    from vaekit.experiment import moving

    note(moving.arithmetic_run(run, out, data=data, examples=examples, attribute=attribute, amounts=amounts))
