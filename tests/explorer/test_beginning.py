"""What a person sees first: a real example, in motion; pictures along the sliders; the map by columns and regions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from browsers import chromium_only
from explorer.conftest import asking
from explorer.test_page import PIXELS, close, code, drawn, expected, ready, wait_for
from vaekit.explorer.colours import colour, names
from vaekit.explorer.server import Explorer
from vaekit.explorer.session import Session


def test_the_page_begins_on_an_example_at_rest_where_less_motion_is_wanted(
    open_page: Any, served: Explorer, digits: Any
) -> None:
    page = open_page(served, begins=True).page
    z = Session(digits).encode(0)["z"]
    assert np.allclose(code(page), z, atol=1e-4)
    wait_for(page, f"() => ({PIXELS})('decoded').some(v => v > 0)")
    assert close(drawn(page), expected(digits, z))
    page.wait_for_timeout(500)
    assert np.allclose(code(page), z, atol=1e-4)
    said = page.inner_text("#subtitle")
    assert "6 latents" in said and "active" in said and "rate" in said and "held-out ELBO −" in said


@chromium_only
def test_the_page_moves_until_a_person_takes_over(open_page: Any, served: Explorer) -> None:
    page = open_page(served, begins=True, reduced_motion="no-preference").page
    assert page.get_attribute("#play", "aria-pressed") == "true"
    seen = [drawn(page)]
    for _ in range(3):
        page.wait_for_timeout(700)
        seen.append(drawn(page))
    assert len({tuple(one) for one in seen}) >= 3
    page.mouse.click(5, 5)
    assert page.get_attribute("#play", "aria-pressed") == "false"
    page.wait_for_timeout(200)
    rest = drawn(page)
    page.wait_for_timeout(700)
    assert drawn(page) == rest
    page.click("#play")
    wait_for(page, f"before => ({PIXELS})('decoded').some((v, i) => v !== before[i])", rest)
    page.click("#play")
    assert page.get_attribute("#play", "aria-pressed") == "false"


def test_pictures_along_a_slider_are_what_it_would_show(open_page: Any, served: Explorer, digits: Any) -> None:
    page = open_page(served).page
    assert not page.locator(".along").first.is_visible()
    page.click("#thumbs")
    page.wait_for_selector(".along:visible")
    session = Session(digits)
    j = session.facts["order"][0]
    row = """() => { const c = document.querySelector('.along'), all = c.getContext('2d');
      return Array.from(all.getImageData(0, 0, c.width, c.height).data.filter((_, i) => i % 4 === 0)); }"""
    pixels = np.array(page.evaluate(row)).reshape(8, 7 * 8 + 6)  # a pixel between two
    for i, value in enumerate(np.linspace(session.facts["low"][j], session.facts["high"][j], 7)):
        z = [0.0] * 6
        z[j] = float(value)
        assert np.abs(pixels[:, 9 * i : 9 * i + 8].flatten() - expected(digits, z)).max() <= 1
    page.click("#thumbs")
    assert not page.locator(".along").first.is_visible()


def test_a_path_is_played_to_and_fro(open_page: Any, served: Explorer) -> None:
    page = open_page(served).page
    page.click("#tab-between")
    page.wait_for_selector("#panel-between .strip button")
    page.click("#panel-between >> text=Play")
    wait_for(page, "document.querySelector(\"[aria-label='Place between A and B']\").value > 5")
    page.click("#panel-between >> text=Pause")
    at = page.input_value("[aria-label='Place between A and B']")
    page.wait_for_timeout(300)
    assert page.input_value("[aria-label='Place between A and B']") == at


def test_the_map_is_coloured_by_score_and_by_column(open_page: Any, served_mixed: Explorer, mixed: Any) -> None:
    session = Session(mixed)
    known = names(session)
    assert known == ["anomaly score", *(column["name"] for column in mixed.info.facts["columns"])]
    for name in known:
        values, low, high = colour(session, name)
        assert len(values) == len(session.latent_map().points) and low and high
    scores = colour(session, "anomaly score")[0]
    with asking(served_mixed) as client:
        found = client.get("/api/colour", params={"by": known[1]})
        assert np.array_equal(
            np.frombuffer(found.content, "<f4"), colour(session, known[1])[0].astype("<f4"), equal_nan=True
        )
        assert client.get("/api/colour", params={"by": "no such"}).status_code == 400
    assert np.isfinite(scores).all()
    page = open_page(served_mixed).page
    ready(page)
    picture = "document.getElementById('map').toDataURL().length"
    before = page.evaluate(picture)
    page.select_option("#map-colour", "anomaly score")
    page.wait_for_selector("#map-colour[data-shown='anomaly score']")
    page.wait_for_timeout(200)
    assert page.evaluate(picture) != before and "by rank" in page.inner_text("#map-ramp")
    page.select_option("#map-colour", "")
    page.wait_for_selector("#map-colour[data-shown='']")
    page.wait_for_timeout(200)
    assert page.evaluate(picture) == before
    shades = "import('/static/map.js').then(m => [...m.shadesOf(Float32Array.from([3, 1, NaN, 1, 2]))])"
    assert page.evaluate(shades) == [63, 11, 255, 11, 42]


def test_a_region_has_a_mean_and_its_examples(open_page: Any, served: Explorer, digits: Any) -> None:
    page = open_page(served).page
    ready(page)
    page.click("#map-lasso")
    box = page.locator("#map").bounding_box()
    x, y, w, h = box["x"], box["y"], box["width"], box["height"]
    page.mouse.move(x + 0.3 * w, y + 0.3 * h)
    page.mouse.down()
    for u, v in ((0.7, 0.3), (0.7, 0.7), (0.3, 0.7)):
        page.mouse.move(x + u * w, y + v * h, steps=4)
    page.mouse.up()
    page.wait_for_selector("#region:visible")
    said = page.inner_text("#region p")
    assert "examples (" in said and "mean of their codes" in said
    page.click("#region button:has-text('mean')")
    session = Session(digits)
    plane = session.latent_map().plane
    at = plane.project(torch.tensor(code(page)))
    inner = np.abs(session.latent_map().points).max(0)
    assert (at.abs().numpy() < inner).all() and page.locator("#region button").count() > 3
    with asking(served) as client:
        found = client.post("/api/mean", json={"indices": [0, 3]}).json()["z"]
        assert np.allclose(found, np.mean([session.encode(i)["z"] for i in (0, 3)], 0), atol=1e-6)
        assert client.post("/api/mean", json={"indices": []}).status_code == 400
        assert client.post("/api/mean", json={"indices": [10**6]}).status_code == 400
    page.click("#map-lasso")
    assert not page.locator("#region").is_visible()
