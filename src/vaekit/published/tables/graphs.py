"""Links of citation networks, and whole graphs that are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vaekit.published.base import OURS, Attempt, Budget, Figure, Measured, published
from vaekit.published.by_study import by_study
from vaekit.runs.train import train

VGAE = "Kipf & Welling 2016, arXiv:1611.07308, table 1, as the README of DGL's example quotes it"
PROTOCOL = (
    "10% of the edges test and 5% validate, with as many pairs not joined; graph convolutions 32-16, Adam at 0.01, 200 "
    "epochs, the last epoch's weights; means over ten random splits and initial weights."
)
BUDGETS = {
    "smoke": ({"seeds": [0, 1, 2]}, "three splits of ten"),
    "full": ({"seeds": list(range(10))}, ""),
}
LINKS = by_study(
    {"auc": "AUC", "ap": "AP"}, scale=100.0, recipe="graph-vae", arms={"VGAE": {}}, metrics=["links"], resplit=True
)
HELD = ("VGAE, AUC", "VGAE, AP")

published(
    "vgae-cora",
    title="links of Cora by a variational graph autoencoder",
    source=VGAE,
    protocol=PROTOCOL,
    data="cora",
    unit="%",
    rows={"VGAE, AUC": Figure(91.4, "S"), "VGAE, AP": Figure(92.6, "S")},
    tolerance=1.0,
    lower=False,
    budgets={name: Budget(terms, differs, HELD) for name, (terms, differs) in BUDGETS.items()},
)(LINKS)

published(
    "vgae-citeseer",
    title="links of Citeseer by a variational graph autoencoder",
    source=VGAE,
    protocol=PROTOCOL,
    data="citeseer",
    unit="%",
    rows={"VGAE, AUC": Figure(90.8, "S"), "VGAE, AP": Figure(92.0, "S")},
    tolerance=1.0,
    lower=False,
    budgets={
        name: Budget(terms, differs, HELD if name == "full" else ()) for name, (terms, differs) in BUDGETS.items()
    },
)(LINKS)


def communities(path: str | Path, count: int = 500, seed: int = 0) -> Path:
    """Write graphs of two halves of 6 to 10 nodes, joined with probability 0.7 within and 0.05 between, as NPZ."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(count):
        a, b = rng.integers(6, 11, 2)
        half = np.arange(a + b) < a
        drawn.append(np.triu(rng.random((a + b, a + b)) < np.where(half[:, None] == half, 0.7, 0.05), 1))
    edges, start = [], 0
    for upper in drawn:
        order = rng.permutation(len(upper))
        edges.append(np.argwhere(np.triu((upper | upper.T)[order][:, order])) + start)
        start += len(upper)
    np.savez_compressed(path, sizes=[len(upper) for upper in drawn], edges=np.concatenate(edges))
    return Path(path)


@published(
    "communities",
    title="made graphs of two halves, drawn from a model of them",
    source="no published figures",
    protocol="500 graphs made with NumPy's generator, 350 to train on and 100 to test; 200 epochs. The distances are "
    "total variations between the distributions of 200 drawn graphs' nodes and those of the test graphs'.",
    data="made",
    unit="nats/graph, or of 1",
    rows=dict.fromkeys(("ELBO", "bound of 100 samples", "degrees, distance", "clustering, distance"), OURS),
    lower=False,
    budgets={"smoke": Budget({"epochs": 40}, "40 epochs"), "full": Budget({"epochs": 200, "seeds": [0, 1, 2]})},
)
def communities_drawn(at: Attempt) -> Iterator[tuple[str, Measured]]:
    """Train on the graphs, and draw others."""
    source = communities(at.folder / "communities.npz")
    settings = {"data.valid": 0.1, "data.test": 0.2, "model.hidden": [64, 64], "model.latent": 4}
    found: dict[str, list[float]] = {}
    for seed in at.seeds:
        run = train("graph-vae", source, seed=seed, epochs=at.terms["epochs"], set=settings, device=at.device)
        given = run.evaluate(["elbo", "iw_bound", "drawn_graphs"], k=100)
        for name in ("elbo", "iw_bound", "degree_distance", "clustering_distance"):
            found.setdefault(name, []).append(float(given[name].value or 0.0))
    for row, values in zip(
        ("ELBO", "bound of 100 samples", "degrees, distance", "clustering, distance"), found.values()
    ):
        yield row, Measured(tuple(values))
