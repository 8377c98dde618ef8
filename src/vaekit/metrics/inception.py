"""Inception-v3 as the published FID weights have it: 2,048 features and 1,008 logits, in plain torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit.errors import UserError

SIDE = 299
FEATURES, CLASSES = 2048, 1008


class Unit(nn.Module):
    """Convolution without bias, batch normalisation with ε = 0.001, ReLU."""

    def __init__(
        self, given: int, made: int, size: int | tuple[int, int], stride: int = 1, pad: int | tuple[int, int] = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, made, size, stride, pad, bias=False)
        self.bn = nn.BatchNorm2d(made, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(norm(conv(x)))."""
        return torch.relu(self.bn(self.conv(x)))


def _mean3(x: Tensor) -> Tensor:
    """Average 3 × 3 at stride 1; at the border over the pixels there are, as the FID weights were trained."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class BlockA(nn.Module):
    """35 × 35: 1 × 1, 5 × 5, double 3 × 3 and pooled branches."""

    def __init__(self, given: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(given, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = Unit(given, 48, 1), Unit(48, 64, 5, pad=2)
        self.branch3x3dbl_1 = Unit(given, 64, 1)
        self.branch3x3dbl_2, self.branch3x3dbl_3 = Unit(64, 96, 3, pad=1), Unit(96, 96, 3, pad=1)
        self.branch_pool = Unit(given, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return 224 + pooled channels."""
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(_mean3(x))], 1)


class BlockB(nn.Module):
    """35 × 35 → 17 × 17."""

    def __init__(self, given: int) -> None:
        super().__init__()
        self.branch3x3 = Unit(given, 384, 3, stride=2)
        self.branch3x3dbl_1 = Unit(given, 64, 1)
        self.branch3x3dbl_2, self.branch3x3dbl_3 = Unit(64, 96, 3, pad=1), Unit(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Return 480 more channels at half the size."""
        twice = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), twice, F.max_pool2d(x, 3, 2)], 1)


class BlockC(nn.Module):
    """17 × 17: factorised 7 × 7 branches of `width` channels."""

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        row, column = (1, 7), (7, 1)
        self.branch1x1 = Unit(given, 192, 1)
        self.branch7x7_1 = Unit(given, width, 1)
        self.branch7x7_2 = Unit(width, width, row, pad=(0, 3))
        self.branch7x7_3 = Unit(width, 192, column, pad=(3, 0))
        self.branch7x7dbl_1 = Unit(given, width, 1)
        self.branch7x7dbl_2 = Unit(width, width, column, pad=(3, 0))
        self.branch7x7dbl_3 = Unit(width, width, row, pad=(0, 3))
        self.branch7x7dbl_4 = Unit(width, width, column, pad=(3, 0))
        self.branch7x7dbl_5 = Unit(width, 192, row, pad=(0, 3))
        self.branch_pool = Unit(given, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return 768 channels."""
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(x), seven, twice, self.branch_pool(_mean3(x))], 1)


class BlockD(nn.Module):
    """17 × 17 → 8 × 8."""

    def __init__(self, given: int) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Unit(given, 192, 1), Unit(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Unit(given, 192, 1)
        self.branch7x7x3_2 = Unit(192, 192, (1, 7), pad=(0, 3))
        self.branch7x7x3_3 = Unit(192, 192, (7, 1), pad=(3, 0))
        self.branch7x7x3_4 = Unit(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Return 512 more channels at half the size."""
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, 2)], 1)


class BlockE(nn.Module):
    """8 × 8: branches that split; the pooled one averages, or in the last block takes the maximum."""

    def __init__(self, given: int, largest: bool) -> None:
        super().__init__()
        self.largest = largest
        self.branch1x1 = Unit(given, 320, 1)
        self.branch3x3_1 = Unit(given, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = Unit(384, 384, (1, 3), pad=(0, 1)), Unit(384, 384, (3, 1), pad=(1, 0))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(given, 448, 1), Unit(448, 384, 3, pad=1)
        self.branch3x3dbl_3a = Unit(384, 384, (1, 3), pad=(0, 1))
        self.branch3x3dbl_3b = Unit(384, 384, (3, 1), pad=(1, 0))
        self.branch_pool = Unit(given, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return 2,048 channels."""
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, 1, 1) if self.largest else _mean3(x)
        parts = [self.branch1x1(x), self.branch3x3_2a(once), self.branch3x3_2b(once)]
        parts += [self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice), self.branch_pool(pooled)]
        return torch.cat(parts, 1)


class InceptionV3(nn.Module):
    """Images (B, C, H, W) in [0, 1] → features (B, 2048) and logits (B, 1008).

    The network of the 2015-12-05 graph that FID is defined on, named and shaped as in the widespread PyTorch port
    (Heusel et al. 2017, arXiv:1706.08500; Szegedy et al. 2016, arXiv:1512.00567): border pixels are left out of
    averages, the last block pools by maximum, there are 1,008 classes. Images are made 299 × 299 (bilinear, corners not
    aligned, no antialiasing) and brought to [-1, 1]; grey ones are repeated over three channels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = Unit(3, 32, 3, stride=2), Unit(32, 32, 3)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3, pad=1)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = Unit(64, 80, 1), Unit(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = BlockA(192, 32), BlockA(256, 64), BlockA(288, 64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b, self.Mixed_6c = BlockC(768, 128), BlockC(768, 160)
        self.Mixed_6d, self.Mixed_6e = BlockC(768, 160), BlockC(768, 192)
        self.Mixed_7a = BlockD(768)
        self.Mixed_7b, self.Mixed_7c = BlockE(1280, largest=False), BlockE(2048, largest=True)
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits."""
        if x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False) * 2 - 1
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        blocks: Sequence[nn.Module] = (
            self.Mixed_5b, self.Mixed_5c, self.Mixed_5d, self.Mixed_6a, self.Mixed_6b, self.Mixed_6c,
            self.Mixed_6d, self.Mixed_6e, self.Mixed_7a, self.Mixed_7b, self.Mixed_7c,
        )  # fmt: skip
        for block in blocks:
            x = block(x)
        features = x.mean((2, 3))
        return features, self.fc(features)


def load_inception(path: str | Path) -> tuple[InceptionV3, str]:
    """Return the network with the weights of a safetensors file, and its name with the file's first sha256 digits.

    The file holds the state of the published `pt_inception-2015-12-05` weights under their own names. Those are
    published as a pickle, which vaekit does not load: convert it once where you trust it, with
    `safetensors.torch.save_file(torch.load(FILE, weights_only=True), "inception.safetensors")`.

    Raises:
        UserError: the file is missing, no safetensors file, or holds other weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file of Inception-v3 weights at {path}; give a safetensors file with --inception")
    if path.suffix in (".pt", ".pth", ".pkl", ".ckpt", ".bin"):
        raise UserError(
            f"{path} is a pickle, which can run code and is not loaded; convert it once where you trust it: "
            "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'inception.safetensors')"
        )
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable safetensors file ({error}); convert the weights again") from None
    network = InceptionV3()
    wanted = {name: value.shape for name, value in network.state_dict().items() if "num_batches" not in name}
    wrong = sorted(name for name, shape in wanted.items() if name not in state or state[name].shape != shape)
    if wrong:
        found = "is missing" if wrong[0] not in state else f"has shape {tuple(state[wrong[0]].shape)}"
        raise UserError(
            f"{path} does not hold the 2015-12-05 Inception-v3 weights FID is defined on: {wrong[0]} {found} "
            f"({len(wrong)} of {len(wanted)} do not fit); torchvision's own Inception-v3 is another network"
        )
    network.load_state_dict({name: state[name] for name in wanted}, strict=False)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return network.eval(), f"inception-v3-2015-12-05 (sha256 {digest})"
