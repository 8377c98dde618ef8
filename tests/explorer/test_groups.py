"""Sliders of a hierarchy, grouped by layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import vaekit
from explorer.test_page import changed, code, drawn
from vaekit.explorer.server import Explorer
from vaekit.explorer.session import Session


@pytest.fixture(scope="module")
def ladder() -> Any:
    return vaekit.train("ladder-vae", "digits", steps=20, device="cpu", pictures=False)


@pytest.fixture(scope="module")
def layers(ladder: Any) -> Iterator[Explorer]:
    explorer = Explorer(Session(ladder)).start()
    yield explorer
    explorer.stop()


def test_latents_are_grouped_by_layer_the_coarsest_first(ladder: Any, digits: Any) -> None:
    facts = Session(ladder).facts
    names = [group["name"] for group in facts["groups"]]
    assert names == ladder.model.names and len(names) > 1
    assert sorted(j for group in facts["groups"] for j in group["latents"]) == sorted(facts["order"])
    for group in facts["groups"]:
        assert [facts["latents"][j] for j in group["latents"]] == [
            f"{group['name']}.{i + 1}" for i in range(len(group["latents"]))
        ]
    assert Session(digits).facts["groups"] == []


def test_a_layer_is_folded_by_its_heading(open_page: Any, layers: Explorer, ladder: Any) -> None:
    page, facts = open_page(layers).page, Session(ladder).facts
    boxes = page.locator("#sliders details")
    assert boxes.count() == len(facts["groups"]) and page.is_hidden("#more")
    for box, group in zip(boxes.all(), facts["groups"]):
        heading = box.locator("summary")
        assert (
            heading.inner_text().startswith(group["name"])
            and f"{len(group['latents'])} latents" in heading.inner_text()
        )
        if box.get_attribute("open") is None:
            heading.focus()
            page.keyboard.press("Enter")
        while box.locator("button:visible").count():
            box.locator("button:visible").click()
        shown = box.locator("input").evaluate_all("all => all.map(one => Number(one.id.slice(1)) - 1)")
        assert shown == [j for j in facts["order"] if j in group["latents"]]
    last = boxes.last.locator("input").first
    before = drawn(page)
    last.focus()
    page.keyboard.press("PageUp")
    changed(page, before)
    j = int((last.get_attribute("id") or "z0")[1:]) - 1
    assert [i for i, v in enumerate(code(page)) if v] == [j]
    boxes.last.locator("summary").press("Enter")
    assert last.is_hidden() and page.locator("summary").first.is_visible()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.matches('#sliders input')")
