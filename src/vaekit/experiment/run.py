"""A trained run: loading it, evaluating it, and asking it for samples, codes, reconstructions and figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaekit import distributed
from vaekit.atomic import write_json
from vaekit.data import load as load_data
from vaekit.data.dataset import DataSet, Prepare, Split
from vaekit.data.info import DataInfo
from vaekit.data.modalities.audio import Audio
from vaekit.data.modality import Modality, modality_of
from vaekit.data.prepare import as_input
from vaekit.data.streamed import in_memory
from vaekit.errors import UserError
from vaekit.experiment import folder as files
from vaekit.experiment.loading import load_like
from vaekit.experiment.showing import joined
from vaekit.latents.interpolate import Kind, interpolate
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.metrics.base import Result, Subject, evaluate
from vaekit.models.base import Model, point
from vaekit.recipes.base import RECIPES, Built, Recipe
from vaekit.recipes.settings import Settings
from vaekit.training import checkpoint

if TYPE_CHECKING:
    from vaekit.figures.drawing import Drawer

TEST_SEED = 777


def describe_source(source: Any) -> str:
    """Return how a run remembers its data: a name or an absolute path; "memory" for arrays."""
    if isinstance(source, Path) or (isinstance(source, str) and Path(source).exists()):
        return str(Path(source).resolve())
    return source if isinstance(source, str) else "memory"


def build(recipe: Recipe, settings: Settings, info: DataInfo) -> Built:
    """Put the recipe's parts together with initial weights drawn from the run's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.train.seed)
        return recipe.build(settings, info)


def check_seed(seed: int) -> None:
    """Raise a UserError if `seed` is none that the generators take."""
    if not 0 <= seed < 2**63:
        raise UserError(f"seed {seed} must be at least 0 and below 2**63")


class Run:
    """A model with what it was trained on and how. `path` is its folder, None for a run in memory."""

    def __init__(
        self, path: Path | None, record: dict[str, Any], built: Built, settings: Settings, data: DataSet | None = None
    ) -> None:
        self.path = path
        self.record = record
        self.settings = settings
        self.built = built
        self.model: Model = built.model
        self.info = DataInfo.from_dict(record["data"]["info"])
        self.prepare = Prepare.from_dict(record["data"]["prepare"])
        self._data = data

    def __repr__(self) -> str:
        elbo = self.record.get("result", {}).get("elbo")
        shown = "" if elbo is None else f", held-out ELBO {elbo:.2f} nats"
        return f"Run({self.record['recipe']} on {self.info.name}{shown}, {self.path or 'in memory'})"

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return self.record["recipe"]

    @property
    def data(self) -> DataSet:
        """The data of the run, loaded again where they were found when it was trained."""
        if self._data is None:
            source = self.record["data"]["source"]
            if source == "memory":
                raise UserError("this run was trained on arrays in memory; pass the data again")
            self._data = load_like(RECIPES[self.recipe].part, self.settings, source)
        return self._data

    @cached_property
    def test(self) -> Split:
        """The test split as the model sees it, its noise drawn once with a fixed seed."""
        return self.prepare.fixed(self.data.test, TEST_SEED)

    @property
    def modality(self) -> Modality | None:
        """What reads, shows and writes the run's data; None for plain arrays."""
        return modality_of(self.info)

    # -- numbers ----------------------------------------------------------------------------------------------------

    def subject(
        self,
        split: Split | None = None,
        *,
        k: int = 500,
        limit: int | None = None,
        seed: int = 0,
        progress: Callable[[str, int, int], None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Subject:
        """Return what metrics are computed on: the test split, or the one given."""
        check_seed(seed)
        chosen = (split or self.test).first(limit) if limit else (split or self.test)
        if not len(chosen):
            raise UserError(f"{self.info.name} has no test examples; set data.test, or pass data to evaluate")

        def train() -> tuple[Tensor, Tensor | None]:
            fixed = self.prepare.fixed(in_memory(self.data.train), TEST_SEED - 2)
            return fixed.inputs, fixed.y

        return Subject(
            self.model,
            self.info,
            chosen.inputs,
            chosen.y,
            k=k,
            seed=seed,
            train=train,
            show=self.prepare.show,
            progress=progress or (lambda name, done, total: None),
            options=options or {},
            factors=chosen.factors,
        )

    def evaluate(
        self,
        metrics: Sequence[str] = ("all",),
        *,
        k: int = 500,
        limit: int | None = None,
        seed: int = 0,
        progress: Callable[[str, int, int], None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> dict[str, Result]:
        """Compute metrics (names or groups) on the test split; with a folder, keep them in its evaluation.json.

        `options` are settings of single metrics, e.g. {"inception": path}. Under torchrun the processes share the
        examples for the likelihood's metrics; the others are the first one's, which alone keeps the numbers.
        """
        distributed.start()
        found = evaluate(self.subject(k=k, limit=limit, seed=seed, progress=progress, options=options), metrics)
        if self.path is not None and distributed.is_main():
            plain = {name: result.to_dict() | {"split": "test", "seed": seed} for name, result in found.items()}
            write_json(self.path / files.EVALUATION, self.evaluation() | plain)
        return found

    def evaluation(self) -> dict[str, Any]:
        """Return what evaluation.json holds so far."""
        if self.path is None or not (self.path / files.EVALUATION).is_file():
            return {}
        try:
            return dict(json.loads((self.path / files.EVALUATION).read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            return {}  # damaged: the numbers can be computed again

    # -- use --------------------------------------------------------------------------------------------------------

    def sample(
        self, n: int = 64, label: Any = None, *, temperature: float = 1.0, draw: bool = False, seed: int = 0
    ) -> Tensor:
        """Return `n` samples in displayable form, (n, *shape): means of p(x|z), or draws from it with `draw`.

        A conditional model takes a label (a class name or number), or deals the classes out in turn.
        """
        return self.prepare.show(self.drawn(n, label, temperature=temperature, draw=draw, seed=seed))

    def drawn(
        self, n: int, label: Any = None, *, temperature: float = 1.0, draw: bool = False, seed: int = 0
    ) -> Tensor:
        """Return `n` samples as the model makes them: `sample` before it is made displayable."""
        with self._inference(seed):
            return self.model.sample(n, self.labels(n, label), temperature, draw)

    def labels(self, n: int, label: Any = None) -> Tensor | None:
        """Return `n` labels for a conditional model: the one asked for, or every class in turn."""
        if not self.model.takes_label and (label is None or not self.model.gives_label):
            if label is not None:
                raise UserError(f"this run's model ({self.recipe}) is not conditioned on labels; leave --label out")
            return None
        if label is None:
            return torch.arange(n) % self.info.n_classes
        return torch.full((n,), self.class_number(label))

    def class_number(self, label: Any) -> int:
        """Return the number of a class given by name or number."""
        classes = self.info.classes
        if str(label) in classes:
            return classes.index(str(label))
        if isinstance(label, int) and 0 <= label < len(classes):
            return label
        raise UserError(f"there is no label '{label}'; the classes are {', '.join(classes)}")

    def encode(self, x: Tensor, y: Tensor | None = None, batch_size: int = 500) -> Tensor:
        """Return posterior means (N, F) of prepared examples."""
        return self._batched(self.model.features, x, y, batch_size)

    def reconstruct(self, x: Tensor, y: Tensor | None = None, batch_size: int = 500) -> Tensor:
        """Return deterministic reconstructions of prepared examples, in the model's own space."""
        return self._batched(self.model.reconstruct, x, y, batch_size)

    def interpolate(
        self, a: Tensor, b: Tensor, y: Tensor | None = None, steps: int = 8, kind: Kind = "linear"
    ) -> Tensor:
        """Return decoded paths between prepared examples a and b (R, *shape): (R, steps, *shape), displayable."""
        with self._inference():
            label = self._label(y)
            ends = [self.model.posterior_mean(x, label) for x in (a, b)]
            z = interpolate(ends[0], ends[1], steps, kind)
            frames = [point(self.model.decode(step, label)) for step in z]
        shown = joined([self.prepare.show(frame) for frame in frames])
        return torch.stack(shown.split([len(frame) for frame in frames]), 1)

    def prepared(self, source: Any) -> Split:
        """Load other data and prepare them as this run's; a shape that does not fit is a UserError."""
        if not self.info.is_array and self.modality is not None:
            return self.modality.encode(source, self.info, self.settings.data)
        wants = LIKELIHOODS[self.settings.model.likelihood].part.wants
        settings = self.settings.data.model_copy(update={"valid": 0, "test": 0, "limit": None, "stream": "no"})
        other = load_data(source, settings, wants=wants)
        if isinstance(self.modality, Audio):
            other = self.modality.matched(other, self.info)
        if tuple(other.info.shape) != tuple(self.info.shape):
            raise UserError(
                f"{describe_source(source)} has examples of shape {tuple(other.info.shape)}; this run's model takes "
                f"{tuple(self.info.shape)}"
            )
        y = other.train.y
        if self.model.takes_label and y is not None and len(y) and int(y.max()) >= self.info.n_classes:
            raise UserError(
                f"{describe_source(source)} has {int(y.max()) + 1} classes; this run's model knows "
                f"{self.info.n_classes}: {', '.join(self.info.classes)}"
            )
        return self._preparation(other).fixed(other.train, TEST_SEED)

    def _preparation(self, other: DataSet) -> Prepare:
        """Return how other data become what this run's were: their own scale of greys, this run's moments.

        Greys that are all within the run's levels are taken to be on its scale (digits have 17 levels, not 256).
        """
        mine, theirs = self.prepare, other.prepare
        if mine.levels is not None and theirs.levels not in (None, 2) and int(other.train.x.max()) < mine.levels:
            return mine
        return replace(theirs, mean=mine.mean, sd=mine.sd, low=mine.low, high=mine.high)

    def _label(self, y: Tensor | None) -> Tensor | None:
        if not self.model.takes_label:
            return None
        if y is None:
            raise UserError(f"this run's model ({self.recipe}) is conditioned on labels; give data with labels")
        return y

    def _batched(self, call: Callable[..., Tensor], x: Tensor, y: Tensor | None, batch_size: int) -> Tensor:
        label = self._label(y)
        parts: list[Tensor] = []
        with self._inference():
            for start in range(0, len(x), batch_size):
                rows = slice(start, start + batch_size)
                parts.append(call(as_input(x[rows]), None if label is None else label[rows]))
        return joined(parts)

    @contextmanager
    def _inference(self, seed: int = 0) -> Iterator[None]:
        check_seed(seed)
        self.model.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield

    # -- pictures ---------------------------------------------------------------------------------------------------

    def write_figures(self, drawer: Drawer | None = None) -> list[Path]:
        """Write the run's figures into its folder, by another process if there is one, and return their paths."""
        from vaekit.experiment.pictures import write_figures

        return write_figures(self, drawer)

    def write_report(self) -> Path:
        """Write report.html into the run's folder and return its path."""
        from vaekit.experiment.reporting import write_report

        return write_report(self)


def load(path: str | Path) -> Run:
    """Load a run from its folder: record, model and weights; its data are read only when asked for.

    Raises UserError if the folder is no run, or its training has not finished.
    """
    folder = Path(path)
    record = files.read_record(folder)
    if not (folder / files.WEIGHTS).is_file():
        raise UserError(
            f"the run {folder} has not finished training; go on with 'vaekit train --resume --out {folder}'"
        )
    recipe = RECIPES[record["recipe"]].part
    settings = recipe.settings(under=record["settings"])
    built = build(recipe, settings, DataInfo.from_dict(record["data"]["info"]))
    tensors, _ = checkpoint.load(folder / files.WEIGHTS)
    checkpoint.load_model(built.model, tensors, folder / files.WEIGHTS)
    built.model.eval()
    return Run(folder, record, built, settings)
