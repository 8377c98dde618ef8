"""Tasks on a run's model, each ending in a file that is whole or absent: detect, augment, cluster, classify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vaekit import __version__
from vaekit.data.dataset import Split
from vaekit.data.save import write_npz
from vaekit.errors import UserError
from vaekit.experiment.augmenting import moved_codes
from vaekit.experiment.compressing import fingerprint
from vaekit.experiment.moving import codes, takes, training_split
from vaekit.experiment.run import Run, describe_source, load
from vaekit.experiment.showing import joined, write_examples
from vaekit.experiment.writing import check_out, class_names, split_of, write_columns
from vaekit.models.base import point
from vaekit.tasks.anomaly import SCORES, Scorer, judge, threshold
from vaekit.tasks.augmentation import adversarial
from vaekit.tasks.classification import accuracy_interval, few_labels, fit_classifier
from vaekit.tasks.clustering import Kind, cluster

Way = Literal["near", "class", "interpolate", "adversarial"]


def score_examples(run: Run, split: Split, score: str, *, k: int = 64, steps: int = 100, seed: int = 0) -> np.ndarray:
    """Return the anomaly score (N,) of prepared examples, the higher the stranger; see vaekit.tasks.anomaly."""
    if score == "complexity" and run.info.kind not in ("binary", "levels", "unit"):
        raise UserError(f"the complexity correction needs values in [0, 1], and {run.info.name}'s are {run.info.kind}")
    if takes(run) and split.y is None:
        raise UserError(f"this run's model ({run.recipe}) is conditioned on labels; give data with labels")
    levels = 2 if run.info.kind == "binary" else run.info.levels or 256
    normal = codes(run, training_split(run)) if score == "distance" else None
    return (
        Scorer(run.model, k=k, steps=steps, levels=levels, seed=seed, normal=normal)
        .score(score, split.x, split.y)
        .numpy()
    )


def detect(
    folder: Path,
    out: Path,
    *,
    data: str | None,
    against: str | None,
    anomalous: str | None,
    score: str,
    contamination: float,
    k: int,
    limit: int | None,
    seed: int,
) -> dict[str, Any]:
    """Write each example's anomaly score and verdict, CSV or NPZ; return the threshold, and AUROC where truth is known.

    Truth: `against` names data that are anomalous, or `anomalous` classes of `data` that are.
    """
    check_out(out, (".csv", ".npz"))
    if score not in SCORES:
        raise UserError(f"there is no anomaly score '{score}'; there are {', '.join(SCORES)}")
    if k < 1 or (limit is not None and limit < 1):
        raise UserError("--k and --limit must be at least 1")
    threshold([0.0], contamination)
    if against is not None and anomalous is not None:
        raise UserError("--against names anomalous data and --anomalous anomalous classes; give one of them")
    run = load(folder)
    split = split_of(run, data)
    split = split.first(limit) if limit else split
    truth = None if anomalous is None else _anomalous(run, split, anomalous)
    if against is not None:
        odd = run.prepared(against)
        odd = odd.first(limit) if limit else odd
        truth = np.arange(len(split) + len(odd)) >= len(split)
        y = None if split.y is None or odd.y is None else torch.cat([split.y, odd.y])
        split = Split(torch.cat([split.x, odd.x]), y)
    values = score_examples(run, split, score, k=k, seed=seed)
    limit_score = threshold(values, contamination)
    verdict = values > limit_score
    columns: dict[str, Any] = {"example": np.arange(len(values)), "score": values, "anomaly": verdict.astype(int)}
    found: dict[str, Any] = {"score": score, "n": len(values), "threshold": limit_score, "flagged": int(verdict.sum())}
    if truth is not None:
        columns["truth"] = truth.astype(int)
        found |= judge(values, truth, seed)
    write_columns(out, columns)
    return found | {"out": str(out)}


def _anomalous(run: Run, split: Split, names: str) -> np.ndarray:
    if split.y is None:
        raise UserError("--anomalous names classes, and the data have no labels; use --against or give labelled data")
    wanted = [run.class_number(name.strip()) for name in names.split(",")]
    truth = np.isin(split.y.numpy(), wanted)
    if truth.all() or not truth.any():
        raise UserError(f"--anomalous {names}: all or none of the examples are of these classes")
    return truth


def augment(
    folder: Path, out: Path, *, data: str | None, way: Way, n: int | None, radius: float, seed: int
) -> dict[str, Any]:
    """Write new examples as a data set, NPZ (x, y, provenance): JSON that says what they were made from and how.

    Text, tables and the like may be written in their own form; what they were made from is then in the answer alone.
    """
    if radius < 0 or (n is not None and n < 1):
        raise UserError("--radius must not be negative, and -n at least 1")
    run = load(folder)
    own = () if run.modality is None or run.info.is_array else run.modality.formats
    suffix = check_out(out, (".npz", *own))
    split = training_split(run, None) if data is None else split_of(run, data)
    if way in ("class", "adversarial") and split.y is None:
        raise UserError(f"augmenting by '{way}' needs labels, and the data have none; use near or interpolate")
    if takes(run) and split.y is None:
        raise UserError(f"this run's model ({run.recipe}) is conditioned on labels; give data with labels")
    count = len(split) if n is None else n
    z, of, facts = _new_codes(run, split, way, count, radius, seed)
    label = None if split.y is None else split.y[of]
    means = _means(run, z, label)
    provenance = {
        "made_by": f"vaekit {__version__} augment",
        "run": str(folder.resolve()),
        "model": fingerprint(run),
        "data": describe_source(data if data is not None else run.record["data"]["source"]),
        "method": way,
        "radius": radius,
        "seed": seed,
        "n": count,
    } | facts
    if suffix != ".npz":
        write_examples(run, out, means)
        return provenance | {"out": str(out)}
    x = _as_stored(run, means, seed)
    arrays: dict[str, Any] = {"x": x, "of": of.numpy(), "provenance": np.array(json.dumps(provenance))}
    if label is not None:
        arrays["y"] = np.array(class_names(run, label.tolist())) if run.info.classes else label.numpy()
    write_npz(out, **arrays)
    return provenance | {"out": str(out)}


def _new_codes(
    run: Run, split: Split, way: Way, n: int, radius: float, seed: int
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    if way != "adversarial":
        y = None if split.y is None else split.y.numpy()
        z, of = moved_codes(codes(run, split).double().numpy(), y, n, way, radius, seed)
        return torch.from_numpy(z).float(), torch.from_numpy(of), {}
    assert split.y is not None
    rows = torch.arange(n) % len(split)
    logits, accuracy = pixel_classifier(split, seed)
    kept, labels = codes(run, split)[rows], split.y[rows]
    moved: list[Tensor] = []
    gains: list[Tensor] = []
    for z, y in zip(kept.split(500), labels.split(500)):
        own = y if takes(run) else None

        def decode(code: Tensor, label: Tensor | None = own) -> Tensor:
            return run.model.decode(code, label).mean

        new, gain = adversarial(z, y, decode, logits, radius)
        moved.append(new)
        gains.append(gain)
    facts = {
        "classifier": "logistic regression on x, fitted to the same examples",
        "classifier_accuracy": accuracy,
        "mean_gain_in_loss": float(torch.cat(gains).mean()),
    }
    return torch.cat(moved), rows, facts


def pixel_classifier(split: Split, seed: int = 0, most: int = 2000) -> tuple[Any, float]:
    """Return a differentiable logistic regression on x, fitted to labelled examples, and its accuracy on them."""
    assert split.y is not None
    some = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:most]
    x, y = split.x[some].float().flatten(1), split.y[some]
    from sklearn.linear_model import LogisticRegression

    if len(y.unique()) < 2:
        raise UserError("an adversarial direction needs examples of at least two classes")
    model: Any = LogisticRegression(C=0.05, max_iter=500).fit(x.numpy(), y.numpy())
    count = int(split.y.max()) + 1
    weight, bias = torch.zeros(count, x.shape[1]), torch.full((count,), -1e3)
    rows = torch.from_numpy(model.classes_)
    coefficients, intercept = torch.from_numpy(model.coef_).float(), torch.from_numpy(model.intercept_).float()
    if len(rows) == 2:  # scikit-learn keeps one row for two classes
        coefficients, intercept = torch.cat([-coefficients, coefficients]) / 2, torch.cat([-intercept, intercept]) / 2
    weight[rows], bias[rows] = coefficients, intercept

    def logits(images: Tensor) -> Tensor:
        return images.flatten(1) @ weight.T + bias

    return logits, float((logits(x).argmax(1) == y).float().mean())


@torch.no_grad()
def _means(run: Run, z: Tensor, y: Tensor | None) -> Tensor:
    label = y if takes(run) else None
    rows = range(0, len(z), 500)
    return joined(
        [point(run.model.decode(z[i : i + 500], None if label is None else label[i : i + 500])) for i in rows]
    )


def _as_stored(run: Run, x: Tensor, seed: int) -> np.ndarray:
    """Return means of p(x|z) as the run's data were stored: greys as uint8, bits drawn, real values in their units."""
    prepare = run.prepare
    if prepare.levels == 2 and run.info.kind == "binary":
        draws = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
        return (draws < x).to(torch.uint8).numpy()
    if prepare.levels is not None and run.info.kind in ("binary", "levels", "unit"):
        return (x.clamp(0, 1) * (prepare.levels - 1)).round().to(torch.uint8).numpy()
    return prepare.invert(x).numpy()


def cluster_run(
    folder: Path, out: Path, *, data: str | None, k: int | None, kind: Kind, bootstraps: int, seed: int
) -> dict[str, Any]:
    """Write each example's cluster, CSV or NPZ; return the clusters' stability, and agreement with labels."""
    check_out(out, (".csv", ".npz"))
    if bootstraps < 1:
        raise UserError(f"--bootstraps must be at least 1, not {bootstraps}")
    run = load(folder)
    split = split_of(run, data)
    z = run.encode(split.x, split.y).numpy()
    found = cluster(z, k if k is not None else run.info.n_classes or 10, kind, bootstraps=bootstraps, seed=seed)
    columns: dict[str, Any] = {"example": np.arange(len(z)), "cluster": found.labels}
    if found.sure is not None:
        columns["probability"] = found.sure
    sizes = np.bincount(found.labels).tolist()
    facts: dict[str, Any] = {"kind": kind, "k": len(sizes), "n": len(z), "sizes": sizes}
    facts["stability"] = {
        "value": float(found.stability.mean()),
        "interval": list(found.interval),
        "unit": "adjusted Rand index",
        "n": len(found.stability),
    }
    if split.y is not None:
        from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

        columns["label"] = class_names(run, split.y.tolist())
        facts["ari"] = float(adjusted_rand_score(split.y.numpy(), found.labels))
        facts["nmi"] = float(normalized_mutual_info_score(split.y.numpy(), found.labels))
    write_columns(out, columns)
    return facts | {"out": str(out)}


def classify(folder: Path, out: Path, *, data: str | None, labels: int, seed: int) -> dict[str, Any]:
    """Write each example's predicted class, CSV or NPZ, by a classifier of codes that saw `labels` training labels."""
    check_out(out, (".csv", ".npz"))
    run = load(folder)
    if not run.info.n_classes:
        raise UserError(f"{run.info.name} has no labels to learn from; train on labelled data")
    if takes(run):
        raise UserError(f"this run's model ({run.recipe}) is given the label, so its codes cannot predict it")
    known = training_split(run, None)
    assert known.y is not None
    chosen = few_labels(known.y.numpy(), labels, seed)
    model = fit_classifier(run.encode(known.x[chosen]).numpy(), known.y.numpy()[chosen], seed)
    split = split_of(run, data)
    z = run.encode(split.x).numpy()
    guess, sure = model.predict(z), model.predict_proba(z).max(1)
    columns: dict[str, Any] = {
        "example": np.arange(len(z)),
        "predicted": class_names(run, guess.tolist()),
        "probability": sure,
    }
    found: dict[str, Any] = {"labels": labels, "n": len(z)}
    if split.y is not None:
        right = guess == split.y.numpy()
        columns["label"] = class_names(run, split.y.tolist())
        found["accuracy"] = {"value": float(right.mean()), "interval": list(accuracy_interval(right)), "n": len(z)}
    write_columns(out, columns)
    return found | {"out": str(out)}
