"""What figures look like to who sees them first: grounds, ticks, rows and legends."""

# Matplotlib's annotations give artists' base classes; what is read here is on the classes actually drawn.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false
# pyright: reportIndexIssue=false, reportOptionalSubscript=false, reportCallIssue=false, reportOperatorIssue=false

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image
from sklearn.datasets import load_digits

from vaekit import figures
from vaekit.figures.images import mosaic


def digits(n):
    return (load_digits(return_X_y=True)[0][:n] / 16).reshape(n, 1, 8, 8)


def title(ax):
    return ax.get_title(loc="left")


def test_pictures_have_no_ground_and_letters_for_light_and_dark_pages():
    def luminance(colour):
        linear = np.where((c := np.asarray(colour[:3]) / 255) <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    x = np.zeros((4, 1, 8, 8))
    rows = np.zeros((2, 3, 1, 8, 8))
    drawn = [figures.samples(x), figures.reconstructions(x, x), figures.interpolation(rows)]
    drawn += [figures.traversals(rows, ["a", "b"], [1.0, 0.5], [-1, 0, 1]), figures.manifold(rows, [0, 1, 2], [0, 1])]
    for fig in drawn:
        assert np.asarray(Image.open(io.BytesIO(figures.png(fig))))[0, 0, 3] == 0
        for text in fig.findobj(Text):
            light = luminance(255 * np.array(to_rgb(text.get_color())))
            for ground in ((255, 255, 255), (18, 22, 28)):  # those of the report
                high, low = sorted((light, luminance(ground)), reverse=True)
                assert (high + 0.05) / (low + 0.05) > 4
    chart = np.asarray(Image.open(io.BytesIO(figures.png(figures.kl_per_dimension([1.0, 2.0]))))).astype(int)
    assert chart[0, 0].tolist()[:3] == [255, 255, 255] and (chart.shape[-1] == 3 or chart[..., 3].min() == 255)


def test_counts_have_whole_ticks_and_quarters_three_digits():
    fig = figures.curves([{"step": i, "elbo": -100.0 + i, "active.z": 12 + i % 2} for i in range(1, 9)])
    ax = next(ax for ax in fig.axes if ax.get_title(loc="left") == "Active units of z")
    figures.png(fig)
    assert all(float(t).is_integer() for t in ax.get_yticks())
    steps = np.linspace(-3, 3, 9)
    fig = figures.traversals(np.zeros((1, 9, 1, 8, 8)), ["z1"], values=steps)
    words = [text.get_text().replace("−", "-") for text in fig.axes[0].get_xticklabels()]
    assert [float(word) for word in words] == steps.tolist()


def test_greys_stand_above_what_was_made_black_or_white():
    x = digits(4)
    recon = x / 2
    fig = figures.reconstructions(np.round(x), recon, greys=x)
    assert [ax.get_ylabel().replace("\n", " ") for ax in fig.axes[:2]] == ["picture", "input, black or white"]
    shown = [np.asarray(ax.images[0].get_array()) for ax in fig.axes[:3]]
    for row, want in zip(shown, (x, np.round(x), recon), strict=True):
        np.testing.assert_array_equal(row, mosaic(want, 4))


def test_a_loss_of_one_term_is_drawn_once():
    log = [{"step": i, "stage": "codes", "loss": 9.0 - i, "elbo": i - 9.0, "reconstruction": 4.0} for i in (1, 2, 3)]
    log += [{"step": i, "stage": "prior", "loss": 9.0 - i, "reconstruction": 9.0 - i} for i in (4, 5, 6)]
    titles = [title(ax) for ax in figures.curves(log).axes]
    assert "Training loss\nprior" in titles and "Reconstruction loss\nprior" not in titles
    assert "Reconstruction loss\ncodes" in titles


@pytest.mark.parametrize(
    ("train", "held", "corner"),
    [
        (lambda t: -9 + 3.5 * t, lambda t: -9 + 3 * t, "lower right"),
        (lambda t: -8 + 3.5 * t, lambda t: -7.2 - t, "upper left"),  # the held-out ones end below on the right
    ],
)
def test_the_legend_of_curves_lies_where_they_do_not(train, held, corner):
    t = np.linspace(0, 1, 200)
    log = [{"step": i, "elbo": train(u), "valid.elbo": held(u)} for i, u in enumerate(t)]
    legend = figures.curves(log).axes[0].get_legend()
    assert legend._get_loc() == legend.codes[corner]
