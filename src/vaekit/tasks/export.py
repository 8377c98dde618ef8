"""Encoder and decoder as programs without vaekit, for torch.export or ONNX runtimes: raw values in, raw values out.

What training did to the data is the first thing in the encoder, and is undone by the last in the decoder: greys go in
as bytes and come out as greys, real values in their own units, a table's cells in the columns' units. What cannot be
numbers (the texts of levels, a vocabulary) is in the program's metadata as JSON.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit import __version__
from vaekit.data.conditions import Conditions
from vaekit.data.info import DataInfo
from vaekit.data.prepare import Prepare
from vaekit.distributions.base import is_point_mass
from vaekit.distributions.curves import Cycle, unwarped, warped
from vaekit.distributions.discretised_logistic import DiscretisedLogisticFamily
from vaekit.distributions.mixed import Layout
from vaekit.errors import Unsupported, UserError, optional
from vaekit.models.base import Model, point

Format = Literal["onnx", "torch"]
Part = Literal["encoder", "decoder"]
PARTS: tuple[Part, ...] = ("encoder", "decoder")
REAL = ("numeric", "positive", "date")
"""A table's columns that are stored standardised."""


# -- raw values --------------------------------------------------------------------------------------------------------


class Cells(nn.Module):
    """Rows (B, C) of a table in the columns' own units, float64, to what the model sees, and back.

    A level is its number in the column's `levels`, a date its days since 1970-01-01, a missing cell NaN.
    """

    mean: Tensor
    sd: Tensor
    logged: Tensor
    real: Tensor
    top: Tensor
    floor: Tensor
    curved: Tensor
    u: Tensor | None
    v: Tensor | None
    places: Tensor | None
    shares: Tensor | None
    start: Tensor | None

    def __init__(self, columns: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        curves = [column.get("curve") for column in columns]
        real = [
            column["type"] in (*REAL, "count") and not curve.get("step") if curve else column["type"] in REAL
            for column, curve in zip(columns, curves)
        ]
        scaled = [is_real and not curve for is_real, curve in zip(real, curves)]
        values = {
            "mean": [column["mean"] if has else 0.0 for column, has in zip(columns, scaled)],
            "sd": [column["sd"] if has else 1.0 for column, has in zip(columns, scaled)],
            "floor": [(curve.get("floor", -torch.inf) if curve else 0.0) for curve in curves],
            "top": [len(column["levels"]) - 1 if "levels" in column else torch.inf for column in columns],
        }
        for name, numbers in values.items():
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float64))
        own = Layout.of(columns)
        self.register_buffer("curved", torch.tensor(own.curved, dtype=torch.long))
        self.register_buffer("u", None if own.curves is None else own.curves.u)
        self.register_buffer("v", None if own.curves is None else own.curves.v)
        cycle = None if own.curves is None else own.curves.cycle
        for name in ("places", "shares", "start"):
            self.register_buffer(name, None if cycle is None else getattr(cycle, name))
        self.register_buffer("real", torch.tensor(real))
        self.register_buffer("logged", torch.tensor([column["type"] == "positive" for column in columns]))

    def seen(self, x: Tensor) -> Tensor:
        """Return rows as the model sees them."""
        logs = torch.where(self.logged, torch.where(self.logged, x, 1.0).log(), x)
        plain = (logs - self.mean) / self.sd
        if self.u is None or self.v is None:
            return plain.float()
        value = warped(logs[:, self.curved], self._cycle).unsqueeze(-1)
        after = (value >= self.v).sum(-1, keepdim=True)
        i = (after - 1).clamp(0, self.v.shape[1] - 2)
        low, rise = _at(self.v, i), _at(self.v, i + 1) - _at(self.v, i)
        score = _at(self.u, i) + (value - low) * (
            (_at(self.u, i + 1) - _at(self.u, i)) / torch.where(rise > 0, rise, 1.0)
        )
        before = (i - 1).clamp(min=0)
        level = (i > 0) & (_at(self.v, before) == value) & (low == value)
        score = torch.where(level, 0.5 * (_at(self.u, before) + _at(self.u, i)), score)
        return plain.index_copy(1, self.curved, score.squeeze(-1)).float()

    @property
    def _cycle(self) -> Cycle | None:
        if self.places is None or self.shares is None or self.start is None:
            return None
        return Cycle(self.places, self.shares, self.start)

    def raw(self, x: Tensor) -> Tensor:
        """Return rows in the columns' units: counts whole, levels' numbers in range."""
        value = x.double() * self.sd + self.mean
        if self.u is not None and self.v is not None:
            score = x.double()[:, self.curved].unsqueeze(-1)
            i = ((score >= self.u).sum(-1, keepdim=True) - 1).clamp(0, self.u.shape[1] - 2)
            low, high = _at(self.v, i), _at(self.v, i + 1)
            slope = (high - low) / (_at(self.u, i + 1) - _at(self.u, i))
            days = unwarped((low + (score - _at(self.u, i)) * slope).squeeze(-1), self._cycle)
            value = value.index_copy(1, self.curved, days)
        value = torch.where(self.logged, torch.where(self.logged, value.clamp(max=700), 0.0).exp(), value)
        whole = torch.minimum(torch.maximum(value.round(), self.floor), self.top)
        return torch.where(self.real, value, whole)


def _at(knots: Tensor, i: Tensor) -> Tensor:
    """Return knots (R, K) at places i (B, R, 1)."""
    return knots.expand(i.shape[0], *knots.shape).gather(2, i)


@dataclass(frozen=True)
class Ends:
    """How examples get into a model and out of it: an example, (3, *shape), and the two functions."""

    x: Tensor
    seen: Callable[[Tensor], Tensor]
    raw: Callable[[Tensor], Tensor]
    says: str

    @staticmethod
    def of(info: DataInfo, prepare: Prepare) -> Ends:
        """Return those of a run's data. Where training drew noise (binarising, dequantising) its mean is taken."""
        if info.kind == "graph":
            raise UserError(
                f"programs take tensors of one shape, and {info.name} holds graphs of any size; use the run from Python"
            )
        shape = (3, *info.shape)
        if info.kind == "table":
            cells = Cells(info.facts["columns"])
            says = "float64 cells in the columns' units, levels by number, dates in days since 1970-01-01, NaN missing"
            return Ends(torch.ones(shape, dtype=torch.float64), cells.seen, cells.raw, says)
        if info.kind == "tokens":
            says = "int64 token numbers: the row's tokens, 2 (end), then 0 to its length"
            return Ends(torch.full(shape, 2), lambda x: x, lambda x: x, says)
        if not info.is_array:
            says = f"float32 {info.kind} as run.prepared(...).x has them, NaN missing; see facts"
            return Ends(torch.ones(shape), lambda x: x, lambda x: x, says)
        grey = prepare.levels is not None and prepare.levels <= 256
        x = torch.zeros(shape, dtype=torch.uint8 if grey else torch.float32)
        x[1] += 1
        says = f"uint8, 0 to {prepare.levels - 1}" if grey and prepare.levels else "float32, as the data have them"
        prepare.expected(x)  # its constants are made here, and not while a program is traced
        # what training made 0 or 1 with the grey as probability comes back as the grey that is expected
        top = prepare.levels - 1 if info.kind == "binary" and prepare.levels else 1
        return Ends(x, prepare.expected, (lambda mean: prepare.invert(mean) * top) if top > 1 else prepare.invert, says)


# -- the two programs --------------------------------------------------------------------------------------------------


class Encoder(nn.Module):
    """Raw x (B, *shape) [, y (B, C)] → what `outputs` names.

    "mean" and "sd" of q(z|x), (B, D) each; "code" where q is a point mass or has several parts; "codes", int64, and the
    vectors "z" that stand for them, where they are quantised.
    """

    def __init__(self, model: Model, seen: Callable[[Tensor], Tensor], outputs: Sequence[str]) -> None:
        super().__init__()
        self.model, self.seen, self.outputs = model, seen, tuple(outputs)

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the outputs."""
        x = self.seen(x)
        if self.outputs[-1] == "z":
            codes = self.model.codes(x, y)
            found = (codes,) if isinstance(codes, Tensor) else tuple(codes.values())
            return (*found, self.model.posterior_mean(x, y))
        mean = self.model.posterior_mean(x, y)
        return (mean, self.model.encode(x, y).stddev.clone()) if len(self.outputs) > 1 else (mean,)


class Decoder(nn.Module):
    """z (B, D), or codes, [, y (B, C)] → the mean of p(x|z) in raw values, (B, *shape); of tokens the likeliest row."""

    def __init__(self, model: Model, raw: Callable[[Tensor], Tensor], inputs: Sequence[str]) -> None:
        super().__init__()
        self.model, self.raw, self.inputs = model, raw, tuple(inputs)

    def forward(self, *given: Tensor) -> Tensor:
        """Return the mean."""
        if not self.inputs[0].startswith("codes"):
            return self.raw(mean_of(self.model.decode(*given)))
        model: Any = self.model
        codes = {name.removeprefix("codes_"): value for name, value in zip(self.inputs, given)}
        return self.raw(mean_of(model.decode_codes(codes.get("codes", codes))))


def mean_of(px: Distribution) -> Tensor:
    """Return the mean of p(x|z); of a discretised logistic in one piece, since programs cannot split by batch size."""
    if not isinstance(px, DiscretisedLogisticFamily):
        return point(px)
    step = 1 / (px.levels - 1)
    edges = (torch.arange(px.levels - 1, dtype=px.loc.dtype, device=px.loc.device) + 0.5) * step
    above = torch.sigmoid((px.loc.unsqueeze(-1) - edges) * torch.exp(-px.log_scale).unsqueeze(-1))
    return above.sum(-1) * step


@dataclass(frozen=True)
class Program:
    """A module with example inputs of a batch of three, and the names of its inputs and outputs."""

    module: nn.Module
    inputs: tuple[Tensor, ...]
    takes: tuple[str, ...]
    gives: tuple[str, ...]


def parts(model: Model, info: DataInfo, prepare: Prepare) -> dict[Part, Program]:
    """Return encoder and decoder. UserError for data or a model that no program can stand for."""
    ends, model = Ends.of(info, prepare), model.eval()
    width = Conditions.of(info).width
    label = (torch.eye(max(width, 3))[:3, :width],) if model.takes_label else ()
    named = ("y",) if label else ()
    with torch.no_grad():
        x = ends.seen(ends.x)
        if model.offers(Model.codes):
            codes = model.codes(x, *label)
            table = {"codes": codes} if isinstance(codes, Tensor) else {f"codes_{k}": v for k, v in codes.items()}
            inner, outputs = tuple(table.values()), (*table, "z")
        else:
            inner = (model.posterior_mean(x, *label),)
            outputs = ("mean", "sd") if _has_spread(model.encode(x, *label), inner[0]) else ("code",)
    takes = outputs[:-1] if outputs[-1] == "z" else ("z",)
    return {
        "encoder": Program(Encoder(model, ends.seen, outputs), (ends.x, *label), ("x", *named), outputs),
        "decoder": Program(Decoder(model, ends.raw, takes), (*inner, *label), (*takes, *named), ("mean",)),
    }


def _has_spread(q: Distribution, code: Tensor) -> bool:
    try:
        return not is_point_mass(q) and q.stddev.shape == code.shape == q.mean.shape
    except (NotImplementedError, AttributeError, ValueError):
        return False


@contextmanager
def plain_distributions() -> Iterator[None]:
    """Within the block distributions do not ask whether numbers are valid, which no program can."""
    checks = bool(vars(Distribution)["_validate_args"])
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(checks)


@contextmanager
def _quiet() -> Iterator[None]:
    names = ("torch.onnx", "onnxscript", "torch.fx.experimental.symbolic_shapes", "torch.export")
    logs = [logging.getLogger(name) for name in names]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL)  # of libraries that are not needed, and of what is said in the error
    try:
        with plain_distributions(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporters' own making: deprecations within them
            yield
    finally:
        for log, level in zip(logs, before):
            log.setLevel(level)


def traced(program: Program) -> Any:
    """Return a torch.export program with a free batch size."""
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    sizes = {0: batch}
    shapes = (
        ((sizes,) * len(program.inputs),) if isinstance(program.module, Decoder) else (sizes,) * len(program.inputs)
    )
    with _quiet(), torch.no_grad():
        return torch.export.export(program.module.eval(), program.inputs, dynamic_shapes=shapes)


def onnx_bytes(program: Program, facts: Mapping[str, str]) -> bytes:
    """Return one part as an ONNX model with a free batch size."""
    needed = "ONNX export needs onnx and onnxscript; run: pip install 'vaekit[onnx]'"
    onnx, _ = optional("onnx", needed), optional("onnxscript", needed)
    with _quiet():
        made = torch.onnx.export(
            traced(program),
            input_names=list(program.takes),
            output_names=list(program.gives),
            dynamo=True,
            verbose=False,
        )
    assert made is not None
    _keep_names(made.model.graph)
    model = made.model_proto
    _name_batch(model.graph)
    for key, value in facts.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _keep_names(graph: Any) -> None:
    """Rename values within a graph that bear the name of an output, as "mean" after the operator."""
    ends = {value.name: value for value in graph.outputs}
    for node in graph:
        for value in node.outputs:
            if value.name in ends and value is not ends[value.name]:
                value.name += ".within"


def _name_batch(graph: Any) -> None:
    """Call the free size "batch", which the exporter calls what it likes."""
    size = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*graph.input, *graph.output, *graph.value_info):
        for one in value.type.tensor_type.shape.dim:
            if one.dim_param == size:
                one.dim_param = "batch"


def torch_bytes(program: Program, facts: Mapping[str, str]) -> bytes:
    """Return one part as torch.export's own file; read it with torch.export.load."""
    buffer = io.BytesIO()
    with _quiet():
        torch.export.save(traced(program), buffer, extra_files={"facts.json": json.dumps(facts)})
    return buffer.getvalue()


def programs(
    model: Model,
    info: DataInfo,
    prepare: Prepare,
    facts: Mapping[str, Any],
    format: Format,
    wanted: Sequence[Part] = PARTS,
) -> dict[str, bytes]:
    """Return the `wanted` parts of a model as programs, with `facts` about it in each. They are of the CPU.

    Raises UserError for data that are no tensors of one shape, and for parts that no program can stand for: what
    searches, or draws number after number.
    """
    made: dict[str, bytes] = {}
    both = parts(copy.deepcopy(model).cpu(), info, prepare)
    says = Ends.of(info, prepare).says
    for name in wanted:
        for module in model.modules():
            refused: Mapping[str, str] = getattr(module, "no_program", {})
            if name in refused:
                raise UserError(f"the {name} of this model cannot be a program: {refused[name]}")
        program = both[name]
        own = {
            "made_by": f"vaekit {__version__}",
            "part": name,
            "input": ["batch", *program.inputs[0].shape[1:]],
            "takes": list(program.takes),
            "gives": list(program.gives),
            "values": says,
            **facts,
        }
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in own.items()}
        try:
            made[name] = (onnx_bytes if format == "onnx" else torch_bytes)(program, texts)
        except (UserError, Unsupported):
            raise
        except Exception as error:
            words = (str(error).strip().splitlines() or [""])[0][:200]
            kind = type(error).__name__
            raise UserError(f"the {name} of this model cannot be exported to {format} ({kind}: {words})") from error
    return made
