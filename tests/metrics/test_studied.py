"""Metrics of studies against exact answers: sharpness, dead units, signal-to-noise, paths between codes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import vaekit
from vaekit import VAE, Bernoulli, DiagonalNormal, Gaussian, StandardNormal
from vaekit.data.info import DataInfo
from vaekit.data.shuffling import epoch_order
from vaekit.inference import inference
from vaekit.metrics.base import METRICS, Result, Subject, evaluate
from vaekit.metrics.code_paths import neighbour_paths
from vaekit.metrics.dead_units import watched
from vaekit.metrics.gradient_noise import signal_to_noise
from vaekit.metrics.sharpness import detail
from vaekit.nets.mlp import mlp


def compute(subject: Subject, name: str) -> dict[str, Result]:
    with inference(subject.model, subject.seed):
        return dict(METRICS[name].part(subject))


@pytest.fixture(scope="module")
def subject() -> Subject:
    return vaekit.train("vae", "digits", steps=30, set={"model.act": "relu"}).subject()


def test_sharpness_of_the_images_themselves_is_1_and_of_faint_ones_the_square(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    for factor in (1.0, 0.5):
        monkeypatch.setattr(type(subject.model), "reconstruct", lambda self, x, y=None, by=factor: by * x)
        found = compute(subject, "sharpness")["sharpness"]
        assert found.value == pytest.approx(factor**2) and found.stderr == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 2, 8), (1, 8, 2)])
def test_a_strip_has_no_laplacian(shape: tuple[int, ...]) -> None:
    model = VAE(DiagonalNormal(mlp(shape, 2)), StandardNormal(2), Gaussian(mlp(2, shape))).eval()
    info = DataInfo("toy", shape, "unit", None, 0, 0, 4)
    found = evaluate(Subject(model, info, torch.rand(4, *shape)), ["sharpness"])
    assert found["sharpness"].value is None and "3 × 3" in found["sharpness"].facts["refused"]


def test_blur_lowers_sharpness_as_its_transfer_function_says() -> None:
    wave = torch.cos(torch.arange(64) * math.pi / 2).expand(64, 64)[None, None]
    blurred = nn.functional.avg_pool2d(wave, (1, 3), stride=1)  # the gain of (1, 1, 1) / 3 at π / 2 is 1 / 3
    ratio = detail(blurred[..., 1:-1]) / detail(wave[..., 2:-2])
    assert ratio.item() == pytest.approx(1 / 9, rel=0.02)


def test_units_that_never_fire_are_dead(subject: Subject) -> None:
    layer = subject.model.get_submodule("posterior.net.layers.0")
    assert isinstance(layer, nn.Linear)
    weight, bias = layer.weight.clone(), layer.bias.clone()
    with torch.no_grad():
        layer.weight[:7] = 0.0
        layer.bias[:3], layer.bias[3:7] = -1.0, 1.0  # off for all, and on for all alike
        with watched(subject.model) as ranges:
            subject.model.reconstruct(subject.x.float())
        found = compute(subject, "dead_units")["dead_units"]
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    low, high = ranges.ends["posterior.net.act", 0]
    assert (low == high)[:7].all() and (low == high).sum() < len(low)
    dead, units = ranges.dead()
    assert (found.value, found.facts["of"]) == (pytest.approx(dead / units), units)
    hidden = [one.out_features for name, one in subject.model.named_modules() if ".layers." in name]
    assert units == sum(int(n) for n in hidden)  # type: ignore[call-overload]


def test_units_of_nodes_and_of_maps_are_their_features_whatever_the_number_of_places() -> None:
    layers = nn.Linear(2, 5), nn.Conv1d(2, 5, 1)
    dense, conv = (nn.Sequential(layer, nn.ReLU()) for layer in layers)
    with watched(nn.ModuleList([dense, conv])) as ranges, torch.no_grad():
        for layer in layers:
            assert layer.bias is not None
            layer.weight.abs_()
            layer.bias.fill_(1.0)
            layer.weight[0], layer.bias[0] = 0.0, -1.0
        for places in (6, 20):  # as many nodes as the batch's largest graph has
            ranges.next()
            dense(torch.rand(4, places, 2))
            conv(torch.rand(4, 2, places))
    assert ranges.dead() == (2, 10)


def test_a_unit_that_always_says_the_same_is_dead_whatever_it_says() -> None:
    first = nn.Linear(1, 4)
    net = nn.Sequential(first, nn.ReLU())
    with watched(net) as ranges, torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0], [0.0], [0.0], [-1.0]]))
        first.bias.copy_(torch.tensor([0.0, 0.7, -0.7, 1.0]))
        net(torch.tensor([[0.0], [0.5]]))
    assert ranges.dead() == (2, 4)


def test_signal_to_noise_of_known_gradients() -> None:
    torch.manual_seed(1)
    mean, sd = torch.linspace(0.1, 1, 30).double(), torch.linspace(2, 3, 30).double()
    values = [signal_to_noise(mean + sd * torch.randn(200, 30).double()) for _ in range(60)]
    exact = float(mean.norm() / sd.norm())
    found = torch.tensor([value for value, _ in values])
    assert found.mean().item() == pytest.approx(exact, abs=3 * float(found.std()) / math.sqrt(60) + 2e-3)
    assert sum(error for _, error in values) / 60 == pytest.approx(float(found.std()), rel=0.3)
    assert signal_to_noise(torch.ones(5, 3)) == (math.inf, 0.0) or signal_to_noise(torch.ones(5, 3))[0] > 1e3


def test_its_error_is_the_jackknife_over_draws() -> None:
    draws = torch.randn(7, 5, dtype=torch.float64) + 1
    value, error = signal_to_noise(draws)
    left_out = torch.tensor([signal_to_noise(torch.cat([draws[:i], draws[i + 1 :]]))[0] for i in range(7)])
    between = (draws @ draws.T).sum() - draws.square().sum()
    signal = float(between) / (7 * 6)
    assert value == pytest.approx(math.sqrt(signal / (float(draws.square().sum()) / 7 - signal)))
    assert error == pytest.approx(math.sqrt(6 / 7 * float((left_out - left_out.mean()).square().sum())))


def test_more_samples_leave_the_encoder_less_signal() -> None:
    """Rainforth et al. 2018, theorem 1: as K grows, the ratio of the encoder's gradient falls as 1/√K.

    It supposes weights of finite variance, as those of q = p(z) are.
    """
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(4, 4), nn.Linear(2, 4)
    with torch.no_grad():
        encoder.weight.zero_()
        encoder.bias.zero_()
    model = VAE(DiagonalNormal(encoder), StandardNormal(2), Gaussian(decoder, scale=1.0))
    run = vaekit.Run.of(model, torch.randn(2000, 4))
    subject = run.subject()
    subject.options = {"snr_draws": 400}
    found = {name: result.value or 0.0 for name, result in compute(subject, "encoder_snr").items()}
    assert found["encoder_snr_1"] > found["encoder_snr_5"] > found["encoder_snr_50"] > 0
    assert found["encoder_snr_5"] / found["encoder_snr_50"] == pytest.approx(math.sqrt(10), rel=0.35)


def test_paths_of_a_linear_decoder_are_as_long_as_their_ends_are_apart() -> None:
    torch.manual_seed(0)
    decoder = nn.Linear(2, 5)
    model = VAE(DiagonalNormal(nn.Linear(5, 4)), StandardNormal(2), Gaussian(decoder, scale=1.0))
    run = vaekit.Run.of(model, torch.randn(300, 5))
    subject = run.subject()
    found = compute(subject, "code_paths")
    with inference(model):
        x, _ = subject.some(400)
        pairs = len(x) // 2
        order = epoch_order(len(x), 0, 0)
        seen = model.decode(model.posterior_mean(x)).mean
        apart = (seen[order[:pairs]] - seen[order[pairs : 2 * pairs]]).norm(dim=1)
    length = {kind: found[f"code_path_{kind}"].value or 0.0 for kind in ("linear", "spherical", "neighbours")}
    assert length["linear"] == pytest.approx(float(apart.mean()), rel=1e-4)
    assert length["spherical"] >= length["linear"] and length["neighbours"] >= length["linear"]


def test_a_cross_fade_of_training_examples_themselves_is_off_data_by_what_is_computed_by_hand() -> None:
    model = VAE(DiagonalNormal(nn.Linear(1, 2)), StandardNormal(1), Gaussian(nn.Linear(1, 1), scale=1.0))
    x = torch.tensor([[0.0], [1.0]]).repeat(10, 1)
    run = vaekit.Run.of(model, x, valid=x, test=x)
    found = compute(run.subject(), "code_paths")["off_data_pixels"]
    values = {round(float(value), 4) for value in torch.as_tensor(found.values)}
    # nothing between equal examples; between 0 and 1 the mean of .1 .2 .3 .4 .5 .4 .3 .2 .1
    assert values <= {0.0, round(2.5 / 9, 4)} and max(values) > 0


def test_a_path_through_neighbours_keeps_to_a_ring() -> None:
    angle = torch.arange(40) * (2 * math.pi / 40)
    ring = torch.stack([angle.cos(), angle.sin()], 1)
    way = neighbour_paths(ring, torch.tensor([0]), torch.tensor([20]), 9, k=2)[:, 0]
    assert way.norm(dim=1).min() > 0.99  # a straight path would go through 0
    steps = (way[1:] - way[:-1]).norm(dim=1)
    assert steps.max() - steps.min() < 0.02
    assert torch.allclose(way[0], ring[0]) and torch.allclose(way[-1], ring[20], atol=1e-6)


def test_codes_of_two_islands_are_joined_straight() -> None:
    codes = torch.cat([torch.randn(10, 2), torch.randn(10, 2) + 1000])
    way = neighbour_paths(codes, torch.tensor([0]), torch.tensor([15]), 5, k=3)[:, 0]
    assert torch.allclose(way[2], (codes[0] + codes[15]) / 2)


def test_what_cannot_be_measured_is_refused_with_the_reason() -> None:
    run = vaekit.train("vae", torch.rand(40, 1, 2, 2).round(), steps=2)
    assert "3 × 3" in str(compute(run.subject(), "sharpness")["sharpness"].facts["refused"])
    model = VAE(DiagonalNormal(nn.Linear(4, 4)), StandardNormal(2), Bernoulli(nn.Linear(2, 4)))
    linear = vaekit.Run.of(model, torch.rand(40, 4).round())
    assert "no activations" in str(compute(linear.subject(), "dead_units")["dead_units"].facts["refused"])
    ae = vaekit.train("ae", "digits", steps=2)
    assert "point mass" in str(compute(ae.subject(), "encoder_snr")["encoder_snr_1"].facts["refused"])
    cvae = vaekit.train("cvae", "digits", steps=2)
    assert "labels" in str(compute(cvae.subject(), "code_paths")["code_path_linear"].facts["refused"])
