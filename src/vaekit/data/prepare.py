"""From stored values to what the model sees: scaling, binarisation, dequantisation, standardisation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from vaekit.data.info import ARRAY_KINDS, Kind, Plain
from vaekit.errors import UserError
from vaekit.tokens import trim

Mode = Literal["as-is", "scale", "stochastic", "fixed", "threshold", "dequantise"]
BLOCK = 1024
"""Rows prepared together by `fixed` and by means: bounds memory, and fixes the order of the draws."""


def random16(shape: torch.Size, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Return int16 uniform on all 65,536 values: four to each 64-bit word drawn, several times cheaper than floats."""
    count = math.prod(shape)
    words = torch.empty((count + 3) // 4, dtype=torch.int64, device=device)
    words.random_(-(2**63), None, generator=generator)
    return words.view(torch.int16)[:count].view(shape)


def as_input(x: Any) -> Any:
    """Return prepared examples as the model takes them: bytes as float32, all else as it is."""
    return x.float() if isinstance(x, Tensor) and x.dtype == torch.uint8 else x


@dataclass(frozen=True)
class Prepare(Plain):
    """A stored batch (uint8 greys 0 … levels − 1, else float32) → float32 in the range of `kind`.

    Modes: `as-is`; `scale` i/(levels − 1); `stochastic` a Bernoulli draw with that probability, afresh at each call
    (Salakhutdinov and Murray 2008's treatment of MNIST); `fixed` the same drawn once; `threshold` at one half;
    `dequantise` (i + u)/levels, u uniform on [0, 1). Then (x − mean)/sd where these are given, one number for each
    entry of the first of an example's `axes` (a column, a channel), or for each of its numbers where `axes` is 0. The
    draws use 16-bit uniforms, so a probability is met to 1/65536, and 0 and 1 exactly.

    >>> prepare = Prepare("binary", "stochastic", levels=256)
    >>> prepare(torch.tensor([[0, 255]], dtype=torch.uint8))
    tensor([[0., 1.]])
    >>> Prepare.from_dict(prepare.to_dict()) == prepare
    True
    """

    kind: Kind
    mode: Mode = "as-is"
    levels: int | None = None
    mean: tuple[float, ...] | None = None
    sd: tuple[float, ...] | None = None
    low: float = 0.0
    high: float = 1.0
    seed: int = 0
    axes: int = 0

    @cached_property
    def _tables(self) -> dict[str, Tensor]:
        """Constants by device, made when they are first used."""
        return {}

    @property
    def random(self) -> bool:
        """Whether each call draws."""
        return self.mode in ("stochastic", "dequantise")

    def __call__(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the model's view of a stored batch (B, *shape); draws, if any, come from `generator`."""
        if self.kind not in ARRAY_KINDS:
            return trim(raw) if self.kind == "tokens" else self._standard(raw) if self.kind == "series" else raw
        if self.mode == "fixed":
            # data stored by this mode are already at the ends of the scale, where the draw is certain
            generator = torch.Generator(raw.device).manual_seed(self.seed)
        if self.mode in ("stochastic", "fixed"):
            return self._draw(raw, generator)
        if self.mode == "dequantise":
            noise = random16(raw.shape, generator, raw.device).float().add_(32768.0).mul_(2.0**-16)
            return self._standard(noise.add_(raw).div_(self._n_levels))
        return self._standard(self._scaled(raw))

    def fixed(self, split: Any, seed: int = 777) -> Any:
        """Return a whole `Split` prepared once (uint8 when binary, else float32).

        Row i's noise depends on `seed` and i alone: neither batch size nor the order of other calls changes it.
        """
        if self.kind not in ARRAY_KINDS:
            return replace(split, x=self(split.x)) if self.kind == "series" else split
        generator = torch.Generator().manual_seed(seed)
        binary = self.kind == "binary"
        x = torch.empty(split.x.shape, dtype=torch.uint8 if binary else torch.float32)
        for start in range(0, len(x), BLOCK):
            x[start : start + BLOCK] = self(split.x[start : start + BLOCK].cpu(), generator)
        return replace(split, x=x)

    def expected(self, raw: Tensor) -> Tensor:
        """Return the mean of `self(raw)` over its own noise; float32."""
        if self.mode == "dequantise":
            return self._standard((raw.float() + 0.5) / self._n_levels)
        if self.mode in ("stochastic", "fixed"):
            return raw.float() / (self._n_levels - 1) if self.levels else raw.float()
        return self._standard(self._scaled(raw))

    def average(self, raw: Tensor) -> Tensor:
        """Return the mean of prepared examples (shape), over their noise too; float64."""
        parts = (self.expected(part).sum(0, dtype=torch.float64) for part in raw.split(BLOCK))
        return sum(parts, start=torch.zeros((), dtype=torch.float64)) / len(raw)

    def invert(self, x: Tensor) -> Tensor:
        """Return the source's units: undo standardisation and scaling. What binarisation took away stays away."""
        if self.kind not in ARRAY_KINDS:
            return self.values(x)
        x = self.values(x)
        if self.levels is None or self.mode == "as-is" or self.kind == "binary":
            return x
        return x * self._n_levels - 0.5 if self.mode == "dequantise" else x * (self._n_levels - 1)

    def of_values(self, x: Tensor) -> Tensor:
        """Return values in the source's units as the model sees them, without noise: what `invert` undoes. NaN stays.

        >>> prepare = Prepare("real", "scale", levels=17)
        >>> prepare.of_values(torch.tensor([[8.0, torch.nan]])), prepare.invert(torch.tensor([[0.5]]))
        (tensor([[0.5000,    nan]]), tensor([[8.]]))
        """
        if self.levels is not None and self.mode in ("scale", "dequantise") and self.kind != "binary":
            x = (x + 0.5) / self.levels if self.mode == "dequantise" else x / (self.levels - 1)
        return self._standard(x)

    def show(self, x: Tensor) -> Tensor:
        """Return what the model sees as it is displayed: the `picture` of its `values`."""
        return self.picture(self.values(x))

    def values(self, x: Tensor) -> Tensor:
        """Return what the model sees in the units that users take: standardisation undone, greys left on [0, 1].

        >>> prepare = Prepare("real", mean=(3.0, 0.0), sd=(2.0, 1.0), axes=1)
        >>> prepare.values(prepare(torch.tensor([[5.0, 7.0]])))
        tensor([[5., 7.]])
        """
        if self.mean is None:
            return x
        mean, sd = self._moments(x)
        return x * sd + mean

    def picture(self, x: Any) -> Any:
        """Return `values` (tensor or array) as pictures show them, in [0, 1]: other ranges are mapped by training's.

        Tokens, tables and graphs come back as they are: their modality shows them. Series are in the source's units.
        """
        if self.kind not in ARRAY_KINDS:
            return x
        if (self.low, self.high) != (0.0, 1.0):
            x = (x - self.low) / max(self.high - self.low, 1e-12)
        return x.clip(0.0, 1.0)

    @property
    def _n_levels(self) -> int:
        if self.levels is None:
            raise UserError(f"preparing by '{self.mode}' needs a number of grey levels")
        return self.levels

    def _draw(self, raw: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return 1 with probability raw/(levels − 1), or raw itself where it is float, else 0."""
        noise = random16(raw.shape, generator, raw.device)
        out = torch.empty(raw.shape, dtype=torch.float32, device=raw.device)
        if self.levels is None:
            return torch.lt(noise.float().add_(32768.5).mul_(2.0**-16), raw, out=out)
        self._check(raw)
        # one of 65,536 values is folded onto its neighbour, so that a threshold of −32768 is never met: P(0) = 0
        noise.clamp_(min=-32767)
        if self.levels == 256:
            # 65535 = 255 · 257; int16 wraps around, and the flipped top bit brings 0 … 65535 to −32768 … 32767
            threshold = raw.to(torch.int16).mul_(257).bitwise_xor_(-32768)
        else:
            threshold = self._thresholds(raw.device).index_select(0, raw.reshape(-1).int()).view(raw.shape)
        return torch.le(noise, threshold, out=out)

    def _thresholds(self, device: torch.device) -> Tensor:
        key = f"thresholds {device}"
        if key not in self._tables:
            p = torch.arange(self._n_levels, dtype=torch.float64) / (self._n_levels - 1)
            table = ((p * 65536).round() - 32769).clamp(-32768, 32767).to(torch.int16)
            self._tables[key] = table.to(device)
        return self._tables[key]

    def _scaled(self, raw: Tensor) -> Tensor:
        if self.mode == "as-is" or self.levels is None:
            x = raw.float()
        else:
            self._check(raw)
            x = raw.float().div_(self.levels - 1)
        return (x >= 0.5).float() if self.mode == "threshold" else x

    def _check(self, raw: Tensor) -> None:
        if raw.dtype != torch.uint8:
            top = self._n_levels - 1
            raise UserError(
                f"stored greys are uint8 0 … {top}, not {raw.dtype}; scale to 0 … {top} and convert with .to(uint8)"
            )

    def _standard(self, x: Tensor) -> Tensor:
        if self.mean is None or self.sd is None:
            return x
        mean, sd = self._moments(x)
        return (x - mean) / sd

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and sd as they broadcast against one example, on the batch's device."""
        key = f"mean {x.device}"
        if key not in self._tables:
            self._tables[key] = torch.tensor(self.mean, dtype=torch.float32, device=x.device)
            self._tables[f"sd {x.device}"] = torch.tensor(self.sd, dtype=torch.float32, device=x.device)
        count = len(self.mean or ())
        if self.axes and x.dim() >= self.axes and x.shape[-self.axes] == count:
            shape = torch.Size([count, *[1] * (self.axes - 1)])
            return self._tables[key].view(shape), self._tables[f"sd {x.device}"].view(shape)
        for shape in () if self.axes else (x.shape[-1:], x.shape[-3:]):
            if len(shape) in (1, 3) and math.prod(shape) == count:
                return self._tables[key].view(shape), self._tables[f"sd {x.device}"].view(shape)
        what = "columns or channels" if self.axes else "numbers"
        raise UserError(f"a batch of shape {tuple(x.shape)} does not hold examples of {count} {what}")
