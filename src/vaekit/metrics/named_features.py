"""Fréchet and kernel distance of samples on features of a network that the user names: a CLIP, a domain's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit.devices import device_of
from vaekit.errors import UserError
from vaekit.metrics import distances
from vaekit.metrics.base import Result, Subject, metric, once, refuses
from vaekit.metrics.features import Extractor
from vaekit.metrics.samples import Compared, compare, frechet_of, over_parts

PART = 1000
"""Rows whose kernel is computed at once."""


class Named(nn.Module):
    """A network of features (B, F) of images in [0, 1] as an extractor's, which has logits too."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features, and no logits."""
        features = self.network(x)
        if not isinstance(features, Tensor) or features.dim() < 2 or len(features) != len(x):
            raise UserError(f"{type(self.network).__name__} must return features (B, F) of images (B, C, H, W)")
        return features.flatten(1).float(), features.new_zeros(len(x), 0)


class OnnxNetwork(nn.Module):
    """An ONNX program of one input, images in [0, 1], and features as its first output; runs on the CPU.

    Grey images are repeated where it wants three channels, and resized (bilinear) where its height and width are fixed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError:
            raise UserError("an ONNX file of features needs onnxruntime: pip install 'vaekit[onnx]'") from None
        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own kinds have no base of their own
            kind = type(error).__name__
            raise UserError(f"{path} is not a readable ONNX program ({kind}); export it again") from None
        self.input = self.session.get_inputs()[0]

    def forward(self, x: Tensor) -> Tensor:
        """Return the program's first output."""
        shape = [side if isinstance(side, int) else None for side in self.input.shape]
        if len(shape) == 4:
            if shape[1] == 3 and x.shape[1] == 1:
                x = x.expand(-1, 3, -1, -1)
            size = [shape[2] or x.shape[2], shape[3] or x.shape[3]]
            if size != list(x.shape[2:]):
                x = F.interpolate(x, (size[0], size[1]), mode="bilinear", antialias=True)
        (out, *_) = self.session.run(None, {self.input.name: x.cpu().float().numpy()})
        return torch.from_numpy(np.asarray(out)).to(x.device)


def named_extractor(features: nn.Module | str | Path) -> Extractor:
    """Return the extractor that `features` are: a network, or the path of an ONNX program; its name has its digest.

    Raises:
        UserError: the file is missing, is a pickle, or is no ONNX program.
    """
    if isinstance(features, nn.Module):
        digest = hashlib.sha256()
        for name, tensor in sorted(features.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return Extractor(_named(type(features).__name__, digest.hexdigest()), Named(features.eval()))
    path = Path(features)
    if not path.is_file():
        raise UserError(f"there is no file of features at {path}; give FILE.onnx, or FILE.py:NAME of a module")
    if path.suffix != ".onnx":
        raise UserError(
            f"{path} cannot be loaded without running what is pickled in it, or has no network; give FILE.onnx, or "
            "FILE.py:NAME of a function that makes the module and loads its weights from safetensors"
        )
    return Extractor(_named(path.name, hashlib.sha256(path.read_bytes()).hexdigest()), Named(OnnxNetwork(path)))


def _named(name: str, digest: str) -> str:
    return f"{name} (sha256 {digest[:8]})"


@once
def compared_by_name(subject: Subject) -> Compared:
    """Return named features of the test examples and of samples of the model."""
    given = subject.options["features"]
    extract = given if isinstance(given, Extractor) else named_extractor(given)
    extract.network.to(device_of(subject.model))
    return compare(subject, extract)


@metric(
    "fd",
    group="samples",
    gives={
        "fd": ("Fréchet distance on the features named, of test examples and samples, biased upward by 1/n", False),
        "fd_extrapolated": ("the same extrapolated to an infinite number of either", False),
    },
    needs=("images", "features"),
    reference="Heusel et al. 2017, arXiv:1706.08500; Chong & Forsyth 2020, arXiv:1911.07023 (extrapolation)",
)
@refuses("fd", "fd_extrapolated", unit="squared feature units")
def fd(subject: Subject) -> Mapping[str, Result]:
    """Fréchet distance between Gaussians fitted to named features of test examples and samples."""
    return frechet_of(compared_by_name(subject), "fd", subject.seed)


@metric(
    "cmmd",
    group="samples",
    gives={"cmmd": ("1,000 × squared MMD of unit-length named features, Gaussian kernel of σ 10, unbiased", False)},
    needs=("images", "features"),
    reference="Jayasumana et al. 2024, arXiv:2401.09603",
)
@refuses("cmmd", unit="1,000 squared MMD")
def cmmd(subject: Subject) -> dict[str, Result]:
    """Kernel distance as CMMD has it, averaged over disjoint seeded parts of at most 1,000; CMMD where they are CLIP's.

    The authors' code keeps each row's pair with itself, which adds about 2,000 (1 − mean k) / n.
    """
    features = compared_by_name(subject)
    real, fake = (F.normalize(x.double(), dim=1) for x in (features.real, features.fake))
    return {"cmmd": over_parts(real, fake, features.facts, distances.gaussian_kernel, 1000.0, subject.seed)}
