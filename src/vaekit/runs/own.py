"""Hand-made models under a run: what they are given, what the record says of them, and how they are made again."""

from __future__ import annotations

import importlib.util
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vaekit.data import load as load_data
from vaekit.data.as_is import as_they_are
from vaekit.data.dataset import DataSet
from vaekit.data.settings import DataSettings
from vaekit.errors import UserError
from vaekit.inference import inference
from vaekit.metrics.features import Extractor
from vaekit.metrics.named_features import named_extractor
from vaekit.models.base import Model
from vaekit.recipes.own import CUSTOM, as_model, own_recipe, wants_of
from vaekit.recipes.settings import Settings
from vaekit.runs import folder as files
from vaekit.runs.base import AS_IS
from vaekit.runs.data import as_seen, contents_record, for_own
from vaekit.training.data_source import DataSource
from vaekit.training.validation import held_out


def own_data(model: Model, source: Any, settings: DataSettings, held_out: Mapping[str, Any]) -> DataSet:
    """Return data for a hand-made model: known sets and files as its likelihood wants them, all else as they are."""
    if isinstance(source, DataSet):
        if held_out:
            raise UserError("a DataSet has its splits already; leave valid and test out")
        return source
    if isinstance(source, str | Path):
        if held_out:
            raise UserError("known sets and files have their own splits here; leave valid and test out")
        return as_seen(load_data(source, for_own(settings), wants=wants_of(model)))
    data = as_they_are(source, settings, wants_of(model), held_out)
    sd = float(data.train.x.std()) if data.info.kind == "real" else 1.0
    if not 0.1 <= sd <= 10:
        warnings.warn(
            f"the data's standard deviation is {sd:.3g}, and a hand-made model sees them as they are: training may be "
            "slow; scale them, and the model's bounds are then of the scaled values",
            stacklevel=3,
        )
    return data


def taken_as_is(source: Any) -> bool:
    """Return whether `own_data` takes a source as it is."""
    return not isinstance(source, DataSet | str | Path)


# -- meeting the data --------------------------------------------------------------------------------------------------


def meet_data(model: Model, dataset: DataSet) -> None:
    """Let the model see two of the training examples; a UserError if it does not take them."""
    if dataset.info.is_array:
        split = dataset.prepare.fixed(dataset.train.first(2), 0)
        meet(model, split.inputs, split.y)


def meet(model: Model, x: Any, y: Tensor | None) -> None:
    """Let the model see a batch; what its networks say of a shape that does not fit becomes one sentence."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    x, y = x[:2].to(device), None if y is None else y[:2].to(device)
    try:
        with inference(model):
            _ = model.trace(x, y if model.takes_label else None).log_px
    except UserError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        first = (str(error).strip().splitlines() or [""])[0]
        shape = tuple(x.shape[1:]) if isinstance(x, Tensor) else type(x).__name__
        raise UserError(
            f"the model does not take examples of shape {shape} ({type(error).__name__}: {first}); change its "
            "networks, or the data's shape"
        ) from error


# -- the record --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """What a run is made of."""

    record: dict[str, Any]
    settings: Settings
    data: DataSet


def parts_of(model: Model, source: Any, others: Mapping[str, Any], name: str | None, arguments: Any) -> Parts:
    """Return the record, settings and data of a hand-made model that is trained already, and its held-out ELBO."""
    recipe = own_recipe(model)
    settings = recipe.settings()
    dataset = own_data(model, source, settings.data, others)
    meet_data(model, dataset)
    info = dataset.info.to_dict() | ({"name": name} if name else {})
    data = {"source": "memory" if taken_as_is(source) or isinstance(source, DataSet) else str(source), "info": info}
    data["prepare"] = dataset.prepare.to_dict()
    data |= contents_record(dataset)
    record = {
        "recipe": CUSTOM,
        "model": model_record(model, arguments),
        "settings": settings.model_dump(mode="json"),
        "given": {},
        "data": data | ({AS_IS: True} if taken_as_is(source) else {}),
        "seed": settings.train.seed,
        "versions": files.versions(),
        "command": "",
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "status": "done",
        "result": _result(model, dataset),
    }
    return Parts(record, settings, dataset)


def model_record(model: Model, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a record says of a hand-made model: its class, what it was made with, and its layers, for a reader.

    >>> from vaekit.models.vae import VAE
    >>> model_record(Model(), {"latent": 2})["class"]
    'vaekit.models.base:Model'
    """
    kind = type(model)
    made = {"class": f"{kind.__module__}:{kind.__qualname__}", "layers": str(model)}
    return made if arguments is None else made | {"arguments": dict(arguments)}


def _result(model: Model, dataset: DataSet) -> dict[str, Any]:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with inference(model):
        found = held_out(model.trace, None, DataSource(dataset, device).valid(500), 1, device=device)
    refusal = {} if found.elbo is not None else {"refused": found.refused}
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "elbo": found.elbo,
        "elbo_stderr": found.stderr,
        "held_out_n": found.n,
        "warnings": [],
    } | refusal


# -- made again --------------------------------------------------------------------------------------------------------


def made_again(record: Mapping[str, Any], module: Any, where: object) -> Model:
    """Return the model of a record from what the caller names: a model, what makes one, or "FILE.py:NAME" of either.

    What makes one is called with the arguments that the record has. Nothing is imported that the caller does not name.
    """
    told = record.get("model", {})
    if module is None:
        raise UserError(
            f"{where} is a run of a hand-made model ({told.get('class', 'unknown')}), whose code a run does not hold: "
            "name what makes it, vaekit.load(path, module=make_model) in Python, or --module FILE.py:make_model in a "
            "command"
        )
    made = _from_file(module) if isinstance(module, str | Path) else module
    if not isinstance(made, nn.Module):
        if not callable(made):
            raise UserError(f"module={made!r} is neither a model nor makes one; give a function that returns the model")
        arguments = told.get("arguments") or {}
        try:
            made = made(**arguments)
        except TypeError as error:
            raise UserError(
                f"{getattr(made, '__name__', made)} cannot be called with the run's recorded arguments {arguments} "
                f"({error}); give a function without arguments that returns the model"
            ) from error
    return as_model(made)


def features_of(named: Any) -> Extractor:
    """Return the extractor of features that is named: a network, "FILE.py:NAME" of one or of what makes it, FILE.onnx.

    Raises:
        UserError: there is none by that name, or its file cannot be loaded without running a pickle.
    """
    made: Any = _from_file(named) if isinstance(named, str) and ".py:" in named else named
    made = made() if callable(made) and not isinstance(made, nn.Module) else made
    return named_extractor(made)


def _from_file(named: str | Path) -> Any:
    """Return what "FILE.py:NAME" names."""
    path, colon, name = str(named).rpartition(":")
    if not (colon and path.endswith(".py") and name.isidentifier()):
        raise UserError(f"the module {named}: write FILE.py:NAME, what in the file is, or makes, the model")
    if not Path(path).is_file():
        raise UserError(f"there is no file {path} to make the model from; write FILE.py:NAME")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None and spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(path).resolve().parent))  # as when the file is run: it may import its neighbours
    try:
        spec.loader.exec_module(code)
    except Exception as error:
        raise UserError(f"{path} cannot be imported ({type(error).__name__}: {error})") from error
    finally:
        sys.path.pop(0)
    if not hasattr(code, name):
        raise UserError(f"{path} has no {name}; write FILE.py:NAME, what in the file is, or makes, the model")
    return getattr(code, name)
