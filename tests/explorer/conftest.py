"""Small runs to explore, each served once for all tests; and a real browser, where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest

import vaekit
from recipes import examples
from vaekit.explorer.server import Explorer
from vaekit.explorer.session import Session


def asking(explorer: Explorer, **options: Any) -> httpx.Client:
    """Return a client that has the token, as a program sends it."""
    headers = {"authorization": f"Bearer {explorer.token}"}
    return httpx.Client(verify=False, base_url=explorer.home, headers=headers, timeout=30, **options)


def small_table() -> tuple[np.ndarray, np.ndarray]:
    """Five columns, two kinds of rows."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    x = rng.normal(size=(300, 5)) * 0.3 + np.array([[1, 20, -3, 0, 5], [2, -10, 3, 0, 5]])[y]
    return x.astype(np.float32), y


CPU: Any = {"device": "cpu", "pictures": False}
"""Tests call these runs' models on CPU tensors."""


@pytest.fixture(scope="session")
def digits() -> Any:
    """A run on the bundled digits."""
    return vaekit.train("vae", "digits", epochs=4, set={"model.latent": 6, "model.hidden": [64]}, **CPU)


@pytest.fixture(scope="session")
def conditional() -> Any:
    """A conditional run on the bundled digits."""
    return vaekit.train("cvae", "digits", epochs=2, set={"model.latent": 4, "model.hidden": [64]}, **CPU)


@pytest.fixture(scope="session")
def attributes() -> Any:
    """A run conditioned on a number and a kind, each of which may be missing."""
    x, y = small_table()
    labels = {"kind": [None if i % 7 == 0 else "ab"[k] for i, k in enumerate(y)], "size": x[:, 0].astype(float)}
    small = {"model.latent": 2, "model.hidden": [16], "model.drop_condition": 0.2}
    return vaekit.train("cvae", (x, labels), epochs=3, set=small, **CPU)


@pytest.fixture(scope="session")
def served_attributes(attributes: Any) -> Iterator[Explorer]:
    yield from _served(attributes)


@pytest.fixture(scope="session")
def table() -> Any:
    """A run on rows of numbers."""
    return vaekit.train("vae", small_table(), epochs=3, set={"model.latent": 2, "model.hidden": [16]}, **CPU)


@pytest.fixture(scope="session")
def autoencoder() -> Any:
    """A run that bounds nothing."""
    return vaekit.train("ae", "digits", epochs=1, set={"model.latent": 3, "model.hidden": [32]}, **CPU)


def _served(run: Any) -> Iterator[Explorer]:
    explorer = Explorer(Session(run)).start()
    yield explorer
    explorer.stop()


@pytest.fixture(scope="session")
def served(digits: Any) -> Iterator[Explorer]:
    yield from _served(digits)


@pytest.fixture(scope="session")
def served_conditional(conditional: Any) -> Iterator[Explorer]:
    yield from _served(conditional)


@pytest.fixture(scope="session")
def served_table(table: Any) -> Iterator[Explorer]:
    yield from _served(table)


@pytest.fixture(scope="session")
def served_autoencoder(autoencoder: Any) -> Iterator[Explorer]:
    yield from _served(autoencoder)


@pytest.fixture(scope="session")
def codes() -> Any:
    """A run whose latent is a grid of discrete codes."""
    return vaekit.train("vq-vae", "digits", steps=3, pictures=False)


@pytest.fixture(scope="session")
def served_codes(codes: Any) -> Iterator[Explorer]:
    yield from _served(codes)


def sentences() -> list[str]:
    """Lines of four words each."""
    first, second, third = ("red", "blue", "old", "new"), ("cat", "dog", "bird", "king"), ("runs", "sleeps", "sings")
    return [f"the {a} {b} {c}" for a in first for b in second for c in third] * 8


@pytest.fixture(scope="session")
def text() -> Any:
    """A run on lines of text."""
    small = {"model.width": 48, "model.latent": 5, "model.word_dropout": 0.5, "data.unit": "words", "train.lr": 1e-2}
    small |= {"objective.beta": 0.2, "objective.free_bits": 0.0, "train.batch_size": 32, "data.repeats": "apart"}
    return vaekit.train("sequence-vae", sentences(), epochs=30, set=small, pictures=False)


@pytest.fixture(scope="session")
def mixed() -> Any:
    """A run on a table of mixed columns with gaps."""
    small = {"model.hidden": [16], "model.latent": 2, "objective.k": 2}
    return vaekit.train("tabular-vae", examples.source("tabular-vae"), steps=20, set=small, pictures=False)


@pytest.fixture(scope="session")
def served_mixed(mixed: Any) -> Iterator[Explorer]:
    yield from _served(mixed)


@pytest.fixture(scope="session")
def served_text(text: Any) -> Iterator[Explorer]:
    yield from _served(text)


# -- the browser ------------------------------------------------------------------------------------------------------


@dataclass
class Watched:
    """A page, and what it must not do: log errors, or ask another host."""

    page: Any
    home: str
    wrong: list[str] = field(default_factory=list)
    expected: set[str] = field(default_factory=set)

    def watch(self) -> None:
        """Note every console error, every page error, and every request elsewhere."""
        self.page.on("console", lambda m: self.wrong.append(f"console: {m.text}") if m.type != "log" else None)
        self.page.on("pageerror", lambda e: self.wrong.append(f"page error: {e}"))
        self.page.on("request", lambda r: self._asked(r.url))

    def _asked(self, url: str) -> None:
        if not url.startswith((self.home, "blob:" + self.home, "data:")):
            self.wrong.append(f"asked {url}")

    def check(self) -> None:
        """Fail for what went wrong, less what a test provoked."""
        left = [text for text in self.wrong if not any(part in text for part in self.expected)]
        assert not left, left


def middle(explorer: Explorer) -> str:
    """Return the end of an address that opens a page at the middle of all sliders."""
    with asking(explorer) as client:
        facts = client.get("/api/facts").json()
    label = facts["label"] if isinstance(facts["label"], list) else [facts["label"]]
    given = "" if facts["label"] is None else f"&y={','.join('' if v is None else str(v) for v in label)}"
    return f"#z={','.join(map(str, facts['centre']))}{given}"


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """Open the page of an explorer in a context of its own; at the end nothing may have gone wrong in it.

    It opens at the middle of all sliders, at rest and without pictures along them, unless `begins`: as for a person.
    """
    contexts, pages = [], []

    def go(explorer: Explorer, fragment: str = "", *, begins: bool = False, **options: Any) -> Watched:
        context = browser.new_context(
            **({"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"} | options)
        )
        context.set_default_timeout(10_000)
        if not begins:
            context.add_init_script(
                "try { localStorage.setItem('vaekit-pictures', 'off'); } catch { /* about:blank has none */ }"
            )
            fragment = fragment or middle(explorer)
        contexts.append(context)
        watched = Watched(context.new_page(), explorer.home)
        watched.watch()
        pages.append(watched)
        watched.page.goto(explorer.url + fragment)
        watched.page.wait_for_selector("main[aria-busy=false]")
        return watched

    yield go
    for context in contexts:
        context.close()
    for watched in pages:
        watched.check()
