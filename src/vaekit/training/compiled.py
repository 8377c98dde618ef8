"""Networks compiled by torch.compile while they train, and as they were for everything else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from vaekit.errors import UserError


def networks(model: nn.Module) -> list[nn.Module]:
    """Return the outermost networks of a model: the modules that can be widened."""
    return [net for child in model.children() for net in ([child] if hasattr(child, "widen") else networks(child))]


def require_compiler(device: torch.device) -> None:
    """Raise UserError where torch.compile has nothing to compile with: a C++ compiler, or Triton on CUDA."""
    if device.type == "cuda":
        if find_spec("triton") is None:
            raise UserError("train.compile on CUDA needs Triton: pip install triton, or leave --compile out")
        return
    named = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ((named,) if named else ("g++", "clang++", "c++", "cl"))):
        raise UserError("train.compile needs a C++ compiler (g++ or clang++), and none was found; leave --compile out")


class Compiled:
    """The compiled forms of a model's networks; within `on()` the networks compute by them.

    Networks alone are compiled, not the trace about them: samples keep torch's own random numbers, so that a compiled
    run sees the noise of an uncompiled one and differs from it by rounding only. On CUDA the kernels of a network are
    recorded as a graph and replayed ("reduce-overhead"), which is what small networks there are short of.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        require_compiler(device)
        mode = "reduce-overhead" if device.type == "cuda" else None
        self._forms: list[tuple[nn.Module, Any]] = [
            (net, torch.compile(net.forward, mode=mode)) for net in networks(model)
        ]

    @contextmanager
    def on(self) -> Iterator[None]:
        """Let the networks compute by their compiled forms for the time of a `with` block."""
        for net, form in self._forms:
            net.__dict__["forward"] = form
        try:
            yield
        finally:
            for net, _ in self._forms:
                net.__dict__.pop("forward", None)
