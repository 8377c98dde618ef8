"""The figures of a run's folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit import figures
from vaekit.atomic import write_text
from vaekit.collapse import LatentWatch
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import ChangedData, UserError
from vaekit.figures.audio import spectrograms
from vaekit.inference import batches, inference
from vaekit.latents.manifold import principal_plane
from vaekit.latents.umap import has_umap, umap_apart
from vaekit.models.graph import GraphVAE
from vaekit.models.hierarchy import Hierarchy
from vaekit.runs import folder as files
from vaekit.runs import graph_figures, series_figures, table_figures
from vaekit.runs.latent import LatentRun

MAP_POINTS, UMAP_POINTS = 5000, 2000
KL_EXAMPLES = 2000
TRAVERSED, FRAMES = 10, 9
MANIFOLD_SIDE = 15
LAYER_EXAMPLES = 1000
PICTURED = 12
EACH, MOST_ROWS = 8, 12
"""Samples of each label in a row, and rows."""
ABOVE = {"molecules": 5, "graphs": 4}
"""Drawings in a row, of those that stand above their reconstructions."""
HEARD = 6
"""Recordings in a file of sound."""
SHOWN = 32
"""Examples in the files of lines."""


def write_figures(run: LatentRun, names: Sequence[str] | None = None) -> list[Path]:
    """Write every figure that applies to the run, or those named, into RUN/figures and return their paths.

    A figure that cannot be made costs no other: it is left out with a warning that names it.

    Raises:
        ChangedData: the run's data hold anything else than when it was trained.
    """
    assert run.path is not None
    try:
        _ = run.data
    except ChangedData:
        raise
    except UserError:
        pass  # they cannot be read: figures that need them say so
    folder = run.path / files.FIGURES
    folder.mkdir(exist_ok=True)
    written: list[Path] = []
    makers = MAKERS | {name: (make, False) for name, make in OF_KIND.get(run.info.kind, {}).items()}
    for name, (make, of_arrays) in makers.items():
        if names is not None and name not in names:
            continue
        path = folder / f"{name}.png"
        path.unlink(missing_ok=True)
        with _costing_no_other(f"the figure {name}"):
            figure = make(run) if run.info.is_array or not of_arrays else None
            if figure is not None:
                written.append(figures.save(figure, path))
    if not run.info.is_array and names is None and not _one_graph(run):
        with _costing_no_other("the text of samples and reconstructions"):
            written += write_lines(run)
    if run.info.modality == "audio" and names is None:
        with _costing_no_other("the sound of samples and reconstructions"):
            written += write_sounds(run)
    return written


def write_evaluated(run: LatentRun) -> list[Path]:
    """Write the figures of what has been evaluated, and return their paths."""
    wanted = [name for name, number in EVALUATED.items() if number in run.evaluation()]
    return write_figures(run, wanted) if wanted else []


@contextmanager
def _costing_no_other(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        warnings.warn(f"{what} was left out: {type(error).__name__}: {error}", stacklevel=4)


def curves(run: LatentRun) -> Any:
    """Training curves."""
    records = run.log
    stages = {record.get("stage") for record in records}
    final = (run.record.get("result") or {}).get("elbo") if len(stages) > 1 else None
    weights = {
        f"terms.{i}": f"Weight of the {WEIGHED.get(term.name, term.name.replace('_', ' '))}"
        for stage in run.built.stages[-1:]
        for i, term in enumerate(stage.objective.each())
    }
    return figures.curves(records, final, weights) if records else None


WEIGHED = {"rate": "KL"}
"""What terms of a loss are called, where their names would not do."""


def reconstructions(run: LatentRun) -> Any:
    """Inputs, outputs, differences; molecules and small graphs as they are drawn, each above its reconstruction."""
    if not run.info.is_array:
        columns = ABOVE.get(run.info.modality)
        if columns is None or run.modality is None or _one_graph(run):
            return None
        split = run.shown.first(columns)
        both = (split.inputs, run.reconstruct(split))
        drawn = torch.cat(both) if isinstance(split.inputs, Tensor) else type(split.inputs).cat(list(both))
        draw = type(run.modality).picture
        return None if draw is None or len(split) < columns else draw(drawn, run.info.facts)
    split = run.shown.first(12)
    x, made = run.picture(run.prepare.values(split.inputs)), run.picture(run.reconstruct(split))
    return figures.reconstructions(x.numpy(), made.numpy(), greys=_greys(run, len(split)))


def _greys(run: LatentRun, count: int) -> np.ndarray | None:
    """Return the first examples as pictures of their greys, where the model sees them black and white at random."""
    if run.prepare.mode not in ("stochastic", "fixed") or not run.info.has_picture:
        return None
    stored = next((s for s in (run.data.test, run.data.valid) if len(s)), run.data.train).first(count)
    return run.picture(run.prepare.expected(stored.x)).numpy()


def samples(run: LatentRun) -> Any:
    """Samples from the prior, as the modality draws them if the data have one that does."""
    if _one_graph(run):
        return None
    draw = None if run.modality is None else type(run.modality).picture
    if draw is not None and run.info.is_array and run.model.takes_label:
        y, names = _labelled(run, 1, PICTURED)
        return spectrograms(run.prepare.values(run.drawn(len(names), y=y)), run.info.facts, names)
    if draw is not None:
        return draw(run.sample(_few(run, PICTURED)), run.info.facts)
    if not run.info.is_array:
        return None
    if not run.model.takes_label:
        return figures.samples(run.picture(run.sample(64)).numpy())
    y, names = _labelled(run, EACH, MOST_ROWS)
    made = run.picture(run.prepare.values(run.drawn(len(names) * EACH, y=y)))
    return figures.samples(made.numpy(), title="Samples from the prior, a row a label", rows=names)


def _labelled(run: LatentRun, each: int, most: int) -> tuple[Tensor | None, list[str]]:
    """Return labels to sample by, `each` of one after the other, and what they are called: classes, or examples'."""
    conditions = run.conditions
    count = min(most, run.info.n_classes) if conditions.classes else min(most, 8)
    y = run.labels(count)
    if y is None:
        return None, []
    columns = run.label_columns(y)
    names = [
        ", ".join(f"{k} {v}" if len(columns) > 1 else v for k, v in zip(columns, row)) for row in zip(*columns.values())
    ]
    return y.repeat_interleave(each, 0), names


def interpolation(run: LatentRun) -> Any:
    """Paths between test examples."""
    if not run.info.has_picture:
        return None
    split = run.shown.first(12)
    half = len(split) // 2
    if not half:
        return None
    paths = run.interpolate_examples([(i, half + i) for i in range(half)], split)
    return figures.interpolation(run.picture(paths).numpy())


def traversals(run: LatentRun) -> Any:
    """The most informative latents, one moved at a time about the code of the first test example."""
    try:
        made = run.traverse(run.shown, top=TRAVERSED, steps=FRAMES)
    except UserError:  # the codes are categories, or there are no examples
        return None
    shown = run.picture(made.x)
    rows = shown if run.info.has_picture else shown.reshape(*shown.shape[:2], -1)
    values = made.values if made.values.ndim == 1 else None
    return figures.traversals(rows, made.names, made.kl.tolist() if made.factorises else None, values)


def manifold(run: LatentRun) -> Any:
    """The decoded plane of a two-dimensional latent, at equal steps of the prior's probability."""
    if not run.info.has_picture:
        return None
    split = run.shown
    y = split.labels if run.model.takes_label else None
    label = None if y is None else run.class_names(y[:1])[0]
    try:
        if run.codes(split.first(1)).shape[1] != 2:
            return None
        made = run.manifold(MANIFOLD_SIDE, label=label)
    except UserError:
        return None
    return figures.manifold(run.picture(made.x), made.xs, made.ys)


def latent_map(run: LatentRun) -> Any:
    """The test examples' codes in a plane, by label."""
    z, labels, names = _mapped(run, MAP_POINTS)
    if z.shape[1] == 2:
        return figures.latent_map(z, labels, names, "latent", noun=_noun(run))
    plane = principal_plane(z)
    return figures.latent_map(plane.project(z), labels, names, "PCA", plane.share, _noun(run))


def latent_map_umap(run: LatentRun) -> Any:
    """The same codes placed by UMAP, where its package is installed."""
    if not has_umap():
        return None
    z, labels, names = _mapped(run, UMAP_POINTS)
    if z.shape[1] <= 2 or len(z) < 4:
        return None
    return figures.latent_map(umap_apart(z, lambda: None), labels, names, "UMAP", noun=_noun(run))


def _noun(run: LatentRun) -> str:
    return "nodes" if isinstance(run.model, GraphVAE) else "examples"


def _mapped(run: LatentRun, most: int) -> tuple[Tensor, np.ndarray | None, Sequence[str]]:
    """Return the codes of up to `most` test examples, or of nodes of test graphs, and what they are coloured by."""
    split = run.shown.first(most)
    z, y, names = run.encode(split), split.y, run.info.classes
    if isinstance(run.model, GraphVAE):
        (z, y), names = run.node_codes(run.shown), run.info.facts["classes"]
        z, y = z[:most], None if y is None else y[:most]
    return z, *_colours(run, y, names)


def _colours(run: LatentRun, y: Tensor | None, names: Sequence[str]) -> tuple[np.ndarray | None, Sequence[str]]:
    """Return what codes are coloured by: classes, or the first attribute; its missing values have a colour too."""
    if y is None:
        return None, names
    labels = y.numpy()
    if y.dtype.is_floating_point:
        first, labels = run.conditions.attributes[0], run.conditions.values(y)[:, 0]
        if "levels" not in first:
            return None if np.isnan(labels).any() else labels, ()
        names, labels = first["levels"], np.nan_to_num(labels, nan=-1.0).astype(np.int64)
    if (labels < 0).any():
        names, labels = [*names, "missing"], np.where(labels < 0, len(names), labels)
    return labels, names


def kl(run: LatentRun) -> Any:
    """KL of each latent dimension over test examples, with errors where it is estimated from samples."""
    watch = _watched(run)
    each, active = watch.kl_elements(), watch.active()
    if not each:
        return None
    if len(each) == 1:
        ((name, values),) = each.items()
        return figures.kl_per_dimension(values, active[name])
    return figures.kl_per_dimension(each, active, watch.kl_stderr() or None)


def _watched(run: LatentRun) -> LatentWatch:
    """Return the KL of each latent over test examples; the same draws, and so the same numbers, for every figure."""
    watch, split = LatentWatch(), run.shown.first(KL_EXAMPLES)
    with inference(run.model):
        for x, y in batches(run.model, split.x, split.y):
            watch.add(run.model.trace(x, y, hard=True))
    return watch


def kl_layers(run: LatentRun) -> Any:
    """KL of each stochastic layer of a hierarchy, over test examples and over training."""
    if not isinstance(run.model, Hierarchy):
        return None
    split = run.shown.first(KL_EXAMPLES)
    parts: dict[str, list[Tensor]] = {name: [] for name in run.model.names}
    with inference(run.model):  # as in `_watched`
        for part, label in batches(run.model, split.x, split.y):
            for name, value in run.model.trace(part, label, hard=True).kl.items():
                # Below the top of a chain the rate is a sample's, (K, B).
                parts[name].append((value if value.dim() == 1 else value.mean(0)).double().cpu())
    values = {name: torch.cat(each) for name, each in parts.items()}
    means = {name: float(v.mean()) for name, v in values.items()}
    errors = {name: float(v.std() / len(v) ** 0.5) for name, v in values.items()} if len(split) > 1 else None
    log = [record for record in run.log if f"kl.{run.model.names[0]}" in record]
    steps = [record["step"] for record in log]
    history = {name: (steps, [record[f"kl.{name}"] for record in log]) for name in run.model.names}
    return figures.kl_layers(means, errors, history if len(log) > 1 else None)


def _one_graph(run: LatentRun) -> bool:
    """Whether the data are one graph: its model ranks links, and of a graph drawn from it little can be read."""
    return bool(run.info.facts.get("links"))


def _few(run: LatentRun, n: int) -> int:
    """Return how many examples to draw for showing: of graphs no more than the data have, one where it is one."""
    return min(n, run.info.n_train) if run.info.kind == "graph" else n


def write_lines(run: LatentRun) -> list[Path]:
    """Write samples and reconstructions of a run as lines of text into its figures folder, and return the files."""
    assert run.path is not None
    folder = run.path / files.FIGURES
    samples, pairs = folder / "samples.txt", folder / "reconstructions.txt"
    write_text(samples, "".join(f"{line}\n" for line in run.lines(run.sample(_few(run, SHOWN), form="array"))))
    split = run.shown.first(SHOWN)
    both = zip(run.lines(split.inputs), run.lines(run.reconstruct(split)))
    write_text(pairs, "".join(f"{before}\n→ {after}\n\n" for before, after in both))
    return [samples, pairs]


def write_sounds(run: LatentRun) -> list[Path]:
    """Write samples, and test recordings each before its reconstruction, as WAV files into the figures folder."""
    assert run.path is not None and run.modality is not None
    folder = run.path / files.FIGURES
    samples, pairs = folder / "samples.wav", folder / "reconstructions.wav"
    y, names = _labelled(run, 1, HEARD) if run.model.takes_label else (None, [])
    made = run.prepare.values(run.drawn(len(names), y=y)) if names else run.sample(_few(run, HEARD), seed=0)
    run.modality.write(samples, made, run.info)
    split = run.shown.first(HEARD // 2)
    both = torch.stack([run.prepare.values(split.inputs), run.reconstruct(split)], 1).flatten(0, 1)
    run.modality.write(pairs, both, run.info)
    return [samples, pairs]


def aggregate(run: LatentRun) -> Any:
    """The aggregate posterior's marginals against the prior, for a diagonal normal posterior and standard prior."""
    split = run.shown.first(LAYER_EXAMPLES)
    with inference(run.model):
        x, y = next(batches(run.model, split.x, split.y, size=LAYER_EXAMPLES))
        trace = run.model.trace(x, y, hard=True)
    latent = next(iter(trace.latents.values()))
    if len(trace.latents) > 1 or not isinstance(latent.q, DiagonalNormalFamily) or latent.p.batch_shape:
        return None
    if latent.q.loc.dim() != 2:
        return None
    return figures.aggregate_posterior(latent.q.mean.cpu().numpy(), latent.q.scale.cpu().numpy())


def rate_distortion(run: LatentRun) -> Any:
    """The decoder's rate-distortion curve, where the metric of that name has been computed."""
    entry = run.evaluation().get("rate_distortion", {})
    return figures.rate_distortion(entry["rate"], entry["distortion"]) if "rate" in entry else None


def rank_histograms(run: LatentRun) -> Any:
    """The rank histograms of simulation-based calibration, where the metric has been computed."""
    entry = run.evaluation().get("sbc_p_value", {})
    if "counts" not in entry:
        return None
    chosen = entry["dimensions"]
    names, p_values = [f"z{j}" for j in chosen], [entry["p_values"][j - 1] for j in chosen]
    return figures.rank_histograms(entry["counts"], names, p_values)


MAKERS: dict[str, tuple[Callable[[LatentRun], Any], bool]] = {
    "curves": (curves, False),
    "reconstructions": (reconstructions, False),
    "samples": (samples, False),
    "interpolation": (interpolation, True),
    "traversals": (traversals, True),
    "manifold": (manifold, True),
    "latent_map": (latent_map, False),
    "latent_map_umap": (latent_map_umap, False),
    "kl": (kl, False),
    "kl_layers": (kl_layers, False),
    "aggregate_posterior": (aggregate, False),
    "rate_distortion": (rate_distortion, False),
    "rank_histograms": (rank_histograms, False),
}
"""Every figure's maker, and whether it draws arrays of numbers only."""
OF_KIND: dict[str, dict[str, Callable[[Any], Any]]] = {
    "graph": graph_figures.MAKERS,
    "series": series_figures.MAKERS,
    "table": table_figures.MAKERS,
}
"""Makers of one kind of data, some in place of those."""
EVALUATED = {"rate_distortion": "rate_distortion", "rank_histograms": "sbc_p_value"}
"""Those made of a number of the evaluation, and of which."""
