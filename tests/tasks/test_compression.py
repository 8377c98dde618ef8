"""Bits back: exact round trips, sizes near the ELBO, masses that sum to one, and refusals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from vaekit import bounds
from vaekit.distributions.categorical import CategoricalFamily
from vaekit.distributions.discretised_logistic import DiscretisedLogisticFamily
from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
from vaekit.errors import UserError
from vaekit.likelihoods.bernoulli import Bernoulli, SoftBernoulli
from vaekit.likelihoods.categorical import Categorical
from vaekit.likelihoods.discretised_logistic import DiscretisedLogistic
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.delta import Delta
from vaekit.posteriors.normal import DiagonalNormal, FullNormal
from vaekit.priors.normal import StandardNormal
from vaekit.tasks.ans import WHOLE
from vaekit.tasks.compressed_file import HeaderRecord
from vaekit.tasks.compression import Codec, Damaged, Packed, compress, decompress, one_thread
from vaekit.tasks.quantised import LatentGrid, PixelCoder, logistic_cumulative, table_cumulative

SHAPE = (1, 4, 5)


def model_of(likelihood: str, levels: int = 2, latent: int = 3) -> VAE:
    torch.manual_seed(levels)
    encoder, decoder = mlp(SHAPE, latent, (16,)), mlp(latent, SHAPE, (16,))
    parts = {
        "bernoulli": lambda: Bernoulli(decoder),
        "logistic": lambda: DiscretisedLogistic(decoder, levels=levels, scale=0.2),
        "categorical": lambda: Categorical(decoder, levels=levels),
        "soft": lambda: SoftBernoulli(decoder),
        "gaussian": lambda: Gaussian(decoder),
    }
    return VAE(DiagonalNormal(encoder), StandardNormal(latent), parts[likelihood]()).eval()


def sampled(model: VAE, n: int, levels: int) -> torch.Tensor:
    with torch.no_grad():
        return (model.sample(n, draw=True) * (levels - 1)).round().to(torch.uint8)


CASES = [("bernoulli", 2), ("logistic", 256), ("logistic", 17), ("categorical", 17), ("categorical", 2)]


@pytest.mark.parametrize(("likelihood", "levels"), CASES)
def test_round_trip_is_exact_and_the_size_is_the_elbo(likelihood: str, levels: int) -> None:
    model = model_of(likelihood, levels)
    x = sampled(model, 700, levels)
    codec = Codec.of(model, SHAPE, levels)
    packed = compress(codec, x)
    assert torch.equal(decompress(codec, packed), x)
    trace = model.trace(x.float() / (levels - 1), k=50, hard=True)
    ideal = -bounds.elbo(trace).double().sum().item() / math.log(2)
    assert abs(32 * (len(packed.words) - packed.initial) - ideal) < 0.03 * ideal


def test_any_values_come_back_even_those_the_model_finds_impossible() -> None:
    for likelihood, levels in CASES:
        model = model_of(likelihood, levels)
        codec = Codec.of(model, SHAPE, levels)
        x = torch.randint(0, levels, (37, *SHAPE)).to(torch.uint8)
        assert torch.equal(decompress(codec, compress(codec, x)), x)


@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_few_examples(n: int) -> None:
    model = model_of("bernoulli")
    codec = Codec.of(model, SHAPE, 2)
    x = sampled(model, n, 2)
    packed, told = compress(codec, x, block=7), list[tuple[int, int]]()
    assert torch.equal(decompress(codec, packed, progress=lambda *one: told.append(one)), x)
    assert [done for done, _ in told] == sorted({done for done, _ in told}) and told[-1] == (n, n)
    assert packed.count == n and max(size for size, _ in packed.blocks) <= 7


def test_the_initial_bits_are_paid_once() -> None:
    # wide latents and few pixels: an example takes more bits from the stack than it leaves on it
    model = model_of("bernoulli", latent=40)
    codec = Codec.of(model, SHAPE, 2)
    x = sampled(model, 600, 2)
    packed = compress(codec, x)
    assert 32 * packed.initial < 3 * codec.needs
    assert torch.equal(decompress(codec, packed), x)


def test_other_threads_and_other_calls_between_change_nothing() -> None:
    model = model_of("logistic", 256)
    codec = Codec.of(model, SHAPE, 256)
    x = sampled(model, 64, 256)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = compress(codec, x)
        torch.set_num_threads(2)
        two = compress(codec, x)
        assert torch.get_num_threads() == 2
        assert np.array_equal(one.words, two.words)
        assert torch.equal(decompress(Codec.of(model, SHAPE, 256), one), x)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("likelihood", "levels"), CASES)
def test_masses_do_not_depend_on_the_batch_they_are_computed_in(likelihood: str, levels: int) -> None:
    codec = Codec.of(model_of(likelihood, levels), SHAPE, levels)
    z = torch.randn(96, 3, dtype=torch.float64)
    with one_thread():
        together = codec.model.decode(z)
        apart = [codec.model.decode(part) for part in z.split([1, 2, 30, 63])]

    def numbers(px: torch.distributions.Distribution) -> np.ndarray:
        coder = PixelCoder(px, levels)
        if coder.cumulative is None:
            return np.asarray(coder.chance)
        size = coder.shape.numel()
        return np.stack([coder.cumulative(np.full(size, i)) for i in (1, levels // 2, levels - 1)])

    assert np.array_equal(np.concatenate([numbers(px) for px in apart], -1), numbers(together))


@pytest.mark.parametrize("family", ["logistic", "categorical"])
def test_masses_are_the_familys_and_none_is_zero(family: str) -> None:
    levels, shape = 17, (2, 3)
    torch.manual_seed(0)
    if family == "logistic":
        px = DiscretisedLogisticFamily(torch.rand(shape).double(), torch.randn(shape).double() * 2 - 3, levels)
        exact = table_cumulative(px, levels)
        found = logistic_cumulative(px)
    else:
        logits = torch.randn(2, levels, 3).double() * 20
        px = CategoricalFamily(logits)
        exact = found = table_cumulative(px, levels)
    ends = np.stack([found(np.full(6, i)) for i in range(levels + 1)])
    assert (ends[0] == 0).all() and (ends[-1] == WHOLE).all()
    assert (np.diff(ends, axis=0) >= 1).all()
    masses = np.diff(ends, axis=0) / WHOLE
    for i in range(levels):
        true = px.log_prob_elements(torch.full(shape, i / (levels - 1)).double()).exp().flatten().numpy()
        assert np.allclose(masses[i], true, atol=2e-3)
    assert np.abs(np.stack([exact(np.full(6, i)) for i in range(levels + 1)]) - ends).max() < 2e-3 * WHOLE


def test_the_grid_has_equal_prior_mass_and_the_posteriors_masses_are_right() -> None:
    from scipy.stats import norm

    grid = LatentGrid(6)
    assert np.allclose(np.diff(norm.cdf(grid.edges.numpy())), 1 / 64, atol=1e-12)
    assert ((grid.edges[:-1] < grid.medians) & (grid.medians < grid.edges[1:])).all()
    q = DiagonalNormalFamily(torch.tensor([[0.5, -1.0]]), torch.tensor([[-1.0, -3.0]]))
    p = StandardNormalFamily(torch.zeros(2))
    below = grid.cumulative(q, p)
    ends = np.stack([below(np.full(2, i)) for i in range(65)]) / WHOLE
    true = norm.cdf((grid.edges.numpy()[:, None] - q.loc.numpy()) / np.exp(q.log_scale.numpy()))
    assert np.abs(ends - true).max() < 2e-3


def test_a_prior_with_another_mean_and_scale_is_its_own_grid() -> None:
    grid = LatentGrid(8)
    p = DiagonalNormalFamily(torch.tensor([3.0]), torch.tensor([math.log(0.2)]))
    index = np.array([0, 100, 255])
    plain = grid.values(index, StandardNormalFamily(torch.zeros(1)), torch.Size([3, 1]))
    assert torch.allclose(grid.values(index, p, torch.Size([3, 1])), 3 + 0.2 * plain, atol=1e-6)


def test_damage_is_noticed() -> None:
    model = model_of("bernoulli")
    codec = Codec.of(model, SHAPE, 2)
    packed = compress(codec, sampled(model, 200, 2))
    words = packed.words.copy()
    words[len(words) // 2] ^= 1 << 7
    with pytest.raises(Damaged):
        decompress(codec, Packed(words, packed.blocks, packed.initial, packed.seed))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: model_of("soft"), "not a normalised distribution"),
        (lambda: model_of("gaussian"), "is a density"),
        (lambda: VAE(Delta(mlp(SHAPE, 3)), StandardNormal(3), Bernoulli(mlp(3, SHAPE))), "point mass"),
        (lambda: VAE(FullNormal(mlp(SHAPE, 3)), StandardNormal(3), Bernoulli(mlp(3, SHAPE))), "diagonal normal"),
        (
            lambda: VAE(
                DiagonalNormal(mlp(SHAPE, 3, context=4)), StandardNormal(3), Bernoulli(mlp(3, SHAPE, context=4))
            ),
            "conditioned on labels",
        ),
    ],
)
def test_models_it_does_not_apply_to(model, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Codec.of(model(), SHAPE, 2)


def test_wrong_examples() -> None:
    codec = Codec.of(model_of("bernoulli"), SHAPE, 2)
    with pytest.raises(UserError, match="shape"):
        compress(codec, torch.zeros(3, 1, 5, 5, dtype=torch.uint8))
    with pytest.raises(UserError, match="whole numbers from 0 to 1"):
        compress(codec, torch.full((3, *SHAPE), 2, dtype=torch.uint8))
    with pytest.raises(UserError, match="whole numbers"):
        compress(codec, torch.zeros(3, *SHAPE))


def test_the_encoder_is_given_values_from_0_to_1() -> None:
    model = model_of("logistic", 17)
    x = torch.arange(17).to(torch.uint8)[torch.randint(17, (3, *SHAPE))]
    found, wanted = Codec.of(model, SHAPE, 17).posterior(x), model.double().encode(x.double() / 16)
    torch.testing.assert_close(found.mean, wanted.mean)


def test_a_header_counts_its_blocks() -> None:
    layout: Any = {"shape": [4], "dtype": "<f4", "channels_last": False, "unit": "levels"}
    fields = {"fingerprint": "0" * 32, "shape": [4], "levels": 2, "initial": 3, "seed": 0, "crc": 1}
    made = HeaderRecord(**fields, count=17, blocks=[[7, 2], [3, 1]], layout=layout)
    assert made.count == 17
    with pytest.raises(ValueError, match="as many examples"):
        HeaderRecord(**fields, count=16, blocks=[[7, 2], [3, 1]], layout=layout)
