"""The map by UMAP: a module that doubles two numbers of a code stands in for the package, but in the last test."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

import vaekit
from explorer.conftest import asking
from explorer.test_page import changed, code, drawn, ready, wait_for
from explorer.test_server import refused
from vaekit.errors import UserError
from vaekit.explorer import app
from vaekit.explorer.server import Explorer
from vaekit.explorer.session import Session
from vaekit.latents import umap
from vaekit.runs.figures import latent_map_umap, write_figures
from vaekit.runs.report import render

STAND_IN = """
import time
from collections.abc import Iterator
class UMAP:
    def __init__(self, n_components, n_neighbors, init, random_state, n_jobs):
        assert n_components == 2 and n_neighbors <= 15 and n_jobs == 1
        self.seed = random_state
    def fit_transform(self, z):
        print("words on standard output")
        time.sleep(WAIT)
        if len(z) == FAILS: raise ValueError("no such luck")
        return 2 * z[:, :2] + self.seed
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module `umap` that comes first."""
    (tmp_path / "umap.py").write_text(STAND_IN.replace("WAIT", "0.3").replace("FAILS", "7"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "umap", raising=False)
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("umap", None)


def test_a_report_has_the_map_where_the_package_is_installed(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = vaekit.train("vae", "digits", steps=2, pictures=False, out=tmp_path / "run")
    written = write_figures(run, ["latent_map", "latent_map_umap"])
    assert [path.name for path in written] == ["latent_map.png", "latent_map_umap.png"]
    assert "Latent map by UMAP" in render(run)
    drawn: Any = latent_map_umap(run)
    z = run.encode(run.shown)
    assert drawn.get_suptitle() == f"Latent map (UMAP), {len(z)} examples"
    dots = np.concatenate([np.asarray(each.get_offsets()) for each in drawn.axes[0].collections])
    want = 2 * z[:, :2].numpy()
    assert np.allclose(np.sort(dots, 0), np.sort(want, 0), atol=1e-5)
    monkeypatch.setattr("vaekit.runs.figures.has_umap", lambda: False)
    assert [path.name for path in write_figures(run, ["latent_map_umap"])] == []
    assert "UMAP" not in render(run), "without the package nothing is said"


def answered(client: httpx.Client) -> httpx.Response:
    """Ask until the places are there."""
    until = time.monotonic() + 60
    while (answer := client.get("/api/umap")).status_code == 202 and time.monotonic() < until:
        time.sleep(0.05)
    return answer


def mapped(client: httpx.Client) -> None:
    until = time.monotonic() + 60
    while client.get("/api/map").status_code == 202 and time.monotonic() < until:
        time.sleep(0.05)


def test_places_come_from_a_process_of_their_own(stand_in: Path) -> None:
    z = torch.randn(30, 5)
    assert np.allclose(umap.umap_apart(z, lambda: None), 2 * z[:, :2].numpy())
    assert np.allclose(umap.umap_places(z, seed=3), 2 * z[:, :2] + 3)
    with pytest.raises(UserError, match="UMAP failed: ValueError: no such luck"):
        umap.umap_apart(torch.zeros(7, 3), lambda: None)
    with pytest.raises(UserError, match="at least 4 codes"):
        umap.umap_places(torch.zeros(3, 3))


def test_it_ends_when_the_explorer_stops(stand_in: Path) -> None:
    (stand_in / "umap.py").write_text(STAND_IN.replace("WAIT", "60").replace("FAILS", "-1"))

    def stop() -> None:
        raise UserError("the explorer is stopping")

    started = time.monotonic()
    with pytest.raises(UserError, match="stopping"):
        umap.umap_apart(torch.zeros(9, 3), stop)
    assert time.monotonic() - started < 20


def test_without_the_package_its_name_is_told(monkeypatch: pytest.MonkeyPatch, served: Explorer) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    assert not umap.has_umap()
    with pytest.raises(UserError, match=r"vaekit\[umap\]"):
        umap.umap_places(torch.zeros(9, 3))
    with asking(served) as client:
        mapped(client)
        assert "vaekit[umap]" in client.get("/api/facts").json()["no_umap"]
        assert "vaekit[umap]" in refused(client.get("/api/umap"), 400)


def test_the_server_places_the_first_examples(stand_in: Path, digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MOST_PLACED", 500)
    explorer = Explorer(Session(digits)).start()
    try:
        with asking(explorer) as client:
            mapped(client)
            assert client.get("/api/facts").json()["no_umap"] is None
            assert client.get("/api/umap").status_code == 202
            answer = answered(client)
        z = np.array([Session(digits).encode(i)["z"] for i in range(5)])
        assert answer.headers["x-count"] == "500" and answer.headers["x-labels"] == "1"
        assert np.allclose(np.frombuffer(answer.content, "<f4", 1000).reshape(-1, 2)[:5], 2 * z[:, :2], atol=1e-4)
        labels = np.frombuffer(answer.content, "<i2", offset=8 * 500)
        assert labels[:174].tolist() == digits.test.y.tolist() and len(labels) == 500
    finally:
        explorer.stop()


def test_the_switch(open_page: Any, stand_in: Path, digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MOST_PLACED", 500)
    explorer = Explorer(Session(digits)).start()
    try:
        page = open_page(explorer).page
        ready(page)
        page.focus("#map-umap")
        page.keyboard.press("Enter")
        assert page.get_attribute("#map-umap", "aria-pressed") == "true"
        assert "Computing UMAP" in page.inner_text("#panel-map") and page.is_enabled("#map-mode")
        page.wait_for_selector("#map[data-umap]", timeout=60_000)
        assert "500 examples, placed by UMAP" in page.inner_text("#panel-map") and page.is_disabled("#map-mode")
        before = drawn(page)
        page.focus("#map")
        page.keyboard.press("ArrowRight")
        near = int(page.inner_text("#status").split("nearest example ")[1].split(",")[0])
        page.keyboard.press("Enter")
        changed(page, before)
        explored = Session(digits)
        explored.latent_map()
        assert np.allclose(code(page), explored.encode(near)["z"], atol=1e-4)
        assert "mu=1" in page.evaluate("location.hash")
        page.click("#map-umap")
        wait_for(page, "document.querySelector('#panel-map').innerText.includes('1,797 examples. Two principal')")
        assert page.is_enabled("#map-mode")
        page.goto("about:blank")  # before the server ends, which it may ask
    finally:
        explorer.stop()


def test_a_missing_package_disables_the_switch(
    open_page: Any, served: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    page = open_page(served).page
    assert page.is_disabled("#map-umap") and "pip install 'vaekit[umap]'" in page.get_attribute("#map-umap", "title")


@pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="umap-learn is not installed")
@pytest.mark.slow
def test_umap_itself_keeps_groups_apart() -> None:
    z = torch.randn(200, 8) + torch.tensor([[0.0], [9.0]]).repeat_interleave(100, 0)
    places = umap.umap_apart(z, lambda: None)
    near = ((places[:, None] - places) ** 2).sum(-1) + 1e9 * np.eye(200)
    assert ((near.argmin(1) < 100) == (np.arange(200) < 100)).mean() > 0.98
