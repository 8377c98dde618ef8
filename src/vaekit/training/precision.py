"""The precision of the networks: the one asked for, or by `auto` what the hardware and the measured quality allow.

In bf16 the layers multiply 8-bit mantissas (autocast), but for the narrow ones about a latent (`nets.base.Dense`);
weights, gradients, the optimiser, samples, likelihoods, KLs and losses stay float32, and evaluation is float32
throughout. On a processor with bf16 instructions that is worth 1.4 to 2 times the speed of small networks. What it
costs in quality was measured for the families in `EVIDENCE` and for no others, so `auto` gives bf16 to those alone, and
float32 to the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from vaekit.errors import UserError
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import Rate, Reconstruction

Precision = Literal["fp32", "tf32", "bf16"]


@dataclass(frozen=True)
class Evidence:
    """Held-out ELBO in bf16 less that in fp32, nats, over paired seeds of 20 epochs; made by bench/precision.py.

    It speaks for models of which every part's class says that it was in the measurement `name` (`bf16_measured`), with
    an objective of reconstruction and rate alone.
    """

    difference: float
    stderr: float
    seeds: int
    name: str
    source: str

    @property
    def holds(self) -> bool:
        """Whether bf16 is not measurably worse: what it loses lies within two standard errors, over 5 seeds or more."""
        return self.seeds >= 5 and self.difference > -2 * self.stderr

    def covers(self, model: nn.Module, objectives: Iterable[Objective]) -> bool:
        """Whether a model, and what it is trained by, belong to the family."""
        parts = [model, *model.children(), *(inner for part in model.children() for inner in part.children())]
        terms = {type(term) for objective in objectives for term in objective.each()}
        return terms <= {Reconstruction, Rate} and all(self.name in _measured(part) for part in parts)


def _measured(part: nn.Module) -> tuple[str, ...]:
    """Return what the part's own class says: one derived from it is another network or family."""
    return vars(type(part)).get("bf16_measured", ())


EVIDENCE: tuple[Evidence, ...] = (
    Evidence(
        difference=-0.0033, stderr=0.0025, seeds=5, name="mlp",
        source="bench/results/precision-mlp.json",
    ),
    Evidence(
        difference=-0.0013, stderr=0.0011, seeds=5, name="conv",
        source="bench/results/precision-conv.json",
    ),
)  # fmt: skip


def hardware_has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 in hardware (elsewhere it is emulated, and slower than float32)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    able = getattr(torch.cpu, "get_capabilities", dict)()
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def settle(asked: str, device: torch.device, model: nn.Module, objectives: Iterable[Objective]) -> Precision:
    """Return the precision for this model on this device: the one `asked` for, or what "auto" chooses.

    UserError for tf32 on a device without it: a CUDA device's matrix units read float32 with 10-bit mantissas.

    >>> settle("fp32", torch.device("cpu"), nn.Module(), [])
    'fp32'
    """
    if asked == "tf32" and device.type != "cuda":
        raise UserError("precision tf32 is CUDA's; use auto, fp32 or bf16 here")
    if asked in ("fp32", "tf32", "bf16"):
        return asked  # type: ignore[return-value]
    objectives = list(objectives)
    known = any(e.holds and e.covers(model, objectives) for e in EVIDENCE)
    return "bf16" if known and hardware_has_bf16(device) else "fp32"


@contextmanager
def arithmetic(precision: Precision) -> Iterator[None]:
    """Let CUDA multiply float32 by TF32 for the time of a `with` block where that is the precision, else not.

    bf16 is autocast's, around each trace.
    """
    settings: tuple[Any, ...] = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [setting.allow_tf32 for setting in settings]
    for setting in settings:
        setting.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        for setting, value in zip(settings, before):
            setting.allow_tf32 = value
