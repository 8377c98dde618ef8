"""Molecules in the explorer: drawn by rdkit on the server, with their SMILES as title."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

import vaekit
from explorer.conftest import asking
from explorer.test_page import ready, wait_for
from explorer.test_server import refused
from recipes import examples
from vaekit.explorer.server import Explorer
from vaekit.explorer.session import Session


@pytest.fixture(scope="module")
def run() -> Any:
    small = {"model.width": 24, "model.embedding": 16, "model.latent": 3}
    return vaekit.train("molecule-vae", examples.smiles(), epochs=5, set=small, pictures=False)


@pytest.fixture(scope="module")
def molecules(run: Any) -> Iterator[Explorer]:
    explorer = Explorer(Session(run)).start()
    yield explorer
    explorer.stop()


def test_a_molecule_is_an_svg_image(molecules: Explorer) -> None:
    pictures = {}
    with asking(molecules) as client:
        for smiles in ("CCO", "c1ccccc1", "C(", "", '<script>alert(1)</script>"'):
            answer = client.get("/api/molecule", params={"smiles": smiles})
            assert answer.headers["content-type"] == "image/svg+xml"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert ElementTree.fromstring(answer.text).tag.endswith("svg")
            assert "script" not in answer.text
            pictures[smiles] = answer.text
        assert pictures["CCO"] != pictures["c1ccccc1"] and "(no molecule)" not in pictures["CCO"]
        assert "(no molecule)" in pictures["C("] and "(no molecule)" in pictures[""]
        assert client.get("/api/molecule?smiles=CCO&dark=1").text != pictures["CCO"]
        assert "1,000 letters" in refused(client.get("/api/molecule", params={"smiles": "C" * 1001}), 400)


def test_without_rdkit_molecules_are_read(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Session(run).facts["molecules"] and Session(run).facts["undrawn"] is None
    monkeypatch.setitem(sys.modules, "rdkit", None)
    facts = Session(run).facts
    assert not facts["molecules"] and not facts["pictured"] and facts["text"]
    assert "pip install 'vaekit[mol]'" in facts["undrawn"]


def test_without_rdkit_the_page_says_so(open_page: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdkit", None)
    session = Session(run)
    _ = session.facts
    monkeypatch.undo()
    explorer = Explorer(session).start()
    try:
        page = open_page(explorer).page
        wait_for(page, "document.querySelector('#decoded-table p').textContent !== '–'")
        assert "Drawing molecules needs the package rdkit" in page.inner_text("#decoded-table")
        assert page.is_hidden("#decoded")
        page.goto("about:blank")  # before the server ends, which it may ask
    finally:
        explorer.stop()


DRAWN = "id => document.querySelector(id).dataset.drawn"
GREYS = """id => { const c = document.querySelector(id);
  return new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size; }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_molecules_are_drawn(open_page: Any, molecules: Explorer, run: Any, scheme: str) -> None:
    page = open_page(molecules, color_scheme=scheme).page
    ready(page)
    session = Session(run)
    (smiles,) = session.decode(session.code([[0.0] * 3]))
    wait_for(page, f"v => ({DRAWN})('#decoded') === v", smiles)
    assert page.get_attribute("#decoded", "title") == smiles and smiles in page.get_attribute("#decoded", "aria-label")
    assert page.inner_text("#decoded-table p") == smiles
    assert page.evaluate(GREYS, "#decoded") > 8, "bonds on a ground"
    page.click("#theme")
    page.click("#tab-between")
    page.wait_for_selector("#panel-between .strip canvas[data-drawn]")
    titles = [each.get_attribute("title") for each in page.locator("#panel-between .strip canvas").all()]
    ends = [session.encode(i)["z"] for i in (0, 1)]
    assert [titles[0], titles[-1]] == [session.decode(session.code([z]))[0] for z in ends]
    page.click("#tab-own")
    page.fill("#own-text", "CCCO")
    page.click("text=Encode it")
    page.wait_for_selector("#own-results canvas[data-drawn]")
    assert page.locator("#own-results canvas.molecule").first.get_attribute("title") == "CCCO"
    assert "Example CCCO" in page.inner_text("#own-results")
