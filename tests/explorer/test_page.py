"""The page in a real browser: every control, what a person is told, keyboard, link; and no request elsewhere."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browsers import chromium_only, downloaded, enter, tapped
from vaekit.explorer.server import Explorer
from vaekit.explorer.session import Session

PIXELS = """id => { const c = document.getElementById(id);
  const seen = c.getContext('2d', { willReadFrequently: true });  // as the page asks for it, should this come first
  return Array.from(seen.getImageData(0, 0, c.width, c.height).data.filter((_, i) => i % 4 === 0)); }"""


def drawn(page: Any) -> list[int]:
    """Return the grey values of the decoded picture."""
    return page.evaluate(PIXELS, "decoded")


def code(page: Any) -> list[float]:
    """Return the code that the page's link holds, once it is written."""
    page.wait_for_timeout(350)
    return [float(v) for v in re.findall(r"[#&]z=([^&]*)", page.evaluate("location.hash"))[0].split(",")]


def wait_for(page: Any, expression: str, arg: Any = None, seconds: float = 10.0) -> None:
    """Ask until it is true. (Playwright's own waiting needs eval, which the page's policy forbids.)"""
    until = time.monotonic() + seconds
    while not page.evaluate(expression, arg):
        assert time.monotonic() < until, f"never true: {expression}"
        page.wait_for_timeout(15)


def changed(page: Any, before: list[int]) -> list[int]:
    """Wait until the decoded picture is another, and return it as it is once at rest."""
    wait_for(page, f"before => ({PIXELS})('decoded').some((v, i) => v !== before[i])", before)
    page.wait_for_timeout(60)
    return drawn(page)


def expected(run: Any, z: list[float], y: int | None = None) -> list[int]:
    """Return the picture that the model itself decodes."""
    return Session(run).decode(Session(run).code([z]), y).flatten().tolist()


def close(a: list[int], b: list[int]) -> bool:
    """Whether two pictures agree to a grey level: codes in links are rounded."""
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) <= 1


def saved(page: Any, button: str) -> bytes:
    """Click a button that saves and return the file."""
    return downloaded(page, lambda: page.click(button))


def ready(page: Any) -> None:
    """Wait for the map."""
    page.wait_for_selector("#map[data-ready]", timeout=30_000, state="attached")


# -- sliders ----------------------------------------------------------------------------------------------------------


def test_sliders_redraw_reset_randomise_undo_and_redo(open_page: Any, served: Explorer, digits: Any) -> None:
    page = open_page(served).page
    start = changed(page, [0] * 64)
    assert close(start, expected(digits, [0.0] * 6))
    first = Session(digits).facts["order"][0]
    assert page.locator("#sliders input").first.get_attribute("id") == f"z{first + 1}"
    page.locator("#sliders input").first.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    moved = changed(page, start)
    z = code(page)
    assert z[first] > 0 and all(v == 0 for j, v in enumerate(z) if j != first)
    assert close(drawn(page), expected(digits, z))
    at_rest = drawn(page)
    page.click("#random")
    other = changed(page, at_rest)
    assert len({*code(page)}) == 6
    page.click("#undo")
    assert close(changed(page, other), expected(digits, z))
    undone = drawn(page)
    page.click("#redo")
    assert close(changed(page, undone), other)
    page.click("#reset")
    assert changed(page, other) == start and moved != start
    assert code(page) == [0.0] * 6


def test_a_link_restores_everything(open_page: Any, served: Explorer) -> None:
    page = open_page(served).page
    ready(page)
    page.click("#random")
    page.click("#tab-traverse")
    page.select_option("#traverse-latent", index=2)
    enter(page, "#traverse-reach", "2")
    page.click("#tab-between")
    enter(page, "[aria-label='Number of example B']", "7")
    page.click("text=spherical")
    page.wait_for_selector("#panel-between .strip button")
    page.wait_for_timeout(500)
    z, fragment = code(page), page.evaluate("location.hash")
    there = open_page(served, fragment).page
    ready(there)
    there.wait_for_selector("#panel-between .strip button")
    assert code(there) == z
    assert there.get_attribute("#tab-between", "aria-selected") == "true"
    assert there.input_value("[aria-label='Number of example B']") == "7"
    assert there.is_checked("input[value=spherical]")
    assert there.input_value("#traverse-reach") == "2"
    assert there.input_value("#traverse-latent") == page.input_value("#traverse-latent")
    assert close(drawn(there), drawn(page))
    assert there.evaluate("location.hash") == fragment


def test_a_link_of_another_run_is_told(open_page: Any, served: Explorer) -> None:
    page = open_page(served, "#z=1,2,3&tab=nowhere&y=99&ex=-1&ib=1e9&mx=a&dr=%%%").page
    assert "another run" in page.inner_text("#alert")
    page.click("#alert-close")
    assert not page.is_visible("#alert")


# -- the tools --------------------------------------------------------------------------------------------------------


def test_the_map_click_hover_zoom_pan_and_labels(open_page: Any, served: Explorer, digits: Any) -> None:
    page = open_page(served).page
    ready(page)
    assert "1,797 examples" in page.inner_text("#panel-map")
    box = page.locator("#map").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    picture = "() => document.getElementById('map').toDataURL().length"
    before = drawn(page)
    page.mouse.click(*middle)
    changed(page, before)
    wait_for(page, "document.querySelector('#panel-map').innerText.includes('nearest is example')")
    explored = Session(digits)
    plane = explored.latent_map().plane
    hash_before = page.evaluate("location.hash")
    z = code(page)
    import torch

    at = plane.project(torch.tensor(z)).tolist()
    words = dict(part.split("=") for part in page.evaluate("location.hash")[1:].split("&"))
    assert abs(at[0] - float(words["mx"])) < 0.05 and abs(at[1] - float(words["my"])) < 0.05, hash_before
    # hovering shows the example under the pointer
    page.mouse.move(middle[0] + 1, middle[1])
    page.wait_for_selector(".tip:not([hidden])")
    assert re.match(r"#\d+ · \d", page.inner_text(".tip"))
    # zooming and panning change the picture and the link
    page.mouse.move(middle[0] + 0.3 * box["width"], middle[1] - 0.2 * box["height"])
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(400)
    zoomed = dict(part.split("=") for part in page.evaluate("location.hash")[1:].split("&"))
    assert float(zoomed["ms"]) > float(words["ms"])
    across, up = (float(zoomed[axis]) - float(words[axis]) for axis in ("mx", "my"))
    assert across > 0 and up > 0  # about the pointer: what is under it stays there
    assert across / up == pytest.approx(0.3 * box["width"] / (0.2 * box["height"]), rel=0.1)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 90, middle[1] + 40, steps=4)
    page.mouse.up()
    page.wait_for_timeout(400)
    panned = dict(part.split("=") for part in page.evaluate("location.hash")[1:].split("&"))
    assert float(panned["mx"]) < float(zoomed["mx"]) and float(panned["my"]) > float(zoomed["my"])
    page.click("text=Show all")
    full = page.evaluate(picture)
    # a hidden label's points go, and clicks find others
    page.click("[aria-label='Show label 0']")
    page.wait_for_timeout(100)
    assert page.evaluate(picture) != full
    # the exact example, from another place: the first click's may look the same
    page.select_option("#map-mode", "example")
    before = drawn(page)
    page.click("text=Randomise")
    before = changed(page, before)
    page.mouse.click(*middle)
    changed(page, before)
    found = re.search(r"Example (\d+), label (\d)", page.inner_text("#panel-map"))
    assert found and found[2] != "0"
    assert np.allclose(code(page), explored.encode(int(found[1]))["z"], atol=1e-4)


def test_the_map_by_keyboard(open_page: Any, served: Explorer) -> None:
    page = open_page(served).page
    ready(page)
    page.focus("#map")
    for key in ("ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    assert re.match(r".*nearest example \d+, label \d", page.inner_text("#status"))
    before = drawn(page)
    page.keyboard.press("Enter")
    changed(page, before)
    for key in ("+", "Shift+ArrowLeft", "-", "0"):
        page.keyboard.press(key)


def test_between_two_examples(open_page: Any, served: Explorer, digits: Any) -> None:
    page = open_page(served).page
    page.click("#tab-between")
    page.wait_for_selector("#panel-between .strip button")
    explored = Session(digits)
    ends = [explored.encode(i)["z"] for i in (0, 1)]
    scrub = page.locator("[aria-label='Place between A and B']")
    before = drawn(page)
    scrub.focus()
    page.keyboard.press("End")
    assert close(changed(page, before), expected(digits, ends[1]))
    assert np.allclose(code(page), ends[1], atol=1e-4)
    page.keyboard.press("Home")
    assert np.allclose(code(page), ends[0], atol=1e-4)
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert np.allclose(code(page), np.mean(ends, 0), atol=1e-4)
    assert scrub.get_attribute("aria-valuetext") == "t = 0.50"
    page.click("text=spherical")
    page.wait_for_timeout(300)
    page.locator("#panel-between .strip button").nth(4).click()
    assert not np.allclose(code(page), np.mean(ends, 0), atol=1e-3)
    page.click("text=Swap A and B")
    wait_for(page, "document.querySelector(\"[aria-label='Number of example A']\").value === '1'")
    picture = Image.open(io.BytesIO(saved(page, "text=Save path as PNG")))
    assert picture.width > 8 * picture.height
    found = np.load(io.BytesIO(saved(page, "text=Save path as NPZ")), allow_pickle=False)
    assert found["z"].shape == (41, 6) and np.allclose(found["z"][0], ends[1], atol=1e-5)


def test_a_late_answer_does_not_replace_a_newer_picture(open_page: Any, served: Explorer, digits: Any) -> None:
    page = open_page(served).page
    page.click("#tab-between")
    page.wait_for_selector("#panel-between .strip button")
    page.evaluate("""() => { const ask = window.fetch; window.fetch = (url, how) => String(url).includes('api/decode')
      ? new Promise(done => setTimeout(done, 500)).then(() => ask(url, how)) : ask(url, how); }""")
    z = Session(digits).encode(1)["z"]
    page.click("#random")
    page.wait_for_timeout(200)  # its code is there, its picture is still to come
    page.locator("[aria-label='Place between A and B']").press("End")
    page.wait_for_timeout(800)
    assert np.allclose(code(page), z, atol=1e-4) and close(drawn(page), expected(digits, z))


class Held:
    """Requests of a page that are kept waiting until they are let go."""

    def __init__(self, page: Any, pattern: str, when: Callable[[Any], bool] = lambda request: True) -> None:
        self.page, self.routes = page, []
        page.route(pattern, lambda route: self.routes.append(route) if when(route.request) else route.continue_())

    def let_go(self) -> None:
        """Have all of them answered."""
        assert self.routes, "nothing was held"
        for route in self.routes:
            route.continue_()
        self.page.wait_for_timeout(300)


@chromium_only
def test_a_link_keeps_the_maps_place_until_the_map_is_there(open_page: Any, served: Explorer) -> None:
    page = open_page(served).page
    ready(page)
    for key in ("+", "Shift+ArrowLeft"):
        page.press("#map", key)
    code(page)
    fragment = page.evaluate("location.hash")
    assert "&ms=1.38" in fragment
    there = open_page(served).page
    held = Held(there, "**/api/map")
    there.goto("about:blank")
    there.goto(served.url + fragment)
    there.wait_for_selector("main[aria-busy=false]")
    code(there)
    assert there.evaluate("location.hash") == fragment
    held.let_go()
    ready(there)
    code(there)
    assert there.evaluate("location.hash") == fragment


@chromium_only
def test_a_link_taken_while_an_example_loads_stands(open_page: Any, served: Explorer) -> None:
    page = open_page(served).page
    held = Held(page, "**/api/example?i=1")
    page.click("#tab-between")
    page.wait_for_selector("[aria-label^='Example A: number 0']")
    page.evaluate("location.hash = '#tab=map&ia=3&ib=7'")
    page.wait_for_selector("#tab-map[aria-selected=true]")
    held.let_go()
    page.click("#tab-between")
    page.wait_for_selector("[aria-label^='Example B: number 7']")


@chromium_only
def test_a_number_being_typed_is_not_written_over(open_page: Any, served: Explorer) -> None:
    page = open_page(served).page
    held = Held(page, "**/api/example?i=1")
    page.click("#tab-between")
    enter(page, "[aria-label='Number of example B']", "7", commit=False)
    held.let_go()
    page.wait_for_selector("#panel-between .strip button")
    assert page.input_value("[aria-label='Number of example B']") == "7"
    page.keyboard.press("Enter")
    page.wait_for_selector("[aria-label^='Example B: number 7']")


@chromium_only
@pytest.mark.parametrize("late", [0, 1])
def test_an_example_chosen_while_others_load_stands(open_page: Any, served: Explorer, digits: Any, late: int) -> None:
    page = open_page(served).page
    held = Held(page, f"**/api/example?i={late}")
    page.click("#tab-between")
    enter(page, "[aria-label='Number of example B']", "7")
    page.wait_for_selector("[aria-label^='Example B: number 7']")
    held.let_go()
    page.wait_for_selector("#panel-between .strip button")
    assert page.input_value("[aria-label='Number of example B']") == "7"
    for button, index in ((0, 0), (8, 7)):
        page.locator("#panel-between .strip button").nth(button).click()
        assert np.allclose(code(page), Session(digits).encode(index)["z"], atol=1e-4)


@chromium_only
def test_the_newest_way_stands_whatever_answer_is_late(open_page: Any, served: Explorer, digits: Any) -> None:
    page = open_page(served).page
    page.click("#tab-between")
    page.wait_for_selector("#panel-between .strip button")
    held = Held(page, "**/api/path", lambda request: request.post_data_json["kind"] == "spherical")
    page.click("text=spherical")
    page.wait_for_timeout(100)
    page.click("text=straight")
    page.wait_for_timeout(200)
    held.let_go()
    page.locator("#panel-between .strip button").nth(4).click()
    middle = np.mean([Session(digits).encode(i)["z"] for i in (0, 1)], 0)
    assert np.allclose(code(page), middle, atol=1e-4)


@chromium_only
def test_a_sum_waits_for_every_example(open_page: Any, served: Explorer, digits: Any) -> None:
    page = open_page(served).page
    held = Held(page, "**/api/example?i=0")
    before = drawn(page)
    page.click("#tab-sum")
    enter(page, "[aria-label='Number of example c']", "9")
    page.wait_for_selector("[aria-label^='Example c: number 9']")
    held.let_go()
    changed(page, before)
    a, b, c = (np.array(Session(digits).encode(i)["z"]) for i in (0, 1, 9))
    assert np.allclose(code(page), a - b + c, atol=1e-4)


@chromium_only
def test_the_example_asked_for_last_is_the_one_shown(open_page: Any, served: Explorer, digits: Any) -> None:
    page = open_page(served).page
    page.click("#tab-own")
    held = Held(page, "**/api/infer", lambda request: request.post_data_json["index"] == 3)
    for index in ("3", "5"):
        enter(page, "#own-index", index)
        page.wait_for_timeout(50)
    page.wait_for_selector("#own-results dd:text('test example 5')")
    held.let_go()
    assert "test example 5" in page.inner_text("#own-results")
    assert np.allclose(code(page), Session(digits).encode(5)["z"], atol=1e-4)


def test_a_wrong_number_of_an_example_is_told(open_page: Any, served: Explorer) -> None:
    page = open_page(served).page
    page.click("#tab-between")
    page.wait_for_selector("#panel-between .strip button")
    enter(page, "[aria-label='Number of example A']", "99999")
    page.wait_for_selector("#alert:not([hidden])")
    assert "no example 99999; they go from 0 to 173" in page.inner_text("#alert")
    enter(page, "[aria-label='Number of example A']", "3")
    page.wait_for_selector("#alert", state="hidden")


def test_sum_of_three_examples(open_page: Any, served: Explorer, digits: Any) -> None:
    page = open_page(served).page
    page.click("#tab-sum")
    page.wait_for_selector("#panel-sum button:text('Take this code'):enabled")
    enter(page, "[aria-label='Number of example c']", "9", commit=False)
    before = drawn(page)
    page.keyboard.press("Enter")
    changed(page, before)
    a, b, c = (np.array(Session(digits).encode(i)["z"]) for i in (0, 1, 9))
    assert np.allclose(code(page), a - b + c, atol=1e-4)
    page.click("#reset")
    page.click("text=Take this code")
    assert np.allclose(code(page), a - b + c, atol=1e-4)
    assert Image.open(io.BytesIO(saved(page, "#panel-sum button:text('Save PNG')"))).width > 0


def test_traversal(open_page: Any, served: Explorer, digits: Any) -> None:
    page = open_page(served).page
    page.click("#tab-traverse")
    page.wait_for_selector("#panel-traverse .strip button")
    j = int(page.input_value("#traverse-latent"))
    assert j == Session(digits).facts["order"][0]
    enter(page, "#traverse-reach", "2")
    page.keyboard.press("Tab")
    page.wait_for_selector("#panel-traverse .strip button:text('−2.0')")
    page.locator("#panel-traverse .strip button").last.click()
    z = code(page)
    assert z[j] == 2 and close(drawn(page), expected(digits, z))
    assert saved(page, "text=Save strip as PNG")[:4] == b"\x89PNG"
    found = np.load(io.BytesIO(saved(page, "text=Save strip as NPZ")), allow_pickle=False)
    assert found["z"][:, j].tolist() == pytest.approx(np.linspace(-2, 2, 11).tolist())


def test_a_test_example_shows_posterior_bound_and_score(open_page: Any, served: Explorer, digits: Any) -> None:
    page = open_page(served).page
    page.click("#tab-own")
    enter(page, "#own-index", "4")
    page.wait_for_selector("#own-results:visible")
    text = page.inner_text("#own-results")
    explored = Session(digits)
    explored.scores()
    x, _ = explored.example(4)
    found = explored.infer(x, None)
    assert f"{abs(found['elbo']):.1f} nats" in text
    assert f"higher than {found['percentile']:.1f}% of test examples" in text
    assert np.allclose(code(page), found["z"], atol=1e-4)
    wait_for(page, "document.querySelector('#own-results').innerText.includes('−ELBO, nats, of 174 test examples')")
    assert page.locator(".band:not([hidden])").count() == 6
    band = page.locator(".band").first
    assert "±" in band.get_attribute("title")
    page.locator("#sliders input").first.press("ArrowRight")
    assert page.locator(".band:not([hidden])").count() == 6
    page.click("#reset")
    assert page.locator(".band:not([hidden])").count() == 0


def test_drawing_with_the_pointer_and_with_keys(open_page: Any, served: Explorer) -> None:
    page = open_page(served).page
    page.click("#tab-own")
    box = page.locator("#pad").bounding_box()
    before = drawn(page)
    page.mouse.move(box["x"] + 110, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 110, box["y"] + 200, steps=6)
    page.mouse.up()
    changed(page, before)
    page.wait_for_selector("#own-results:visible")
    assert "your drawing" in page.inner_text("#own-results")
    fragment_z = code(page)
    fragment = page.evaluate("location.hash")
    assert "dr=" in fragment
    there = open_page(served, fragment).page
    there.wait_for_selector("#own-results:visible")
    assert there.evaluate(PIXELS, "pad") == page.evaluate(PIXELS, "pad")
    assert code(there) == fragment_z
    page.click("text=Eraser")
    page.click("text=Clear")
    assert set(page.evaluate(PIXELS, "pad")) == {0}
    page.click("text=Eraser")
    page.focus("#pad")
    page.keyboard.press("Space")
    assert page.inner_text("#status") == "Pen down." or "your drawing" in page.inner_text("#status")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    assert max(page.evaluate(PIXELS, "pad")) > 200


def test_files(open_page: Any, served: Explorer, digits: Any, tmp_path: Path) -> None:
    watched = open_page(served)
    watched.expected = {"400 (Bad Request)"}
    page = watched.page
    page.click("#tab-own")
    stored = digits.data.test.x[3, 0].numpy()
    np.save(tmp_path / "four.npy", stored)
    Image.fromarray((stored.astype(float) * 255 / 16).round().astype(np.uint8)).resize((80, 80)).save(
        tmp_path / "a.png"
    )
    (tmp_path / "bad.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    (tmp_path / "text.png").write_text("a poem")
    np.save(tmp_path / "wrong.npy", np.zeros((9, 9)))
    page.set_input_files("#file", tmp_path / "four.npy")
    page.wait_for_selector("#own-results:visible")
    assert "four.npy" in page.inner_text("#own-results")
    page.set_input_files("#file", tmp_path / "a.png")
    wait_for(page, "document.querySelector('#own-results').innerText.includes('8 × 8 from 80 × 80')")
    page.check("#invert")
    page.set_input_files("#file", tmp_path / "a.png")
    page.wait_for_timeout(300)
    for name, told in {"bad.png": "damaged", "text.png": "cannot be read", "wrong.npy": "(9, 9)"}.items():
        page.set_input_files("#file", tmp_path / name)
        wait_for(page, "t => document.querySelector('#alert-text').textContent.includes(t)", told)
    (tmp_path / "big.npy").write_bytes(b"0" * (9 << 20))
    page.set_input_files("#file", tmp_path / "big.npy")
    wait_for(page, "document.querySelector('#alert-text').textContent.includes('8 MiB')")


# -- other runs -------------------------------------------------------------------------------------------------------


def test_a_label_can_be_chosen(open_page: Any, served_conditional: Explorer, conditional: Any) -> None:
    page = open_page(served_conditional).page
    before = changed(page, [0] * 64)
    page.select_option("#label", "7")
    assert close(changed(page, before), expected(conditional, [0.0] * 4, 7))
    fragment = (code(page), page.evaluate("location.hash"))[1]
    there = open_page(served_conditional, fragment).page
    assert there.input_value("#label") == "7"
    page.click("#undo")
    assert page.input_value("#label") == "0"
    page.click("#tab-own")
    page.click("text=Look at it")
    page.wait_for_selector("#own-results:visible")
    assert page.input_value("#label") == str(int(conditional.test.y[0]))


def test_a_condition_has_a_slider_for_a_number_and_a_choice_for_levels(
    open_page: Any, served_attributes: Explorer, attributes: Any
) -> None:
    page, session = open_page(served_attributes).page, Session(attributes)

    def cells() -> list[float]:
        page.wait_for_timeout(300)
        return [float(t.replace("−", "-")) for t in page.locator("#decoded-table td").all_inner_texts()]

    def expected(label: Any) -> Any:
        return session.decode(session.code([session.facts["centre"]]), label)[0]

    start = session.facts["label"]
    ready(page)
    assert np.allclose(cells(), expected(start), rtol=1e-2, atol=1e-2)
    page.select_option("#label", "1")
    page.press("#label-1", "End")
    high = float(page.input_value("#label-1"))
    assert np.allclose(cells(), expected([1, high]), rtol=1e-2, atol=1e-2)
    there = open_page(served_attributes, (page.wait_for_timeout(400), page.evaluate("location.hash"))[1]).page
    assert there.input_value("#label") == "1" and float(there.input_value("#label-1")) == high
    page.uncheck("[aria-label='size is given']")
    assert np.allclose(cells(), expected([1, None]), rtol=1e-2, atol=1e-2) and page.is_disabled("#label-1")
    page.click("#undo")
    assert page.is_checked("[aria-label='size is given']")
    page.click("#tab-own")
    page.click("text=Look at it")
    page.wait_for_selector("#own-results:visible")
    label = session.labels.of(attributes.test.y[:1])
    assert isinstance(label, list) and page.input_value("#label") == str(-1 if label[0] is None else int(label[0]))


def test_rows_of_numbers_are_shown_as_tables(
    open_page: Any, served_table: Explorer, table: Any, tmp_path: Path
) -> None:
    page = open_page(served_table).page
    wait_for(page, "document.querySelector('#decoded-table td').textContent !== '–'")
    shown = [float(t.replace("−", "-")) for t in page.locator("#decoded-table td").all_inner_texts()]
    assert np.allclose(shown, Session(table).decode(Session(table).code([[0.0, 0.0]]))[0], rtol=1e-3, atol=1e-3)
    ready(page)
    page.click("#tab-own")
    assert page.locator("#pad").count() == 0
    page.click("text=Look at it")
    page.wait_for_selector("#own-results:visible")
    cells = page.locator("#own-results td").all_inner_texts()
    assert float(cells[0].replace("−", "-")) == pytest.approx(float(table.prepare.invert(table.test.x)[0, 0]), rel=1e-3)
    page.click("#tab-between")
    page.wait_for_selector("#panel-between .strip button")
    assert saved(page, "#save-png")[:4] == b"\x89PNG"
    np.save(tmp_path / "row.npy", np.zeros(5))
    page.click("#tab-own")
    page.set_input_files("#file", tmp_path / "row.npy")
    wait_for(page, "document.querySelector('#own-results').innerText.includes('row.npy')")


def test_a_tables_rows_are_cells_by_column(open_page: Any, served_mixed: Explorer, mixed: Any) -> None:
    page = open_page(served_mixed).page
    names = [column["name"] for column in mixed.info.facts["columns"]]
    wait_for(page, "document.querySelector('#decoded-table td').textContent !== '–'")
    session = Session(mixed)
    assert page.locator("#decoded-table tbody th").all_inner_texts() == names
    (expected,) = session.decode(session.code([[0.0] * session.size]))
    assert page.locator("#decoded-table td").all_inner_texts() == [cell or "–" for cell in expected]
    ready(page)
    page.click("#tab-own")
    page.click("text=Look at it")
    page.wait_for_selector("#own-results:visible")
    cells = page.locator("#own-results td").all_inner_texts()
    own, made = cells[::2], cells[1::2]
    assert own == [cell or "–" for cell in session.shown(session.example(0)[0])[0]]
    marked = page.locator("#own-results tr:has(td.changed) th").all_inner_texts()
    assert marked == [name for name, a, b in zip(names, own, made, strict=True) if a != b]
    page.click("#tab-between")
    page.wait_for_selector("#panel-between .strip button .cells")
    assert names[0] in page.locator("#panel-between .strip .cells").first.inner_text()


def test_a_dense_map_shows_where_examples_lie_and_no_blob(open_page: Any, served: Explorer, digits: Any) -> None:
    """Dots that cover the map many times over are pale: the middle is no one solid patch."""
    page = open_page(served).page
    ready(page)
    opacity = page.evaluate("import('/static/map.js').then((map) => [0.1, 1, 30].map(map.opacity))")
    assert opacity[0] > 0.8 and opacity == sorted(opacity, reverse=True) and opacity[2] < 0.15
    picture = "document.getElementById('map').getContext('2d').getImageData(0, 0, 400, 300).data"
    assert page.evaluate(f"new Set({picture}.filter((v, i) => i % 4 === 3)).size") > 2, "what overlaps is darker"


@pytest.mark.slow
def test_lines_of_text_are_read_moved_between_and_typed(open_page: Any, served_text: Explorer, text: Any) -> None:
    watched = open_page(served_text)
    watched.expected = {"400 (Bad Request)"}  # an empty line is refused
    page, explored = watched.page, Session(text)
    wait_for(page, "document.querySelector('#decoded-table p').textContent !== '–'")

    def read() -> str:
        return page.inner_text("#decoded-table p")

    assert read() == explored.decode(explored.code([[0.0] * 5]))[0]
    page.click("#random")
    z = code(page)
    assert read() == explored.decode(explored.code([z]))[0]
    ready(page)
    page.click("#tab-between")
    page.wait_for_selector("#panel-between .strip button")
    ends = [explored.encode(i)["z"] for i in (0, 1)]
    path = page.locator("#panel-between .strip .line").all_inner_texts()
    assert path[0] != path[-1]
    assert [path[0], path[-1]] == [explored.decode(explored.code([z]))[0] for z in ends]
    page.click("#tab-own")
    assert page.locator("#pad").count() == 0
    page.fill("#own-text", "the blue bird sings")
    page.click("text=Encode it")
    page.wait_for_selector("#own-results:visible")
    shown = page.locator("#own-results p.words").all_inner_texts()
    found = explored.infer(explored.typed("the blue bird sings"), None)
    assert shown == [found["x"], found["recon"]] and shown[0] == "the blue bird sings"
    assert f"{abs(found['elbo']):.1f} nats" in page.inner_text("#own-results")
    page.fill("#own-text", " ")
    page.click("text=Encode it")
    page.wait_for_selector("#alert:visible")
    assert "Text must be a line" in page.inner_text("#alert")
    page.click("#alert-close")
    arrays = np.load(io.BytesIO(saved(page, "#save-npz")), allow_pickle=False)
    assert arrays["x"].tolist() == [found["recon"]]


@pytest.mark.slow
def test_discrete_codes_are_shown_and_can_be_changed(open_page: Any, served_codes: Explorer, codes: Any) -> None:
    page = open_page(served_codes).page
    ready(page)
    explored = Session(codes)
    most = explored.facts["discrete"]["categories"] - 1
    assert not page.locator("#sliders input[type=range]").count(), "categories have no order to slide along"
    choice = page.locator("#sliders select").first
    assert choice.locator("option").all_inner_texts() == [str(i) for i in range(most + 1)]
    j = explored.facts["latents"].index(page.locator("#sliders label").first.inner_text())
    before, other = drawn(page), int(code(page)[j] + 1) % (most + 1)
    choice.select_option(str(other))
    changed(page, before)
    assert code(page)[j] == other
    page.click("#tab-own")
    enter(page, "#own-index", "8")
    page.wait_for_selector("#own-results:visible")
    z = explored.encode(8)["z"]
    assert [float(page.input_value(f"[aria-label='Code {i + 1}']")) for i in range(explored.size)] == z
    before = drawn(page)
    enter(page, "[aria-label='Code 6']", str(int(z[5]) + 1 if z[5] < most else 0), commit=False)
    page.keyboard.press("Tab")
    changed(page, before)
    assert code(page)[5] != z[5] and close(drawn(page), expected(codes, code(page)))
    before = drawn(page)
    page.click("#random")
    changed(page, before)
    assert all(v == int(v) and 0 <= v <= most for v in code(page))
    assert [float(page.input_value(f"[aria-label='Code {i + 1}']")) for i in range(explored.size)] == code(page)
    page.click("#tab-between")
    assert "categories" in page.inner_text("#panel-between")
    page.click("#tab-traverse")
    page.wait_for_selector("#panel-traverse .strip button")
    page.click("#tab-map")
    assert page.locator("#map-mode option").count() == 1
    before = drawn(page)
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    changed(page, before)
    assert re.search(r"Example \d+, label \d", page.inner_text("#panel-map"))


def test_a_model_without_a_bound_says_why(open_page: Any, served_autoencoder: Explorer) -> None:
    page = open_page(served_autoencoder).page
    page.click("#tab-own")
    page.click("text=Look at it")
    page.wait_for_selector("#own-results:visible")
    text = page.inner_text("#own-results")
    assert "No ELBO: q(z|x) is a point mass" in text and "squared error" in text and "higher than" in text


# -- the person -------------------------------------------------------------------------------------------------------


def test_a_server_that_has_gone_is_told(open_page: Any, digits: Any) -> None:
    explorer = Explorer(Session(digits)).start()
    watched = open_page(explorer)
    watched.expected = {"ERR_CONNECTION_REFUSED", "Failed to load resource"}
    explorer.stop()
    watched.page.click("#random")
    watched.page.wait_for_selector("#alert:not([hidden])")
    assert "does not answer" in watched.page.inner_text("#alert")
    assert watched.page.get_attribute("#alert", "role") == "alert"


def test_saving_what_is_shown(open_page: Any, served: Explorer) -> None:
    page = open_page(served).page
    changed(page, [0] * 64)
    picture = np.asarray(Image.open(io.BytesIO(saved(page, "#save-png"))).convert("L"))
    zoom = picture.shape[0] // 8
    assert picture[zoom // 2 :: zoom, zoom // 2 :: zoom].flatten().tolist() == drawn(page)
    found = np.load(io.BytesIO(saved(page, "#save-npz")), allow_pickle=False)
    assert found["z"].tolist() == [[0.0] * 6]
    assert np.abs(np.rint(found["x"][0, 0].flatten() * 255) - drawn(page)).max() <= 1


def test_every_control_has_a_name_and_can_be_reached(open_page: Any, served_conditional: Explorer) -> None:
    page = open_page(served_conditional).page
    ready(page)
    for tab in ("map", "between", "sum", "traverse", "own"):
        page.click(f"#tab-{tab}")
        page.wait_for_timeout(250)
        nameless = page.evaluate("""() => [...document.querySelectorAll(
            'button, input, select, canvas[tabindex], [role=img], [role=region], a')]
          .filter(e => e.checkVisibility({visibilityProperty: true}))
          .filter(e => !(e.ariaLabel || (e.matches('button, a') && e.innerText.trim()) || e.labels?.length
            || document.getElementById(e.getAttribute('aria-labelledby'))))
          .map(e => e.outerHTML)""")
        assert nameless == []
        stuck = page.evaluate("""() => [...document.querySelectorAll('main button, main input, main select')]
          .filter(e => e.checkVisibility() && !e.disabled && e.tabIndex < 0 && e.role !== 'tab' && e.id !== 'file')
          .map(e => e.outerHTML)""")
        assert stuck == []
    assert page.get_attribute("#status", "aria-live") == "polite"
    double = page.evaluate(
        "() => { const ids = [...document.querySelectorAll('[id]')].map(e => e.id); "
        "return ids.filter((id, i) => ids.indexOf(id) !== i); }"
    )
    assert double == []


def test_by_keyboard_alone(open_page: Any, served: Explorer, digits: Any) -> None:
    page = open_page(served).page
    before = changed(page, [0] * 64)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "range"
    page.keyboard.press("PageUp")
    moved = changed(page, before)
    page.keyboard.press("u")
    assert changed(page, moved) == before
    page.keyboard.press("Shift+U")
    assert changed(page, before) == moved
    page.keyboard.press("n")
    changed(page, moved)
    page.keyboard.press("r")
    page.keyboard.press("Control+z")
    page.keyboard.press("2")
    if page.get_attribute("#tab-between", "aria-selected") != "true":  # a slider keeps digits to itself
        page.focus("#reset")
        page.keyboard.press("2")
    assert page.get_attribute("#tab-between", "aria-selected") == "true"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-sum"
    page.keyboard.press("End")
    page.keyboard.press("Home")
    assert page.get_attribute("#tab-map", "aria-selected") == "true"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == f"z{Session(digits).facts['order'][0] + 1}"
    page.keyboard.press("Shift+?")
    assert page.is_visible("#shortcuts")
    page.keyboard.press("Escape")
    assert not page.is_visible("#shortcuts")
    assert downloaded(page, lambda: page.keyboard.press("s"))
    page.keyboard.press("l")
    wait_for(page, "/copied|address bar/.test(document.querySelector('#status').textContent)")


@chromium_only
def test_dark_and_light(open_page: Any, served: Explorer) -> None:
    page = open_page(served, color_scheme="dark").page
    paint = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paint)
    page.click("#theme")
    light = page.evaluate(paint)
    assert dark != light and sum(map(int, re.findall(r"\d+", dark))) < sum(map(int, re.findall(r"\d+", light)))
    page.reload()
    page.wait_for_selector("main[aria-busy=false]")
    assert page.evaluate(paint) == light
    page.keyboard.press("d")
    assert page.evaluate(paint) == dark


def test_contrast(open_page: Any, served: Explorer) -> None:
    """Text stands out from what is behind it by 4.5 to 1, dark and light (WCAG 2.2, criterion 1.4.3)."""
    page = open_page(served).page
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        colours = page.evaluate(
            "() => { const s = getComputedStyle(document.documentElement); "
            "return Object.fromEntries(['ink', 'soft', 'bg', 'card', 'hold', 'bad', 'warn']"
            ".map(n => [n, s.getPropertyValue('--' + n).trim()])); }"
        )
        for text, behind in (
            ("ink", "hold"),
            ("ink", "card"),
            ("ink", "bad"),
            ("ink", "warn"),
            ("soft", "card"),
            ("soft", "bg"),
        ):
            assert contrast(colours[text], colours[behind]) >= 4.5, (theme, text, behind)


def contrast(a: str, b: str) -> float:
    """Return the WCAG contrast of two hex colours."""

    def light(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_phone(open_page: Any, served: Explorer) -> None:
    page = open_page(served, viewport={"width": 390, "height": 844}, has_touch=True).page
    ready(page)
    for tab in ("map", "between", "sum", "traverse", "own"):
        page.click(f"#tab-{tab}")
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab
    page.click("#tab-map")
    page.locator("#map").scroll_into_view_if_needed()
    before = drawn(page)
    box = page.locator("#map").bounding_box()
    tapped(page, box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.7)
    changed(page, before)


@pytest.mark.slow
def test_tabs_of_the_same_page_do_not_block_each_other(open_page: Any, served: Explorer) -> None:
    pages = [open_page(served).page for _ in range(3)]
    for i, page in enumerate(pages):
        page.locator("#sliders input").first.focus()
        for _ in range(i + 1):
            page.keyboard.press("ArrowRight")
    assert len({max(code(page)) for page in pages}) == 3
