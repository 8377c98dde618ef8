"""The verdict's words: which numbers make a model good, poor or failed."""

from __future__ import annotations

from typing import Any

import pytest

from vaekit.report import Evidence, Facts, RunReport, advise, judge, render

HEALTHY: dict[str, Any] = {"one": "an image", "bound": -22.2, "baseline": -27.1, "baseline_of": "independent pixels"}
HEALTHY |= {"apart_stderr": 0.2, "active": 13, "units": 20}


@pytest.mark.parametrize(
    ("changed", "tone", "title", "says"),
    [
        ({}, "good", "It works", "in 22.2 nats; without latents, independent pixels take 27.1"),
        ({}, "good", "It works", "13 of 20 latent dimensions are used"),
        ({"bound": -66.8}, "failed", "This model has failed", "take 27.1: 39.7 fewer"),
        ({"bound": -27.0, "apart_stderr": 0.01}, "poor", "hardly beats", "next to nothing"),
        ({"bound": -66.8, "over_fitted": True}, "failed", "This model has failed", "training data by heart"),
        ({"bound": -22.26, "baseline": -27.14, "apart_stderr": 9.0}, "poor", "not shown", "4.8 nats, ± 9.0"),
        ({"active": 1}, "good", "It works", "1 of 20 latent dimensions is used"),
        ({"baseline_of": "one probability"}, "good", "It works", "one probability takes 27.1"),
        ({"active": 108, "units": 128, "units_of": "codes"}, "good", "It works", "108 of 128 codes are used"),
        ({"bound": -27.1}, "failed", "This model has failed", "take 27.1: as much"),
        ({"bound": -27.0}, "poor", "not shown to beat", "0.1 nats, ± 0.2"),
        ({"collapsed": True}, "failed", "have collapsed", "latents are not used"),
        ({"bound": -66.8, "collapsed": True}, "failed", "This model has failed", "Its latents have collapsed"),
        ({"over_fitted": True}, "poor", "over-fits", "better than new data"),
        ({"density": True, "bound": 3.2, "baseline": 1.0}, "good", "It works", "costs it −3.2 nats"),
        ({"given": ", its label given"}, "good", "It works", "22.2 nats, its label given"),
        ({"told_apart": 0.93}, "good", "It works", "samples from real data 93% of the time"),
        ({"bound": None, "refused": "q is a point mass"}, "open", "Not judged", "q is a point mass"),
        ({"bound": None, "mse": 0.04, "mean_mse": 0.14}, "good", "reconstructs better", "error of 0.04; the"),
        ({"bound": None, "mse": 0.14, "mean_mse": 0.14}, "failed", "This model has failed", "average example"),
        ({"ranked": (0.925, 0.91)}, "good", "It finds links", "ranks the link higher 92.5% of the time"),
        ({"ranked": (0.51, 0.49)}, "failed", "This model has failed", "51.0%"),
        (
            {"ranked": (0.925, 0.91), "bound": -2955186.0, "baseline": -39874.0},
            "good",
            "links",
            "and are no frequencies",
        ),
    ],
)
def test_the_verdict_follows_from_the_numbers(changed: dict[str, Any], tone: str, title: str, says: str) -> None:
    verdict = judge(Evidence(**(HEALTHY | changed)))
    assert verdict.tone == tone and title in verdict.title and says in " ".join(verdict.sentences)


def test_nats_are_explained_and_ranks_need_no_such_words() -> None:
    assert "Fewer are better" in judge(Evidence(**HEALTHY)).note
    assert "below zero" in judge(Evidence(**HEALTHY, density=True)).note
    assert judge(Evidence(ranked=(0.9, 0.8))).note == ""


def test_the_verdict_comes_first_and_is_escaped() -> None:
    known: dict[str, Any] = HEALTHY | {"one": "a <b>"}
    page = render(RunReport("run", verdict=judge(Evidence(**known))))
    assert "a &lt;b&gt;" in page and "<b>" not in page
    assert page.index("It works") < page.index("</header>")


def test_only_changed_settings_are_shown() -> None:
    page = render(RunReport("run", "vae", settings={"model": {"latent": 3}}, changed={"train.epochs": "7"}))
    assert "train.epochs" in page and "latent" not in page and "vaekit show vae" in page


@pytest.mark.parametrize(
    ("losses", "warned"),
    [([60, 38, 45, 52, 59], True), ([60, 45, 39, 38.2, 38.3], False), ([60, 38, 45, 52, 38], False)],
)
def test_a_prior_of_codes_that_learns_by_heart_is_named(losses: list[float], warned: bool) -> None:
    history: list[dict[str, Any]] = [{"step": i, "stage": "codes", "valid.elbo": -139.0 + i} for i in range(5)]
    history += [{"step": i, "stage": "prior", "valid.loss": float(v)} for i, v in enumerate(losses)]
    found = advise(Facts(history=history, judged=-122.0, baseline=-107.0))
    if warned:
        (only,) = found
        assert "“prior”" in only.title and "(38 nats/example) and ended at 59" in only.detail
        assert "train.keep=best" in only.remedies[0]
    else:
        assert [one.title for one in found] == ["The model does not beat the baseline without latents"]
