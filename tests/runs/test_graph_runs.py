"""Runs on graphs: their folders, the commands that ask something of them, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recipes.examples import communities
from vaekit.commands.encode import encode
from vaekit.commands.sample import sample
from vaekit.data.graphs.graph_files import read_graphs
from vaekit.errors import UserError
from vaekit.runs import graph_figures
from vaekit.runs.loading import load
from vaekit.runs.record import RUN_FORMAT
from vaekit.runs.report import verdict
from vaekit.runs.run import Run
from vaekit.runs.train import train

RING = np.stack([np.arange(40), (np.arange(40) + 1) % 40], 1)


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("links")
    np.savez(folder / "ring.npz", edges=RING, labels=np.arange(40) // 20)
    return train("graph-vae", folder / "ring.npz", epochs=12, out=folder / "run")


def test_one_graph_is_trained_on_links_and_drawn(links: Run, tmp_path: Path) -> None:
    assert links.path is not None
    result = links.record["result"]
    assert result["elbo"] is not None and result["elbo_stderr"] is None and result["held_out_n"] == 1
    names = {path.name for path in (links.path / "figures").iterdir()}
    assert {"curves.png", "latent_map.png", "part.png"} <= names
    assert not {"samples.png", "samples.txt", "reconstructions.txt"} & names, "of those of one graph little can be read"
    page = (links.path / "report.html").read_text()
    assert "a graph of 40 nodes" in page and "steps of the whole graph" in page and "likeliest to be one" in page
    found = links.evaluate(["all"], k=5)
    assert 0 <= (found["auc"].value or -1) <= 1 and found["elbo"].value is not None and "degree" not in found
    for suffix in (".npz", ".edges"):
        sample(links.path, n=2, out=tmp_path / f"x{suffix}")
    assert read_graphs(tmp_path / "x.npz").sizes.tolist() == [40, 40]
    encode(links.path, out=tmp_path / "z.csv")
    lines = (tmp_path / "z.csv").read_text().splitlines()
    assert len(lines) == 41 and lines[1].endswith(",0") and lines[-1].endswith(",1")


def test_the_run_s_seed_chooses_the_split_unless_the_data_s_does(links: Run) -> None:
    source = links.record["data"]["source"]

    def asked(**more: Any) -> list[list[int]]:
        x: Any = train("graph-vae", source, epochs=1, **more).test.x
        return x.asked.tolist()

    assert asked(seed=3) == asked(seed=5, set={"data.seed": 3}) != asked(seed=5)
    again: Any = load(links.path or "").test.x
    own: Any = links.test.x
    assert again.asked.tolist() == own.asked.tolist()


def test_a_plain_graph_autoencoder_has_links_and_no_bound(links: Run) -> None:
    source = links.record["data"]["source"]
    run = train("graph-vae", source, epochs=2, set={"model.posterior": "delta"})
    assert run.record["result"]["elbo"] is None and "point mass" in run.record["result"]["refused"]
    found = run.evaluate(["all"], k=2)
    assert found["auc"].value is not None and found["elbo"].value is None


def test_links_are_judged_by_their_ranks_and_not_before() -> None:
    side = np.arange(60) < 30
    joined = np.random.default_rng(0).random((60, 60)) < np.where(side[:, None] == side, 0.4, 0.02)
    run = train("graph-vae", {"edges": np.argwhere(np.triu(joined, 1))}, steps=100, device="cpu")
    before = verdict(run)
    assert (before.tone, before.title) == ("open", "Not judged")
    assert "judged by their ranks; evaluate the run" in before.sentences[0]
    run.evaluate("graph")  # one name stands for a list of it
    assert verdict(run).title == "It finds links"


def test_many_graphs_are_trained_and_compared_with_drawn_ones() -> None:
    run = train("graph-vae", communities(), epochs=3)
    found = run.evaluate(["graph", "elbo"])
    assert found["degree"].value is not None and found["elbo"].stderr is not None and "auc" not in found
    assert run.settings.model.model_dump()["decoder"] == "auto"
    kept: Any = run.prepared(communities())
    assert len(kept) == 60


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model.posterior": "full-normal"}, "use one of diagonal-normal, delta"),
        ({"model.prior": "vamp"}, "not used by this recipe"),
        ({"model.likelihood": "bernoulli"}, "use one of auto, edges"),
        ({"model.channels": 3}, "there is no setting"),
        ({"model.skip": True}, "not used by this recipe"),
        ({"objective.pos_weight": 0}, "pos_weight"),
        ({"data.test": 39, "data.valid": 1}, "leaving none to train on"),
    ],
)
def test_what_cannot_go_together_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        train("graph-vae", {"edges": RING}, epochs=1, set=given)


def test_recipes_refuse_the_other_s_data(links: Run) -> None:
    with pytest.raises(UserError, match="cora holds graphs; train graph-vae"):
        train("vae", "cora", epochs=1)
    with pytest.raises(UserError, match="takes graphs"):
        train("graph-vae", "digits", epochs=1)
    assert links.path is not None and load(links.path).record == links.record | {"format": RUN_FORMAT}


def test_predicted_links_of_the_figure_are_no_links_of_the_data(links: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def kept(n: int, edges: np.ndarray, classes: Any, names: Any, pairs: np.ndarray, chance: np.ndarray) -> None:
        seen.update(pairs=pairs, chance=chance)

    monkeypatch.setattr("vaekit.figures.graphs.part", kept)
    graph_figures.part(links)
    graph: Any = links.shown.x
    joined = {frozenset(pair) for pair in graph.edges.tolist()}
    found = [frozenset(pair) for pair in seen["pairs"].tolist()]
    assert len(set(found)) == graph_figures.PREDICTED and not joined & set(found)
    with torch.no_grad():
        z = links.node_codes(graph)[0]
        px: Any = links.model.decode(z[None])
    p = px.mean[0]
    for (i, j), chance in zip(seen["pairs"].tolist(), seen["chance"].tolist(), strict=True):
        assert chance == pytest.approx(float(p[i, j]), abs=1e-5)
    others = [float(p[i, j]) for i in range(40) for j in range(i) if frozenset((i, j)) not in joined | set(found)]
    assert min(seen["chance"]) >= max(others) - 1e-5, "the likeliest of all"
