"""Text in the explorer, drawn at a temperature."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import torch

from explorer.conftest import asking
from explorer.test_page import saved, wait_for
from explorer.test_server import refused
from vaekit.distributions.tokens import Sampling
from vaekit.explorer.server import Explorer
from vaekit.explorer.session import Session
from vaekit.inference import inference

pytestmark = pytest.mark.slow


def test_text_is_drawn_at_a_temperature(served_text: Explorer, text: Any) -> None:
    rows = [[0.3] * 5] * 40
    with asking(served_text) as client:
        assert client.get("/api/facts").json()["sampled"]

        def texts(**sampling: Any) -> list[str]:
            return json.loads(client.post("/api/decode", json={"z": rows, **sampling}).content)

        assert len({*texts()}) == 1 and texts() == texts(temperature=0, seed=3)
        drawn = texts(temperature=1.0, seed=3)
        assert drawn == texts(temperature=1.0, seed=3) != texts(temperature=1.0, seed=4)
        assert len({*texts(temperature=0.05, seed=3)}) < len({*drawn}) <= len({*texts(temperature=4, seed=3)})
        with inference(text.model, 3):
            px = text.model.decode(torch.tensor(rows))
            assert drawn == text.lines(px.draw(px.batch_shape, Sampling(1.0)))
        file = client.post("/api/save", json={"z": rows, "temperature": 1.0, "seed": 3}).content
        assert np.load(io.BytesIO(file))["x"].tolist() == drawn
        for bad in ({"temperature": -1}, {"temperature": "x"}, {"temperature": 99}, {"temperature": 1}):
            refused(client.post("/api/decode", json={"z": rows, **bad}), 400)


def test_other_data_have_no_temperature(served: Explorer) -> None:
    with asking(served) as client:
        assert not client.get("/api/facts").json()["sampled"]
        answer = client.post("/api/decode", json={"z": [[0.0] * 6], "temperature": 1.0, "seed": 0})
        assert "leave it out" in refused(answer, 400)


def test_the_temperature_has_a_slider_and_draws_again(open_page: Any, served_text: Explorer, text: Any) -> None:
    page, session = open_page(served_text).page, Session(text)
    z = session.code([[0.0] * 5])
    reads = "t => document.querySelector('#decoded-table p').textContent === t"
    wait_for(page, reads, session.decode(z)[0])
    assert page.is_disabled("#again") and "most probable" in page.get_attribute("#temperature", "aria-valuetext")
    page.focus("#temperature")
    page.keyboard.press("End")
    assert page.get_attribute("#temperature", "aria-valuetext") == "1.50"
    wait_for(page, reads, session.sampled(z, None, 1.5, 0)[0])
    for seed in (1, 2, 3):
        page.press("#again", "Enter")  # a pointer may miss it, which moves as the text becomes longer
        wait_for(page, reads, session.sampled(z, None, 1.5, seed)[0])
    page.wait_for_timeout(400)
    there = open_page(served_text, page.evaluate("location.hash")).page
    wait_for(there, reads, session.sampled(z, None, 1.5, 3)[0])
    assert there.input_value("#temperature") == "1.5"
    assert np.load(io.BytesIO(saved(page, "#save-npz")))["x"].tolist() == session.sampled(z, None, 1.5, 3).tolist()
    page.focus("#temperature")
    page.keyboard.press("Home")
    wait_for(page, reads, session.decode(z)[0])
    page.click("#tab-own")
    page.click("text=Look at it")
    page.wait_for_selector("#own-results:visible")
    bands = page.locator(".band:not([hidden])").count()
    page.focus("#temperature")
    page.keyboard.press("PageUp")
    assert page.locator(".band:not([hidden])").count() == bands == 5
