"""Time series in the explorer: lines with bands, which end where the series does; and a file of one's own."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vaekit
from vaekit.data.dataset import Split
from vaekit.data.prepare import Prepare
from vaekit.errors import UserError
from vaekit.explorer.series import series_facts
from vaekit.explorer.server import Explorer
from vaekit.explorer.session import Session
from vaekit.explorer.uploads import read_upload

PNG = "() => document.getElementById('decoded').toDataURL()"


@pytest.fixture(scope="module")
def run() -> Any:
    """Waves of two channels and 12 to 20 steps, one in a hundred values missing."""
    rng = np.random.default_rng(0)
    data = []
    for n in rng.integers(12, 21, 80):
        t, phase = np.arange(n), rng.uniform(0, 6)
        one = np.stack([np.sin(t / 2 + phase), 40 + 9 * np.cos(t / 3 + phase)], 1) + 0.1 * rng.normal(size=(n, 2))
        one[3, 0] = np.nan
        data.append(one)
    small = {"model.width": 16, "model.latent": 3, "model.layers": 1, "train.lr": 5e-3}
    return vaekit.train("series-vae", data, steps=60, set=small, device="cpu", pictures=False)


@pytest.fixture(scope="module")
def served(run: Any) -> Iterator[Explorer]:
    explorer = Explorer(Session(run)).start()
    yield explorer
    explorer.stop()


def _picture(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGB")


def test_what_the_page_draws(run: Any) -> None:
    session = Session(run)
    facts = session.facts["series"]
    channels, steps = run.info.shape
    assert (facts["channels"], facts["steps"]) == (2, 20) and not session.facts["image"] and session.facts["pictured"]
    assert facts["scales"][0] == pytest.approx((-1.5, 1.5), abs=0.4), "channels apart have a scale each"
    assert facts["scales"][1] == pytest.approx((28, 52), abs=3)
    x, _ = session.example(0)
    shown = session.shown(x)[0].reshape(2, channels, steps)
    raw = run.prepare.invert(x)[0].numpy()
    np.testing.assert_array_equal(shown[0], raw)
    assert not shown[1].any() and np.isnan(shown[0][0, 3]) and np.isinf(shown[0]).any() == np.isinf(raw).any()
    found = session.infer(x, None)
    again = found["recon"].reshape(2, channels, steps)
    np.testing.assert_array_equal(np.isinf(again[0]), np.isinf(raw))
    sd = run.model.decode(torch.tensor([found["z"]])).variance.sqrt()[0] * torch.tensor(run.info.facts["sd"])[:, None]
    np.testing.assert_allclose(again[1], sd.detach().numpy(), rtol=1e-5)
    assert found["elbo"] is not None and abs(again[0][1, :12].mean() - 40) < 10


def test_channels_of_one_scale_share_it(run: Any) -> None:
    x = torch.linspace(0, 10, 2000).view(50, 2, 20)
    facts = series_facts(run.info, Prepare("real"), Split(x))
    assert facts["scales"] == [pytest.approx((-1.2, 11.2), abs=0.1)]
    assert len(series_facts(run.info, Prepare("real"), Split(x * torch.tensor([[1.0], [9.0]])))["scales"]) == 2
    assert len(series_facts(run.info, Prepare("real"), None)["scales"]) == 1


def test_a_file_of_one_series_is_read_as_the_run_s_own(run: Any) -> None:
    session = Session(run)
    one = np.random.default_rng(1).normal(size=(9, 2))
    one[2, 1] = np.nan
    out = io.BytesIO()
    np.save(out, one)
    values, scale, told = read_upload(out.getvalue(), tuple(run.info.shape))
    x = session.prepared(values, scale)
    assert x.shape == (1, 2, 20) and "(9, 2)" in told
    np.testing.assert_allclose(run.prepare.invert(x)[0, :, :9].numpy(), one.T, rtol=1e-5, atol=1e-5)
    assert torch.isinf(x[0, :, 9:]).all()
    for wrong in (np.zeros((50, 2)), np.zeros((1, 2, 3)), np.array(["a"])):
        out = io.BytesIO()
        np.save(out, wrong)
        with pytest.raises(UserError, match="NPY file"):
            read_upload(out.getvalue(), tuple(run.info.shape))
    with pytest.raises(UserError, match="series of 2 channels"):
        read_upload(b"\x89PNG", tuple(run.info.shape))


def test_lines_are_drawn_and_follow_the_sliders(served: Explorer, open_page: Any) -> None:
    watched = open_page(served)
    page = watched.page
    page.wait_for_timeout(200)
    before = page.evaluate(PNG)
    assert len(_picture(before).getcolors(100_000) or ()) > 8, "lines, bands and a ground"
    page.click("#random")
    for _ in range(100):
        page.wait_for_timeout(30)
        if page.evaluate(PNG) != before:
            break
    else:
        raise AssertionError("a new code draws the same lines")
    page.click("#tab-own")
    page.click("text=Look at it")
    page.wait_for_selector("#own-results:not([hidden]) canvas.series")
    assert page.locator("#own-results canvas.series").count() == 2
    own = page.evaluate("() => document.querySelector('#own-results canvas.series').toDataURL()")
    pixels = np.asarray(_picture(own)).astype(int)
    for colour, above in (((63, 144, 218), True), ((255, 169, 14), False)):
        rows = np.flatnonzero((np.abs(pixels - colour).sum(2) < 30).any(1)) / len(pixels)
        assert np.all(rows < 0.5) == above and np.all(rows > 0.5) != above, "a panel each"
        assert np.ptp(rows) > 0.2, "which its channel fills"
