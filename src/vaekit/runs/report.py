"""A run's facts, put together for its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vaekit import report
from vaekit.collapse import Usage
from vaekit.distributions.base import Measure
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.metrics.base import meanings
from vaekit.recipes.own import CUSTOM, entry_of
from vaekit.runs import folder as files
from vaekit.runs.base import RunBase
from vaekit.runs.comparable import VALUES
from vaekit.runs.series_figures import CAPTIONS as SERIES

CAPTIONS = {
    "curves": ("Training", "Loss terms, the training and the held-out ELBO, and the learning rate over the run."),
    "reconstructions": (
        "Reconstructions",
        "Test examples, the mean of p(x|z) at their posterior mean, the difference.",
    ),
    "samples": ("Samples", "Means of p(x|z) for z drawn from the prior."),
    "interpolation": ("Interpolation", "Straight paths between the codes of test examples, decoded."),
    "traversals": (
        "Traversals",
        "One latent moves along each row, the others stay as in the first test example; most informative first.",
    ),
    "manifold": ("Manifold", "The decoded plane of the two latents, at equal steps of the prior's probability."),
    "latent_map": ("Latent map", "Posterior means of test examples in a plane."),
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
LINES = {
    "samples.txt": ("Samples", "One a line: x drawn from p(x|z), or its mode or mean, for z drawn from the prior."),
    "reconstructions.txt": ("Reconstructions", "Test examples, each above its reconstruction."),
}
NOTED = (
    "definition",
    "standardised",
    "k",
    "features",
    "features_accuracy",
    "measure",
    "of",
    "chains",
    "steps",
    "ess",
    "pareto_k",
    "caution",
)
"""Facts of a metric that stand beside its number."""
HEADLINE = ("elbo", "iw_bound", "bits_per_dim", "active_units", "mse")


def render(run: RunBase) -> str:
    """Return the page of a run's report."""
    return report.render(gather(run))


def compare(runs: Sequence[RunBase]) -> str:
    """Return a page that compares runs: numbers, settings that differ, figures."""
    return report.compare([gather(run) for run in runs])


def gather(run: RunBase) -> report.RunReport:
    """Collect everything the report of a run shows."""
    assert run.path is not None
    entry = entry_of(run.recipe)
    result = run.record.get("result", {})
    info, train = run.info, run.settings.train
    numbers = _numbers(run)
    headline = [numbers[name] for name in HEADLINE if name in numbers] or [_held_out(run)]
    rest = [number for name, number in numbers.items() if name not in HEADLINE]
    shape = " × ".join(str(n) for n in info.shape)
    of = "" if info.modality == "array" else f"{info.modality}, "
    facts = {
        "data": f"{info.name}, {of}{shape}, {info.kind}{', standardised inside' if info.standardised else ''}",
        "examples": f"{info.n_train:,} train, {info.n_valid:,} held out, {info.n_test:,} test",
        "likelihood": f"{run.settings.model.likelihood} ({_measure(run)})",
        "latent": str(run.settings.model.latent),
        "parameters": f"{result.get('parameters', 0):,}",
        "training": f"{result.get('epochs', 0)} epochs, {result.get('steps', 0):,} steps of {train.batch_size}",
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
        tables=[("Evaluation on the test split", rest)] if rest else [],
        warnings=_warnings(run),
        figures=[
            report.Figure(run.path / files.FIGURES / f"{name}.png", title, _of_split(run, caption))
            for name, (title, caption) in (CAPTIONS | (SERIES if info.kind == "series" else {})).items()
            if (run.path / files.FIGURES / f"{name}.png").is_file()
        ],
        lines=[
            report.Lines(
                (run.path / files.FIGURES / name).read_text(encoding="utf-8").splitlines(),
                title,
                _of_split(run, caption),
            )
            for name, (title, caption) in LINES.items()
            if (run.path / files.FIGURES / name).is_file()
        ],
        command=run.record.get("command") or _command(run),
        environment=run.record["versions"],
        settings=run.record["settings"],
    )


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


def _held_out(run: RunBase) -> report.Number:
    result = run.record.get("result", {})
    return report.Number(
        "elbo (held out)",
        result.get("elbo"),
        result.get("elbo_stderr"),
        unit="nats/example",
        n=result.get("held_out_n"),
        meaning="plain evidence lower bound on the held-out split of the training data",
        note=result.get("refused") or _standardised(result),
        higher_is_better=True,
        of={"examples": f"the validation split of {run.info.name}, seed {run.settings.data.seed}"}
        | {"quantity": "log p(x|y), the label given" if run.model.takes_label else "log p(x)"}
        | {"measure": _measure(run), "values": VALUES.get(run.prepare.mode, "")},
    )


def _standardised(result: Mapping[str, Any]) -> str:
    value = result.get("elbo_standardised")
    return "" if value is None else f"standardised={value:.3g}"


def _numbers(run: RunBase) -> dict[str, report.Number]:
    known, values = meanings(), run.values()
    out: dict[str, report.Number] = {}
    for name, entry in run.evaluation().items():
        meaning, better = known.get(name, known.get(name.split(".")[0], ("", None)))
        noted = {key: entry[key] for key in NOTED if key in entry}
        if entry.get("number_of", {}).get("quantity", "log p(x)") != "log p(x)":
            noted = {"of": entry["number_of"]["quantity"]} | noted
        extras = ", ".join(f"{key}={v:.3g}" if isinstance(v, float) else f"{key}={v}" for key, v in noted.items())
        interval = entry.get("interval")
        out[name] = report.Number(
            name,
            entry["value"],
            entry.get("stderr"),
            None if interval is None else (interval[0], interval[1]),
            unit=entry["unit"],
            n=entry["n"],
            meaning=meaning,
            note=entry.get("refused") or extras,
            higher_is_better=better,
            of=entry.get("number_of", {"examples": "not recorded by the version that evaluated them"}),
            values=values[name].tolist() if name in values else None,
        )
    return out


def _warnings(run: RunBase) -> list[report.Warning_]:
    result, records = run.record.get("result", {}), run.log
    last = next((r for r in reversed(records) if "valid.loss" in r), {})
    train = next((r for r in reversed(records) if "elbo" in r), {})
    names = [key.removeprefix("kl_elements.") for key in last if key.startswith("kl_elements.")]
    latents = [
        Usage(n, sum(kl or 0.0 for kl in last[f"kl_elements.{n}"]), last[f"active.{n}"], last[f"units.{n}"])
        for n in names
    ]
    facts = report.Facts(
        kl={latent.name: latent.kl for latent in latents},
        collapsed=[latent.name for latent in latents if latent.collapsed],
        active=sum(latent.active for latent in latents) if latents else None,
        units=sum(latent.units for latent in latents),
        train_elbo=None if run.info.kind == "graph" else train.get("elbo"),  # of fewer pairs than the held-out one
        valid_elbo=result.get("elbo"),
        valid_stderr=result.get("elbo_stderr"),
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
