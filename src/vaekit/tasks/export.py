"""Encoder and decoder as programs without vaekit, for torch.export or ONNX runtimes."""

from __future__ import annotations

import copy
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit import __version__
from vaekit.data.conditions import Conditions
from vaekit.data.info import DataInfo
from vaekit.distributions.base import is_point_mass
from vaekit.distributions.discretised_logistic import DiscretisedLogisticFamily
from vaekit.errors import UserError, optional
from vaekit.models.base import Model

Format = Literal["onnx", "torch"]


class Encoder(nn.Module):
    """x (B, *shape) [, y (B, C)] → mean and standard deviation of q(z|x), (B, D) each; without a `spread` the code."""

    def __init__(self, model: Model, spread: bool) -> None:
        super().__init__()
        self.model, self.spread = model, spread

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...] | Tensor:
        """Return mean and standard deviation, or the code."""
        if not self.spread:
            return self.model.posterior_mean(x, y)
        q = self.model.encode(x, y)
        return q.mean, q.stddev


class Decoder(nn.Module):
    """z (B, D) [, y (B, C)] → mean of p(x|z), (B, *shape)."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the mean."""
        return mean_of(self.model.decode(z, y))


def mean_of(px: Distribution) -> Tensor:
    """Return the mean of p(x|z); of a discretised logistic in one piece, since programs cannot split by batch size."""
    if not isinstance(px, DiscretisedLogisticFamily):
        return px.mean
    step = 1 / (px.levels - 1)
    edges = (torch.arange(px.levels - 1, dtype=px.loc.dtype, device=px.loc.device) + 0.5) * step
    above = torch.sigmoid((px.loc.unsqueeze(-1) - edges) * torch.exp(-px.log_scale).unsqueeze(-1))
    return above.sum(-1) * step


def parts(model: Model, info: DataInfo) -> dict[str, tuple[nn.Module, tuple[Tensor, ...]]]:
    """Return the encoder and decoder modules, each with example inputs of a batch of three."""
    if info.kind == "graph":
        raise UserError(f"programs take tensors, and {info.name} holds graphs; use the model from Python")
    model = model.eval()
    x = torch.zeros(3, *info.shape)
    x[1] += 1.0
    width = Conditions.of(info).width
    label = (torch.eye(max(width, 3))[:3, :width],) if model.takes_label else ()
    with torch.no_grad():
        z = model.posterior_mean(x, *label)
        q = model.encode(x, *label)
    try:
        spread = isinstance(q.stddev, Tensor) and not is_point_mass(q)
    except (NotImplementedError, AttributeError, ValueError):
        spread = False
    return {"encoder": (Encoder(model, spread), (x, *label)), "decoder": (Decoder(model), (z, *label))}


@contextmanager
def _quiet() -> Iterator[None]:
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)  # it tells of libraries that are not needed
    checks = bool(vars(Distribution)["_validate_args"])
    Distribution.set_default_validate_args(False)  # a program cannot ask whether numbers are valid
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporters' own making: deprecations within them
            yield
    finally:
        log.setLevel(before)
        Distribution.set_default_validate_args(checks)


def program(module: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    """Return a torch.export program with a free batch size."""
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    shapes = tuple({0: batch} for _ in inputs)
    with _quiet(), torch.no_grad():
        return torch.export.export(module.eval(), inputs, dynamic_shapes=shapes)


def _facts(part: str, inputs: tuple[Tensor, ...], facts: Mapping[str, Any]) -> dict[str, str]:
    """Return what a program says of itself."""
    own = {"made_by": f"vaekit {__version__}", "part": part, "input": ["batch", *inputs[0].shape[1:]], **facts}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in own.items()}


def onnx_bytes(module: nn.Module, inputs: tuple[Tensor, ...], facts: Mapping[str, str]) -> bytes:
    """Return one part as an ONNX model with a free batch size."""
    needed = "ONNX export needs onnx and onnxscript; run: pip install 'vaekit[onnx]'"
    onnx, _ = optional("onnx", needed), optional("onnxscript", needed)
    names = {"encoder": ["x", "y"], "decoder": ["z", "y"]}[facts["part"]][: len(inputs)]
    outputs = ["mean"] if facts["part"] == "decoder" else ["mean", "sd"] if module.spread else ["code"]
    with _quiet():
        made = torch.onnx.export(
            program(module, inputs),
            input_names=names,
            output_names=outputs,
            dynamo=True,
            verbose=False,
        )
    assert made is not None
    model = made.model_proto
    for key, value in facts.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    return model.SerializeToString()


def torch_bytes(module: nn.Module, inputs: tuple[Tensor, ...], facts: Mapping[str, str]) -> bytes:
    """Return one part as torch.export's own file; read it with torch.export.load."""
    buffer = io.BytesIO()
    with _quiet():
        torch.export.save(program(module, inputs), buffer, extra_files={"facts.json": json.dumps(facts)})
    return buffer.getvalue()


def programs(model: Model, info: DataInfo, facts: Mapping[str, Any], format: Format) -> dict[str, bytes]:
    """Return the encoder and decoder of a model as programs, with `facts` about it in each.

    Raises UserError for a model whose parts the exporter cannot follow. The programs are of the CPU.
    """
    made: dict[str, bytes] = {}
    for name, (module, inputs) in parts(copy.deepcopy(model).cpu(), info).items():
        try:
            write = onnx_bytes if format == "onnx" else torch_bytes
            made[name] = write(module, inputs, _facts(name, inputs, facts))
        except UserError:
            raise
        except Exception as error:
            words = (str(error).strip().splitlines() or [""])[0][:200]
            kind = type(error).__name__
            raise UserError(f"the {name} of this model cannot be exported to {format} ({kind}: {words})") from error
    return made
