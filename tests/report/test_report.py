"""The report: structure, escaping, self-containment, honest marking of the best, and advice."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from vaekit import figures
from vaekit.errors import UserError
from vaekit.report import (
    Facts,
    Figure,
    Lines,
    Number,
    Rows,
    RunReport,
    Warning_,
    advise,
    compare,
    format_number,
    render,
)
from vaekit.report import advice as rules
from vaekit.report.content import difference
from vaekit.report.html import best

VOID = {"meta", "img", "br", "link"}
PNG = figures.png(figures.kl_per_dimension([1.0, 0.5]))
EVIL = '<script>alert("x")</script>&\''


class Page(HTMLParser):
    """Checks nesting and gathers tags, attributes and visible text."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(document)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if data.strip() and self.open and self.open[-1] != "style":
            self.texts.append((self.open[-1], data.strip()))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def text(self, tag=None):
        return [t for where, t in self.texts if tag in (None, where)]


def full(title="vae on digits", elbo=-98.0, beta=1.0, **other):
    values = {
        "recipe": "vae",
        "reference": "Kingma and Welling, 2013",
        "summary": "A VAE trained on digits.",
        "facts": {"data": "digits", "parameters": "1,234", "measure": "mass"},
        "headline": [
            Number("elbo", elbo, 0.2, unit="nats/example", n=1000, meaning="A lower bound.", higher_is_better=True),
            Number("exact", None, note="refused: not linear"),
        ],
        "tables": [("Reconstruction", [Number("mse", 0.0123, interval=(0.0113, 0.0133), unit="a pixel")])],
        "warnings": [Warning_("The posterior has collapsed", "KL is 0.", ("free bits",))],
        "figures": [Figure(PNG, "KL per dimension", "Sorted.")],
        "command": "vaekit train vae --data digits",
        "environment": {"torch": "2.13"},
        "settings": {"objective": {"beta": beta}, "seed": 0},
    }
    return RunReport(title, **(values | other))


def test_a_report_says_everything_it_was_given():
    page = Page(render(full()))
    said = " | ".join(page.text())
    for part in (
        "vae on digits",
        "Kingma and Welling, 2013",
        "A VAE trained on digits.",
        "1,234",
        "−98.00 ± 0.20",
        "nats/example, n = 1,000",
        "A lower bound.",
        "not reported",
        "refused: not linear",
        "0.0123 [0.0113, 0.0133]",
        "The posterior has collapsed",
        "free bits",
        "Sorted.",
        "vaekit train vae --data digits",
        "2.13",
        "objective.beta",
    ):
        assert part in said.replace("0.0123 | [", "0.0123 ["), part


@pytest.mark.parametrize("document", [render(full()), compare([full(), full("other", -90.0, 2.0)])])
def test_pages_are_self_contained_and_well_formed(document):
    page = Page(document)
    assert document.startswith("<!DOCTYPE html>")
    assert page.all("html")[0]["lang"] == "en"
    assert not {"script", "link", "iframe", "object", "form"} & {t for t, _ in page.tags}
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"base64,[A-Za-z0-9+/=]+", "", document))
    assert not [k for _, attrs in page.tags for k in attrs if k.startswith("on")]
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    levels = [int(t[1]) for t, _ in page.tags if re.fullmatch(r"h[1-6]", t)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels)), "no heading level is skipped"
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"] for a in page.all("a")]
    assert links and {link.removeprefix("#") for link in links} <= set(ids)
    for attrs in page.all("img"):
        assert attrs["alt"]
        head, data = attrs["src"].split(",", 1)
        assert head == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
            image.load()
            assert int(attrs["width"]) == round(image.width / 1.5)
    for rule in ("prefers-color-scheme:dark", "@media print", "max-width:600px"):
        assert rule in document


def test_all_text_is_escaped_wherever_it_comes_in():
    evil = RunReport(
        EVIL, EVIL, EVIL, EVIL, {EVIL: EVIL}, [Number(EVIL, 1.5, unit=EVIL, meaning=EVIL, note=EVIL)],
        [(EVIL, [Number(EVIL, None, unit=EVIL, meaning=EVIL, note=EVIL)])], [Warning_(EVIL, EVIL, (EVIL,))],
        [Figure(PNG, EVIL, EVIL)], EVIL, {EVIL: EVIL}, {EVIL: {EVIL: EVIL}}, [Lines([EVIL], EVIL, EVIL)],
    )  # fmt: skip
    for document in (render(evil), compare([evil, evil]), compare([evil, full()])):
        assert "<script" not in document and '"x"' not in document
        page = Page(document)
        assert not page.all("script")
        assert any(EVIL in t for t in page.text("h1")) or any(EVIL in t for t in page.text("th"))
    assert Page(render(evil)).all("img")[0]["alt"] == EVIL


def test_examples_that_are_read_stand_one_a_line():
    page = Page(render(full(lines=[Lines(["to be", "or not"], "Samples", "drawn from the prior")])))
    assert "to be\nor not" in page.text("pre")
    assert "Samples" in page.text("h3")


def test_rows_of_a_table_stand_by_column_and_changed_cells_are_marked():
    rows = [["39", "?", EVIL], ["42", "Hull", EVIL]]
    document = render(full(lines=[Rows(["age", "town", EVIL], rows, "Reconstructions", paired=True)]))
    page = Page(document)
    assert {"age", "town", "data", "model"} <= set(page.text("th")) and "<script" not in document
    assert [a.get("class", "") for a in page.all("td")].count("other") == 2
    plain = Page(render(full(lines=[Rows(["age", "town", "x"], rows, "Samples")])))
    assert "other" not in [a.get("class", "") for a in plain.all("td")]


def test_numbers_that_there_are_none_of_stand_below_by_reason():
    none = [Number(name, None, note="too few examples", meaning="a long story") for name in ("holes", "fid")]
    page = Page(render(full(tables=[("Samples", [Number("mse", 0.5), *none])])))
    assert "holes, fid: too few examples" in page.text("li")
    assert not {"holes", "fid"} & set(page.text("th")) and "a long story" not in " ".join(page.text())


def test_charts_keep_their_letters_on_a_phone_and_pictures_shrink():
    page = Page(render(full(figures=[Figure(PNG, "KL"), Figure(PNG, "Samples", chart=False)])))
    assert [a.get("class", "") for a in page.all("figure")] == ["chart wide", ""]


def test_a_comparison_keeps_pictures_pictures_whose_colours_no_dark_page_turns():
    page = compare([full(figures=[Figure(PNG, "KL"), Figure(PNG, "Samples", chart=False)], title=t) for t in "ab"])
    assert page.count('<figure class="chart') == 2 and page.count("<figure>") == 2


def test_an_arrow_never_stands_on_a_line_of_its_own():
    number = Number("elbo", -98.0, 0.2, higher_is_better=True)
    page = render(full(headline=[number], tables=[("Likelihood", [number])]))
    assert page.count("elbo\N{NO-BREAK SPACE}↑") == 2 and "elbo ↑" not in page


def test_an_empty_report_still_renders():
    assert Page(render(RunReport("bare"))).text("h1") == ["bare"]


def test_figures_that_are_missing_or_no_png_are_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.png"):
        render(full(figures=[Figure(tmp_path / "gone.png", "x")]))
    with pytest.raises(UserError, match="not a PNG"):
        render(full(figures=[Figure(b"<svg onload=alert(1)>", "x")]))


def test_figures_may_be_files(tmp_path):
    path = figures.save(figures.kl_per_dimension([1.0]), tmp_path / "kl.png")
    assert base64.b64encode(path.read_bytes()).decode() in render(full(figures=[Figure(path, "KL")]))


# ---------------------------------------------------------------- comparison


def test_a_comparison_has_a_column_a_run_and_only_the_settings_that_differ():
    page = Page(compare([full("a", -98.0, 1.0), full("b", -95.0, 4.0)]))
    heads = page.text("th")
    assert "objective.beta" in heads and "seed" not in heads
    assert {"1.0", "4.0"} <= set(page.text("td"))
    assert len(page.all("img")) == 2
    assert [t for t in page.text("h3") if t == "KL per dimension"] == ["KL per dimension"]
    (marked,) = [t for where, t in page.texts if where == "span" and "±" in t]
    assert marked == "−95.00 ± 0.20"


def test_runs_of_one_name_are_told_apart_and_missing_figures_are_said():
    page = Page(compare([full(), full(figures=[])]))
    assert {"vae on digits (run 1)", "vae on digits (run 2)"} <= set(page.text("th"))
    assert "vae on digits (run 2) has no such figure." in page.text("p")


def elbo(value, error=None, higher: bool | None = True, **more):
    return Number("elbo", value, error, higher_is_better=higher, **more)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([elbo(-98, 0.2), elbo(-95, 0.2)], 1),
        ([elbo(-98, 0.2, False), elbo(-95, 0.2, False)], 0),
        ([elbo(-98.0, 1.0), elbo(-95.2, 1.0)], None),  # 2.8 < 2·√2
        ([elbo(-98.0, 1.0), elbo(-95.1, 1.0)], 1),  # 2.9 > 2·√2
        ([elbo(-98, 0.1), elbo(-90, 0.1), elbo(-90.05, 0.1)], None),
        ([elbo(-98, 0.1), elbo(-90)], None),
        ([elbo(1, 0.0), elbo(2, 0.0)], 1),
        ([elbo(-98, 0.1, None), elbo(-90, 0.1, None)], None),
        ([elbo(-98, 0.1), elbo(None), None], None),
        ([elbo(-98, 0.1), elbo(None), elbo(-97, 0.1)], 2),
        ([elbo(-98, 0.1), elbo(float("nan"), 0.1)], None),
        ([elbo(1.0, interval=(0.9, 1.1)), elbo(1.1, interval=(1.0, 1.2))], None),
        ([elbo(1.0, interval=(0.9, 1.1)), elbo(1.5, interval=(1.4, 1.6))], 1),
    ],
)
def test_the_best_is_marked_only_beyond_two_standard_errors(row, expected):
    assert best(row) == expected


@pytest.mark.parametrize("aspect", ["examples", "quantity", "measure", "values", "k"])
def test_numbers_of_different_things_are_not_ranked_and_the_page_says_in_what_they_differ(aspect):
    of = {"examples": "a", "quantity": "log p(x)", "measure": "mass", "values": "binary", "k": "50"}
    same, other = elbo(-98.0, 0.1, of=of), elbo(-9.0, 0.1, of=of | {aspect: "another"})
    assert best([same, other]) is None and difference(same, other) is None
    assert best([same, elbo(-9.0, 0.1, of=of)]) == 1
    document = compare([RunReport("a", headline=[same]), RunReport("b", headline=[other])])
    assert 'class="best"' not in document
    assert f"elbo: {aspect}: {of[aspect]} (a), another (b)" in document


def test_differences_over_the_same_examples_are_paired():
    noise = [3.0, -2.0, 0.5, -1.5, 4.0, 1.0]
    of = {"examples": "a"}
    a = elbo(sum(noise) / 6 + 0.2, 2.0, of=of, values=[x + 0.2 + 0.01 * x for x in noise])
    b = elbo(sum(noise) / 6, 2.0, of=of, values=noise)
    apart = difference(a, b)
    assert apart is not None and apart.paired and apart.stderr is not None and apart.stderr < 0.02
    assert best([a, b]) == 0  # where errors of 2 nats each would not tell them apart
    unpaired = difference(a, replace(b, values=None))
    assert unpaired is not None and not unpaired.paired and unpaired.stderr == pytest.approx(8**0.5)
    assert "against the first run, paired" in compare([RunReport("a", headline=[b]), RunReport("b", headline=[a])])


def test_one_run_is_no_comparison():
    with pytest.raises(UserError, match="two runs"):
        compare([full()])


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((-98.13571, 0.21388), "−98.14 ± 0.21"),
        ((-98.13571, 12.3), "−98 ± 12"),
        ((123456.7, 1234.0), "123,457 ± 1,234"),
        ((0.00001234, 0.0000012), "1.23e-05 ± 1.2e-06"),
        ((0.5, 0.0), "0.5000"),
        ((0.5, float("nan")), "0.5000"),
        ((3.0, None), "3"),
        ((12345.678, None), "12,346"),
        ((1.23456e-7, None), "1.235e-07"),
        ((-0.0, 0.5), "0.00 ± 0.50"),
        ((float("-inf"), None), "−∞"),
        ((float("nan"), None), "–"),
        ((-1.0, None, (-2.0, -0.5)), "−1.00 [−2.00, −0.50]"),
        ((1.0, None, (1.0, 1.0)), "1.0000 [1.0000, 1.0000]"),
    ],
)
def test_numbers_have_the_digits_that_their_error_supports(args, expected):
    assert format_number(*args) == expected


def test_the_error_is_always_shown_with_two_digits_and_equal_decimals():
    rng = np.random.default_rng(0)
    for _ in range(300):
        error = 10 ** rng.uniform(-4, 1.9)
        value, _, shown = format_number(rng.normal() * 100, error).partition(" ± ")
        assert len(value.partition(".")[2]) == len(shown.partition(".")[2])
        assert float(shown) == pytest.approx(error, rel=0.06)


# ---------------------------------------------------------------- advice


def titles(**facts):
    return [w.title for w in advise(Facts(**facts))]


def test_a_sound_run_has_no_warnings():
    history = [{"step": i, "valid.elbo": -100.0 + i} for i in range(10)]
    sound = {"kl": {"z": 3.5}, "active": 3, "units": 3, "train_bound": -90.0, "valid_bound": -92.0, "history": history}
    assert titles(**sound, likelihood="bernoulli", measure="mass", data_values="binary") == []
    assert titles() == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"kl": {"z": 0.01}, "collapsed": ["z"]}, "The posterior has collapsed"),
        ({"kl": {"z1": 0.0, "z2": 0.01}, "collapsed": ["z1", "z2"]}, "The posterior has collapsed"),
        ({"kl": {"z1": 4.0, "z2": 0.0}, "collapsed": ["z2"]}, "Some latents have collapsed"),
        ({"kl": {"z": 3.0}, "active": 1, "units": 10}, "1 of 10 latent dimensions are active"),
        ({"train_bound": -80.0, "valid_bound": -95.0}, "The model fits its training data better than new data"),
        ({"skipped": 1}, "1 training step was skipped"),
        ({"likelihood": "bernoulli-soft"}, "bernoulli-soft is not a likelihood"),
        ({"likelihood": "bernoulli", "data_values": "grey"}, "bernoulli is not a likelihood of these data"),
        ({"refused": "q is a point mass"}, "The model does not bound log p(x)"),
        (
            {"likelihood": "gaussian", "measure": "density", "data_values": "quantised"},
            "A density is fitted to quantised data",
        ),
        (
            {"likelihood": "gaussian", "measure": "density", "data_values": "grey", "fixed_scale": True},
            "The scale of gaussian is fixed",
        ),
    ],
)
def test_each_fault_is_warned_of_with_a_remedy(facts, expected):
    (warning,) = advise(Facts(**facts))
    assert warning.title == expected
    assert warning.detail and warning.remedies and all(warning.remedies)


@pytest.mark.parametrize(
    "facts",
    [
        {"train_bound": -90.0, "valid_bound": -94.0},
        {"train_bound": -80.0, "valid_bound": -95.0, "valid_stderr": 9.0},
        {"train_bound": -95.0, "valid_bound": -80.0},
        {"train_bound": 0.3, "valid_bound": 0.1},
        {"train_bound": float("nan"), "valid_bound": 0.1},
        {"likelihood": "gaussian", "measure": "density", "data_values": "quantised", "dequantised": True},
    ],
)
def test_no_false_alarm(facts):
    assert titles(**facts) == []


def test_a_falling_held_out_elbo_is_noticed_and_noise_is_not():
    def falling(key, values):
        return rules.falling(Facts(history=[{"epoch": i, key: v} for i, v in enumerate(values)]))

    fall = [-99.0, -90.0, -92.0, -93.0, -94.0]
    warning = falling("valid.elbo", fall)
    assert warning is not None and "at epoch 1" in warning.detail
    assert falling("valid.elbo", fall[:3]) is None
    assert falling("valid.elbo", [-90 + 0.1 * (-1) ** i for i in range(20)]) is None
    assert falling("valid.elbo", [None] * 20) is None
