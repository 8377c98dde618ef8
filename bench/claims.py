"""Every recipe against the thing it claims to improve on: the same data, seeds and test examples.

    python bench/claims.py [--only RECIPE ...] [--data digits breast-cancer mnist] [--seeds 0 1 2] [--steps N]

What a recipe claims, against what, and by which number is in CLAIMS below, in one place. Each run is kept in
bench/results/claims.json under (recipe, settings, data, seed, steps), and one that is there is not made again: the
command can be stopped and goes on where it was. `--show` prints the table of what is there and trains nothing.

A difference is recipe less baseline: where both are means over the same test examples it is paired, its ± the standard
error over those examples of the differences averaged over seeds; beside it is the spread over training seeds, the
standard deviation of the seeds' differences. All runs of a data set share its split (data.seed=0), but for the labels
shown to semi-supervised-vae, which are other ones for each seed. Settings are the recipes' defaults, with the few
exceptions that CLAIMS names.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vaekit
from vaekit.atomic import write_text
from vaekit.data.labelled import choose_labelled
from vaekit.errors import UserError
from vaekit.runs.run import Run

RESULTS = Path(__file__).with_name("results") / "claims.json"
SHORT = ("digits", "breast-cancer", "mnist", "oscillations", "pendulums")
STEPS = {"shadows": 1000, "tank": 1000} | dict.fromkeys(SHORT, 400)
"""Steps of a run: some 5 s on a core for most recipes on the digits, which the defaults train for 2,000."""
WHOLE = {"digits": 2000}
"""Steps of a run of the defaults' own length, for claims that a short run does not settle."""
LIMITS = {"mnist": 1000}
"""Test examples that are measured, of data that have more."""
HIGHER = {"intervention_error": False, "kid": False, "kl": False, "total_correlation": False, "mse": False}
"""Numbers of which less is better."""
NEEDS = {"kid": "kid", "total_correlation": "kl_decomposition", "mse": "mse", "accuracy": "accuracy", "kl": "elbo"}
"""The metric that gives a number, where it has another name."""


@dataclass(frozen=True)
class Claim:
    """That `recipe` does better than `against`, a recipe or a baseline below, by `number`; `why` says in what."""

    recipe: str
    against: str
    number: str
    why: str
    sets: tuple[str, ...] = ()
    against_sets: tuple[str, ...] = ()
    data: tuple[str, ...] = ("digits", "breast-cancer")


GREY, LEVELS = ("model.likelihood=gaussian",), ("model.likelihood=discretised-logistic",)
UNSEEN = (*GREY, "data.unseen=7,8,9")
SETS = (*UNSEEN, "model.turns=true")
IMAGES = ("digits", "mnist")
EVERY = ("digits", "breast-cancer", "mnist")
CLAIMS = (
    Claim("vae", "independent", "iw_bound", "latents tell more than each element by itself", data=EVERY),
    Claim("flow-vae", "vae", "iw_bound", "a posterior that bends", data=EVERY),
    Claim("vamp-vae", "vae", "iw_bound", "a prior made of posteriors", data=EVERY),
    Claim("gmm-vae", "vae", "iw_bound", "a prior with clusters"),
    Claim("iwae", "vae", "iw_bound", "trained on the bound it is measured by", data=EVERY),
    Claim("dreg", "iwae", "iw_bound", "the same bound, gradients that vary less"),
    Claim("miwae", "vae", "iw_bound", "trained on a mean of such bounds"),
    Claim("ciwae", "vae", "iw_bound", "trained on a mixture of both bounds"),
    Claim("semi-amortised-vae", "vae", "elbo", "a posterior refined for each example"),
    Claim("hierarchical-vae", "vae", "iw_bound", "more than one layer of latents", data=("digits",)),
    Claim("ladder-vae", "hierarchical-vae", "iw_bound", "layers that are used", data=("digits",)),
    Claim("very-deep-vae", "vae", "iw_bound", "many layers of latents", data=("digits",)),
    Claim("pixel-vae", "vae", "iw_bound", "a decoder that sees the pixels before", (), LEVELS, ("digits",)),
    Claim("beta-vae", "vae", "kl", "a lower rate"),
    Claim("capacity-vae", "beta-vae", "mse", "a rate that is let rise again"),
    Claim("factor-vae", "vae", "total_correlation", "dimensions that are independent"),
    Claim("beta-tc-vae", "vae", "total_correlation", "dimensions that are independent"),
    Claim("dip-vae", "vae", "total_correlation", "dimensions without covariance"),
    Claim("info-vae", "beta-vae", "mse", "codes that tell of x"),
    Claim("cvae", "independent of a class", "iw_bound", "log p(x|y): a label and latents"),
    Claim("identifiable-vae", "independent of a class", "iw_bound", "log p(x|y): latents that depend on the label"),
    Claim("sigma-vae", "vae", "iw_bound", "σ at its optimum against σ learned", (), GREY, ("digits",)),
    Claim("linear-vae", "probabilistic PCA", "iw_bound", "its optimum is PPCA, so at most 0", data=("breast-cancer",)),
    Claim("two-stage-vae", "vae", "kid", "samples through a second VAE", (), GREY, IMAGES),
    Claim("vq-vae", "vae", "kid", "samples from discrete codes", data=("digits",)),
    Claim("vq-vae-2", "vq-vae", "kid", "codes on two levels", data=("digits",)),
    Claim("fsq", "vq-vae", "kid", "codes without a codebook", data=("digits",)),
    Claim("wae-mmd", "ae", "kid", "samples of an autoencoder", data=("digits",)),
    Claim("wae-gan", "ae", "kid", "samples of an autoencoder", data=("digits",)),
    Claim("adversarial-ae", "ae", "kid", "samples of an autoencoder", data=("digits",)),
    Claim("vae-gan", "vae", "kid", "samples judged by a critic", (), GREY, ("digits",)),
    Claim("semi-supervised-vae", "SVC on the same labels", "accuracy", "examples without labels", data=IMAGES),
    Claim("set-vae", "vae", "few_shot_accuracy", "a class it never saw, from 5 examples", SETS, UNSEEN, ("digits",)),
    Claim("causal-vae", "cvae", "intervention_error", "effects follow what is set", data=("shadows", "tank")),
    Claim(
        "state-space-vae", "exact", "iw_bound", "its optimum is the law itself, so at most 0", data=("oscillations",)
    ),
    Claim("variational-rnn", "state-space-vae", "iw_bound", "motions that are not linear", data=("pendulums",)),
    Claim("spherical-vae", "vae", "iw_bound", "directions as latents", (), ("model.latent=10",), ("digits",)),
    Claim("categorical-vae", "independent", "iw_bound", "categories as latents", data=("digits",)),
    Claim("vimco", "categorical-vae", "iw_bound", "bits, trained on the bound without a relaxation", data=("digits",)),
    Claim("reinforce", "categorical-vae", "iw_bound", "bits, trained without a relaxation", data=("digits",)),
    Claim("rebar", "reinforce", "iw_bound", "a relaxation as control variate", data=("digits",)),
    Claim("wake-sleep", "reinforce", "iw_bound", "trained on the bound, the encoder by its weights", data=("digits",)),
    Claim("thermodynamic-vae", "vae", "iw_bound", "a tighter bound, without paths", data=("digits",)),
    Claim("rate-vae", "vae", "mse", "a rate of 10 nats, where the ELBO alone has fewer", data=("digits",)),
    Claim("geco-vae", "vae", "mse", "a reconstruction that is asked for", data=("digits",)),
    Claim("delta-vae", "vae", "iw_bound", "what the committed rate of 2 nats costs, so at most 0", data=("digits",)),
    Claim("joint-vae", "categorical-vae", "iw_bound", "categories and numbers as latents", data=("digits",)),
)
OTHER_DATA = (
    *("graph-vae", "molecule-vae", "multimodal-vae", "music-vae", "sequence-vae", "series-vae"),
    *("tabular-vae", "tabular-cvae"),
)
"""Recipes for data of another kind; their galleries have their comparisons."""


OWN_SPLITS = ("semi-supervised-vae",)
"""Recipes each of whose seeds has labels, and so a split, of its own: the seeds' errors are of different examples."""


MADE = ("oscillations", "pendulums")
"""Series with a known law, arrays (N, T, channels) of bench/made_series.py."""


# -- what is trained and measured --------------------------------------------------------------------------------------


def source(data: str) -> Any:
    """Return what a name stands for: a table with its labels, series that are made, or a known set."""
    if data in MADE:
        import made_series  # beside this file, which is loaded by its path elsewhere

        return getattr(made_series, data)()
    if data != "breast-cancer":
        return data
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return x.astype("float32"), y


def trained(recipe: str, data: str, seed: int, steps: int, sets: Sequence[str]) -> Run:
    """Train a recipe; the labels shown to one that sees few are the seed's."""
    split = [f"data.seed={seed}"] if recipe in OWN_SPLITS else []
    changes = [*split, *sets, *([] if any(s.startswith("train.epochs") for s in sets) else [f"train.steps={steps}"])]
    return vaekit.train(recipe, source(data), seed=seed, set=changes, pictures=False)


def measured(run: Run, number: str, data: str) -> dict[str, Any]:
    """Return a number of a run: its value, standard error and, of a mean over examples, the examples' values."""
    result = run.evaluate([NEEDS.get(number, number)], k=100, limit=LIMITS.get(data))[number]
    if result.value is None:
        raise UserError(f"{number} of {run.recipe}: {result.refused}")
    kept = None if result.values is None else [round(float(v), 4) for v in result.values]
    of = run.evaluation()[number]["number_of"]
    return {"value": result.value, "stderr": result.stderr, "values": kept, "of": of}


# -- baselines that are no recipe --------------------------------------------------------------------------------------


def flat(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x and y of the training and the test examples as the model sees them."""
    train, test = run.prepare.fixed(run.data.train, 1), run.test
    return tuple(np.asarray(a.flatten(1) if a.dim() > 1 else a) for a in (train.x, train.y, test.x, test.y))  # pyright: ignore


def independent(run: Run, by_class: bool = False) -> np.ndarray:
    """Return log p(x), or log p(x|y), of each test example with every element independent, fitted to the training ones.

    Binary elements are Bernoulli with Laplace's rule, real ones normal; nats in the data's own units.
    """
    x, y, xt, yt = flat(run)
    classes, which = (np.unique(y), yt) if by_class else (np.zeros(1), np.zeros(len(xt)))
    out = np.zeros(len(xt))
    for c in classes:
        rows, here = x[y == c] if by_class else x, which == c
        if run.info.kind == "real":
            m, s = rows.mean(0), rows.std(0)
            each = -0.5 * (((xt - m) / s) ** 2 + math.log(2 * math.pi)) - np.log(s)
        else:
            p = (rows.sum(0) + 1) / (len(rows) + 2)
            each = np.where(xt > 0, np.log(p), np.log1p(-p))
        out[here] = each.sum(1)[here]
    return out - run.info.log_unit if run.info.standardised else out


def ppca(run: Run) -> np.ndarray:
    """Return the exact log p(x) of each test example under probabilistic PCA with as many latents, in raw units."""
    from sklearn.decomposition import PCA

    x, _, xt, _ = flat(run)
    return PCA(run.settings.model.latent).fit(x).score_samples(xt) - (run.info.log_unit if run.info.standardised else 0)


def svc(run: Run) -> np.ndarray:
    """Return whether each test example is classified rightly by an SVC on the labels that the run was shown.

    Its 100 examples come with eight binarisations each, as the run sees new ones at every step.
    """
    from sklearn.svm import SVC

    y, seed = run.data.train.y, run.settings.data.seed
    assert y is not None
    shown = run.data.train.take(choose_labelled(y, run.settings.model.labelled, run.info.n_classes, seed))
    draws = [run.prepare.fixed(shown, draw) for draw in range(8)]
    x = np.concatenate([np.asarray(d.x.flatten(1), dtype=np.float32) for d in draws])
    fitted = SVC().fit(x, np.concatenate([np.asarray(d.y) for d in draws]))
    _, _, xt, yt = flat(run)
    return (fitted.predict(xt.astype(np.float32)) == yt).astype(float)


def exact(run: Run) -> np.ndarray:
    """Return the exact log p(x) of each test series under the law that it was drawn from, nats in its own units."""
    import made_series

    mean, sd = (torch.tensor(run.info.facts[name]).view(-1, 1) for name in ("mean", "sd"))
    return made_series.exact((run.test.x * sd + mean).double().transpose(1, 2).numpy())


BASELINES: dict[str, Callable[[Run], np.ndarray]] = {
    "independent": independent,
    "independent of a class": lambda run: independent(run, by_class=True),
    "probabilistic PCA": ppca,
    "SVC on the same labels": svc,
    "exact": exact,
}


# -- results, kept as they come ----------------------------------------------------------------------------------------


def key(recipe: str, sets: Sequence[str], data: str, seed: int, steps: int, number: str) -> str:
    """Return the name under which a number is kept."""
    return " | ".join([recipe, " ".join(sets), data, f"seed {seed}", f"{steps} steps", number])


def kept() -> dict[str, Any]:
    """Return what is there."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}


def add(results: dict[str, Any], name: str, entry: Mapping[str, Any]) -> None:
    """Keep one more number, beside what another process may have added."""
    results |= kept() | {name: dict(entry)}
    lines = (f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(results[key])}" for key in sorted(results))
    write_text(RESULTS, "{\n" + ",\n".join(lines) + "\n}\n")  # a line a number, whose values are many


def fill(claim: Claim, data: str, seed: int, steps: int) -> None:
    """Make the runs of a claim that are not there yet, and their numbers."""
    results = kept()
    sides = [(claim.recipe, claim.sets)] + ([] if claim.against in BASELINES else [(claim.against, claim.against_sets)])
    names = [key(recipe, sets, data, seed, steps, claim.number) for recipe, sets in sides]
    beside = key(claim.against, claim.sets, data, seed, steps, claim.number)
    for name, (recipe, sets) in zip(names, sides, strict=True):
        wants_beside = recipe == claim.recipe and claim.against in BASELINES and beside not in results
        if name in results and not wants_beside:
            continue
        started = time.monotonic()
        try:
            run = trained(recipe, data, seed, steps, sets)
            add(results, name, measured(run, claim.number, data) | {"seconds": round(time.monotonic() - started, 1)})
            if wants_beside:
                each = BASELINES[claim.against](run)[: len(results[name]["values"] or [])]
                values = [round(float(v), 4) for v in each]
                add(results, beside, {"value": statistics.fmean(values), "stderr": None, "values": values})
        except UserError as refusal:
            add(results, name, {"refused": str(refusal)})
        print(f"{name}: {results[name].get('value', results[name].get('refused'))}", flush=True)


# -- the table ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A claim on one data set: by how much recipe is above baseline, paired, and the seeds' spread."""

    claim: Claim
    data: str
    steps: int
    seeds: int
    difference: float
    stderr: float | None
    spread: float | None
    value: float

    @property
    def verdict(self) -> str:
        """Better or worse where the difference is more than two of both its errors, else the same."""
        # The seeds' share: the standard error of a mean over them.
        parts = [self.stderr or 0.0, 0.0 if self.spread is None else self.spread / math.sqrt(self.seeds)]
        error = math.hypot(*parts)
        good = self.difference if HIGHER.get(self.claim.number, True) else -self.difference
        return "no difference" if abs(good) <= 2 * error else "better" if good > 0 else "worse"


def row(claim: Claim, data: str, steps: int, results: Mapping[str, Any]) -> Row | str | None:
    """Return a claim's row, why there is none where a run was refused, or None where runs are missing."""
    pairs, sets = [], claim.sets if claim.against in BASELINES else claim.against_sets
    for seed in range(100):
        ours = results.get(key(claim.recipe, claim.sets, data, seed, steps, claim.number))
        theirs = results.get(key(claim.against, sets, data, seed, steps, claim.number))
        refusal = next((r["refused"] for r in (ours, theirs) if r and "refused" in r), None)
        if refusal is not None:
            return refusal
        if ours and theirs:
            a, b = ours.get("of", {}), theirs.get("of", {})  # a baseline's number is of its run's examples
            if a and b and a != b:
                aspects = ", ".join(
                    f"{name} {a.get(name)} / {b.get(name)}" for name in a | b if a.get(name) != b.get(name)
                )
                return f"numbers of different things ({aspects})"
            pairs.append((ours, theirs))
    if not pairs:
        return None
    each = [a["value"] - b["value"] for a, b in pairs]
    stderr = None
    if all(a["values"] and b["values"] for a, b in pairs):
        apart = [np.subtract(a["values"], b["values"]) for a, b in pairs]
        each = [float(one.mean()) for one in apart]
        if claim.recipe in OWN_SPLITS:
            stderr = math.hypot(*(one.std(ddof=1) / math.sqrt(len(one)) for one in apart)) / len(apart)
        else:
            paired = np.mean(apart, 0)
            stderr = float(paired.std(ddof=1) / math.sqrt(len(paired)))
    elif all(a["stderr"] and b["stderr"] for a, b in pairs):
        # Not means over examples: the seeds' errors, of the same test examples, are not independent of each other.
        stderr = statistics.fmean(math.hypot(a["stderr"], b["stderr"]) for a, b in pairs)
    spread = statistics.stdev(each) if len(each) > 1 else None
    value = statistics.fmean(a["value"] for a, _ in pairs)
    return Row(claim, data, steps, len(pairs), statistics.fmean(each), stderr, spread, value)


def table(results: Mapping[str, Any] | None = None, steps: Mapping[str, int] = STEPS) -> list[str]:
    """Return the table of runs of a length as lines of Markdown, and what of the short ones was not run."""
    results = kept() if results is None else results
    lines = [
        "| recipe | against | data | number | recipe's | difference ± paired s.e. | spread over seeds | seeds | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    if not results:
        return ["Not measured yet."]
    lacking: dict[str, list[str]] = {}
    for claim in CLAIMS:
        for data in (data for data in claim.data if data in steps):
            made = row(claim, data, steps[data], results)
            if isinstance(made, Row):
                lines.append(_line(made))
            else:
                lacking.setdefault(made or "not run", []).append(f"`{claim.recipe}` on {data}")
    if steps is not STEPS:
        return lines
    named = "; ".join(f"{why}: {', '.join(which)}" for why, which in lacking.items())
    left = [f"In no row: {named}."] if named else []
    return [*lines, "", *left, f"For other kinds of data, not here: {', '.join(f'`{name}`' for name in OTHER_DATA)}."]


def _line(row: Row) -> str:
    claim = row.claim

    def named(name: str, sets: Sequence[str]) -> str:
        plain = name if name in BASELINES else f"`{name}`"
        return plain + (f" ({' '.join(sets)})" if sets else "")

    spread = "–" if row.spread is None else f"{row.spread:.2g}"
    error = "" if row.stderr is None else f" ± {row.stderr:.2g}"
    cells = [
        named(claim.recipe, claim.sets),
        named(claim.against, claim.against_sets),
        row.data,
        claim.number,
        f"{row.value:.4g}",
        f"{row.difference:+.3g}{error}",
        spread,
        str(row.seeds),
        row.verdict,
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Make what is missing, claim by claim, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="recipes; default all that CLAIMS names")
    parser.add_argument("--data", nargs="*", default=["digits"], choices=list(STEPS), help="data; default digits")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2], help="training seeds; default 0 1 2")
    parser.add_argument("--steps", type=int, default=None, help="steps of a run; the table shows those of STEPS")
    parser.add_argument("--show", action="store_true", help="print the table of what is there and train nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for data in [] if args.show else args.data:
        for claim in CLAIMS:
            for seed in args.seeds:
                if data in claim.data and (not args.only or claim.recipe in args.only):
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        fill(claim, data, seed, args.steps or STEPS[data])
    print("\n".join([*table(), "", *table(steps=WHOLE)]))


if __name__ == "__main__":
    main()
