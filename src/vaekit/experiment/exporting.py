"""`vaekit export`: encoder and decoder as programs without vaekit, for torch.export or ONNX runtimes."""

from __future__ import annotations

import io
import json
import logging
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit import __version__
from vaekit.atomic import replacing, write_bytes
from vaekit.distributions.base import is_point_mass
from vaekit.distributions.discretised_logistic import DiscretisedLogisticFamily
from vaekit.errors import UserError
from vaekit.experiment.compressing import fingerprint
from vaekit.experiment.run import Run, load
from vaekit.models.base import Model

Format = Literal["onnx", "torch"]
SUFFIX = {"onnx": ".onnx", "torch": ".pt2"}


class Encoder(nn.Module):
    """x (B, *shape) [, y (B, C)] → mean and standard deviation of q(z|x), (B, D) each."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation."""
        q = self.model.encode(x, y)
        return q.mean, q.stddev


class PointEncoder(Encoder):
    """x (B, *shape) → the code, for posteriors that have no standard deviation."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Return the code."""
        return self.model.posterior_mean(x, y)


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


def parts(run: Run) -> dict[str, tuple[nn.Module, tuple[Tensor, ...]]]:
    """Return the encoder and decoder modules, each with example inputs of a batch of three."""
    model = run.model.eval()
    x = torch.zeros(3, *run.info.shape)
    x[1] += 1.0
    label = (torch.eye(max(run.info.n_classes, 3))[:3, : run.info.n_classes],) if model.takes_label else ()
    with torch.no_grad():
        z = model.posterior_mean(x, *label)
        q = model.encode(x, *label)
    try:
        spread = isinstance(q.stddev, Tensor) and not is_point_mass(q)
    except (NotImplementedError, AttributeError, ValueError):
        spread = False
    encoder: nn.Module = Encoder(model) if spread else PointEncoder(model)
    return {"encoder": (encoder, (x, *label)), "decoder": (Decoder(model), (z, *label))}


@contextmanager
def _quiet() -> Iterator[None]:
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)  # it tells of libraries that are not needed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporters' own making: deprecations within them
            yield
    finally:
        log.setLevel(before)


def program(module: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    """Return a torch.export program with a free batch size."""
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    shapes = tuple({0: batch} for _ in inputs)
    with _quiet(), torch.no_grad():
        return torch.export.export(module.eval(), inputs, dynamic_shapes=shapes)


def facts(run: Run, part: str, inputs: tuple[Tensor, ...]) -> dict[str, str]:
    """Return what a program says of itself."""
    shape = list(inputs[0].shape[1:])
    return {
        "made_by": f"vaekit {__version__}",
        "recipe": run.recipe,
        "model": fingerprint(run),
        "part": part,
        "input": json.dumps(["batch", *shape]),
        "data": json.dumps({"kind": run.info.kind, "levels": run.info.levels, "classes": list(run.info.classes)}),
    }


def onnx_bytes(run: Run, part: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> bytes:
    """Return one part as an ONNX model with a free batch size."""
    try:
        import onnx
        import onnxscript
    except ImportError:
        raise UserError("ONNX export needs onnx and onnxscript; run: pip install 'vaekit[onnx]'") from None
    del onnxscript
    names = {"encoder": ["x", "y"], "decoder": ["z", "y"]}[part][: len(inputs)]
    outputs = ["mean", "sd"] if type(module) is Encoder else ["code" if part == "encoder" else "mean"]
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
    for key, value in facts(run, part, inputs).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    return model.SerializeToString()


def torch_bytes(run: Run, part: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> bytes:
    """Return one part as torch.export's own file; read it with torch.export.load."""
    buffer = io.BytesIO()
    with _quiet():
        extra = {"facts.json": json.dumps(facts(run, part, inputs))}
        torch.export.save(program(module, inputs), buffer, extra_files=extra)
    return buffer.getvalue()


def export(folder: Path, out: Path, *, format: Format) -> dict[str, Any]:
    """Write encoder and decoder: into one .zip; or F.onnx as F.encoder.onnx and F.decoder.onnx.

    A name that holds "encoder" or "decoder" gets that part alone. Raises UserError for a model whose parts the exporter
    cannot follow; nothing is then written.
    """
    suffix = SUFFIX[format]
    if out.suffix.lower() not in (suffix, ".zip"):
        raise UserError(f"--out {out}: write a file ending in {suffix} or .zip for --format {format}")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: the folder {out.parent} does not exist; make it first")
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name a file")
    run = load(folder)
    found = parts(run)
    zipped = out.suffix.lower() == ".zip"
    one = [] if zipped else [name for name in found if name in out.stem.lower()]
    made = {name: _made(run, name, *found[name], format) for name in (one if len(one) == 1 else found)}
    if zipped:
        with replacing(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for name, data in made.items():
                archive.writestr(f"{name}{suffix}", data)
        written = [str(out)]
    else:
        paths = {name: out if len(one) == 1 else out.with_name(f"{out.stem}.{name}{suffix}") for name in made}
        for name, data in made.items():
            write_bytes(paths[name], data)
        written = [str(path) for path in paths.values()]
    return {"format": format, "parts": {name: len(data) for name, data in made.items()}, "out": written}


def _made(run: Run, name: str, module: nn.Module, inputs: tuple[Tensor, ...], format: Format) -> bytes:
    try:
        return (onnx_bytes if format == "onnx" else torch_bytes)(run, name, module, inputs)
    except UserError:
        raise
    except Exception as error:
        words = (str(error).strip().splitlines() or [""])[0][:200]
        kind = type(error).__name__
        raise UserError(f"the {name} of '{run.recipe}' cannot be exported to {format} ({kind}: {words})") from error
