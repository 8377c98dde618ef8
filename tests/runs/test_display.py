"""What notebooks show: escaped, self-contained HTML of runs, evaluations and samples, and a bar while training."""

from __future__ import annotations

import base64
import copy
import io
import pickle
import re
import sys
from html.parser import HTMLParser
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from recipes import examples
from vaekit.metrics.base import Result
from vaekit.runs.display import Evaluation, Samples, shown
from vaekit.runs.run import Run
from vaekit.runs.train import train

SMALL = {"model.hidden": "8", "model.latent": 2}


@pytest.fixture(scope="module")
def run() -> Run:
    return train("vae", "digits", steps=5, set=SMALL)


class Tags(HTMLParser):
    """Checks that tags are closed in order, and that nothing is fetched or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(page)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag not in ("script", "link", "iframe")
        for name, value in attrs:
            assert not name.startswith("on") and (name != "src" or value.startswith("data:"))
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.cells.append(data)


def test_a_run_is_a_table_of_what_it_is_and_its_numbers(run: Run) -> None:
    cells = Tags(run._repr_html_()).cells
    assert "vae" in cells and "in memory" in cells and "1,447 train, 176 held out, 174 test" in cells
    elbo = run.record["result"]["elbo"]
    assert any(cell.startswith(f"−{-elbo:.1f}"[:4]) for cell in cells)


def test_names_are_escaped() -> None:
    made = train("vae", np.ones((30, 2), np.float32), steps=1, set=SMALL)
    made.record["recipe"] = "<script>alert(1)</script>"
    assert "<script>" not in made._repr_html_() and "&lt;script&gt;" in made._repr_html_()


def test_an_evaluation_is_a_table_and_still_a_dict(run: Run) -> None:
    results = run.evaluate(["elbo"], k=2, limit=20)
    assert isinstance(results, Evaluation) and isinstance(results["elbo"], Result)
    cells = Tags(results._repr_html_()).cells
    assert {"metric", "value", "elbo", "20"} <= set(cells)
    refused = Evaluation({"elbo": Result(None, "nats", 0, facts={"refused": "q is a < point"})})
    assert "q is a < point" in Tags(refused._repr_html_()).cells
    run_cells = Tags(train("ae", "digits", steps=2, set=SMALL)._repr_html_()).cells
    assert any("point mass" in cell for cell in run_cells)


def pixels(page: str | None) -> np.ndarray:
    assert page is not None
    (coded,) = re.findall(r"data:image/png;base64,([^\"]+)", page)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(coded))).convert("L"))


def test_samples_are_pictures_and_still_a_tensor(run: Run) -> None:
    x: Any = run.sample(4)
    Tags(x._repr_html_())
    assert pixels(x._repr_html_()).std() > 1
    white, black = (
        pixels(shown(torch.full((4, 1, 8, 8), v), lambda x: x, None)._repr_html_()).mean() for v in (1.0, 0.0)
    )
    assert white > black + 100
    for plain in (x + 1, x[:2], x.clone(), x.numpy(), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert type(plain) in (torch.Tensor, np.ndarray)
    kept = io.BytesIO()
    torch.save(x, kept)
    kept.seek(0)
    assert torch.equal(torch.load(kept, weights_only=True), x)
    assert torch.equal(x, run.sample(4)) and x.shape == (4, 1, 8, 8)


def test_samples_without_a_picture(run: Run) -> None:
    assert (
        shown(torch.zeros(2, 5, 4, 4), lambda x: x, None)._repr_html_() is None
    )  # five channels: the numbers are shown
    assert pixels(shown(torch.rand(3, 6), lambda x: x, None)._repr_html_()).std() > 1
    rows = train("tabular-vae", examples.source("tabular-vae"), steps=2, set=dict(examples.SETTINGS["tabular-vae"]))
    drawn: Any = rows.sample(30)
    cells = Tags(drawn._repr_html_()).cells
    assert "age=" in cells[0] and cells[0].endswith("… and 10 more")
    assert isinstance(drawn, Samples)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A stand-in for IPython in a notebook's kernel: what its display was given, in order."""
    said: list[str] = []

    class HTML(str):
        pass

    def display(html: HTML, display_id: bool) -> Any:
        assert display_id
        return SimpleNamespace(update=said.append)

    package, inner = ModuleType("IPython"), ModuleType("IPython.display")
    package.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    inner.HTML, inner.display = HTML, display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    return said


def test_a_notebook_has_a_bar(kernel: list[str]) -> None:
    train("vae", "digits", steps=6, set=SMALL | {"train.log_every": 2})
    for page in kernel:
        Tags(page)
    assert 'value="0" max="6"' in kernel[0] and 'value="6" max="6"' in kernel[-1] and "held-out elbo" in kernel[-1]
    kernel.clear()
    train("vae", "digits", steps=2, set=SMALL, progress=False)
    assert kernel == []


def test_no_bar_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    train("vae", "digits", steps=2, set=SMALL)
    assert capsys.readouterr().err == ""
