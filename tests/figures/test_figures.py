"""What figures show equals what they were given; they leak nothing; bad input is named."""

# Matplotlib's annotations give artists' base classes; what is read here is on the classes actually drawn.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false
# pyright: reportIndexIssue=false, reportOptionalSubscript=false, reportCallIssue=false, reportOperatorIssue=false

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.text import Text
from PIL import Image
from scipy.stats import binom, norm
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from vaekit import figures
from vaekit.errors import UserError
from vaekit.figures.images import mosaic
from vaekit.figures.style import colours

RNG = np.random.default_rng(0)


def title(ax):
    return ax.get_title(loc="left")


def digits(n=12):
    x, y = load_digits(return_X_y=True)
    return (x[:n] / 16).reshape(n, 1, 8, 8), y[:n]


# ---------------------------------------------------------------- out: PNG


def test_save_writes_one_whole_png_at_report_size(tmp_path):
    path = figures.save(figures.curves([{"step": i, "elbo": -100.0 + i} for i in range(9)]), tmp_path / "new" / "c.png")
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert 1250 <= image.width <= 1400
        assert image.getpixel((0, 0))[:3] == (255, 255, 255)
    assert [p.name for p in path.parent.iterdir()] == ["c.png"]


def test_the_same_figure_gives_the_same_bytes():
    assert figures.png(figures.kl_per_dimension([1.0, 2.0])) == figures.png(figures.kl_per_dimension([1.0, 2.0]))


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"\.png"):
        figures.save(figures.kl_per_dimension([1.0]), tmp_path / "a.pdf")


def test_nothing_global_changes_and_the_callers_style_does_not_matter():
    made = figures.png(figures.kl_per_dimension([1.0, 0.001]))
    with mpl.rc_context({"figure.facecolor": "black", "axes.facecolor": "black"}):
        before = dict(mpl.rcParams)
        assert figures.png(figures.kl_per_dimension([1.0, 0.001])) == made
        assert dict(mpl.rcParams) == before


def test_importing_figures_and_report_loads_neither_torch_nor_matplotlib_nor_pyplot():
    code = "import sys, vaekit.figures, vaekit.report; print([m for m in ('torch', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    code = (
        "import sys; from vaekit import figures as f; f.png(f.kl_per_dimension([1.0]));"
        "print([m for m in ('torch', 'matplotlib.pyplot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_dollar_signs_are_text_and_not_formulas():
    figures.png(figures.latent_map(RNG.normal(size=(6, 2)), [0, 0, 1, 1, 0, 1], ["$5 \\frac{", "a$b$c"], method="$x^$"))


# ---------------------------------------------------------------- curves


def records(n=300, **extra):
    return [
        {"step": i + 1, "epoch": (i + 1) / 100, "elbo": -90 - 5000 / (i + 1) ** 2, "kl": 20.0, **extra}
        for i in range(n)
    ]


def test_train_and_held_out_elbo_share_the_main_panel():
    log = [{"step": i, "elbo": -100.0 + i, "log_px": -90.0 + i, "kl": 10.0, "lr": 1e-3} for i in range(1, 6)]
    log[4]["valid.elbo"] = -97.0
    fig = figures.curves(log)
    assert [title(a) for a in fig.axes] == [
        "ELBO, training and held-out",
        "Expected log p(x|z)",
        "KL(q(z|x) ‖ p(z))",
        "Learning rate",
    ]
    train, valid = fig.axes[0].lines
    assert train.get_xdata().tolist() == [1, 2, 3, 4, 5]
    assert train.get_ydata().tolist() == [-99, -98, -97, -96, -95]
    assert (valid.get_xdata().tolist(), valid.get_ydata().tolist()) == ([5], [-97])
    assert fig.axes[0].get_ylabel() == "nats/example"


def test_the_first_points_do_not_set_the_scale():
    low, high = figures.curves(records()).axes[0].get_ylim()
    assert low > -110 and high > -90.1
    low, _ = figures.curves([{"step": i, "elbo": -100.0 + i} for i in range(30)]).axes[0].get_ylim()
    assert low <= -100, "an even rise stays whole"


def test_a_smoothed_line_lies_within_its_points_and_keeps_a_constant():
    line = figures.curves(records(elbo=-3.0)).axes[0].lines[-1]
    np.testing.assert_allclose(line.get_ydata(), -3.0)


def test_epochs_along_the_top():
    fig = figures.curves(records())
    figures.png(fig)
    (above,) = fig.axes[0].child_axes
    assert above.get_xlabel() == "epoch"
    np.testing.assert_allclose(above.get_xlim(), np.array(fig.axes[0].get_xlim()) / 100)


def test_what_stages_log_under_one_name_has_a_panel_for_each():
    log = [{"step": i, "stage": s, "loss": 9.0, "lr": 0.1} for s in ("codes", "prior") for i in (1, 2, 3)]
    log[2] |= {"valid.elbo": -90.0, "valid.loss": 9.5}
    fig = figures.curves(log, final=-60.0)
    panels = {title(ax): ax for ax in fig.axes}
    assert list(panels) == ["ELBO, held-out · codes", "Training loss\ncodes", "Training loss\nprior", "Learning rate"]
    assert panels["Training loss\ncodes"].lines[0].get_xdata().tolist() == [1, 2, 3]
    assert panels["Training loss\nprior"].lines[0].get_xdata().tolist() == [4, 5, 6]
    assert panels["Learning rate"].lines[0].get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    main = fig.axes[0]
    assert main.lines[-1].get_ydata() == [-60, -60] and "held-out at the end, -60" in main.lines[-1].get_label()
    low, high = main.get_ylim()
    assert low < -90 and high > -60, "the end's bound is on the scale"


def test_panels_have_words_for_titles_and_no_curve_twice():
    log = [{"step": i, "elbo": -5.0, "log_px": -4.0, "kl": 1.0, "reconstruction": 4.0, "rate": 1.0} for i in (1, 2)]
    log = [one | {"terms.1": 0.5, "kl.z2": 0.3, "active.z2": 4.0} for one in log]
    names = [title(ax) for ax in figures.curves(log).axes]
    assert names[3:] == ["Weight of loss term 2", "KL of z2", "Active units of z2"]
    assert not {"rate", "terms.1", "Reconstruction loss"} & set(names)


@pytest.mark.parametrize(
    "log",
    [
        [{"step": 1, "elbo": -5.0}],
        [{"step": 1, "valid.elbo": -5.0}],
        [{"epoch": 1, "loss": 5.0}, {"epoch": 2, "loss": float("nan")}],
        [{"loss": 5.0}, {"critic.loss": 1.0}],
        [{"step": 5, "loss": 1.0, "note": "text", "flag": True, "seconds": 3.0}],
    ],
)
def test_sparse_logs_still_draw(log):
    fig = figures.curves(log)
    assert figures.png(fig)
    assert not {title(a) for a in fig.axes} & {"note", "flag", "seconds"}


@pytest.mark.parametrize("log", [[], [{"step": 1}], [{"step": 1, "elbo": float("nan")}]])
def test_a_log_with_nothing_to_draw_says_so(log):
    with pytest.raises(UserError, match="training log"):
        figures.curves(log)


# ---------------------------------------------------------------- pictures


def cell(picture, row, column, h, w, gap=1):
    return picture[row * (h + gap) : row * (h + gap) + h, column * (w + gap) : column * (w + gap) + w]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_holds_each_image_in_its_place(channels):
    x = RNG.random((5, channels, 6, 9))
    (ax,) = figures.samples(x, columns=2).axes
    shown = np.asarray(ax.images[0].get_array())
    for i in range(5):
        want = np.broadcast_to(np.moveaxis(x[i], 0, -1), (6, 9, 3))
        np.testing.assert_array_equal(cell(shown, i // 2, i % 2, 6, 9), want)
    assert (shown[14:, 10:] == 1).all(), "no sixth image: white"


def test_values_are_clipped_and_missing_ones_stand_out():
    x = np.array([[[[-1.0, 2.0], [np.nan, 0.5]]]])
    np.testing.assert_allclose(mosaic(x, 1)[..., 0], [[0, 1], [0.74, 0.5]])
    assert mosaic(x, 1)[1, 0].tolist() != [0.74] * 3


def test_reconstructions_show_input_output_and_a_shared_symmetric_difference():
    x, _ = digits(4)
    recon = np.clip(x + RNG.normal(0, 0.2, x.shape), 0, 1)
    fig = figures.reconstructions(x, recon)
    top, middle, bottom = fig.axes
    for i in range(4):
        for ax, images in ((top, x), (middle, recon)):
            np.testing.assert_allclose(cell(np.asarray(ax.images[0].get_array()), 0, i, 8, 8)[..., 0], images[i, 0])
        np.testing.assert_allclose(cell(bottom.images[0].get_array(), 0, i, 8, 8), (recon - x)[i, 0])
    low, high = bottom.images[0].get_clim()
    assert -low == high == pytest.approx(np.abs(recon - x).max())
    assert [a.get_ylabel() for a in (top, middle, bottom)] == ["input", "output", "output\n− input"]
    assert f"{((recon - x) ** 2).mean():.3g}" in fig.get_suptitle()


def test_vectors_are_drawn_as_lines_with_output_and_difference():
    x, recon = RNG.normal(size=(2, 30)), RNG.normal(size=(2, 30))
    a, b, d = figures.reconstructions(x, recon).axes[1].lines
    np.testing.assert_array_equal(a.get_ydata(), x[1])
    np.testing.assert_array_equal(b.get_ydata(), recon[1])
    np.testing.assert_array_equal(d.get_ydata(), recon[1] - x[1])
    bars = figures.samples(x[:, :5]).axes[0].patches
    np.testing.assert_array_equal([p.get_height() for p in bars], x[0, :5])


def test_interpolation_is_a_row_a_path():
    rows = RNG.random((2, 5, 1, 8, 8))
    (ax,) = figures.interpolation(rows).axes
    np.testing.assert_array_equal(cell(np.asarray(ax.images[0].get_array()), 1, 3, 8, 8)[..., 0], rows[1, 3, 0])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "0.25", "0.5", "0.75", "1"]


def test_traversals_are_ordered_by_kl():
    rows = RNG.random((3, 4, 1, 8, 8))
    (ax,) = figures.traversals(rows, ["a", "b", "c"], [0.1, 3.0, 1.0], [-2, -1, 1, 2]).axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["b\n3.00 nats", "c\n1.00 nats", "a\n0.10 nats"]
    shown = np.asarray(ax.images[0].get_array())
    for row, source in enumerate((1, 2, 0)):
        np.testing.assert_array_equal(cell(shown, row, 2, 8, 8)[..., 0], rows[source, 2, 0])


def test_the_manifold_grows_upwards_and_is_labelled_in_latent_units():
    grid = RNG.random((2, 3, 1, 8, 8))
    (ax,) = figures.manifold(grid, xs=[-1, 0, 1], ys=[-0.5, 0.5]).axes
    shown = np.asarray(ax.images[0].get_array())
    np.testing.assert_array_equal(cell(shown, 1, 2, 8, 8)[..., 0], grid[0, 2, 0])
    np.testing.assert_array_equal(cell(shown, 0, 0, 8, 8)[..., 0], grid[1, 0, 0])
    at = dict(zip((t.get_text() for t in ax.get_yticklabels()), ax.get_yticks(), strict=True))
    assert at["0.5"] < at["−0.5"], "the picture's rows run downwards"
    assert ax.get_xlabel() == "z1 (latent units)"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: figures.samples(np.zeros((2, 4, 8, 8))), "4 channels"),
        (lambda: figures.samples(np.zeros((0, 1, 8, 8))), "empty"),
        (lambda: figures.samples(np.array(["a"])), "numbers"),
        (lambda: figures.reconstructions(np.zeros((2, 1, 8, 8)), np.zeros((3, 1, 8, 8))), "same examples"),
        (lambda: figures.traversals(np.zeros((2, 3, 1, 8, 8)), ["a"]), "1 names"),
        (lambda: figures.traversals(np.zeros((2, 3, 1, 8, 8)), ["a", "b"], kl=[1.0]), "1 KL"),
        (lambda: figures.manifold(np.zeros((2, 2, 1, 8, 8)), xs=[0], ys=[0, 1]), "2 × 2"),
        (lambda: figures.latent_map(np.zeros((3, 3))), "two columns"),
        (lambda: figures.latent_map(np.zeros((3, 2)), [0, 1]), "one label a code"),
        (lambda: figures.latent_map(np.zeros((40, 2)), [str(i) for i in range(40)]), "40 different"),
        (lambda: figures.kl_per_dimension({}), "empty"),
        (lambda: figures.aggregate_posterior(np.zeros((3, 2)), np.zeros((3, 2))), "positive"),
        (lambda: figures.kl_layers({}), "no layers"),
        (lambda: figures.rank_histograms([[1, 2]], ["z1", "z2"], [0.1]), "2 names"),
        (lambda: figures.rate_distortion([], []), "empty"),
        (lambda: figures.rate_distortion([1.0, 2.0], [1.0]), "as many"),
        (lambda: figures.anomaly_scores([1.0, float("inf")]), "1 of 2 scores are not finite"),
        (lambda: figures.anomaly_scores([1.0, 2.0], None, [1, 1]), "at least one normal"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(UserError, match=says):
        call()


# ---------------------------------------------------------------- latents


def test_the_latent_map_draws_every_point_in_its_class_colour():
    from matplotlib.colors import to_rgba

    z, y = RNG.normal(size=(50, 2)), RNG.integers(0, 3, 50)
    fig = figures.latent_map(z, y, ["a", "b", "c"])
    (dots,) = fig.axes[0].collections
    drawn = {tuple(p): tuple(c[:3]) for p, c in zip(np.asarray(dots.get_offsets()), dots.get_facecolors(), strict=True)}
    assert drawn == {tuple(p): to_rgba(colours(3)[k])[:3] for p, k in zip(z, y, strict=True)}
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["a", "b", "c"]
    spots = {t.get_text(): t.get_position() for t in fig.axes[0].texts}
    np.testing.assert_allclose(spots["b"], np.median(z[y == 1], axis=0))


def test_many_points_are_small_and_pale():
    few, many = (
        figures.latent_map(RNG.normal(size=(n, 2)), np.arange(n) % 2).axes[0].collections[0] for n in (50, 70_000)
    )
    assert many.get_sizes()[0] < few.get_sizes()[0]
    assert np.max(many.get_alpha()) < np.max(few.get_alpha())


def test_without_labels_the_map_shows_every_point_or_counts_them():
    fig = figures.latent_map(RNG.normal(size=(5000, 2)))
    assert np.sum(fig.axes[0].collections[0].get_array()) == 5000
    assert fig.axes[1].get_ylabel() == "examples in a cell"
    few = RNG.normal(size=(150, 2))
    (dots,) = figures.latent_map(few).axes[0].collections
    np.testing.assert_array_equal(np.asarray(dots.get_offsets()), few)


def test_samples_of_labels_stand_in_rows_with_their_names():
    fig = figures.samples(np.zeros((6, 1, 8, 8)), rows=["zero", "one"])
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["zero", "one"]
    assert fig.axes[0].images[0].get_array().shape == (17, 26, 3)
    vectors = figures.samples(np.zeros((6, 5)), rows=["zero", "one"])
    assert [title(ax) for ax in vectors.axes] == ["zero", "one"]
    with pytest.raises(UserError, match="do not fill"):
        figures.samples(np.zeros((5, 1, 8, 8)), rows=["zero", "one"])


def test_real_labels_get_a_colour_scale():
    y = RNG.normal(size=60)
    dots = figures.latent_map(RNG.normal(size=(60, 2)), y).axes[0].collections[0]
    assert sorted(np.asarray(dots.get_array())) == sorted(y)


def test_kl_bars_are_sorted_coloured_and_named_by_dimension():
    fig = figures.kl_per_dimension([0.004, 2.0, 0.5], [False, True, True])
    bars = fig.axes[0].patches
    assert [p.get_height() for p in bars] == [2.0, 0.5, 0.004]
    assert bars[0].get_facecolor() == bars[1].get_facecolor() != bars[2].get_facecolor()
    assert [t.get_text() for t in fig.axes[0].get_xticklabels()] == ["2", "3", "1"]
    assert title(fig.axes[0]).startswith("2 of 3 dimensions active, 2.50")


def test_kl_bars_stand_on_a_linear_axis_whatever_their_sizes():
    assert figures.kl_per_dimension([50.0, 0.002]).axes[0].get_yscale() == "linear"


def test_active_is_what_the_mask_says_and_not_a_kl():
    (ax,) = figures.kl_per_dimension([2.0, 1.0, 0.5], [True, False, False]).axes
    assert title(ax).startswith("1 of 3 dimensions active")
    assert len({p.get_facecolor() for p in ax.patches[1:]}) == 1 != len({p.get_facecolor() for p in ax.patches})


def test_a_negative_kl_is_drawn_with_its_error():
    (ax,) = figures.kl_per_dimension({"z2": [0.5, -0.03]}, stderr={"z2": [0.1, 0.05]}).axes
    assert [p.get_height() for p in ax.patches] == [0.5, -0.03]
    (whiskers,) = (c for c in ax.containers if not hasattr(c, "patches"))
    ends = [s[:, 1] for s in whiskers.lines[2][0].get_segments()]
    np.testing.assert_allclose(ends, [[0.4, 0.6], [-0.08, 0.02]])


def test_groups_of_latents():
    two = figures.kl_per_dimension({"z1": [1.0, 2.0], "z2": [0.5]})
    assert [title(a).split(":")[0] for a in two.axes] == ["z1", "z2"]
    on = {f"b{i}": [False, i > 0] for i in range(8)}
    many = figures.kl_per_dimension({f"b{i}": [0.25 * i, 0.25 * i] for i in range(8)}, on)
    np.testing.assert_allclose([p.get_height() for p in many.axes[0].patches], [0.5 * i for i in range(8)])
    assert title(many.axes[0]).startswith("7 of 8 latents active")


def test_the_aggregate_posterior_is_the_mixture_density():
    mu, sd = RNG.normal(0, 2, (40, 3)), RNG.uniform(0.3, 1.0, (40, 3))
    fig = figures.aggregate_posterior(mu, sd, dims=3)
    ax = next(a for a in fig.axes if title(a).startswith("z2"))
    x, q = ax.collections[0].get_paths()[0].vertices[1:401].T
    np.testing.assert_allclose(q, norm.pdf(x[:, None], mu[:, 1], sd[:, 1]).mean(axis=1), atol=1e-12)
    line = ax.lines[0]
    np.testing.assert_allclose(line.get_ydata(), norm.pdf(np.asarray(line.get_xdata())))


def test_the_most_informative_dimensions_come_first():
    mu = RNG.normal(size=(200, 4)) * [0.01, 1.0, 0.5, 0.0]
    sd = np.broadcast_to([1.0, 0.1, 0.8, 1.0], mu.shape)
    fig = figures.aggregate_posterior(mu, sd, dims=2)
    assert [title(a).split(",")[0] for a in fig.axes] == ["z2", "z3"]
    kl = (mu[:, 1] ** 2 + sd[:, 1] ** 2 - 2 * np.log(sd[:, 1]) - 1).mean() / 2
    assert title(fig.axes[0]).endswith(f"KL {kl:.2f} nats")


# ---------------------------------------------------------------- KL by layer


def test_layers_are_shown_with_their_errors_and_over_training():
    layers, stderr = {"z3": 1.5, "z2": 4.0, "z1": 15.0}, {"z3": 0.1, "z2": 0.2, "z1": 0.3}
    fig = figures.kl_layers(layers, stderr, {name: ([1, 2, 3], [v, 2 * v, v]) for name, v in layers.items()})
    bars, lines = fig.axes
    assert [p.get_height() for p in bars.patches] == list(layers.values())
    assert [t.get_text() for t in bars.get_xticklabels()] == ["z3", "z2", "z1"]
    assert "20.5 nats" in title(bars) and title(lines) == "While training"
    (whiskers,) = (c for c in bars.containers if not hasattr(c, "patches"))
    ends = [s[:, 1] for s in whiskers.lines[2][0].get_segments()]
    np.testing.assert_allclose(ends, [[v - stderr[n], v + stderr[n]] for n, v in layers.items()])
    assert [line.get_ydata().tolist() for line in lines.lines] == [[v, 2 * v, v] for v in layers.values()]


def test_layers_that_died_look_dead():
    (ax,) = figures.kl_layers({"z2": 1e-6, "z1": 2e-6}).axes
    assert ax.get_ylim()[1] >= 0.1


# ---------------------------------------------------------------- results


def test_rank_histograms_and_the_band_of_a_calibrated_posterior():
    fig = figures.rank_histograms([[30, 20, 10], [20, 21, 19]], ["z4", "z1"], [0.003, 0.9])
    assert [title(ax) for ax in fig.axes] == ["z4, p = 0.003", "z1, p = 0.9"]
    for ax, counts in zip(fig.axes, ([30, 20, 10], [20, 21, 19])):
        (stairs,) = [patch for patch in ax.patches if isinstance(patch, StepPatch)]
        assert list(stairs.get_data().values) == counts and stairs.get_data().edges[-1] == 1
        (band,) = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
        low, high = binom.interval(0.95, 60, 1 / 3)
        assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((low, high))
        assert ax.lines[0].get_ydata()[0] == 20


def test_the_rate_distortion_curve_and_lines_of_equal_elbo():
    rate, distortion = [0.0, 10.0, 25.0], [180.0, 110.0, 80.0]
    fig = figures.rate_distortion(rate, distortion)
    ax = fig.axes[0]
    curve, *equal = ax.lines
    assert (list(curve.get_xdata()), list(curve.get_ydata())) == (distortion, rate)
    assert "R + D = 105.0" in ax.texts[0].get_text()
    named = {round(sum(t.get_position()), 6): t.get_text().strip() for t in ax.texts[1:]}
    assert len(equal) == len(named) >= 3
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert all(left <= x <= right and bottom <= y <= top for x, y in (t.get_position() for t in ax.texts[1:]))
    assert all(words == f"ELBO −{total:g}" for total, words in named.items())
    assert all(line.get_slope() == -1 for line in equal)


def test_histograms_of_scores_are_densities_of_all_scores_by_truth():
    scores, truth = np.concatenate([RNG.normal(size=400), [9.0, 1e6]]), np.r_[np.zeros(400), 1, 1]
    left, _ = figures.anomaly_scores(scores, 3.0, truth).axes
    words = [t.get_text() for t in left.get_legend().get_texts()]
    assert set(words) == {"normal (400)", "anomaly (2)", "threshold 3"}
    assert left.get_xlim()[1] < 100, "one outlier does not set the scale"
    filled = left.patches[0].get_path().vertices
    edges, heights = np.unique(filled[:, 0]), filled[1 : 2 * 22 : 2, 1]
    assert np.sum(heights[: len(edges) - 1] * np.diff(edges)) == pytest.approx(1.0)
    (alone,) = figures.anomaly_scores(scores, 3.0).axes
    assert "examples (402)" in [t.get_text() for t in alone.get_legend().get_texts()]


def test_roc_area_with_ties_is_that_of_scikit_learn():
    truth = RNG.integers(0, 2, 300)
    scores = np.round(RNG.normal(truth * 0.8))
    _, ax = figures.anomaly_scores(scores, 0.5, truth).axes
    assert title(ax) == f"ROC, area {roc_auc_score(truth, scores):.3f}"
    false, hits = (np.asarray(v) for v in ax.lines[1].get_data())
    assert len(false) == len(np.unique(scores)) + 1, "one point a score"
    assert np.trapezoid(hits, false) == pytest.approx(roc_auc_score(truth, scores))
    at = [(scores[truth == k] > 0.5).mean() for k in (0, 1)]
    np.testing.assert_allclose([v[0] for v in ax.lines[2].get_data()], at)


# ---------------------------------------------------------------- all of them

LONG = ["a class with a very long name indeed", "dog", "$cat$", "an even longer name of a class, with commas"]
KL = np.sort(RNG.gamma(0.3, 2, 64))
PLANE = RNG.normal(size=(300, 2)) * [4, 1]
MANY = [
    {"step": 100 * s, "epoch": s / 10, "elbo": -100 + s, "valid.elbo": -101 + s, "lr": 1e-5}
    | {f"a.rather_long.name_of_a_metric_{i}": (s * 10.0) ** i * 1e-9 for i in range(8)}
    for s in range(1, 80)
]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.curves(MANY),
        lambda: figures.reconstructions(RNG.random((1, 3, 14, 14)), RNG.random((1, 3, 14, 14))),
        lambda: figures.reconstructions(RNG.normal(size=(1, 5)) * 1e4, np.zeros((1, 5))),
        lambda: figures.interpolation(RNG.random((2, 32, 1, 8, 8))),
        lambda: figures.interpolation(RNG.normal(size=(5, 7, 20))),
        lambda: figures.traversals(RNG.random((64, 9, 1, 8, 8)), [f"z{i}" for i in range(64)], KL, np.arange(9)),
        lambda: figures.traversals(RNG.normal(size=(4, 9, 30)) * 1e5, LONG, KL[:4]),
        lambda: figures.latent_map(PLANE, RNG.integers(0, 4, 300), LONG),
        lambda: figures.latent_map(np.zeros((5, 2))),
        lambda: figures.latent_map(PLANE, PLANE[:, 0] * 1e3),
        lambda: figures.kl_per_dimension(RNG.gamma(0.1, 2, 256)),
        lambda: figures.kl_per_dimension({f"block {i} level {i}": KL[i : i + 4] for i in range(30)}),
        lambda: figures.kl_layers({f"z{i}": float(i) for i in range(30, 0, -1)}),
        lambda: figures.aggregate_posterior(PLANE, np.abs(PLANE) + 0.1, dims=1),
        lambda: figures.rank_histograms([[5, 6]], ["z1"], [0.8]),
        lambda: figures.anomaly_scores([1.0, 1.0, 1.0]),
    ],
)
def test_extreme_figures_have_room_for_their_panels_and_titles(draw):
    """No warning (constrained layout gives one when it fails), every panel has an area, titles keep apart."""
    fig = draw()
    fig.draw_without_rendering()
    assert all(min(ax.get_position().size) > 0.005 for ax in fig.axes)
    for text in fig.texts:  # the heading
        assert text.get_window_extent().x1 <= fig.bbox.width
    named = [text for ax in fig.axes for text in ax.findobj(Text) if title(ax) and text.get_text() == title(ax)]
    boxes = [text.get_window_extent() for text in named]
    assert len(boxes) == sum(bool(title(ax)) for ax in fig.axes)
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
