"""Make a picture of report and explorer for each kind of data: on a desktop, on a phone, dark, and printed.

    python bench/kinds.py [--out docs/screenshots/kinds] [--only NAME ...] [--whole FOLDER]

Ten small models are trained on the bundled digits and on data made here (ten minutes). Writes OUT/NAME.png: above,
the report (desktop, dark, phone, print), below, the explorer (desktop, dark, phone). With --whole FOLDER the pictures
themselves, each as long as its page, are written there too. Needs a Chromium on the system.
"""

from __future__ import annotations

import argparse
import io
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from browser import FLAGS, browser_path
from screenshots import DESKTOP, GREY, PHONE, SAME_COLOURS, save

import vaekit
from vaekit.data.audio.wav import write_wav
from vaekit.explorer.graphs import session_of
from vaekit.explorer.server import Explorer
from vaekit.runs.loading import load

HEIGHT = 340
"""Of a picture in a sheet, in pixels."""
PAPER = {"width": 794, "height": 1123}


def rows(folder: Path) -> Path:
    """A table with columns of every kind that follow one hidden number, a tenth of its cells missing."""
    rng = random.Random(0)
    path = folder / "customers.csv"
    lines = ["age,visits,town,stars,joined,spent"]
    for _ in range(2000):
        f = rng.gauss(0, 1)
        cells: list[Any] = [round(40 + 10 * f + rng.gauss(0, 4)), int(4 ** (1 + f / 2) * rng.uniform(0.5, 1.5))]
        cells += ["York" if f + rng.gauss(0, 0.6) > 0 else "Hull", min(5, max(1, round(3 + f + rng.gauss(0, 0.4))))]
        cells += [f"2021-{min(12, max(1, round(6 + 2 * f))):02d}-{rng.randint(1, 28):02d}"]
        cells += [0 if rng.random() < 0.3 else round(20 * 2 ** (f + rng.gauss(0, 0.5)), 2)]
        lines.append(",".join("" if rng.random() < 0.1 else str(cell) for cell in cells))
    path.write_text("\n".join(lines) + "\n")
    return path


def sentences(folder: Path) -> Path:
    """Lines of a small grammar."""
    rng = random.Random(0)
    who = ["the king", "a lady", "my lord", "the fool", "an old friend"]
    does, what = ["sees", "loves", "calls", "forgets"], ["the sea", "a crown", "no man", "her name", "the long night"]
    path = folder / "lines.txt"
    where = [
        "",
        " by day",
        " by night",
        " at last",
        " again",
        " in the rain",
        " with a song",
        " for love",
        " without a word",
    ]
    made = {f"{a} {b} {c}{d}" for a in who for b in does for c in what for d in where}
    path.write_text("".join(f"{one}\n" for one in rng.sample(sorted(made), len(made))))
    return path


def sounds(folder: Path) -> Path:
    """Half a second each of tones that glide up or down."""
    rng = np.random.default_rng(0)
    place = folder / "sounds"
    for i in range(3000):
        kind = ("up", "down")[i % 2]
        (place / kind).mkdir(parents=True, exist_ok=True)
        t = np.arange(4000) / 8000
        low, high = rng.uniform(200, 600), rng.uniform(900, 2000)
        pitch = low + (high - low) * (t if kind == "up" else t[::-1]) * 2
        wave = np.sin(2 * np.pi * np.cumsum(pitch) / 8000) * np.hanning(4000)
        write_wav(place / kind / f"{i}.wav", (0.5 * wave).astype(np.float32), 8000)
    return place


def molecules(folder: Path) -> Path:
    """Chains with a group at one or both ends, some branched or with a ring."""
    ends = ("", "O", "N", "Cl", "F", "C#N", "C(=O)O", "c1ccccc1", "C1CCCC1", "S")
    made = {f"{a}{'C' * n}{b}" for n in range(1, 8) for a in ("", "O", "N", "OC", "CC(C)", "Cl") for b in ends}
    path = folder / "molecules.smi"
    path.write_text("".join(f"{one}\n" for one in sorted(made)))
    return path


def network(folder: Path) -> Path:
    """Sixty people of three groups, who mostly know those of their own."""
    rng = random.Random(0)
    path = folder / "friends.csv"
    edges = [
        f"p{i},p{j}" for i in range(60) for j in range(i + 1, 60) if rng.random() < (0.35 if i % 3 == j % 3 else 0.02)
    ]
    path.write_text("source,target\n" + "\n".join(edges) + "\n")
    return path


def series(folder: Path) -> Path:
    """Two channels and two classes of waves, with gaps."""
    rng = np.random.default_rng(0)
    lines = ["@problemName waves", "@univariate false", "@classLabel true slow fast", "@data"]
    for i in range(600):
        t, phase, kind = np.arange(rng.integers(30, 41)), rng.uniform(0, 6), i % 2
        one = np.stack([3 * np.sin(t * (0.2 + 0.3 * kind) + phase), 50 + 10 * np.cos(t * 0.2 + phase)])
        one += rng.normal(size=one.shape) * [[0.2], [1.0]]
        gap = rng.random(one.shape) < 0.05
        cells = [",".join("?" if lost else f"{v:.3f}" for v, lost in zip(*both)) for both in zip(one, gap)]
        lines.append(":".join([*cells, ("slow", "fast")[kind]]))
    path = folder / "waves.ts"
    path.write_text("\n".join(lines))
    return path


@dataclass(frozen=True)
class Kind:
    """What is trained for one sheet."""

    recipe: str
    data: Callable[[Path], Any] = lambda _: "digits"
    settings: Mapping[str, Any] = field(default_factory=dict)


KINDS = {
    "pictures": Kind("vae", settings=GREY),
    "pictures-by-label": Kind("cvae", settings=GREY),
    "codes": Kind("vq-vae", settings=GREY),
    "hierarchy": Kind("hierarchical-vae", settings=GREY),
    "table": Kind("tabular-vae", rows),
    "text": Kind("sequence-vae", sentences, {"data.unit": "words"}),
    "sound": Kind("vae", sounds),
    "molecules": Kind("molecule-vae", molecules),
    "graph": Kind("graph-vae", network),
    "series": Kind("series-vae", series),
}


@contextmanager
def opened(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """Open a page in a context of its own."""
    context = browser.new_context(**({"viewport": DESKTOP, "reduced_motion": "reduce"} | options))
    page = context.new_page()
    page.goto(url)
    yield page
    context.close()


def of_report(browser: Any, run: Any) -> dict[str, bytes]:
    """Return the report's pictures, each as long as its page."""
    url, made = (run.path / "report.html").as_uri(), {}
    for name, options in (
        ("desktop", {}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", {"viewport": PHONE}),
        ("print", {"viewport": PAPER}),
    ):
        with opened(browser, url, **options) as page:
            if name == "print":
                page.emulate_media(media="print")
            page.wait_for_timeout(300)
            made[name] = page.screenshot(full_page=True)
    return made


def of_explorer(browser: Any, run: Any) -> dict[str, bytes]:
    """Return the explorer's pictures."""
    explorer, made = Explorer(session_of(run)).start(), {}
    try:
        for name, options in (
            ("desktop", {}),
            ("dark", {"color_scheme": "dark"}),
            ("phone", {"viewport": PHONE, "has_touch": True}),
        ):
            with opened(browser, explorer.url, **options) as page:
                page.wait_for_selector("main[aria-busy=false]", timeout=60_000)
                page.wait_for_timeout(3000)  # the map, and the pictures along sliders
                made[name] = page.screenshot(full_page=name == "phone")
    finally:
        explorer.stop()
    return made


def sheet(above: Mapping[str, bytes], below: Mapping[str, bytes]) -> bytes:
    """Return the tops of all pictures on one, at one height."""
    from PIL import Image

    lines = []
    for pictures in (above, below):
        line = []
        for name, data in pictures.items():
            one = Image.open(io.BytesIO(data)).convert("RGB")
            shape = {"phone": PHONE, "print": PAPER}.get(name, DESKTOP)
            one = one.crop((0, 0, one.width, round(one.width * shape["height"] / shape["width"])))
            line.append(one.resize((round(HEIGHT * one.width / one.height), HEIGHT), Image.Resampling.LANCZOS))
        lines.append(line)
    gap = 12
    width = max(sum(one.width + gap for one in line) for line in lines) + gap
    made = Image.new("RGB", (width, len(lines) * (HEIGHT + gap) + gap), (128, 128, 128))
    for row, line in enumerate(lines):
        left = gap
        for one in line:
            made.paste(one, (left, gap + row * (HEIGHT + gap)))
            left += one.width + gap
    file = io.BytesIO()
    made.save(file, "PNG")
    return file.getvalue()


def main() -> None:
    """Train each, write its report, serve it, take pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "docs/screenshots/kinds")
    parser.add_argument("--only", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--whole", type=Path, help="a folder for the pictures themselves")
    parser.add_argument("--runs", type=Path, help="a folder for the runs; one that is there is not trained again")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=[*FLAGS, SAME_COLOURS])
        for name in arguments.only:
            place = arguments.runs or Path(scratch)  # of runs that are kept the data are kept too
            place.mkdir(parents=True, exist_ok=True)
            kind, folder = KINDS[name], place / name
            if not (folder / "report.html").is_file():
                made = vaekit.train(kind.recipe, kind.data(place), out=folder, set=kind.settings, seed=0)
                made.evaluate()
                made.write_figures()
                made.write_report()
            run = load(folder)
            above, below = of_report(browser, run), of_explorer(browser, run)
            if arguments.whole:
                arguments.whole.mkdir(parents=True, exist_ok=True)
                for page, pictures in (("report", above), ("explorer", below)):
                    for which, data in pictures.items():
                        (arguments.whole / f"{name}-{page}-{which}.png").write_bytes(data)
            save(sheet(above, below), arguments.out / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
