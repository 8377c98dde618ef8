"""What a reader needs of every figure: no text is cut off or lies on another, and what is drawn is where it belongs."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false
# pyright: reportIndexIssue=false, reportOptionalSubscript=false, reportCallIssue=false

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.image import AxesImage
from PIL import Image
from vaekit.figures.frame import Numbers
from vaekit.figures.picture import Picture

from vaekit import figures
from vaekit.figures import audio, music, style

RNG = np.random.default_rng(0)
GREY, COLOUR = RNG.random((12, 1, 14, 14)), RNG.random((5, 3, 9, 20))
LINES, BARS = RNG.normal(size=(10, 30)).cumsum(1), RNG.normal(size=(4, 5)) * 1e4
PLANE = RNG.normal(size=(300, 2)) * [4, 1]
KL = np.sort(RNG.gamma(0.3, 2, 64))
MU, SD = RNG.normal(size=(100, 20)) * RNG.gamma(0.5, 1, 20), RNG.uniform(0.05, 1, (100, 20))
RUNS = {"chain": {"z3": 0.0, "z2": 0.02, "z1": 20.0}, "ladder": {"z3": 1.5, "z2": 4.0, "z1": 15.0}}
HISTORY = {run: {n: ([1, 2, 3], [v, 2 * v, v]) for n, v in layers.items()} for run, layers in RUNS.items()}
STAGES = [
    {"step": s + 1, "stage": name, "loss": 100 / (s + 1), "kl": 20.0, "lr": 1e-4, "grad_norm": 1e7 / (s + 1)}
    for name in ("autoencoder", "the prior", "all together")
    for s in range(100)
]
MANY = [
    {"step": 100 * s, "epoch": s / 10, "elbo": -100 + s, "valid.elbo": -101 + s, "lr": 1e-5}
    | {f"a.rather_long.name_of_a_metric_{i}": (s * 10.0) ** i * 1e-9 for i in range(8)}
    for s in range(1, 80)
]
MEL = {"rate": 8000, "window": 256, "hop": 100, "bins": 512, "mels": 16, "frames": 8, "low": 50.0}
LONG = ["a class with a very long name indeed", "dog", "$cat$", "an even longer name of a class, with commas"]

DRAWN: dict[str, Callable[[], Any]] = {
    "curves, one record": lambda: figures.curves([{"step": 1, "epoch": 1, "elbo": -105.0, "kl": 3.0, "lr": 1e-3}]),
    "curves, stages": lambda: figures.curves(STAGES, "Stages"),
    "curves, many": lambda: figures.curves(MANY, "Many panels"),
    "curves, two panels": lambda: figures.curves([{"step": i, "loss": 1e5 + i, "kl": 0.0} for i in range(1, 90)]),
    "images": lambda: figures.images(GREY, title="A title that is longer than the few pictures below it are wide"),
    "images, one": lambda: figures.images(GREY[:1], title="Only one of them"),
    "images, RGB": lambda: figures.samples(COLOUR),
    "images, vectors": lambda: figures.images(LINES),
    "images, bars": lambda: figures.samples(BARS),
    "images, one vector": lambda: figures.images(LINES[:1], title="One"),
    "reconstructions": lambda: figures.reconstructions(GREY, GREY**2),
    "reconstructions, one": lambda: figures.reconstructions(GREY[:1], GREY[:1] ** 2),
    "reconstructions, RGB": lambda: figures.reconstructions(COLOUR, COLOUR**2),
    "reconstructions, vectors": lambda: figures.reconstructions(LINES, LINES * 0.8),
    "reconstructions, one vector": lambda: figures.reconstructions(BARS[:1], BARS[:1] * 0.8),
    "interpolation": lambda: figures.interpolation(RNG.random((2, 32, 1, 8, 8))),
    "interpolation, vectors": lambda: figures.interpolation(RNG.normal(size=(5, 7, 20))),
    "traversals, 64": lambda: figures.traversals(RNG.random((64, 9, 1, 8, 8)), None, KL, np.linspace(-3, 3, 9)),
    "traversals, 2": lambda: figures.traversals(RNG.random((2, 9, 3, 8, 8)), ["a long name", "$b$"], [5.0, 1e-4]),
    "traversals, vectors": lambda: figures.traversals(RNG.normal(size=(4, 9, 30)) * 1e5, LONG, KL[:4]),
    "manifold": lambda: figures.manifold(RNG.random((15, 15, 1, 8, 8)), names=("$a$", "a latent")),
    "latent map": lambda: figures.latent_map(PLANE * 1e5, RNG.integers(0, 30, 300), method="UMAP"),
    "latent map, long names": lambda: figures.latent_map(PLANE, RNG.integers(0, 4, 300), LONG),
    "latent map, no labels": lambda: figures.latent_map(PLANE),
    "latent map, real labels": lambda: figures.latent_map(PLANE, PLANE[:, 0] * 1e3),
    "KL, 2": lambda: figures.kl_per_dimension([3.0, 0.5]),
    "KL, 64": lambda: figures.kl_per_dimension(KL, title="KL"),
    "KL, 256": lambda: figures.kl_per_dimension(RNG.gamma(0.1, 2, 256)),
    "KL, groups": lambda: figures.kl_per_dimension({"z1": KL[:10], "z2": KL[40:], "a third": [0.5]}),
    "KL, levels": lambda: figures.kl_per_dimension({f"block {i} level {i}": KL[i : i + 4] for i in range(30)}),
    "layers": lambda: figures.kl_layers(RUNS, None, HISTORY, "Layers"),
    "layers, 30": lambda: figures.kl_layers({"": {f"z{i}": float(i) for i in range(30, 0, -1)}}),
    "aggregate": lambda: figures.aggregate_posterior(MU, SD),
    "aggregate, one": lambda: figures.aggregate_posterior(MU, SD, dims=1),
    "aggregate, 20": lambda: figures.aggregate_posterior(MU, SD, dims=20),
    "aggregate, samples": lambda: figures.aggregate_posterior(samples=MU * 1e3, dims=6),
    "rate and distortion": lambda: figures.rate_distortion([{"rate": 20, "distortion": 8, "label": "β = 1"}] * 2),
    "study": lambda: figures.study([{"beta": b, "elbo": -b} for b in (1, 3, 10, 100)], "beta", "elbo"),
    "study, names": lambda: figures.study({"name": LONG * 2, "mse": [1e-5] * 8}, "name", "mse"),
    "scores": lambda: figures.histogram_scores(PLANE[:, 0], np.arange(300) % 2),
    "ROC": lambda: figures.roc(PLANE[:, 0], np.arange(300) % 2),
    "spectrograms": lambda: audio.spectrograms(RNG.random((6, 1, 16, 8)), {"mel": MEL, "mean": 0.0, "sd": 2.0}, ["a"]),
    "rolls": lambda: music.rolls(np.array([[45, 5, 47, 4, 2]] * 5), {"voices": 1, "steps": 4}, ["one", "two"], "Rolls"),
}


def written(fig: Any, monkeypatch: pytest.MonkeyPatch, dpi: float) -> list[tuple[str, float, np.ndarray]]:
    """Every text that is drawn: the words, the angle and the box (left, top, right, bottom) in pixels."""
    found: list[tuple[str, float, np.ndarray]] = []
    draw = RendererAgg.draw_text

    def spy(self: Any, gc: Any, x: float, y: float, s: str, prop: Any, angle: float, *rest: Any, **more: Any) -> None:
        w, h, d = self.get_text_width_height_descent(s, prop, bool(rest[0]) if rest else False)
        corners = np.array([(0, d), (w, d), (0, d - h), (w, d - h)], float)
        turn = math.radians(angle)
        across = corners @ np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        across += np.array([x, y])
        found.append((s, angle, np.concatenate([across.min(0), across.max(0)])))
        draw(self, gc, x, y, s, prop, angle, *rest, **more)

    monkeypatch.setattr(RendererAgg, "draw_text", spy)
    fig.set_dpi(dpi)
    fig.canvas.draw()
    monkeypatch.undo()
    return found


def upon(a: np.ndarray, b: np.ndarray, slack: float) -> bool:
    return bool((np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]) > slack).all())


@pytest.mark.parametrize("name", DRAWN)
def test_no_text_is_cut_off_or_lies_on_another_or_on_a_panel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fig = DRAWN[name]()
    texts = written(fig, monkeypatch, 80)
    width, height = fig.bbox.size
    assert texts or name == "images, one"
    for words, _, box in texts:
        inside = box[0] >= -1 and box[1] >= -1 and box[2] <= width + 1 and box[3] <= height + 1
        assert inside, f"{words!r} at {box.round()} leaves the figure of {width:.0f} × {height:.0f}"
    # What is written among the data (names of classes and stages) may lie on it; legends lie in their panels.
    within = [t for ax in fig.axes for t in ax.texts]
    within += [t for ax in fig.axes if ax.get_legend() for t in ax.get_legend().get_texts()]
    among = {t.get_text().replace(r"\$", "$").strip() for t in within}
    outside = [(w, angle, box) for w, angle, box in texts if w.strip() not in among]
    level = [(w, box) for w, angle, box in outside if angle % 90 == 0]
    for i, (one, a) in enumerate(level):
        for other, b in level[:i]:
            assert not upon(a, b, 1.0), f"{one!r} lies on {other!r}"
    for ax in fig.axes:
        x0, y0, x1, y1 = ax.bbox.extents
        panel = np.array([x0, height - y1, x1, height - y0])
        for words, box in level:
            assert not upon(panel, box, 1.5), f"{words!r} lies on a panel"


@pytest.mark.parametrize("dpi", [60, 150])
def test_a_figure_is_laid_out_at_any_resolution(dpi: int, monkeypatch: pytest.MonkeyPatch) -> None:
    test_no_text_is_cut_off_or_lies_on_another_or_on_a_panel("curves, many", monkeypatch)
    fig = figures.curves(MANY)
    assert all(box[0] >= -1 and box[2] <= fig.bbox.width + 1 for _, _, box in written(fig, monkeypatch, dpi))


def test_ticks_are_those_of_the_axes_and_follow_later_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    fig = figures.kl_per_dimension([3.0, 2.0, 0.5])
    ax = fig.axes[0]
    ax.set_ylim(0, 500)
    ax.set_ylabel("later")
    ax.tick_params(axis="x", labelbottom=False)
    texts = written(fig, monkeypatch, 100)
    words = [w for w, _, _ in texts]
    assert "later" in words and "500" in words and "KL (nats an example)" not in words and "3" not in words
    for word, _, box in texts:
        if word.isdigit():
            y = fig.bbox.height - ax.transData.transform((0, float(word)))[1]
            assert (box[1] + box[3]) / 2 == pytest.approx(y, abs=1.5), word


def test_the_grid_lies_where_the_ticks_are() -> None:
    fig = figures.kl_per_dimension([3.0, 2.0, 0.5])
    fig.axes[0].set_yticks([1.0])
    figures.png(fig)
    fig.canvas.draw()
    pixels = np.asarray(fig.canvas.buffer_rgba())[..., :3].astype(int)
    box = fig.axes[0].bbox
    column = pixels[:, int(box.x1) - 3].sum(1)
    rows = np.flatnonzero((column < 3 * 250) & (column > 3 * 200))
    rows = rows[rows < fig.bbox.height - box.y0 - 4]  # the panel's own lower edge is not of the grid
    y = fig.bbox.height - fig.axes[0].transData.transform((0, 1.0))[1]
    assert len(rows) and np.abs(rows + 0.5 - y).max() <= 1.5


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0, 1, 2], ["0", "1", "2"]),
        ([-0.5, 0, 0.5], ["−0.5", "0.0", "0.5"]),
        ([0, 2.5, 5], ["0.0", "2.5", "5.0"]),
        ([1e-7, 2e-7], ["1e−7", "2e−7"]),
        ([0, 5e6, 1e7], ["0", "5e6", "1e7"]),
        ([1000.001, 1000.002], ["1000.001", "1000.002"]),
        ([3.0], ["3"]),
        ([], []),
    ],
)
def test_ticks_are_plain_numbers_of_one_length(values: list[float], words: list[str]) -> None:
    assert Numbers().format_ticks(values) == words


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 300, 3), (200, 33, 3)])
def test_a_packed_png_holds_the_pixels(shape: tuple[int, ...]) -> None:
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(style.pack(pixels, 150))) as image:
        image.load()
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.05)
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_a_png_is_what_was_drawn_with_a_white_margin() -> None:
    fig = figures.samples(COLOUR)
    with Image.open(io.BytesIO(figures.png(fig, 100))) as image:
        made = np.asarray(image)
    drawn = np.asarray(fig.canvas.buffer_rgba())[..., :3]
    rows, columns = (np.flatnonzero((drawn != 255).any(2).any(axis)) for axis in (1, 0))
    inner = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    np.testing.assert_array_equal(made[12:-12, 12:-12], inner)
    assert (made[:12] == 255).all() and (made[:, -12:] == 255).all()


@pytest.mark.parametrize("size", [(3.0, 3.0), (5.03, 2.71), (0.6, 0.6)])
@pytest.mark.parametrize("coloured", [True, False])
def test_a_picture_shows_what_matplotlib_shows(size: tuple[float, float], coloured: bool) -> None:
    values = RNG.integers(0, 256, (19, 23, 3)) / 255 if coloured else RNG.random((19, 23))
    values[3:5, 4:6] = 0.25 if coloured else np.nan
    drawn = []
    for ours in (True, False):
        fig = style.figure(*size)
        ax = fig.add_axes((0.05, 0.05, 0.9, 0.9))
        ax.axis("off")
        made = style.show(ax, values) if ours else ax.imshow(values, interpolation="nearest")
        assert isinstance(made, Picture if ours else AxesImage)
        fig.canvas.draw()
        drawn.append(np.asarray(fig.canvas.buffer_rgba())[..., :3].astype(int))
    # A pixel of the screen on the line between two of the picture's may go to either.
    wrong = (np.abs(drawn[0] - drawn[1]) > 2).any(2)
    assert wrong.mean() < 0.04
    assert (np.abs(drawn[0] - drawn[1]).max(2)[~wrong] <= 2).all()
