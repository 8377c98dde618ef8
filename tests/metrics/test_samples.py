"""Distances between samples against torchmetrics and closed forms; named extractors, never swapped in silence."""

from __future__ import annotations

import hashlib
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.likelihoods.continuous_bernoulli import ContinuousBernoulli
from vaekit.metrics import distances
from vaekit.metrics.base import Subject, evaluate
from vaekit.metrics.features import VERSION, Classifier, Extractor, extractor, fingerprint, train_classifier
from vaekit.metrics.inception import InceptionV3, load_inception
from vaekit.metrics.path_length import neighbours
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal

SIDE = 8


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))  # one for the module: the classifier is trained once


class Same(torch.nn.Module):
    """An extractor whose features are the images: what torchmetrics is handed in place of Inception."""

    num_features = 12

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def two_samples(n: int = 300, shift: float = 0.5) -> tuple[Tensor, Tensor]:
    torch.manual_seed(3)
    mix = torch.randn(12, 12)
    return torch.randn(n, 12) @ mix, torch.randn(n, 12) @ mix * 1.2 + shift


def test_frechet_distance_equals_torchmetrics() -> None:
    image = pytest.importorskip("torchmetrics.image.fid")
    a, b = two_samples()
    theirs = image.FrechetInceptionDistance(feature=Same(), input_img_size=(3, 2, 2), normalize=True).double()
    theirs.update(a.view(-1, 3, 2, 2).double(), real=True)
    theirs.update(b.view(-1, 3, 2, 2).double(), real=False)
    assert distances.fid(a, b) == pytest.approx(float(theirs.compute()), rel=1e-4)


def test_kernel_distance_equals_torchmetrics() -> None:
    image = pytest.importorskip("torchmetrics.image.kid")
    a, b = two_samples()
    with pytest.warns(UserWarning, match="save all extracted features"):
        theirs = image.KernelInceptionDistance(feature=Same(), subsets=1, subset_size=300, normalize=True)
    theirs.update(a.view(-1, 3, 2, 2), real=True)
    theirs.update(b.view(-1, 3, 2, 2), real=False)
    assert distances.kid(a, b) == pytest.approx(float(theirs.compute()[0]), rel=1e-3)


def test_frechet_distance_of_two_gaussians_is_the_closed_form() -> None:
    """For covariances that commute, tr (C_a C_b)^½ is Σ √(a_j b_j); the sample's distance tends to it."""
    torch.manual_seed(0)
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    a, b = torch.rand(6).double() + 0.2, torch.rand(6).double() + 0.2
    mean = torch.randn(6).double()
    exact = float(mean.square().sum() + (a.sqrt() - b.sqrt()).square().sum())
    covs = [rotation @ torch.diag(v) @ rotation.T for v in (a, b)]
    assert distances.frechet(torch.zeros(6), covs[0], mean, covs[1]) == pytest.approx(exact, rel=1e-9)
    x = torch.randn(40_000, 6).double() * a.sqrt() @ rotation.T
    y = torch.randn(40_000, 6).double() * b.sqrt() @ rotation.T + mean
    assert distances.fid(x, y) == pytest.approx(exact, rel=0.02)


def test_frechet_distance_of_degenerate_features() -> None:
    """Fewer examples than features, constant features: still finite, and 0 from itself."""
    x = torch.randn(5, 40)
    x[:, 3] = 1.0
    assert distances.fid(x, x) == pytest.approx(0, abs=1e-5)
    assert math.isfinite(distances.fid(x, torch.zeros(5, 40)))


def test_the_kernel_distance_is_unbiased() -> None:
    """From one distribution it averages to 0, however small the samples; the biased form would not."""
    values = torch.tensor([distances.kid(torch.randn(10, 4), torch.randn(10, 4)) for _ in range(1500)])
    error = float(values.std()) / math.sqrt(1500)
    assert abs(float(values.mean())) < 4 * error and (values < 0).any()
    brute = 0.0
    a, b = torch.randn(4, 3).double(), torch.randn(5, 3).double()
    k = lambda u, v: float((u @ v / 3 + 1) ** 3)  # noqa: E731
    brute = sum(k(a[i], a[j]) for i in range(4) for j in range(4) if i != j) / 12
    brute += sum(k(b[i], b[j]) for i in range(5) for j in range(5) if i != j) / 20
    brute -= 2 * sum(k(u, v) for u in a for v in b) / 20
    assert distances.kid(a, b) == pytest.approx(brute)


def test_precision_and_recall_by_brute_force() -> None:
    torch.manual_seed(1)
    real, fake, k = torch.randn(30, 2), 0.5 * torch.randn(25, 2) + 0.4, 3
    reach = [sorted(float((p - q).norm()) for q in real)[k] for p in real]
    inside = [any(float((f - p).norm()) <= r for p, r in zip(real, reach)) for f in fake]
    counts = [sum(float((f - p).norm()) <= r for p, r in zip(real, reach)) / k for f in fake]
    held = [any(float((f - p).norm()) <= r for f in fake) for p, r in zip(real, reach)]
    back = [sorted(float((p - q).norm()) for q in fake)[k] for p in fake]
    recalled = [any(float((r - p).norm()) <= b for p, b in zip(fake, back)) for r in real]
    precision, recall = distances.precision_recall(real, fake, k)
    density, coverage = distances.density_coverage(real, fake, k, block=7)
    assert precision.tolist() == inside and recall.tolist() == recalled
    assert density.tolist() == pytest.approx(counts) and coverage.tolist() == held


def test_density_and_coverage_of_equal_distributions() -> None:
    """Expected coverage 1 - Π_i (N - i)/(2N - i), i = 1 … k, and density 1, whatever the distribution (Naeem 2020)."""
    n, k = 200, 5
    found = [distances.density_coverage(torch.randn(n, 3), torch.randn(n, 3), k) for _ in range(40)]
    coverage = torch.tensor([float(c.double().mean()) for _, c in found])
    density = torch.tensor([float(d.mean()) for d, _ in found])
    missed = 1.0
    for i in range(1, k + 1):
        missed *= (n - i) / (2 * n - i)
    assert float(coverage.mean()) == pytest.approx(1 - missed, abs=4 * float(coverage.std()) / math.sqrt(40))
    assert float(density.mean()) == pytest.approx(1, abs=4 * float(density.std()) / math.sqrt(40) + 0.005)


def test_apart_and_collapsed_samples() -> None:
    real = torch.randn(100, 2)
    far, one = real + 100, real[:1] + 0.01 * torch.randn(100, 2)
    assert not any(part.any() for part in distances.precision_recall(real, far))
    precision, recall = distances.precision_recall(real, one)
    assert precision.double().mean() > 0.9 and recall.double().mean() < 0.1


@pytest.mark.parametrize(
    "call", [lambda x: distances.kid(x, x), lambda x: distances.fid(x, x), lambda x: distances.precision_recall(x, x)]
)
def test_too_few_examples_are_refused(call: Any) -> None:
    with pytest.raises(UserError):
        call(torch.randn(1, 3))


def test_inception_has_the_published_shape(tmp_path: Path) -> None:
    """23,834,568 parameters of the published v3 without its auxiliary head, plus eight more classes' 8 x 2,049."""
    torch.manual_seed(0)
    network = InceptionV3()
    assert sum(p.numel() for p in network.parameters()) == 23_834_568 + 8 * 2049
    sizes: dict[str, tuple[int, ...]] = {}
    for name in ("Conv2d_4a_3x3", "Mixed_5b", "Mixed_5d", "Mixed_6a", "Mixed_6e", "Mixed_7a", "Mixed_7c"):
        getattr(network, name).register_forward_hook(
            lambda m, i, o, name=name: sizes.update({name: tuple(o.shape[1:])})
        )
    path = tmp_path / "weights.safetensors"
    save_file({name: value for name, value in network.state_dict().items() if "num_batches" not in name}, path)
    with torch.no_grad():
        features, logits = network.eval()(torch.rand(2, 1, 28, 28))
    assert features.shape == (2, 2048) and logits.shape == (2, 1008)
    assert sizes == {
        "Conv2d_4a_3x3": (192, 71, 71),
        "Mixed_5b": (256, 35, 35),
        "Mixed_5d": (288, 35, 35),
        "Mixed_6a": (768, 17, 17),
        "Mixed_6e": (768, 17, 17),
        "Mixed_7a": (1280, 8, 8),
        "Mixed_7c": (2048, 8, 8),
    }
    again, name = load_inception(path)
    assert name.startswith("inception-v3-2015-12-05 (sha256 ")
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(x)[0], network(x)[0])


@pytest.mark.parametrize("kind", ["missing", "pickle", "damaged", "other"])
def test_bad_weights_are_refused_with_the_reason(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("w.pth" if kind == "pickle" else "w.safetensors")
    if kind in ("pickle", "damaged"):
        path.write_bytes(b"nothing of use")
    if kind == "other":
        save_file({"fc.weight": torch.zeros(1000, 2048)}, path)
    words = {"missing": "there is no file", "pickle": "pickle", "damaged": "not a readable", "other": "does not hold"}
    with pytest.raises(UserError, match=words[kind]):
        load_inception(path)


def pictures(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Bright quarters of 8 x 8 pictures; which quarter is the label."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(4, (n,), generator=generator)
    x = 0.3 * torch.rand(n, 1, SIDE, SIDE, generator=generator)
    for i, corner in enumerate(y.tolist()):
        top, left = 4 * (corner // 2), 4 * (corner % 2)
        x[i, :, top : top + 4, left : left + 4] += 0.6
    return x, y


def subject(n: int = 120, labels: bool = True, **options: Any) -> Subject:
    torch.manual_seed(0)
    shape = (1, SIDE, SIDE)
    model = VAE(DiagonalNormal(mlp(shape, 2)), StandardNormal(2), ContinuousBernoulli(mlp(2, shape)))
    x, y = pictures(n)
    info = DataInfo("quarters", shape, "unit", None, 400, 0, n, ("a", "b", "c", "d") if labels else ())
    train = lambda: (pictures(400, 1)[0], pictures(400, 1)[1] if labels else None)  # noqa: E731
    return Subject(model.eval(), info, x, y if labels else None, train=train, options=options)


NAMES = ("fid", "fid_extrapolated", "kid", "inception_score", "precision", "recall", "density", "coverage")


def test_every_number_of_samples_names_its_features() -> None:
    found = evaluate(subject(), ["samples", "interpolation"])
    pixels = {"sample_sharpness", *(f"code_path_{kind}" for kind in ("linear", "spherical", "neighbours"))}
    pixels |= {f"off_data_{kind}" for kind in ("linear", "spherical", "neighbours", "pixels")}
    assert all("features" not in found.pop(name).to_dict() for name in pixels)
    assert set(found) == {*NAMES, "path_length_linear", "path_length_spherical", "c2st_accuracy", "c2st_auroc"}
    for name, result in found.items():
        plain = result.to_dict()
        if name.startswith("c2st"):
            assert plain["features"] == "the numbers of x"
            continue
        assert plain["features"].startswith("classifier-quarters-"), name
        assert plain["features_accuracy"] > 0.95
        assert plain["value"] is not None and ("stderr" in plain or "interval" in plain)
    assert found["fid"].facts["floor"] < (found["fid"].value or 0)


def test_samples_that_are_the_data_score_at_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that deals out fresh data is as near as data are to data, and far better than an untrained one."""
    first = subject(300)
    bad = evaluate(first, ["samples"])
    perfect, seeds = subject(300), itertools.count(9)
    monkeypatch.setattr(perfect.model, "sample", lambda n, y=None, t=1.0, draw=False: pictures(n, next(seeds))[0])
    good = evaluate(perfect, ["samples"])
    value = {name: (good[name].value or 0.0, bad[name].value or 0.0) for name in NAMES}
    assert value["fid"][0] < 0.05 * value["fid"][1]
    assert abs(value["kid"][0]) < 5 * (good["kid"].stderr or 0) + 1e-6
    assert value["precision"][0] > 0.8 and value["recall"][0] > 0.8
    assert 0.8 < value["density"][0] < 1.2 and value["coverage"][0] > 0.9 and value["coverage"][1] < 0.5
    assert value["inception_score"][0] == pytest.approx(4, abs=0.3)


def test_without_labels_or_weights_every_number_is_refused() -> None:
    found = evaluate(subject(labels=False), ["kid", "fid", "inception_score", "precision_recall", "density_coverage"])
    found |= evaluate(subject(labels=False), ["path_length"])
    assert len(found) == 10
    for result in found.values():
        assert result.value is None and "no feature extractor" in result.facts["refused"]


def test_given_weights_are_used_or_refused_never_swapped(tmp_path: Path) -> None:
    found = evaluate(subject(inception=str(tmp_path / "none.safetensors")), ["fid"])
    assert found["fid"].value is None and "there is no file" in found["fid"].facts["refused"]


def test_the_classifier_is_cached_by_what_it_was_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    first = extractor(subject())
    monkeypatch.setattr("vaekit.metrics.features.train_classifier", lambda *a, **k: pytest.fail("trained again"))
    again = extractor(subject())
    assert first.name == again.name
    x = pictures(5)[0]
    assert torch.equal(first(x)[0], again(x)[0])
    x, y = pictures(50)
    changed = x.clone()
    changed[3, 0, 0, 0] = 1.0
    greys = (x * 255).round().byte().numpy().tobytes() + y.long().numpy().tobytes()
    digest = hashlib.sha256(f"{VERSION} {tuple(x.shape)}".encode() + greys).hexdigest()
    assert fingerprint(x, y) == digest[:12]
    assert fingerprint(x, y) != fingerprint(changed, y) != fingerprint(x, y.roll(1)) != fingerprint(x, y)


@pytest.mark.parametrize(
    ("side", "flat"), [(8, 256), (15, 1024), (16, 256), (28, 1024), (47, 2304), (48, 576), (64, 1024)]
)
def test_the_classifier_sees_greys_from_the_middle_at_a_stride_of_its_size(side: int, flat: int) -> None:
    net = Classifier((1, side, side + 3 * (side == 8)), 4)
    assert net.dense.in_features == flat * (1.5 if side == 8 else 1)
    with torch.no_grad():
        for layer in net.conv:
            if isinstance(layer, torch.nn.Conv2d) and layer.bias is not None:
                layer.bias.zero_()
        features, logits = net(torch.full((2, 1, side, side + 3 * (side == 8)), 0.5))
    torch.testing.assert_close(features, net.dense.bias.clamp(min=0).expand(2, -1))
    torch.testing.assert_close(logits, net.out(features))


@pytest.mark.parametrize(("n", "steps"), [(128, 100), (1024, 120), (6000, 600)])
def test_the_classifier_is_trained_for_fifteen_epochs_within_bounds(n: int, steps: int) -> None:
    told = list[tuple[int, int]]()

    def tell(done: int, total: int) -> None:
        told.append((done, total))
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classifier(torch.rand(n, 1, 8, 8), torch.arange(n) % 3, 3, tell)
    assert told == [(1, steps), (2, steps), (3, steps)]


def test_the_classifier_takes_any_size() -> None:
    for shape in ((1, 4, 4), (3, 17, 9), (1, 28, 28), (3, 64, 64)):
        features, logits = Classifier(shape, classes=7)(torch.rand(2, *shape))
        assert features.shape == (2, 128) and logits.shape == (2, 7)


def test_path_length_of_a_linear_decoder_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """With x = z, padded, and features that are x, a straight path has E ‖z_1 - z_0‖² = 2 D; an arc has more."""
    made = subject(path_pairs=4000)
    model: Any = made.model

    def decode(z: Tensor, y: Tensor | None = None) -> torch.distributions.Distribution:
        x = torch.nn.functional.pad(z, (0, SIDE**2 - z.shape[-1])).unflatten(-1, (1, SIDE, SIDE))
        return torch.distributions.Independent(torch.distributions.Normal(x, 1.0), 3)

    monkeypatch.setattr(model, "decode", decode)
    monkeypatch.setattr(Subject, "show", staticmethod(lambda x: x), raising=False)
    monkeypatch.setattr(model, "trace", VAE.trace.__get__(model))

    class Twice(torch.nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.flatten(1), x.flatten(1)

    made.shared["extractor"] = Extractor("the image", Twice())
    made.show = lambda x: x
    found = evaluate(made, ["path_length"])
    straight, arc = found["path_length_linear"], found["path_length_spherical"]
    assert straight.facts["step"] == arc.facts["step"] == 0.01
    assert straight.value == pytest.approx(4, abs=4 * (straight.stderr or 0))
    assert (arc.value or 0) > (straight.value or 0)
    assert straight.facts["features"] == "the image"


def test_neighbours_stay_on_the_sphere() -> None:
    ends = torch.nn.functional.normalize(torch.randn(2, 50, 3), dim=-1)
    a, b = neighbours(ends[0], ends[1], "spherical", 10)
    torch.testing.assert_close(a.norm(dim=1), torch.ones(50))
    angle = torch.arccos((ends[0] * ends[1]).sum(1).clamp(-1, 1)) / 10
    torch.testing.assert_close(torch.arccos((a * b).sum(1).clamp(-1, 1)), angle, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("n", [3, 4, 9])
def test_the_error_of_a_kernel_distance_is_its_jackknife(n: int) -> None:
    """Of the U-statistic over pairs (a_i, b_i), whose value leaves k(a_i, b_i) out too."""
    a, b = torch.randn(n, 2, dtype=torch.float64), torch.randn(n, 2, dtype=torch.float64)

    def statistic(rows: list[int]) -> float:
        pairs = [(i, j) for i in rows for j in rows if i != j]
        k = distances.cubic_kernel
        own = lambda x, y: float(k(x[None], y[None]))  # noqa: E731
        each = [own(a[i], a[j]) + own(b[i], b[j]) - own(a[i], b[j]) - own(b[i], a[j]) for i, j in pairs]
        return sum(each) / len(pairs)

    left_out = [statistic([j for j in range(n) if j != i]) for i in range(n)]
    mean = sum(left_out) / n
    wanted = math.sqrt((n - 1) / n * sum((one - mean) ** 2 for one in left_out))
    assert distances.mmd_error(a, b, distances.cubic_kernel) == pytest.approx(wanted)
