"""Disentanglement metrics on codes whose scores are known: ideal, random, merged, duplicated, permuted, empty."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import GradientBoostingClassifier

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.metrics import factor_scores as scores
from vaekit.metrics import interventions
from vaekit.metrics.base import Subject, evaluate
from vaekit.metrics.disentanglement import accuracy_of
from vaekit.models.base import Model
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal

N, F = 2000, 4
SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "beta": lambda c, f: float(interventions.beta_vae_score(c, f, batch=32, train=200, test=200).mean()),
    "factor": lambda c, f: float(interventions.factor_vae_score(c, f, train=500, test=300).mean()),
    "mig": lambda c, f: float(scores.mig(c, f).mean()),
    "sap": lambda c, f: float(scores.sap(c, f).mean()),
    "dci_d": lambda c, f: scores.dci(c, f, trees=10).disentanglement,
    "dci_c": lambda c, f: scores.dci(c, f, trees=10).completeness,
    "dci_i": lambda c, f: scores.dci(c, f, trees=10).informativeness,
    "modularity": lambda c, f: scores.modularity(scores.information(c, f)),
    "explicitness": lambda c, f: float(scores.explicitness(c, f).mean()),
    "irs": lambda c, f: interventions.irs(c, f)[0],
}


def made(n: int = N, values: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, values, (n, F))


def noise(n: int = N, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, F))


@pytest.mark.parametrize("name", [name for name in SCORES if name != "explicitness"])
def test_the_factors_themselves_score_1(name: str) -> None:
    factors = made()
    assert 0.95 <= SCORES[name](factors.astype(float), factors) <= 1 + 1e-9


def test_explicitness_is_1_where_each_value_has_its_own_direction() -> None:
    factors = made()
    one_hot = np.concatenate([np.eye(5)[factors[:, j]] for j in range(F)], 1)
    assert SCORES["explicitness"](one_hot, factors) > 0.99
    assert SCORES["explicitness"](made(values=2).astype(float), made(values=2)) > 0.99


@pytest.mark.parametrize("name", [name for name in SCORES if name not in ("modularity",)])
def test_codes_that_know_nothing_score_near_0(name: str) -> None:
    """0, or chance where the score is an accuracy. Modularity is not defined by its authors where nothing is known."""
    chance = {"beta": 1 / F, "factor": 1 / F, "dci_i": 1 / 5}.get(name, 0.0)
    # the accuracies are of few batches, and a forest on noise still ranks it
    slack = 0.15 if name in ("beta", "factor") else 0.1
    assert abs(SCORES[name](noise(), made()) - chance) < slack


@pytest.mark.parametrize("name", list(SCORES))
def test_order_and_sign_and_scale_of_latents_do_not_matter(name: str) -> None:
    factors = made(1000)
    mixed = factors + 0.7 * noise(1000) + 0.4 * np.roll(factors, 1, axis=1)
    turned = -3.0 * mixed[:, [2, 0, 3, 1]] + 7.0
    a, b = SCORES[name](mixed, factors), SCORES[name](turned, factors)
    # forests break ties by order, and bins' edges close on the other side
    assert a == pytest.approx(b, abs=0.03 if name.startswith("dci") else 0.02)


def test_explicitness_by_factor_is_the_mean_of_the_halves_and_the_number_their_mean() -> None:
    factors = made(400)
    codes = factors + noise(400) * np.array([0.1, 0.6, 1.2, 3.0])
    info = DataInfo("toy", (F,), "real", None, 1, 1, 400, factor_names=tuple("abcd"), factor_sizes=(5,) * F)
    subject = Subject(_Codes(), info, torch.from_numpy(codes).float(), factors=torch.from_numpy(factors))
    found = evaluate(subject, ["explicitness"])["explicitness"]
    each = [found.facts["by_factor"][name] for name in "abcd"]
    halves = [scores.explicitness(codes.astype(np.float32), factors, swap=swap) for swap in (False, True)]
    assert each == pytest.approx(list((halves[0] + halves[1]) / 2), abs=1e-6)
    assert found.value == pytest.approx(np.mean(each)) and found.facts["auc"] == pytest.approx((np.mean(each) + 1) / 2)
    assert each[0] > 0.95 > each[1] > each[2] > each[3]


class _Codes(Model):
    """A model whose codes are the examples."""

    def posterior_mean(self, x: Any, y: Any = None) -> torch.Tensor:
        return x


def test_literature_values_of_importances() -> None:
    """One code for two of ten factors: its disentanglement is 1 - ln 2 / ln 10; two codes for one: completeness so."""
    value = 1 - math.log(2) / math.log(10)
    one = np.zeros((1, 10))
    one[0, :2] = 0.5
    assert scores.disentanglement_of(one) == pytest.approx(value)
    assert scores.completeness_of(one.T) == pytest.approx(value)
    merged = np.eye(10)[1:]
    merged[0, 0] = 1.0  # nine codes, the first for two factors: two of ten parts of the importance
    assert scores.disentanglement_of(merged) == pytest.approx((2 * value + 8) / 10)
    assert scores.completeness_of(merged) == pytest.approx(1)
    assert scores.disentanglement_of(np.eye(3)) == scores.completeness_of(np.eye(3)) == 1
    assert scores.disentanglement_of(np.ones((4, 5))) == pytest.approx(0, abs=1e-12)
    assert scores.disentanglement_of(np.zeros((2, 2))) == 0


def test_boosted_dci_is_the_formula_of_disentanglement_lib_on_the_same_trees() -> None:
    """Importances (D, F) of scikit-learn's boosted trees on a half; entropies over codes and factors by hand."""
    factors = made(240)[:, :3]
    codes = factors + 0.4 * np.random.default_rng(3).normal(size=(240, 3)) + 0.5 * np.roll(factors, 1, axis=1)
    found = scores.dci(codes, factors, trees=4, boosted=True)
    order = np.random.default_rng(0).permutation(240)
    train, test = order[:120], order[120:]
    trees = [GradientBoostingClassifier(n_estimators=4, random_state=0).fit(codes[train], f[train]) for f in factors.T]
    table = np.abs(np.stack([tree.feature_importances_ for tree in trees], 1))
    by_code, by_factor = ((table + 1e-11) / table.sum(axis, keepdims=True) for axis in (1, 0))
    of_code, of_factor = (1 + (p * np.log(p)).sum(i) / np.log(3) for p, i in ((by_code, 1), (by_factor, 0)))
    assert found.disentanglement == pytest.approx(of_code @ table.sum(1) / table.sum(), abs=1e-6)
    assert found.completeness == pytest.approx(of_factor @ table.sum(0) / table.sum(), abs=1e-6)
    right = [tree.score(codes[test], f[test]) for tree, f in zip(trees, factors.T)]
    assert found.informativeness == pytest.approx(np.mean(right))
    assert found.disentanglement > scores.dci(codes, factors).disentanglement + 0.02  # why both are offered


def test_slow_trees_are_boosted_only_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = made(80)[:, :2]
    info = DataInfo("toy", (2,), "real", None, 0, 0, 80, factor_names=("a", "b"), factor_sizes=(5, 5))
    model = VAE(DiagonalNormal(mlp(2, 2)), StandardNormal(2), Gaussian(mlp(2, 2))).eval()
    monkeypatch.setattr(model, "features", lambda x, y=None: x)
    tensor = torch.from_numpy(factors)
    subject = Subject(model, info, tensor.float(), factors=tensor, options={"dci_trees": 2})
    assert "dci_disentanglement_boosted" not in evaluate(subject, ["disentanglement"])
    found = evaluate(subject, ["dci_boosted"])
    assert set(found) == {f"dci_{name}_boosted" for name in ("disentanglement", "completeness", "informativeness")}
    for result in found.values():
        assert result.facts["definition"].startswith("gradient-boosted trees") and result.stderr is not None
    asked: list[dict[str, Any]] = []
    real = scores.dci
    monkeypatch.setattr(scores, "dci", lambda c, f, **how: asked.append(how) or real(c, f, trees=1))
    evaluate(Subject(model, info, tensor.float(), factors=tensor), ["dci_boosted"])
    published = GradientBoostingClassifier().n_estimators  # disentanglement_lib takes scikit-learn's default
    assert asked and all(how["trees"] == published and how["boosted"] for how in asked)


def test_an_empty_code_leaves_dci_1_but_modularity_two_thirds() -> None:
    table = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert scores.disentanglement_of(table) == 1
    assert scores.modularity(table) == pytest.approx(2 / 3)
    assert scores.modularity(np.array([[1.0], [0.0], [2.0]])) == pytest.approx(2 / 3)  # one factor: who knows of it
    factors = made()[:, :2]
    empty = np.concatenate([factors.astype(float), np.zeros((N, 1))], 1)
    assert scores.dci(empty, factors, trees=5).disentanglement > 0.99
    assert scores.modularity(scores.information(empty, factors)) == pytest.approx(2 / 3, abs=0.01)
    assert SCORES["factor"](empty, factors) > 0.99


def test_where_the_tested_half_has_one_value_there_is_no_explicitness(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = np.repeat([0, 1, 0], 10)[:, None]
    monkeypatch.setattr(scores, "_halves", lambda n, seed, swap: (np.arange(20), np.arange(20, 30)))
    assert np.isnan(scores.explicitness(factors + 0.1 * np.arange(30)[:, None], factors)).all()


def test_duplicated_codes() -> None:
    """[x, x]: no gap between the best two codes, yet each code stands for one factor."""
    factors = made()
    twice = np.concatenate([factors, factors], 1).astype(float)
    assert SCORES["mig"](twice, factors) == pytest.approx(0, abs=1e-9)
    assert SCORES["sap"](twice, factors) == pytest.approx(0, abs=1e-9)
    assert SCORES["dci_d"](twice, factors) >= 0.9
    assert SCORES["modularity"](twice, factors) >= 0.9
    assert SCORES["beta"](twice, factors) >= 0.95 and SCORES["factor"](twice, factors) >= 0.95
    # shared evenly between two of eight codes, at best: 1 - ln 2 / ln 8
    assert scores.completeness_of(np.concatenate([np.eye(4), np.eye(4)])) == pytest.approx(
        1 - math.log(2) / math.log(8)
    )


def test_merged_codes() -> None:
    """One code for two factors: neither is told by what varies least, and modularity is less than 1."""
    factors = made()
    merged = np.stack([factors[:, 0] * 5 + factors[:, 1], factors[:, 2], factors[:, 3]], 1).astype(float)
    table = scores.information(merged, factors, bins=25)
    assert table[0, 0] == pytest.approx(math.log(5), abs=0.02) and table[0, 1] == pytest.approx(math.log(5), abs=0.02)
    # I² is the same for both: 1 - 1/(F - 1) for that code, 1 for the others
    assert scores.modularity(table) == pytest.approx((1 - 1 / (F - 1) + 2) / 3, abs=0.01)
    assert SCORES["factor"](merged, factors) < 0.9
    assert SCORES["dci_d"](merged, factors) < 0.95


def test_a_rotated_code_is_informative_but_not_disentangled() -> None:
    factors = made()
    rotation, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(F, F)))
    turned = (factors - 2.0) @ rotation
    assert SCORES["mig"](turned, factors) < 0.2 and SCORES["sap"](turned, factors) < 0.4
    assert SCORES["dci_d"](turned, factors) < 0.5 and SCORES["dci_i"](turned, factors) > 0.5
    assert SCORES["irs"](turned, factors) < 0.6


def test_mutual_information_by_hand() -> None:
    a, b, rare = (np.array([column]).T for column in ([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]))
    assert scores.information(a, a) == pytest.approx(math.log(2))
    assert scores.information(a, b) == 0
    assert scores.information(rare, rare) == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))


def test_mig_of_a_noisy_code_is_its_information() -> None:
    """A binary code that agrees with a fair bit nine times in ten knows ln 2 - H(0.9) of it; the gap is its share."""
    generator = np.random.default_rng(0)
    bit = generator.integers(0, 2, (40_000, 1))
    code = np.where(generator.random((40_000, 1)) < 0.9, bit, 1 - bit).astype(float)
    other = generator.normal(size=(40_000, 1))
    known = math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)
    found = scores.mig(np.concatenate([other, code], 1), bit)
    assert found[0] == pytest.approx(known / math.log(2), abs=0.01)


def test_sap_of_ordered_and_categorical_factors() -> None:
    generator = np.random.default_rng(0)
    factors = generator.integers(0, 3, (3000, 2))
    code = np.stack([factors[:, 0] + generator.normal(size=3000), factors[:, 1] * 1.0], 1)
    # r² of a factor of variance 2/3 with unit noise: (2/3) / (5/3)
    assert scores.sap(code, factors)[0] == pytest.approx(0.4, abs=0.05)
    apart = np.where(factors[:, :1] == 2, 1.0, 0.0) + 0 * code
    kinds = scores.sap(np.concatenate([apart[:, :1], generator.normal(size=(3000, 1))], 1), factors, [True, True])
    assert kinds[0] > 0.25 and abs(kinds[1]) < 0.1


def test_values_that_are_rare_are_left_out_of_robustness() -> None:
    factors = np.concatenate([made(200), [[9, 9, 9, 9]]])
    value, table = interventions.irs(factors.astype(float), factors)
    assert value > 0.9 and table.shape == (4, 4)
    with pytest.raises(UserError, match="use more examples"):
        interventions.irs(np.arange(8.0)[:, None], np.arange(8)[:, None])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="same N"):
        scores.mig(np.zeros((3, 2)), np.zeros((4, 2), int))
    with pytest.raises(UserError, match="not finite"):
        scores.mig(np.full((4, 2), np.nan), made(4))
    with pytest.raises(UserError, match="more than one value"):
        scores.mig(np.zeros((4, 2)), np.zeros((4, 2), int))


def test_factors_that_do_not_vary_are_left_out() -> None:
    factors = made()
    still = np.concatenate([factors, np.full((N, 1), 3)], 1)
    assert scores.mig(factors.astype(float), still).shape == (F,)


def test_the_metrics_of_a_model_that_knows_its_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every registered one, on a model whose posterior means are the factors; each with an error and its n."""
    factors = torch.from_numpy(made(1000))
    info = DataInfo("toy", (F,), "real", None, 0, 0, 1000, factor_names=("shape", "a", "b", "c"), factor_sizes=(5,) * 4)
    model = VAE(DiagonalNormal(mlp(F, F)), StandardNormal(F), Gaussian(mlp(F, F))).eval()
    monkeypatch.setattr(model, "features", lambda x, y=None: x)
    subject = Subject(model, info, factors.float(), factors=factors)
    found = evaluate(subject, ["disentanglement"])
    assert set(found) >= {
        "mig",
        "sap",
        "dci_disentanglement",
        "modularity",
        "irs",
        "beta_vae_score",
        "factor_vae_score",
    }
    for name, result in found.items():
        assert result.value is not None, name
        assert name == "irs_max" or result.stderr is not None or result.interval is not None, name
        if name not in ("explicitness", "sap", "sap_categorical"):
            assert result.value > 0.95, name
    assert set(found["mig"].facts["by_factor"]) == {"shape", "a", "b", "c"}
    with pytest.raises(UserError, match="no known factors"):
        evaluate(Subject(model, info, factors.float()), ["mig"])
    assert "mig" not in evaluate(Subject(model, info, factors.float()), ["disentanglement"])


def test_an_accuracy_over_drawn_batches_has_their_binomial_error_at_least() -> None:
    """A score that does not depend on the examples leaves what its finite number of batches makes uncertain."""
    right = np.arange(100) < 80
    factors = np.random.default_rng(0).integers(0, 3, (200, 2))
    found = accuracy_of(lambda c, f: right, np.zeros((200, 2)), factors)
    assert found.value == 0.8 and found.facts["batches"] == 100 and found.facts["chance"] == 0.5
    assert found.stderr == pytest.approx(math.sqrt(0.8 * 0.2 / 100))
