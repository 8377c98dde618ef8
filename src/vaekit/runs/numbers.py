"""What a run's numbers are called and how they are grouped, in the report and on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vaekit.metrics.base import METRICS, meanings
from vaekit.recipes.own import entry_of
from vaekit.report.numbers import format_number, signed

TITLES = {
    "elbo": "ELBO",
    "log_px": "Expected log p(x|z)",
    "kl": "KL (rate)",
    "iw_bound": "Importance-weighted bound",
    "no_latents": "Without latents",
    "no_latents_mse": "Squared error of the average example",
    "knn_accuracy": "Nearest neighbours' accuracy",
    "cluster_nmi": "Clusters' NMI",
    "cluster_ari": "Clusters' adjusted Rand index",
    "bits_per_dim": "Bits per dimension",
    "exact_log_px": "Exact log p(x)",
    "active_units": "Active latent dimensions",
    "active_node_units": "Active latent dimensions of the nodes",
    "elbo_per_node": "ELBO per node",
    "mse": "Reconstruction error (MSE)",
    "psnr": "Reconstruction PSNR",
    "ssim": "Reconstruction SSIM",
    "ssim_reflect": "Reconstruction SSIM, borders reflected",
    "ms_ssim": "Reconstruction SSIM over five scales",
    "auc": "Held-out links, area under ROC",
    "ap": "Held-out links, average precision",
    "perplexity": "Perplexity",
    "perplexity_elbo": "Perplexity by the ELBO",
    "impute_rmse": "Imputation error",
    "impute_rmse_mean": "Imputation error of column means",
    "impute_accuracy": "Imputation accuracy",
    "impute_accuracy_mode": "Imputation accuracy of commonest levels",
    "gap_rmse": "Error of hidden steps",
    "gap_rmse_line": "Error of straight lines there",
    "forecast_rmse": "Forecast error",
    "forecast_rmse_last": "Forecast error of the last value",
    "dimension_wise_kl": "Dimension-wise KL",
    "path_length_linear": "Path length, straight lines",
    "path_length_spherical": "Path length, arcs",
    "same_molecule": "Molecules reconstructed",
    "fid": "FID",
    "fid_extrapolated": "FID, extrapolated",
    "kid": "KID",
    "c2st_accuracy": "Samples told from data, accuracy",
    "c2st_auroc": "Samples told from data, area under ROC",
    "note_f1": "Notes reconstructed (F1)",
    "mcc": "Sources recovered (MCC)",
    "mig": "MIG",
    "udr": "UDR",
}
"""Titles of numbers whose names, their words apart, would not do."""
WORDS = {
    **{word: word.upper() for word in ("ais", "cmmd", "dci", "fd", "irs", "kl", "mcc", "nmi", "sap", "sbc", "vae")},
    "nll": "−log p",
    "mse": "squared error",
    "rmse": "error",
    "snr": "signal to noise",
    "r2": "R²",
    "1k": "among 1,000",
    "10k": "among 10,000",
    "upper": "(upper bound)",
}
"""Parts of numbers' names that are no words."""
UNITS = {"of 1": "from 0 to 1", "units": "dimensions"}
"""What units are called that are no words."""
GROUPS = {
    "likelihood": "Likelihood",
    "graph": "Graphs",
    "tables": "Imputation",
    "series": "Time series",
    "views": "Several modalities",
    "reconstruction": "Reconstruction",
    "samples": "Samples",
    "latents": "Latents",
    "decomposition": "What the KL is made of",
    "interpolation": "Interpolation",
    "disentanglement": "Disentanglement",
    "published": "Disentanglement, as published",
    "classification": "Classification",
    "columns": "Columns",
    "networks": "Networks",
}
"""Titles of the metrics' groups, in the order of reading."""
OWN = "Your own metrics"
NOTED: dict[str, str] = {
    "definition": "{}",
    "standardised": "{} of the standardised values",
    "k": "K = {}",
    "of": "of {}",
    "features": "features: {}",
    "features_accuracy": "their accuracy {}",
    "chains": "{} chains",
    "steps": "{} steps",
    "ess": "{} effective samples",
    "pareto_k": "k̂ {}",
    "caution": "{}",
}
"""Facts of a metric that stand beside its number, in words."""


def title(name: str) -> str:
    """Return what a number is called: of one latent or column, with its name.

    >>> title("iw_bound"), title("kl.z2"), title("marginal_kl"), title("my metric")
    ('Importance-weighted bound', 'KL (rate) of z2', 'Marginal KL', 'my metric')
    """
    if name in TITLES:
        return TITLES[name]
    kind, _, of = name.partition(".")
    if of and (kind in TITLES or kind in meanings()):
        return f"{title(kind)} of {of}"
    if name not in meanings():
        return name
    words = " ".join(WORDS.get(word, word) for word in name.replace("log_px", "log_p(x)").split("_"))
    return words[:1].upper() + words[1:]


def headline(recipe: str) -> tuple[str, ...]:
    """Return the numbers that a recipe declares to be read first."""
    return entry_of(recipe).part.headline


def grouped(names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Return the names of numbers by the titles of their groups, in the order of reading; own metrics last.

    >>> grouped(["mse", "kl.z", "elbo"])
    [('Likelihood', ['kl.z', 'elbo']), ('Reconstruction', ['mse'])]
    """
    of = {number: entry.facts["group"] for entry in METRICS for number in entry.facts["gives"]}
    found: dict[str, list[str]] = {}
    for name in names:
        group = str(of.get(name) or of.get(name.split(".")[0]) or "")
        found.setdefault(GROUPS.get(group, group.capitalize()) or OWN, []).append(name)
    order = [*GROUPS.values()]
    ranks = {group: order.index(group) if group in order else len(order) + (group == OWN) for group in found}
    return sorted(found.items(), key=lambda one: ranks[one[0]])


def note(entry: Mapping[str, Any], leave: Sequence[str] = ()) -> str:
    """Return what a number must not be read without, in words; or why there is none.

    >>> note({"value": 13.0, "of": 20}), note({"k": 500, "ess": 243.7, "number_of": {"quantity": "log p(x|y), …"}})
    ('of 20 in all', 'of log p(x|y), …; K = 500; 244 effective samples')
    >>> note({"value": 0.0, "of": 1792})
    'of 1,792 in all'
    """
    if entry.get("refused"):
        return str(entry["refused"])
    quantity = entry.get("number_of", {}).get("quantity", "log p(x)")
    said = [] if quantity == "log p(x)" else [f"of {quantity}"]
    for name, words in NOTED.items():
        if name in entry and name not in leave:
            value = entry[name]
            in_all = " in all" if name == "of" and isinstance(value, int) else ""
            said.append(words.format(_short(value) if isinstance(value, float) else _whole(value)) + in_all)
    return "; ".join(one for one in said if one)


def _whole(value: Any) -> Any:
    return f"{value:,}" if type(value) is int else value  # a bool is none


def _short(value: float) -> str:
    """Three digits, all of those before the point; a true minus.

    >>> _short(-3346.2), _short(0.4567)
    ('−3,346', '0.457')
    """
    return signed(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}")


def direction(name: str) -> bool | None:
    """Return whether higher is better, None where neither is."""
    known = meanings()
    return known.get(name, known.get(name.split(".")[0], ("", None)))[1]


def value(entry: Mapping[str, Any]) -> str:
    """Return a number's value with as many digits as its error supports.

    >>> value({"value": 0.9609, "interval": [0.9215, 0.9809]}), value({"value": -2955186.0}), value({"value": None})
    ('0.961 [0.921, 0.981]', '−2,955,186', '–')
    """
    interval = entry.get("interval")
    ends = None if interval is None or None in interval else (interval[0], interval[1])
    return format_number(entry.get("value"), entry.get("stderr"), ends)
