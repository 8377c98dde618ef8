"""Named feature extractors, for metrics that compare images by features; such a number carries the extractor's name.

Inception-v3 where its weights are given, else a classifier trained on the data set's own training split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit.atomic import replacing
from vaekit.data.download import cache_folder
from vaekit.devices import device_of, seeded
from vaekit.errors import UserError
from vaekit.inference import Progress, joined
from vaekit.metrics.base import Subject, once
from vaekit.metrics.inception import load_inception

VERSION = 1  # raise when the classifier or its training changes: cached ones are then trained again
WIDTH = 128
MAX_EXAMPLES = 20_000
STEPS = (100, 600)


@dataclass(frozen=True)
class Extractor:
    """A named network: images (B, C, H, W) in [0, 1] → features (B, F), logits (B, K). `facts`: how good it is."""

    name: str
    network: nn.Module
    facts: dict[str, Any] = field(default_factory=dict)

    @torch.no_grad()
    def __call__(self, x: Tensor, batch: int = 200, progress: Progress | None = None) -> tuple[Tensor, Tensor]:
        """Return features and logits of many images on the CPU, computed batch by batch on the network's device."""
        device, parts = device_of(self.network), []
        for start in range(0, len(x), batch):
            parts.append(self.network(x[start : start + batch].to(device)))
            if progress is not None:
                progress(min(start + batch, len(x)), len(x))
        features, logits = zip(*parts)
        return joined(list(features)), joined(list(logits))


class Classifier(nn.Module):
    """Three convolutions of images (C, H, W) and a dense layer of 128 ReLU units, the features; then the logits."""

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__()
        side = min(shape[1:])
        stride, size = (1, 3) if side < 16 else (2, 3) if side < 48 else (4, 7)
        self.conv = nn.Sequential(
            nn.Conv2d(shape[0], 32, size, stride, size // 2), nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(64, 64, 3, 2, 1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        flat = self.conv(torch.zeros(1, *shape)).shape[1]
        self.dense, self.out = nn.Linear(flat, WIDTH), nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits."""
        features = torch.relu(self.dense(self.conv(x - 0.5)))
        return features, self.out(features)


def train_classifier(x: Tensor, y: Tensor, classes: int, progress: Progress | None = None) -> Classifier:
    """Train a classifier of images in [0, 1] by cross-entropy with Adam, on the CPU: the same data, the same weights.

    Fifteen epochs, but no fewer than 100 and no more than 600 steps of 128.
    """
    fewest, most = STEPS
    steps = min(most, max(fewest, 15 * len(x) // 128))
    with seeded(0), torch.enable_grad():
        network = Classifier(x.shape[1:], classes)
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = 1e-3 * (1 - step / steps) + 1e-5
            rows = torch.randint(len(x), (128,))
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(network(x[rows])[1], y[rows]).backward()
            optimiser.step()
            if progress is not None:
                progress(step + 1, steps)
    return network.eval().requires_grad_(False)


def fingerprint(x: Tensor, y: Tensor) -> str:
    """Return a name for a training set's contents: sha256 of its greys in 256 steps and its labels, first 12 digits."""
    digest = hashlib.sha256(f"{VERSION} {tuple(x.shape)}".encode())
    for part in x.split(1000):
        digest.update((part * 255).round().byte().contiguous().numpy().tobytes())
    digest.update(y.long().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


@once
def extractor(subject: Subject) -> Extractor:
    """Return the extractor for a subject: Inception-v3 if `options["inception"]` names its weights, else a classifier
    trained on the training split and cached by the data's fingerprint, with its accuracy on the test split as a fact.

    Raises:
        UserError: no weights are given and the data have no labels to train a classifier on.
    """
    device = device_of(subject.model)
    weights = subject.options.get("inception")
    if weights is not None:
        network, name = load_inception(weights)
        return Extractor(name, network.to(device))
    if subject.y is None or subject.y.dim() != 1 or subject.train is None:
        raise UserError(
            "there is no feature extractor: give the weights of Inception-v3 (--inception FILE.safetensors), or data "
            "with labels that a classifier can be trained on"
        )
    x, y = subject.train()
    assert y is not None
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:MAX_EXAMPLES]
    x, y = subject.show(x[rows]), y[rows]
    classes = max(int(y.max()), int(subject.y.max())) + 1
    name = f"classifier-{subject.info.name}-{fingerprint(x, y)}"
    progress = subject.progress_of("train a classifier for features")
    network = _cached(cache_folder() / "features" / f"{name}.safetensors", x, y, classes, progress).to(device)
    _, logits = Extractor(name, network)(subject.show(subject.x))
    accuracy = float((logits.argmax(1) == subject.y).double().mean())
    return Extractor(name, network, {"features_accuracy": accuracy})


def _cached(path: Path, x: Tensor, y: Tensor, classes: int, progress: Progress) -> Classifier:
    """Return the classifier kept at `path`, or train one and keep it there."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    network = Classifier(x.shape[1:], classes)
    try:
        network.load_state_dict(load_file(path))
        return network.eval().requires_grad_(False)
    except (OSError, SafetensorError, RuntimeError):
        network = train_classifier(x, y, classes, progress=progress)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            save_file(network.state_dict(), part)
    except OSError:
        pass  # no cache can be written: the next evaluation trains it again
    return network
