"""Graphs in the explorer: nodes of one graph on a map with their links, and many graphs as drawings."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import vaekit
from browsers import enter
from explorer.conftest import CPU, asking
from explorer.test_page import code, ready, saved, wait_for
from explorer.test_server import refused
from recipes import examples
from vaekit.errors import UserError
from vaekit.explorer import graphs
from vaekit.explorer.graphs import GraphSession, NodeSession, session_of
from vaekit.explorer.server import Explorer


def ring() -> dict[str, list[str]]:
    """A ring of 40 named nodes, each linked to the next two."""
    name = [f"n{i:02d}" for i in range(40)]
    return {name[i]: [name[(i + 1) % 40], name[(i + 2) % 40]] for i in range(40)}


@pytest.fixture(scope="module")
def one() -> Any:
    """A run on one graph."""
    return vaekit.train("graph-vae", ring(), epochs=60, set={"model.latent": 3}, **CPU)


@pytest.fixture(scope="module")
def many() -> Any:
    """A run on graphs of 6 to 10 nodes."""
    set_ = {"model.latent": 4, "objective.beta": 0.1, "objective.pos_weight": "balanced"}
    return vaekit.train("graph-vae", examples.communities(), epochs=60, set=set_, **CPU)


@pytest.fixture(scope="module")
def nodes(one: Any) -> Iterator[Explorer]:
    explorer = Explorer(session_of(one)).start()
    yield explorer
    explorer.stop()


@pytest.fixture(scope="module")
def drawings(many: Any) -> Iterator[Explorer]:
    explorer = Explorer(session_of(many)).start()
    yield explorer
    explorer.stop()


def probabilities(run: Any) -> torch.Tensor:
    """The model's own P(link) of all pairs, (N, N)."""
    x = run.test.x
    with torch.no_grad():
        return run.model.decode(run.model.posterior_mean(x), sizes=x.sizes).mean[0]


def joined(run: Any) -> torch.Tensor:
    """Which nodes are linked, (N, N)."""
    out = torch.zeros(run.test.x.nodes, run.test.x.nodes, dtype=torch.bool)
    i, j = run.test.x.edges.T
    out[i, j] = out[j, i] = True
    return out


def test_predicted_links_are_the_likeliest_pairs_that_are_no_edge(one: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = session_of(one)
    assert isinstance(session, NodeSession) and session.count == 40
    found, p = session.links(), probabilities(one)
    assert {tuple(pair) for pair in found["edges"]} == {tuple(pair) for pair in one.test.x.edges.tolist()}
    left = p.masked_fill(joined(one), -1).triu(1)
    best = left.flatten().sort(descending=True).values[: graphs.PREDICTED]
    assert [v for *_, v in found["predicted"]] == pytest.approx(best.tolist(), rel=1e-5)
    assert all(v == pytest.approx(float(left[i, j]), rel=1e-5) for i, j, v in found["predicted"])
    monkeypatch.setattr(graphs, "DRAWN", 7)
    few = session_of(one)
    assert isinstance(few, NodeSession) and len(few.links()["edges"]) == 7 and few.links()["total"] == found["total"]


def test_likeliest_pairs_do_not_depend_on_the_blocks(one: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from vaekit.distributions import edges

    x = one.test.x
    with torch.no_grad():
        px = one.model.decode(one.model.posterior_mean(x))
    whole = px.likeliest(30, x.edges)
    monkeypatch.setattr(edges, "BLOCK", 100)
    assert torch.allclose(px.likeliest(30, x.edges)[1], whole[1])
    assert {*map(tuple, px.likeliest(30, x.edges)[0].tolist())} == {*map(tuple, whole[0].tolist())}
    assert len(px.likeliest(10**6, x.edges)[0]) == 40 * 39 // 2 - len(x.edges)


def test_a_node_is_an_example(one: Any) -> None:
    session = session_of(one)
    assert isinstance(session, NodeSession)
    codes, _ = one.node_codes()
    assert session.encode(7)["z"] == pytest.approx(codes[7].tolist())
    assert session.latent_map().points.shape == (40, 2)
    p, known = probabilities(one)[7], joined(one)[7]
    own = session.node(7)
    assert own["links"] == [[j, pytest.approx(float(p[j]), rel=1e-4)] for j in known.nonzero().flatten().tolist()]
    hidden = p.masked_fill(known, -1)
    hidden[7] = -1
    assert [v for _, v in own["predicted"]] == pytest.approx(hidden.topk(graphs.LISTED).values.tolist(), rel=1e-4)
    (line,) = session.decode(codes[7:8], but=7)
    p[7] = -1
    assert line.startswith(f"n{int(p.argmax()):02d} ({float(p.max()):.2f})")
    found = session.infer(session.example(7)[0], None)
    assert found["x"].startswith("n07: n05, ") and found["recon"] == line and found["elbo"] is None
    assert session.coloured("degree").tolist() == joined(one).sum(1).tolist()
    facts = session.facts
    kl = torch.tensor(facts["kl"])
    with torch.no_grad():
        whole = one.model.trace(one.test.x).latents["z"].kl
    assert float(kl.sum()) * 40 == pytest.approx(float(whole.mean()), rel=1e-4)
    assert facts["noun"] == "node" and facts["text"] and facts["n_test"] == 40 and "40 nodes" in facts["about"]
    saved_file = np.load(io.BytesIO(session.npz(codes[:2], None)))
    assert saved_file["x"].shape == (2, 40)
    with pytest.raises(UserError, match="no node 40; they go from 0 to 39"):
        session.example(40)


def test_many_graphs_are_decoded_and_scored(many: Any) -> None:
    session = session_of(many)
    assert isinstance(session, GraphSession)
    facts = session.facts
    x: Any = session.example(1)[0]
    assert facts["graphs"] and facts["pictured"] and facts["apart"] and len(facts["latents"]) == 40
    assert [group["name"] for group in facts["groups"]] == [f"node {i + 1}" for i in range(10)]
    n = int(x.sizes[0])
    z = session.encode(1)["z"]
    assert all(v == 0 for v in z[4 * n :]) and any(z[: 4 * n])
    made = json.loads(session.decode(session.code([z]))[0])
    with torch.no_grad():
        expected = many.model.reconstruct(x)
    assert len(made["at"]) == n and made["edges"] and sorted(made["edges"]) == sorted(expected.edges.tolist())
    own = json.loads(session.shown(x)[0])
    assert own["edges"] == x.edges.tolist() and np.abs(own["at"]).max() <= 1
    session.scores()
    found = session.infer(x, None)
    assert found["score"] == pytest.approx(-found["elbo"]) and 0 <= found["percentile"] <= 100
    assert all(v > 0 for v in found["sd"][: 4 * n]) and not any(found["sd"][4 * n :])
    assert session.latent_map().points.shape == (60, 2)
    parts: list[Any] = [split.x for split in session.splits]
    counts = np.concatenate([[len(part[i].edges) for i in range(len(part))] for part in parts])
    assert session.coloured("edges").tolist() == counts.tolist()
    drawn = [np.reshape(session.random(None, seed), (10, 4)) for seed in range(20)]
    assert {int((rows != 0).any(1).sum()) for rows in drawn} <= {n for n, _ in many.info.facts["sizes"]}
    file = np.load(io.BytesIO(session.npz(session.code([z, drawn[0].flatten().tolist()]), None)))
    assert len(file["sizes"]) == 2 and file["sizes"][0] == n and file["edges"].max() < file["sizes"].sum()
    with pytest.raises(UserError, match="nodes of two graphs do not correspond"):
        session.lift([0.0, 0.0], None)


def test_without_a_bound_graphs_are_scored_by_the_pairs_that_differ() -> None:
    set_ = {"model.latent": 4, "model.posterior": "delta"}
    run = vaekit.train("graph-vae", examples.communities(), epochs=5, set=set_, **CPU)
    session = session_of(run)
    x: Any = session.example(0)[0]
    found = session.infer(x, None)
    pair = {*map(tuple, x.edges.tolist())} ^ {*map(tuple, run.model.reconstruct(x).edges.tolist())}
    assert found["elbo"] is None and found["refused"] and found["score"] == len(pair)
    assert len(session.random(None, 0)) == session.size


def test_links_are_asked_of_one_graph_only(nodes: Explorer, served: Explorer) -> None:
    with asking(nodes) as client:
        assert len(client.get("/api/links").json()["names"]) == 40
        assert client.get("/api/node?i=3").json()["links"]
        assert "no node 40" in refused(client.get("/api/node?i=40"), 400)
        degrees = np.frombuffer(client.get("/api/colour?by=degree").content, "<f4")
        assert degrees.tolist() == [4.0] * 40
        assert "not coloured by 'anomaly score'" in refused(client.get("/api/colour?by=anomaly score"), 400)
    with asking(served) as client:
        refused(client.get("/api/links"), 400)
        refused(client.get("/api/node?i=3"), 400)


UNDER = """(map => { const c = document.createElement('canvas');
  Object.assign(c, { width: map.width, height: map.height });
  const seen = c.getContext('2d', { willReadFrequently: true });
  seen.drawImage(map, 0, 0);
  return seen.getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 === 3 && v > 0).length;
})(document.querySelector('.under'))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_map_of_nodes_shows_links_and_lists_those_of_a_node(
    open_page: Any, nodes: Explorer, one: Any, scheme: str
) -> None:
    page = open_page(nodes, color_scheme=scheme).page
    ready(page)
    assert "40 nodes" in page.inner_text("#panel-map") and page.inner_text("#stage-title") == "Likeliest links"
    assert page.locator("#node-links li button").count() == 10
    wait_for(page, f"{UNDER} > 0")
    drawn = page.evaluate(UNDER)
    for button in ("#map-predicted", "#map-edges"):
        page.click(button)
        assert page.get_attribute(button, "aria-pressed") == "false"
        wait_for(page, f"n => {UNDER} < n", drawn)
        drawn = page.evaluate(UNDER)
    assert drawn == 0
    page.click("#map-edges")
    session = session_of(one)
    assert isinstance(session, NodeSession)
    page.focus("#map")
    page.keyboard.press("ArrowRight")
    near = page.inner_text("#status").split("nearest node ")[1].split(",")[0]
    page.keyboard.press("Enter")
    wait_for(page, "document.querySelector('#node-links h3')?.textContent.startsWith('Links of')")
    i = int(near)
    name = f"n{i:02d}"
    assert f"Node {name}" in page.inner_text("#panel-map")
    assert np.allclose(code(page), session.encode(i)["z"], atol=1e-4)
    links = page.locator(f"ul[aria-label='Links of {name}'] li").all_inner_texts()
    assert links == [f"n{j:02d} {p:.2f}" for j, p in session.node(i)["links"]]
    wait_for(page, "t => document.querySelector('#decoded-table p').textContent === t",
             session.decode(session.code([session.encode(i)["z"]]))[0])  # fmt: skip
    page.locator(f"ul[aria-label='Links of {name}'] button").first.click()
    j = session.node(i)["links"][0][0]
    wait_for(page, "t => document.querySelector('#node-links h3').textContent === t", f"Links of n{j:02d}")
    assert np.allclose(code(page), session.encode(j)["z"], atol=1e-4)
    page.select_option("#map-colour", "degree")
    wait_for(page, "document.querySelector('#map-ramp').textContent.includes('degree: 4')")
    page.click("#tab-own")
    enter(page, "#own-index", "7")
    page.wait_for_selector("#own-results:visible")
    assert page.locator("#own-results p.words").first.inner_text().startswith("n07: n05, ")
    assert "not of a node" in page.inner_text("#own-results") and page.locator("#pad, #own-text").count() == 0


def test_many_graphs_are_drawn(open_page: Any, drawings: Explorer, many: Any) -> None:
    page = open_page(drawings).page
    ready(page)
    session = session_of(many)
    n, edges = (len(json.loads(session.shown(session.example(3)[0])[0])[part]) for part in ("at", "edges"))
    page.click("#tab-own")
    enter(page, "#own-index", "3")
    page.wait_for_selector("#own-results:visible")
    assert page.get_attribute("#own-results canvas.graph", "title") == f"{n} nodes, {edges} edges"
    made = json.loads(session.decode(session.code([session.encode(3)["z"]]))[0])
    title = f"{len(made['at'])} nodes, {len(made['edges'])} edges"
    wait_for(page, "t => document.getElementById('decoded').title === t", title)
    assert saved(page, "#save-png")[:4] == b"\x89PNG"
    assert page.locator("#play").is_hidden()
    for tab in ("between", "sum"):
        page.click(f"#tab-{tab}")
        assert "do not correspond" in page.inner_text(f"#panel-{tab}")
    # nodes are groups of sliders, of which those further down are folded
    layers = page.locator("#sliders details")
    assert layers.count() == 10 and layers.last.get_attribute("open") is None
    layers.last.locator("summary").click()
    wait_for(page, "[...document.querySelectorAll('#sliders details')].at(-1).querySelectorAll('input').length === 4")
    page.click("#tab-map")
    assert page.locator("#map-mode option").count() == 1
    page.select_option("#map-colour", "edges")
    wait_for(page, "document.querySelector('#map-ramp').textContent.startsWith('edges: ')")
