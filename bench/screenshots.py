"""Make the pictures of the documentation: the explorer on a desktop and a phone, dark and light, a sample report, and
samples of recipes.

    python bench/screenshots.py [--run RUN] [--out docs] [--recipes] [--samples]

Without --run a model is trained on the bundled digits (about a minute), so that the same command gives the same
pictures anywhere. Needs a Chromium on the system. Writes OUT/screenshots/*.png and OUT/sample-report.html; with
--recipes OUT/images/recipes.png too, for which ten models are trained (some minutes); with --samples only
OUT/images/recipes/NAME.png, for every recipe that takes pictures (half an hour; what is there is not made again).
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from browser import FLAGS, browser_path

import vaekit
from vaekit import figures
from vaekit.errors import UserError
from vaekit.explorer.server import Explorer
from vaekit.explorer.session import Session
from vaekit.figures.images import mosaic
from vaekit.recipes.base import RECIPES
from vaekit.runs.loading import load

TEN = (
    "vae",
    "beta-vae",
    "iwae",
    "flow-vae",
    "vamp-vae",
    "hierarchical-vae",
    "vq-vae",
    "wae-mmd",
    "vae-gan",
    "cvae",
)
GREY = {"model.likelihood": "discretised-logistic"}
SAMPLES = 12
SAME_COLOURS = "--force-color-profile=srgb"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
MOST_BYTES = 300_000


def train(folder: Path) -> Path:
    """Train and evaluate the run that is shown."""
    run = vaekit.train(
        "vae",
        "digits",
        epochs=150,
        out=folder / "digits-vae",
        set={"model.latent": 10, **GREY},
    )
    run.evaluate(["likelihood", "latents", "reconstruction"])
    run.write_figures()
    run.write_report()
    assert run.path is not None
    return run.path


def recipes(out: Path) -> None:
    """Train ten recipes on the digits, and draw a row of samples of each."""
    rows = []
    for name in TEN:
        run = vaekit.train(name, "digits", epochs=100, set=GREY, pictures=False)
        rows.append(run.picture(run.sample(SAMPLES, seed=0)))
        print(name, run.record["result"]["elbo"])
    title = "Samples of ten recipes, trained on 1,447 digits of 8 × 8 pixels"
    figures.save(figures.samples(torch.cat(rows).numpy(), title=title, rows=TEN), out / "recipes.png")
    print(out / "recipes.png")


def each_recipe(out: Path) -> None:
    """Draw samples of every recipe that takes the digits, after training with its defaults."""
    out.mkdir(parents=True, exist_ok=True)
    for name in RECIPES.names:
        path = out / f"{name}.png"
        if path.is_file():
            continue
        try:
            run = vaekit.train(name, "digits", pictures=False, progress=False, seed=0)
            made = run.picture(run.sample(2 * SAMPLES, seed=0))
        except UserError as refusal:
            print(f"{name}: {refusal}")
            continue
        save(png(np.kron(mosaic(np.asarray(made), SAMPLES), np.ones((4, 4, 1)))), path)


def png(image: np.ndarray) -> bytes:
    """Return a picture in [0, 1], (H, W, 3), as the bytes of a PNG."""
    from PIL import Image

    made = io.BytesIO()
    Image.fromarray((255 * image.clip(0, 1)).round().astype(np.uint8)).save(made, "PNG")
    return made.getvalue()


def tour(page: Any) -> None:
    """Move about as a person would, so that the picture shows something."""
    page.wait_for_selector("#map[data-ready]")
    page.click("#tab-own")
    page.fill("#own-index", "17")
    page.click("text=Look at it")
    page.wait_for_selector("#own-results:visible")
    page.wait_for_selector("#histogram:visible")


def shots(browser: Any, url: str, out: Path) -> None:
    """Take every picture."""

    def take(name: str, tab: str, viewport: dict[str, int], scheme: str = "light", phone: bool = False) -> None:
        context = browser.new_context(viewport=viewport, color_scheme=scheme, has_touch=phone, reduced_motion="reduce")
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector("main[aria-busy=false]")
        tour(page)
        page.click(f"#tab-{tab}")
        if tab == "between":
            page.wait_for_selector("#panel-between .strip button")
            page.locator("[aria-label='Place between A and B']").fill("14")
        if tab == "sum":
            page.wait_for_selector("#panel-sum button:text('Take this code'):enabled")
        if phone and tab != "map":
            page.evaluate("document.querySelector('#tools').scrollIntoView({block: 'start'}); scrollBy(0, -175)")
        page.evaluate("document.activeElement.blur()")
        page.wait_for_timeout(500)
        save(page.screenshot(), out / f"{name}.png")
        context.close()

    take("desktop", "map", DESKTOP)
    take("desktop-dark", "map", DESKTOP, "dark")
    take("between", "between", DESKTOP)
    take("sum", "sum", DESKTOP, "dark")
    take("traverse", "traverse", DESKTOP)
    take("own", "own", DESKTOP)
    take("phone", "map", PHONE, phone=True)
    take("phone-own", "own", PHONE, "dark", phone=True)


def save(data: bytes, path: Path) -> None:
    """Write a picture with as few colours as it needs to stay small."""
    from PIL import Image

    picture = Image.open(io.BytesIO(data)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{path} has {path.stat().st_size:,} bytes, over {MOST_BYTES:,}")
    print(path)


def main() -> None:
    """Train, serve, take pictures, copy the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run's folder; default: train one on the bundled digits")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "docs")
    parser.add_argument("--recipes", action="store_true", help="draw samples of ten recipes too")
    parser.add_argument("--samples", action="store_true", help="draw samples of every recipe, and nothing else")
    arguments = parser.parse_args()
    if arguments.samples:
        return each_recipe(arguments.out / "images" / "recipes")
    from playwright.sync_api import sync_playwright

    (arguments.out / "screenshots").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        run = arguments.run or train(Path(scratch))
        explorer = Explorer(Session(load(run))).start()
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=browser_path(), args=[*FLAGS, SAME_COLOURS])
                shots(browser, explorer.url, arguments.out / "screenshots")
                browser.close()
        finally:
            explorer.stop()
        report = arguments.out / "sample-report.html"
        shutil.copyfile(run / "report.html", report)
        print(report)
    if arguments.recipes:
        recipes(arguments.out / "images")


if __name__ == "__main__":
    main()
