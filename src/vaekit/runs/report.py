"""A run's facts, put together for its report."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vaekit import report
from vaekit.collapse import LEAST_KL, Usage
from vaekit.distributions.base import Measure
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.metrics.base import meanings
from vaekit.models.hierarchy import Hierarchy
from vaekit.objectives.importance import CombinedImportanceWeighted, ImportanceWeighted, MultipleImportanceWeighted
from vaekit.recipes.own import CUSTOM, entry_of
from vaekit.runs import folder as files
from vaekit.runs import numbers as numbers_
from vaekit.runs.base import RunBase
from vaekit.runs.comparable import VALUES
from vaekit.runs.decoder import decoder
from vaekit.runs.figures import HEARD
from vaekit.runs.series_figures import CAPTIONS as SERIES

CAPTIONS = {
    "curves": ("Training", "Loss terms, the training and the held-out ELBO, and the learning rate over the run."),
    "samples": ("Samples", "Made up by the model: z is drawn from the prior, and the mean of p(x|z) is shown."),
    "reconstructions": (
        "Reconstructions",
        "Test examples, the mean of p(x|z) at their posterior mean, the difference.",
    ),
    "interpolation": ("Interpolation", "Straight paths between the codes of test examples, decoded."),
    "traversals": (
        "Traversals",
        "One latent moves along each row, the others stay as in the first test example; most informative first.",
    ),
    "manifold": ("Manifold", "The decoded plane of the two latents, at equal steps of the prior's probability."),
    "latent_map": ("Latent map", "Posterior means of test examples in a plane."),
    "latent_map_umap": (
        "Latent map by UMAP",
        "The same codes, placed so that those near to one another stay near; distances between far groups mean little.",
    ),
    "kl": ("KL of each latent dimension", "How much each dimension tells about x; near zero means it is not used."),
    "kl_layers": (
        "KL by layer",
        "How much each stochastic layer tells, over test examples and over training batches; one at zero is unused.",
    ),
    "aggregate_posterior": ("Aggregate posterior", "What the codes of all data look like beside the prior."),
    "rank_histograms": (
        "Calibration of the posterior",
        "Ranks of z among draws of q(z|x), for z and x drawn from the model: outside the band, q is not the posterior.",
    ),
    "rate_distortion": (
        "Rate and distortion",
        "The lowest rate any encoder could have at each distortion of this decoder, from the prior to the posterior.",
    ),
}
CAPTIONS |= {
    "marginals": (
        "Columns",
        "What each column holds in test rows and in samples of the model; shares of missing cells beside its type.",
    ),
    "correlations": ("Correlations", "How columns go together, in test rows and in samples: ranks, so of any unit."),
}
ABOVE = "Test examples in the upper row, and what the model makes of their codes below."
BY_MODALITY = {
    "molecules": {
        "samples": ("Samples", "Molecules made up by the model, from z drawn from the prior, with their SMILES."),
        "reconstructions": (
            "Reconstructions",
            "Test examples in the upper row, and what the model makes of their codes below.",
        ),
    },
    "graphs": {
        "samples": ("Samples", "Graphs made up by the model, from z drawn from the prior."),
        "reconstructions": (
            "Reconstructions",
            "Test examples in the upper row, and what the model makes of their codes below.",
        ),
        "latent_map": ("Latent map", "Posterior means of the nodes in a plane."),
        "part": (
            "The graph, and what the model adds to it",
            "Nodes near one that has many links, and the links between them; colours are classes, if there are any. "
            "Dashed: of all pairs drawn that are no link in the data, those that the model thinks likeliest to be one.",
        ),
    },
}
"""Captions of figures that show another thing than means of arrays."""
SOUNDS = {
    "samples.wav": ("Samples", "Sound of samples from the prior, one after another."),
    "reconstructions.wav": ("Reconstructions", "Test recordings, each followed by its reconstruction."),
}
SAMPLED = " Below the top of a hierarchy it is estimated from samples, ± one standard error, and may be negative."
LINES = {
    "samples.txt": (
        "Samples",
        "Made up by the model: z is drawn from the prior, and x from p(x|z) (or its mode or mean).",
    ),
    "reconstructions.txt": ("Reconstructions", "Test examples, each above its reconstruction."),
}
VALUE_WORDS = {"levels": "levels of grey", "unit": "greys", "binary": "black and white", "counts": "counts"}
"""What pixels are, in words."""
PICTURES = ("samples", "reconstructions", "interpolation", "traversals", "manifold")
"""Figures that are looked at, of data that are pictures."""
SEEN, TRAINING = "Samples and reconstructions", "Training"
SECTIONS = {"samples": SEEN, "reconstructions": SEEN, "curves": TRAINING}
SECTIONS |= {"marginals": SEEN, "correlations": SEEN, "part": SEEN}
"""Sections of figures; the others are of the latents."""
LATENTS = "Latent space"
ONE = {
    "audio": "a recording",
    "graphs": "a graph",
    "molecules": "a molecule",
    "music": "a piece of music",
    "series": "a series",
    "tables": "a row",
    "text": "a line of text",
    "views": "an example",
}
"""What an example is called, by its modality."""
MEASURES = {"mass": " (probabilities)", "density": " (densities)", "none": ""}
KINDS = {"audio": "sound", "graphs": "graph", "molecules": "molecule", "tables": "row"}


def render(run: RunBase) -> str:
    """Return the page of a run's report."""
    return report.render(replace(gather(run), decoder=decoder(run)))


def compare(runs: Sequence[RunBase]) -> str:
    """Return a page that compares runs: numbers, settings that differ, figures."""
    return report.compare([gather(run) for run in runs])


def verdict(run: RunBase) -> report.Verdict:
    """Return what to think of a run, in words."""
    return _judged(run)[0]


def _judged(run: RunBase) -> tuple[report.Verdict, list[report.Warning_]]:
    """Return the verdict on a run and its warnings, which are of the same numbers."""
    known = _evidence(run)
    warnings = _warnings(run, known)
    over = any("fell in the later" in one.title or "better than new data" in one.title for one in warnings)
    return report.judge(replace(known, over_fitted=over)), warnings


def gather(run: RunBase) -> report.RunReport:
    """Collect everything the report of a run shows; of a run in memory all but figures and lines."""
    drawn = None if run.path is None else run.path / files.FIGURES
    entry = entry_of(run.recipe)
    result = run.record.get("result") or {}
    info, train = run.info, run.settings.train
    numbers = _numbers(run)
    declared = [name for name in numbers_.headline(run.recipe) if name in numbers]
    first = [name for name in declared if numbers[name].value is not None] or declared
    evaluated = [numbers[name] for name in first]
    headline = evaluated or _held_out(run)
    rest = {name: number for name, number in numbers.items() if name not in first}
    tables = [(group, [rest[name] for name in names]) for group, names in numbers_.grouped(rest)]
    if evaluated:
        tables.append(("Held out while training", _held_out(run)))
    said, warnings = _judged(run)
    captions = CAPTIONS | BY_MODALITY.get(info.modality, {}) | (SERIES if info.kind == "series" else {})
    facts = {
        "data": f"{info.name}, {_shape(run)}{', standardised inside' if info.standardised else ''}",
        "examples": "one graph, some of its links held out"
        if info.facts.get("links")
        else f"{info.n_train:,} train, {info.n_valid:,} held out, {info.n_test:,} test",
        "likelihood": f"{run.settings.model.likelihood}{MEASURES[_measure(run)]}",
        "latent": _latent_size(run),
        "parameters": f"{result.get('parameters', 0):,}",
        "training": f"{result.get('epochs', 0)} epochs, {result.get('steps', 0):,} steps of "
        + (f"{min(train.batch_size, info.n_train):,}" if not info.facts.get("links") else "the whole graph"),
        "time": f"{result.get('seconds', 0):.1f} s, {result.get('examples_per_second', 0):,.0f} examples/s",
        "seed": str(train.seed),
    }
    return report.RunReport(
        title=f"{run.recipe} on {info.name}",
        recipe=run.recipe,
        reference=entry.reference,
        summary=entry.summary,
        facts=facts,
        headline=headline,
        tables=tables,
        warnings=warnings,
        verdict=said,
        changed={
            f"{section}.{name}": str(v) for section, given in run.record["given"].items() for name, v in given.items()
        },
        figures=[
            report.Figure(
                drawn / f"{name}.png",
                title,
                _of_split(run, caption + (SAMPLED if name == "kl" and isinstance(run.model, Hierarchy) else "")),
                SECTIONS.get(name, LATENTS),
                chart=not (info.has_picture and name in PICTURES),
            )
            for name, (title, caption) in captions.items()
            if drawn is not None and (drawn / f"{name}.png").is_file()
        ],
        lines=[
            _examples(run, drawn / name, title, _of_split(run, caption))
            for name, (title, caption) in LINES.items()
            if drawn is not None and (drawn / name).is_file() and not (drawn / name).with_suffix(".png").is_file()
        ],
        sounds=[
            report.Sound(drawn / name, title, _of_split(run, caption) + _heard(run) * (name == "samples.wav"))
            for name, (title, caption) in SOUNDS.items()
            if drawn is not None and (drawn / name).is_file()
        ],
        command=run.record.get("command") or _command(run),
        environment=run.record["versions"],
        settings=run.record["settings"],
    )


def _latent_size(run: RunBase) -> str:
    """Return how many numbers a code has, of a hierarchy in how many layers."""
    known, given = _latents(run), run.settings.model.latent
    if isinstance(run.model, Hierarchy) and len(known) > 1:
        return f"{sum(one.units for one in known)} in {len(known)} layers"
    return str(_used(run)["units"] or "chosen by the recipe" if given is None else given)


def _heard(run: RunBase) -> str:
    """Return which classes are heard in the file of samples, one sample of each."""
    if not run.model.takes_label or not run.info.classes:
        return ""
    return f" In order: {', '.join(run.info.classes[:HEARD])}."


def _examples(run: RunBase, file: Path, title: str, caption: str) -> report.Lines | report.Rows:
    """Return examples as the file has them, a line each; rows of a table by column."""
    lines = file.read_text(encoding="utf-8").splitlines()
    if run.info.kind != "table":
        pairs = any(line.startswith("→") for line in lines)
        return report.Lines(lines[: 3 * MOST_PAIRS if pairs else MOST_ROWS], title, caption)
    names = [column["name"] for column in run.info.facts["columns"] if not column.get("gap_of")]
    row = re.compile("(?:→ )?" + ", ".join(f"{re.escape(name)}=(.*?)" for name in names))
    found = [row.fullmatch(line) for line in lines if line]
    rows = [match.groups() for match in found if match is not None]
    if len(rows) < len(found):  # cells of several lines
        return report.Lines(lines[:MOST_ROWS], title, caption)
    paired = any(line.startswith("→") for line in lines)
    return report.Rows(names, rows[:MOST_ROWS], title, caption, paired)


MOST_ROWS, MOST_PAIRS = 16, 10
"""Rows of a table or lines that are shown, and lines with their reconstructions."""
SHAPES = {"tables": "{} columns", "text": "lines of up to {} tokens", "molecules": "molecules of up to {} tokens"}
SHAPES |= {"graphs": "graphs of up to {} nodes", "series": "series of {} (channels × steps)"}
SHAPES |= {"views": "several modalities, {} numbers in all"}
SHAPES |= {"music": "pieces of {} tokens", "audio": "spectrograms of {}"}


def _shape(run: RunBase) -> str:
    """Return what an example is, in words, with its size."""
    shape = run.info.shape
    if run.info.kind == "table":
        shape = [sum(not column.get("gap_of") for column in run.info.facts["columns"])]
    if run.info.has_picture and run.info.modality == "array":
        channels, *sides = shape
        values = VALUE_WORDS.get(run.info.kind, run.info.kind)
        return f"{' × '.join(map(str, sides))} pixels, {'colour' if channels == 3 else values}"
    size = " × ".join(f"{n:,}" for n in shape)
    if run.info.facts.get("links"):
        return f"a graph of {size} nodes"
    words = SHAPES.get(run.info.modality)
    return f"{size}, {run.info.kind}" if words is None else words.format(size)


def _of_split(run: RunBase, caption: str) -> str:
    """Return a caption that says which examples a figure shows; see `RunBase.shown`."""
    shown = "test" if run.info.n_test else "validation" if run.info.n_valid else "training"
    return caption.replace("test example", f"{shown} example").replace("Test example", f"{shown.title()} example")


def _measure(run: RunBase) -> Measure:
    if run.recipe == CUSTOM:
        return getattr(getattr(run.model, "likelihood", None), "measure", "none")
    return LIKELIHOODS[run.settings.model.likelihood].part.measure


def _command(run: RunBase) -> str:
    """Return the Python call that trains the run again, for one that was not trained from the command line."""
    given = {f"{section}.{name}": v for section, values in run.record["given"].items() for name, v in values.items()}
    what = "model" if run.recipe == CUSTOM else repr(run.recipe)
    return f"vaekit.train({what}, {run.record['data']['source']!r}{f', set={given}' if given else ''})"


def _held_out(run: RunBase) -> list[report.Number]:
    """Return the held-out numbers of training, for a run that is not evaluated: the bound that it maximised first."""
    result = run.record.get("result") or {}
    of = {"examples": f"the validation split of {run.info.name}, seed {run.settings.data.seed}"}
    of |= {"quantity": "log p(x|y), the label given" if run.model.takes_label else "log p(x)"}
    of |= {"measure": _measure(run), "values": VALUES.get(run.prepare.mode, "")}
    given = " of log p(x|y), its label given" if run.model.takes_label else ""
    elbo = report.Number(
        "elbo (held out)",
        result.get("elbo"),
        result.get("elbo_stderr"),
        unit="nats/example",
        n=result.get("held_out_n"),
        meaning=f"plain evidence lower bound{given} on the held-out split of the training data",
        note=result.get("refused") or _standardised(result),
        higher_is_better=True,
        of=of,
        title="ELBO, held out",
    )
    out = [elbo]
    if _weighted(run) and result.get("held_out_loss") is not None:
        k = max(stage.objective.k for stage in run.built.stages)
        words = f"importance-weighted bound{given} of {k} samples, which training maximises, on the held-out split"
        loss = report.Number(
            "iw_bound (held out)",
            -result["held_out_loss"],
            None,
            unit="nats/example",
            n=result.get("held_out_n"),
            meaning=words,
            higher_is_better=True,
            of=of | {"k": str(k)},
            title="Importance-weighted bound, held out",
        )
        out = [loss, elbo]
    if result.get("no_latents") is not None:
        out.append(
            report.Number(
                "no_latents (held out)",
                result["no_latents"],
                result.get("no_latents_stderr"),
                unit="nats/example",
                n=result.get("held_out_n"),
                of=of,
                title="Without latents",
                meaning=f"log-likelihood of {result['no_latents_of']}, on the same examples",
            )
        )
    return out


def _standardised(result: Mapping[str, Any]) -> str:
    value = result.get("elbo_standardised")
    return "" if value is None else f"{value:.3g} of the standardised values"


def _numbers(run: RunBase) -> dict[str, report.Number]:
    known, values = meanings(), run.values()
    out: dict[str, report.Number] = {}
    for name, entry in run.evaluation().items():
        meaning, better = known.get(name, known.get(name.split(".")[0], ("", None)))
        out[name] = report.Number.of_entry(
            name,
            entry,
            meaning=meaning,
            note=numbers_.note(entry),
            higher_is_better=better,
            of=entry.get("number_of", {"examples": "not recorded by the version that evaluated them"}),
            values=values[name].tolist() if name in values else None,
            title=numbers_.title(name),
        )
        out[name] = replace(out[name], unit=numbers_.UNITS.get(out[name].unit, out[name].unit))
    return out


def _weighted(run: RunBase) -> bool:
    """Whether training maximises an importance-weighted bound."""
    kinds = (ImportanceWeighted, MultipleImportanceWeighted, CombinedImportanceWeighted)
    return any(isinstance(term, kinds) for stage in run.built.stages[-1:] for term in stage.objective.each())


def _kind(run: RunBase) -> str:
    """Return what kind of data the run's are, for advice on them."""
    if run.info.modality in KINDS:
        return KINDS[run.info.modality]
    return run.info.modality if run.info.modality != "array" else "image" if run.info.has_picture else "row"


def _evidence(run: RunBase) -> report.Evidence:
    """Return the numbers of the verdict: of the evaluation where there are any, else those of the end of training."""
    entries, values, result = run.evaluation(), run.values(), (run.record.get("result") or {})
    known: dict[str, Any] = {
        "one": ONE.get(run.info.modality, "an image" if run.info.has_picture else "a row"),
        "given": ", its label given" if run.model.takes_label else "",
        "density": _measure(run) == "density",
        "refused": result.get("refused") or "",
    } | _used(run)
    if _has(entries, "codebook_used") and entries["codebook_perplexity"].get("of"):
        codes = int(entries["codebook_perplexity"]["of"])
        known |= {"active": round(entries["codebook_used"]["value"] * codes), "units": codes, "units_of": "codes"}
    bound = next((name for name in ("iw_bound", "elbo") if _has(entries, name)), None)
    if bound is not None and _has(entries, "no_latents"):
        known |= {"bound": entries[bound]["value"], "baseline": entries["no_latents"]["value"]}
        known["apart_stderr"] = _apart(entries, values, bound, "no_latents")
        known["baseline_of"] = entries["no_latents"].get("definition", "").split(",")[0]
    elif run.info.facts.get("links"):  # trained to rank links, with those weighed up: as probabilities they say little
        known["refused"] = known["refused"] or "links of a graph are judged by their ranks; evaluate the run"
    elif result.get("elbo") is not None and result.get("no_latents") is not None:
        weighted = _weighted(run) and result.get("held_out_loss") is not None
        known |= {"bound": -result["held_out_loss"] if weighted else result["elbo"], "baseline": result["no_latents"]}
        known["apart_stderr"] = result.get("no_latents_apart_stderr")
        if known["apart_stderr"] is None:  # a run of before it was recorded: not paired
            known["apart_stderr"] = math.hypot(result.get("elbo_stderr") or 0.0, result.get("no_latents_stderr") or 0.0)
        known["baseline_of"] = result["no_latents_of"]
    if _has(entries, "mse") and _has(entries, "no_latents_mse"):
        known |= {"mse": entries["mse"]["value"], "mean_mse": entries["no_latents_mse"]["value"]}
        known["mse_stderr"] = _apart(entries, values, "mse", "no_latents_mse")
    if _has(entries, "auc"):
        low = (entries["auc"].get("interval") or [entries["auc"]["value"]])[0]
        known["ranked"] = (entries["auc"]["value"], low)
    if _has(entries, "c2st_accuracy"):
        known["told_apart"] = entries["c2st_accuracy"]["value"]
    return report.Evidence(**known)


def _used(run: RunBase) -> dict[str, Any]:
    """Return how many units of the latents are used, of how many, their KL, and whether all of them have collapsed.

    By the evaluation where there is one, else by the last held-out check of training. Units of a graph are those of its
    nodes, which training does not count.
    """
    entries, latents = run.evaluation(), _latents(run)
    counted = [] if run.info.kind == "graph" else latents
    active: int | None = sum(one.active for one in counted) if counted else None
    units, kl = sum(one.units for one in counted), sum(one.kl for one in counted) if counted else None
    collapsed = bool(counted) and all(one.collapsed for one in counted)
    if not counted:
        kl = next((record["valid.kl"] for record in reversed(run.log) if record.get("valid.kl") is not None), None)
    used = next((entries[n] for n in ("active_node_units", "active_units") if _has(entries, n)), None)
    if used is not None:
        active, units = int(used["value"]), int(used.get("of", 0))
        collapsed = active == 0
    if _has(entries, "kl"):
        kl = entries["kl"]["value"]
    collapsed = collapsed or (kl is not None and kl < LEAST_KL)
    return {"active": active, "units": units, "kl": kl, "collapsed": collapsed}


def _has(entries: Mapping[str, Any], name: str) -> bool:
    return entries.get(name, {}).get("value") is not None


def _apart(entries: Mapping[str, Any], values: Mapping[str, Any], a: str, b: str) -> float | None:
    """Return the standard error of the difference of two means, paired where both are over the same examples."""
    if a in values and b in values and len(values[a]) == len(values[b]) > 1:
        each = values[a].double() - values[b].double()
        return float(each.std()) / math.sqrt(len(each))
    return math.hypot(entries[a].get("stderr") or 0.0, entries[b].get("stderr") or 0.0)


def _latents(run: RunBase) -> list[Usage]:
    """Return what the last held-out check of training says of the latents."""
    last = next((r for r in reversed(run.log) if "valid.loss" in r and any(k.startswith("active.") for k in r)), {})
    names = [key.removeprefix("kl_elements.") for key in last if key.startswith("kl_elements.")]
    return [
        Usage(n, sum(kl or 0.0 for kl in last[f"kl_elements.{n}"]), last[f"active.{n}"], last[f"units.{n}"])
        for n in names
    ]


def _warnings(run: RunBase, known: report.Evidence) -> list[report.Warning_]:
    result, records = run.record.get("result") or {}, run.log
    weighted, links = _weighted(run), bool(run.info.facts.get("links"))
    key = "loss" if weighted else "elbo"
    train = next((r[key] for r in reversed(records) if isinstance(r.get(key), float)), None)
    valid = result.get("held_out_loss") if weighted else result.get("elbo")
    if weighted:
        train, valid = (None if value is None else -value for value in (train, valid))
    latents = _latents(run)
    kl, lost = {one.name: one.kl for one in latents}, [one.name for one in latents if one.collapsed]
    if known.collapsed:  # all of them, by what the verdict is by
        kl, lost = {"z": known.kl or 0.0}, ["z"]
    facts = report.Facts(
        kl=kl,
        collapsed=lost,
        active=known.active if known.units_of == "latent dimensions" else None,
        units=known.units,
        data=_kind(run),
        bound="importance-weighted bound" if weighted else "ELBO",
        train_bound=None if links else train,  # of fewer pairs than the held-out one
        valid_bound=valid,
        valid_stderr=result.get("elbo_stderr"),
        judged=None if links else known.bound,
        baseline=known.baseline,
        baseline_of=known.baseline_of,
        log_unit=run.info.log_unit,
        history=records,
        likelihood=run.settings.model.likelihood,
        measure=_measure(run),
        data_values={"unit": "grey", "levels": "quantised", "counts": "count"}.get(run.info.kind, run.info.kind),
        dequantised=run.settings.data.dequantise,
        fixed_scale=isinstance(run.record["settings"]["model"].get("scale"), float | int),
        refused=result.get("refused"),
        skipped=result.get("skipped_steps", 0),
        steps=result.get("steps"),
    )
    return report.advise(facts)
