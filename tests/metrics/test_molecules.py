"""Molecules' metrics: against rdkit's own similarities, the jackknife by hand, and lists whose answer is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vaekit.data.molecules.modality import Molecules, MoleculeSettings
from vaekit.metrics.base import Subject, evaluate
from vaekit.metrics.molecules import internal_diversity, mean_similarities, novelty, uniqueness, validity
from vaekit.models.base import Model

pytest.importorskip("rdkit")
pytest.importorskip("selfies")

VALID = ["CCO", "c1ccccc1", "CC(=O)O", "CCN", "CCO", "ClCBr", "CC(C)C", "C1CC1"]


def test_internal_diversity_is_rdkits_mean_over_all_pairs() -> None:
    from rdkit import Chem, DataStructs
    from rdkit.Chem import rdFingerprintGenerator

    maker = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    prints = [maker.GetFingerprint(Chem.MolFromSmiles(text)) for text in VALID]
    mean = np.mean([DataStructs.BulkTanimotoSimilarity(one, prints) for one in prints])
    found = internal_diversity(VALID)
    assert found.value == pytest.approx(1 - mean, abs=1e-7) and found.n == len(VALID)


def test_its_standard_error_is_that_of_repeated_samples() -> None:
    rng = np.random.default_rng(0)
    pool = ["C" * n + end for n in range(1, 12) for end in ("", "O", "N", "Cl", "c1ccccc1", "C1CC1")]
    found = [internal_diversity([pool[i] for i in rng.integers(0, len(pool), 60)]) for _ in range(200)]
    spread = np.std([one.value or 0.0 for one in found])
    stated = np.mean([one.stderr or 0.0 for one in found])
    assert 0.8 < stated / spread < 1.25


def test_blocks_change_nothing() -> None:
    bits = np.random.default_rng(0).random((23, 40)) < 0.1
    np.testing.assert_allclose(mean_similarities(bits, 5), mean_similarities(bits), rtol=1e-6)


def test_uniqueness_and_its_jackknife() -> None:
    values = ["a", "b", "a", "c", "d", "d", "d", "e"]
    n = len(values)
    found = uniqueness(values, 10)
    left = [len(set(values[:i] + values[i + 1 :])) / (n - 1) for i in range(n)]
    by_hand = np.sqrt((n - 1) / n * np.sum((np.array(left) - np.mean(left)) ** 2))
    assert found.value == 5 / 8 and found.stderr == pytest.approx(by_hand)
    assert uniqueness(values, 2).value == 1.0 and uniqueness(values, 2).n == 2
    assert uniqueness(["a"], 5).value is None


def test_novelty_counts_each_molecule_once() -> None:
    assert novelty(["a", "a", "a", "b"], {"a"}).value == 0.5
    assert novelty([], {"a"}).value is None
    assert novelty(["a", "b"], set()).value == 1.0


def test_shares_have_their_binomial_error() -> None:
    for found, p, n in ((validity(["C", "CC", "x(", "CO"]), 0.75, 4), (novelty(["C", "CC", "CO"], {"C"}), 2 / 3, 3)):
        assert found.value == pytest.approx(p) and found.stderr == pytest.approx(math.sqrt(p * (1 - p) / n))


def test_validity_refuses_what_rdkit_does() -> None:
    found = validity(["CCO", "", "C1CC", "c1cccc1", "[Na+].[Cl-]", "C(C)(C)(C)(C)C"])
    assert found.value == pytest.approx(2 / 6) and found.interval is not None


class Fixed(Model):
    """Samples given rows, reconstructs the rows before, and predicts the number of tokens."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows, self.at = rows, 0

    def sample(self, n: int, y: Tensor | None = None, temperature: float = 1.0, draw: bool = False) -> Tensor:
        self.at += n
        return self.rows[self.at - n : self.at]

    def reconstruct(self, x: Any, y: Tensor | None = None, sample: bool = False) -> Tensor:
        return torch.cat([x[:1], x[:-1]])

    def posterior_mean(self, x: Any, y: Tensor | None = None) -> Tensor:
        return (x >= 4).sum(1, keepdim=True).float()

    def predict(self, z: Tensor) -> Tensor:
        return z - 3


def subject(**settings: Any) -> tuple[Subject, Any]:
    texts = ["CCO", "CCN", "CC", "CCCl", "CCCO", "CCBr", "C1CC1", "COC"]
    data = Molecules().load(texts, MoleculeSettings(test=4, valid=0, **settings))
    samples = torch.cat([data.train.x, data.train.x[:1], data.test.x[:1], data.test.x[:0]])
    made = Subject(
        Fixed(samples), data.info, data.test.x, None, batch_size=4, train=lambda: (data.train.x, None),
        options={"samples": len(samples)},
    )  # fmt: skip
    return made, data


def test_samples_of_a_model_are_compared_with_its_training_molecules() -> None:
    made, _ = subject(seed=11)
    found = evaluate(made, ["molecules", "molecule_reconstruction"])
    assert found["validity"].value == 1.0 and found["unique_1k"].value == 5 / 6
    assert found["novelty"].value == pytest.approx(1 / 5)
    assert found["same_molecule"].value == 1 / 4 and found["same_molecule"].n == 4


def test_the_property_is_judged_by_its_true_value() -> None:
    from rdkit import Chem
    from rdkit.Chem import Crippen
    from sklearn.metrics import mean_absolute_error, r2_score

    made, data = subject(property="logp", seed=3)
    fact = data.info.facts["property"]
    found = evaluate(made, ["property"])
    whole = ~(data.test.x == 3).any(1)
    smiles = [text for text, ok in zip(Molecules().lines(data.test.x, data.info), whole) if ok]
    truth = [Crippen.MolLogP(Chem.MolFromSmiles(text)) for text in smiles]  # pyright: ignore[reportAttributeAccessIssue]
    guess = ((data.test.x >= 4).sum(1)[whole].numpy() - 3) * fact["sd"] + fact["mean"]
    assert found["property_error"].value == pytest.approx(mean_absolute_error(truth, guess), rel=1e-5)
    assert found["property_r2"].value == pytest.approx(r2_score(truth, guess), rel=1e-5)


def test_without_a_property_there_is_nothing_to_judge() -> None:
    made, _ = subject(seed=11)
    found = evaluate(made, ["property"])
    assert found["property_r2"].value is None and "data.property" in found["property_r2"].facts["refused"]
    assert "property_r2" not in evaluate(made, ["reconstruction"])
