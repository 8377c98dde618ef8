"""Inception-v3 as the published FID weights have it: 2,048 features and 1,008 logits, in plain torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit.errors import UserError

SIDE = 299
CLASSES = 1008


MIXED = {
    "5b": "1x1 64@1 | 5x5 48@1 64@5 | 3x3dbl 64@1 96@3 96@3 | mean 32",
    "5c": "1x1 64@1 | 5x5 48@1 64@5 | 3x3dbl 64@1 96@3 96@3 | mean 64",
    "5d": "1x1 64@1 | 5x5 48@1 64@5 | 3x3dbl 64@1 96@3 96@3 | mean 64",
    "6a": "3x3 384@3 | 3x3dbl 64@1 96@3 96@3 | halve",
    "6b": "1x1 192@1 | 7x7 128@1 128@1x7 192@7x1 | 7x7dbl 128@1 128@7x1 128@1x7 128@7x1 192@1x7 | mean 192",
    "6c": "1x1 192@1 | 7x7 160@1 160@1x7 192@7x1 | 7x7dbl 160@1 160@7x1 160@1x7 160@7x1 192@1x7 | mean 192",
    "6d": "1x1 192@1 | 7x7 160@1 160@1x7 192@7x1 | 7x7dbl 160@1 160@7x1 160@1x7 160@7x1 192@1x7 | mean 192",
    "6e": "1x1 192@1 | 7x7 192@1 192@1x7 192@7x1 | 7x7dbl 192@1 192@7x1 192@1x7 192@7x1 192@1x7 | mean 192",
    "7a": "3x3 192@1 320@3 | 7x7x3 192@1 192@1x7 192@7x1 192@3 | halve",
    "7b": "1x1 320@1 | 3x3 384@1 384@1x3+384@3x1 | 3x3dbl 448@1 384@3 384@1x3+384@3x1 | mean 192",
    "7c": "1x1 320@1 | 3x3 384@1 384@1x3+384@3x1 | 3x3dbl 448@1 384@3 384@1x3+384@3x1 | max 192",
}
"""The mixed blocks: each branch's name and layers, channels@kernel (units joined by + take the same input), and last
how a further branch pools and to how many channels. "halve": the last layer of each branch has stride 2."""


class Unit(nn.Module):
    """Convolution without bias, batch normalisation with ε = 0.001, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], stride: int = 1, pad: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, (size[0] // 2, size[1] // 2) if pad else 0, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(norm(conv(x)))."""
        return torch.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side, their channels joined; `layout` as in `MIXED`. Layer i of branch b is unit `branchb_i`."""

    def __init__(self, inputs: int, layout: str) -> None:
        super().__init__()
        *branches, pool = layout.split(" | ")
        self.pool, *pooled = pool.split()
        self.branches: list[list[list[str]]] = []
        self.channels = inputs if self.pool == "halve" else int(pooled[0])
        for branch, *layers in map(str.split, branches):
            names: list[list[str]] = []
            width, outputs = inputs, 0
            for i, layer in enumerate(layers, 1):
                units, halve = layer.split("+"), self.pool == "halve" and i == len(layers)
                names.append([])
                for unit, letter in zip(units, "ab" if len(units) > 1 else [""]):
                    names[-1].append(f"branch{branch}" + (f"_{i}{letter}" if len(layers) > 1 else ""))
                    outputs, sides = int(unit.split("@")[0]), [int(side) for side in unit.split("@")[1].split("x")]
                    self.add_module(names[-1][-1], Unit(width, outputs, (sides[0], sides[-1]), 1 + halve, not halve))
                width = outputs
            self.branches.append(names)
            self.channels += outputs * len(names[-1])
        if pooled:
            self.branch_pool = Unit(inputs, int(pooled[0]), (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the branches' channels, the pooled ones last."""
        parts: list[Tensor] = []
        for layers in self.branches:
            out = [x]
            for names in layers:
                out = [self.get_submodule(name)(out[0]) for name in names]
            parts += out
        if self.pool == "halve":
            return torch.cat([*parts, F.max_pool2d(x, 3, 2)], 1)
        # a mean at the border is over the pixels there are, as the FID weights were trained
        mean = self.pool == "mean"
        x = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) if mean else F.max_pool2d(x, 3, 1, 1)
        return torch.cat([*parts, self.branch_pool(x)], 1)


class InceptionV3(nn.Module):
    """Images (B, C, H, W) in [0, 1] → features (B, 2048) and logits (B, 1008).

    The network of the 2015-12-05 graph that FID is defined on, named and shaped as in the widespread PyTorch port
    (Heusel et al. 2017, arXiv:1706.08500; Szegedy et al. 2016, arXiv:1512.00567): border pixels are left out of
    averages, the last block pools by maximum, there are 1,008 classes. Images are made 299 × 299 (bilinear, corners not
    aligned, no antialiasing) and brought to [-1, 1]; grey ones are repeated over three channels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = Unit(3, 32, (3, 3), 2, pad=False), Unit(32, 32, (3, 3), pad=False)
        self.Conv2d_2b_3x3 = Unit(32, 64, (3, 3))
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = Unit(64, 80, (1, 1)), Unit(80, 192, (3, 3), pad=False)
        width = 192
        for name, layout in MIXED.items():
            block = Mixed(width, layout)
            self.add_module(f"Mixed_{name}", block)
            width = block.channels
        self.fc = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits."""
        if x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False) * 2 - 1
        for name, module in self.named_children():
            if name in ("Conv2d_3b_1x1", "Mixed_5b"):
                x = F.max_pool2d(x, 3, 2)
            if name != "fc":
                x = module(x)
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
        problem = "is missing" if wrong[0] not in state else f"has shape {tuple(state[wrong[0]].shape)}"
        raise UserError(
            f"{path} does not hold the 2015-12-05 Inception-v3 weights FID is defined on: {wrong[0]} {problem} "
            f"({len(wrong)} of {len(wanted)} do not fit); torchvision's own Inception-v3 is another network"
        )
    network.load_state_dict({name: state[name] for name in wanted}, strict=False)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return network.eval(), f"inception-v3-2015-12-05 (sha256 {digest})"
