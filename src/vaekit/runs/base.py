"""A trained model with its record, its data and its device: what every use of a run is made of."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from vaekit.conditional import Wants
from vaekit.data import load as load_data
from vaekit.data.as_is import as_they_are
from vaekit.data.conditions import Conditions
from vaekit.data.dataset import DataSet, Prepared, Split
from vaekit.data.datasets import DATASETS
from vaekit.data.info import DataInfo
from vaekit.data.loading import prepare, read_like
from vaekit.data.modality import Modality, modality_of
from vaekit.data.prepare import Prepare
from vaekit.data.series.collection import lengths_of, stopped
from vaekit.data.settings import DataSettings
from vaekit.data.tables.dataframes import library_of, made_frame
from vaekit.data.tables.modality import Tables
from vaekit.devices import check_seed, choose_device, device_of, seeded
from vaekit.errors import UserError
from vaekit.graphs import Graphs
from vaekit.inference import batched, inference, joined, label_for
from vaekit.latents.interpolate import Kind, interpolate
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.metrics.base import Subject
from vaekit.models.base import Model, point
from vaekit.models.graph import GraphVAE
from vaekit.recipes.base import RECIPES, Built, Recipe
from vaekit.recipes.fitted import with_fitted_prior
from vaekit.recipes.own import CUSTOM, own_recipe, wants_of
from vaekit.recipes.settings import Settings
from vaekit.runs.data import dealt_as_recorded, differing, known_again, load_like
from vaekit.runs.folder import LOG, VALUES, read_evaluation, weights_of
from vaekit.schemas import or_else
from vaekit.training import checkpoint
from vaekit.training.log import read

TEST_SEED = 777
SHOWN = 5000
"""Training examples that stand in where none are held out."""
ALL = {"valid": 0, "test": 0, "unseen": "", "limit": None, "stream": "no", "standardise": "auto"}
"""Settings by which data are read whole."""
AS_IS = "as-is"
"""In the record of a run's data: they are taken as they are, unprepared."""


def describe_source(source: Any) -> str:
    """Return how a run remembers its data: a name or an absolute path; "memory" for arrays."""
    known = isinstance(source, str) and source in DATASETS  # also beside a file or run of that name
    if isinstance(source, Path) or (isinstance(source, str) and not known and Path(source).exists()):
        return str(Path(source).resolve())
    return source if isinstance(source, str) else "memory"


def build(recipe: Recipe, settings: Settings, info: DataInfo) -> Built:
    """Put the recipe's parts together with initial weights drawn from the run's seed."""
    with seeded(settings.train.seed):
        return with_fitted_prior(recipe.build(settings, info))


class RunBase:
    """A model with what it was trained on and how. `path` is its folder, None for a run in memory.

    Methods that take `data` take None (the run's test split), or other data of the same kind, which are prepared as the
    run's own were: a name, a path (of one file too), an array or tensor x or (x, y), one example, frames, datasets,
    texts. What is prepared already is a `Prepared`, as `test` and `prepared` give. Computation runs on the model's
    device; results are on the CPU.
    """

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
        self.changed_data = False
        self.difference: str | None = None
        self.kept: dict[str, Any] = {}
        self.example_values: dict[str, Tensor] = {}
        self.records: list[dict[str, Any]] = []
        self.weights_read = None if path is None else weights_of(path)
        self.unstored: str | None = None
        """Why the last evaluation is not in the folder, where it could not be written."""

    def __repr__(self) -> str:
        elbo = (self.record.get("result") or {}).get("elbo")
        shown = "" if elbo is None else f", held-out ELBO {elbo:.2f} nats"
        return f"Run({self.record['recipe']} on {self.info.name}{shown}, {self.path or 'in memory'})"

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return self.record["recipe"]

    @property
    def recipe_part(self) -> Recipe:
        """The recipe itself; that of a hand-made model stands for its parts."""
        return own_recipe(self.model) if self.recipe == CUSTOM else RECIPES[self.recipe].part

    # -- device --------------------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the model is, and so where everything is computed."""
        return device_of(self.model)

    def to(self, device: str | torch.device) -> Self:
        """Move the model to a device ("auto": CUDA, then MPS, then the CPU) and return the run."""
        self.model.to(choose_device(str(device)))
        return self

    # -- data ----------------------------------------------------------------------------------------------------------

    @property
    def data(self) -> DataSet:
        """The data of the run, loaded again where they were found when it was trained.

        A UserError if they hold anything else than they did then, unless the run was loaded with `changed_data`.
        """
        if self._data is None:
            source = self.record["data"]["source"]
            held_out = self.record["data"].get("held_out", {})
            if "memory" in (source, *held_out.values()):
                raise UserError(
                    "this run was trained on arrays in memory; pass the data again: run.evaluate(data=x), or "
                    "vaekit.load(path, data=x) for all uses"
                )
            self._data = self._as_trained_on(source)
        return self._data

    def give_data(self, source: Any) -> None:
        """Take the run's data again, where they were in memory or have moved; a UserError if they are others."""
        data = self._as_trained_on(source)
        what = None if self.difference else differing(self.record["data"]["info"], data.info)
        if what is not None:
            raise UserError(
                f"these are not the data of this run: their {what} is {getattr(data.info, what)}, the run's "
                f"{getattr(self.info, what)}; give the same data, or run.evaluate(data=…) for others"
            )
        self._data = data

    def _as_trained_on(self, source: Any) -> DataSet:
        """Read the run's data again, and see whether they are what it was trained on."""
        record = self.record["data"]
        if record.get(AS_IS):
            data = as_they_are(source, dealt_as_recorded(self.settings, record).data, self.wants)
            self.difference = known_again(data.contents, record, "the source", self.changed_data)
        else:
            found = load_like(self.recipe_part, self.settings, source, record, self.changed_data)
            data, self.difference = found
        if self.difference is not None:
            warnings.warn(f"{self.difference}; numbers are of the data as they are now", stacklevel=3)
        elif record.get("contents") is None and data.contents is not None:
            warnings.warn(
                "this run was recorded by a version that did not note what its data held: whether they are the same "
                "cannot be checked",
                stacklevel=3,
            )
        return data

    @cached_property
    def test(self) -> Prepared:
        """The test split as the model sees it, its noise drawn once with a fixed seed."""
        return self.prepare.fixed(self.data.test, TEST_SEED)

    @property
    def shown(self) -> Prepared:
        """What figures and pages show: the test split, else validation's, else training's, the first that has any."""
        held_out = self.test if len(self.test) else self.prepare.fixed(self.data.valid, 1)
        return held_out if len(held_out) else self.training(SHOWN)

    def training(self, most: int | None = None) -> Prepared:
        """Return the training examples as the model sees them, the first `most`."""
        split = self.data.train.in_memory if most is None else self.data.train.first(most)
        return self.prepare.fixed(split, TEST_SEED - 2)

    @property
    def modality(self) -> Modality | None:
        """What reads, shows and writes the run's data; None for plain arrays."""
        return modality_of(self.info)

    def split(self, data: Any = None, y: Any = None) -> Prepared:
        """Return the examples that `data` stands for, prepared, with labels `y`; an empty split is a UserError."""
        if data is None:
            split = self.test
        elif y is None or isinstance(data, Split | Graphs):
            split = self.prepared(data)
            split = split if y is None else replace(split, y=y)
        else:
            split = self.prepared((data, y))
        if not len(split):
            raise UserError(f"{self.info.name} has no test examples, so nothing is held out; give other data")
        return split

    def prepared(self, source: Any, *, unknown: Literal["refuse", "missing"] | None = None) -> Prepared:
        """Read other data and prepare them as this run's own were; what does not fit is a UserError.

        `unknown` stands for the setting data.unknown of tables: whether a level that training did not meet is refused.
        A `Split` is taken as stored by this run's data set (`run.data`); a `Prepared` comes back as it is.

        >>> import numpy as np, vaekit
        >>> run = vaekit.train("vae", "digits", steps=2)
        >>> split = run.prepared(np.full((8, 8), 16))
        >>> split.x.shape, split.x.unique(), split.origin.columns
        (torch.Size([1, 1, 8, 8]), tensor([1], dtype=torch.uint8), {'row': array([0])})
        """
        if isinstance(source, Prepared):
            return source
        if isinstance(source, Graphs):
            return Prepared(source)  # type: ignore[arg-type]
        if isinstance(source, Split):
            return self.prepare.fixed(source, TEST_SEED)
        if self.record["data"].get(AS_IS):
            other = as_they_are(source, self._all_of_it, self.wants).train
            if tuple(other.x.shape[1:]) != tuple(self.info.shape):
                raise UserError(
                    f"the examples have shape {tuple(other.x.shape[1:])}; this run's model takes {self.info.shape}"
                )
            return other.prepared(other.x)
        if not self.info.is_array and self.modality is not None:
            settings = self.settings.data.model_copy(update={} if unknown is None else {"unknown": unknown})
            return self.prepare.fixed(self.modality.encode(source, self.info, settings), TEST_SEED)
        raw = read_like(source, self._all_of_it, self.info, self.prepare, strict=self.model.takes_label)
        if raw.shape != tuple(self.info.shape):
            raise UserError(
                f"{raw.source} has examples of shape {raw.shape}; this run's model takes {tuple(self.info.shape)}"
            )
        other = prepare(raw, self._all_of_it, self.wants)
        fixed = self._preparation(other).fixed(other.train, TEST_SEED)
        return replace(fixed, y=self._matched(other, raw.source))

    def _matched(self, other: DataSet, source: str) -> Tensor | None:
        """Return other data's labels as this run's: by name. Those it does not know are missing, or refused if used."""
        y, mine, used = other.train.y, self.conditions, self.model.takes_label
        if y is None or not len(mine):
            return y
        y = mine.matched(y, Conditions.of(other.info), source, "refuse" if used else "missing")
        if used and not self.model.optional_label and np.isnan(mine.stored(y)).any():
            row = int(np.isnan(mine.stored(y)).any(1).argmax())
            raise UserError(
                f"{source}: example {row} lacks its label, and this run's model was trained with every one; give it, "
                "or train with some missing or model.drop_condition=0.1"
            )
        return y

    @property
    def _all_of_it(self) -> DataSettings:
        """How other data are read: as the run's own, with none held out."""
        return self.settings.data.model_copy(update=ALL)

    def _whole(self, source: Any) -> DataSet:
        """Return other data, none held out but by the source itself, as this run's likelihood wants them."""
        return load_data(source, self._all_of_it, wants=self.wants)

    @property
    def wants(self) -> Wants:
        """The kind of data that the likelihood is of."""
        own = wants_of(self.model) if self.recipe == CUSTOM else None
        return own or LIKELIHOODS[self.settings.model.likelihood].part.wants

    def _preparation(self, other: DataSet) -> Prepare:
        """Return how other data become what this run's were: their own scale of greys, this run's moments."""
        mine = self.prepare
        return replace(other.prepare, mean=mine.mean, sd=mine.sd, axes=mine.axes, low=mine.low, high=mine.high)

    @property
    def conditions(self) -> Conditions:
        """What examples are labelled with: classes, numbers or attributes."""
        return Conditions.of(self.info)

    # -- labels --------------------------------------------------------------------------------------------------------

    def class_number(self, label: Any) -> int:
        """Return the number of a class given by name or number."""
        classes = self.info.classes
        if str(label) in classes:
            return classes.index(str(label))
        if isinstance(label, int) and 0 <= label < len(classes):
            return label
        raise UserError(f"there is no label '{label}'; the classes are {', '.join(classes)}")

    def class_names(self, y: Any) -> list[str]:
        """Return the names of class numbers, of nodes where they have the labels."""
        classes = self.info.classes or self.info.facts.get("classes", ())
        return [classes[i] if 0 <= i < len(classes) else "" if i < 0 else str(i) for i in (int(value) for value in y)]

    def classes_of(self, split: Split, what: str) -> Tensor:
        """Return the class of every example (N,), which `what` needs; a UserError says what there is instead."""
        if split.labels is not None:
            return split.labels
        lack = "some have no label" if self.conditions.classes else f"they have {self.conditions}"
        raise UserError(
            f"{what} needs the class of every example: {'there are no labels' if split.y is None else lack}"
        )

    def label_columns(self, y: Tensor | None) -> dict[str, list[str]]:
        """Return labels as columns of text: `label`, the classes' names, or each attribute by its name."""
        if y is None:
            return {}
        return self.conditions.texts(y) if y.dtype.is_floating_point else {"label": self.class_names(y)}

    def label_names(self, split: Split) -> list[str] | None:
        """Return the name of each example's label, also of labels that are none of the run's classes; None without."""
        if split.origin is not None and "label" in split.origin.columns:
            return [str(name) for name in split.origin.columns["label"]]
        whole = split.y is not None and split.y.dim() == 1 and not split.y.is_floating_point()
        return self.class_names(split.y) if whole else None

    def of_classes(self, split: Split, names: Sequence[Any]) -> np.ndarray:
        """Return which examples are of the classes named, (N,) bool; classes may be ones that training never saw."""
        known = self.label_names(split)
        if known is None:
            raise UserError("the data have no labels, which anomalous classes need; give labelled data")
        wanted = {str(name) if str(name) in known else self.info.classes[self.class_number(name)] for name in names}
        return np.isin(known, list(wanted))

    # -- numbers -------------------------------------------------------------------------------------------------------

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
        chosen = self.split(split)
        lost = self._data is None and self.record["data"]["source"] == "memory"
        chosen = chosen.some(limit) if limit else chosen

        def train() -> tuple[Tensor, Tensor | None]:
            fixed = self.training()
            return fixed.inputs, fixed.y

        return Subject(
            self.model,
            self.info,
            chosen.inputs,
            chosen.y,
            k=k,
            seed=seed,
            train=None if lost else train,
            show=self.prepare.show,
            progress=progress or (lambda name, done, total: None),
            options=options or {},
            factors=chosen.factors,
        )

    def evaluation(self) -> dict[str, Any]:
        """Return what evaluation.json holds so far."""
        return self.kept if self.path is None or self.unstored is not None else read_evaluation(self.path)

    def values(self) -> dict[str, Tensor]:
        """Return the value of each test example, (n,), by the name of the number in `evaluation` that is their mean."""
        if self.path is None or self.unstored is not None:
            return self.example_values
        path = self.path / VALUES
        if not path.is_file():
            return {}  # evaluated by an earlier version
        return or_else(lambda: checkpoint.load(path, fix="evaluate again")[0], {})

    @property
    def fingerprint(self) -> str:
        """128 bits of SHA-256 over the recipe, its model's settings, what the data are, and every weight, in hex.

        >>> import vaekit
        >>> run = vaekit.train("vae", "digits", steps=2)
        >>> len(run.fingerprint), run.fingerprint == run.fingerprint
        (32, True)
        """
        facts = {
            "recipe": self.recipe,
            "model": self.record["settings"]["model"],
            "shape": list(self.info.shape),
            "levels": self.info.levels,
            "kind": self.info.kind,
            "prepare": self.record["data"]["prepare"],
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:32]

    @property
    def log(self) -> list[dict[str, Any]]:
        """The records of training, in order; [] where none were kept."""
        return self.records if self.path is None else read(self.path / LOG)

    # -- codes and back ------------------------------------------------------------------------------------------------

    def encode(self, data: Any = None, y: Any = None) -> Any:
        """Return posterior means (N, F) of examples: a tensor; of a table given as a data frame, such a frame.

        Its columns are called z1, z2, …, and a pandas frame has the index of the one given.
        """
        split = self.split(data, y)
        z = batched(self.model, self.model.features, split.x, split.y)
        library = self._library(data)
        if library is None:
            return z
        columns = {f"z{j + 1}": column.tolist() for j, column in enumerate(z.double().T)}
        return made_frame(columns, library, index=getattr(data, "index", None))

    def _library(self, data: Any) -> str | None:
        """Return whose data frame a table was given as; None where the data are no table, or none was given."""
        return library_of(data) if isinstance(self.modality, Tables) else None

    def node_codes(self, data: Any = None) -> tuple[Tensor, Tensor | None]:
        """Return the codes (N, D) of all nodes of graphs, and the nodes' labels (N,)."""
        graphs: Any = self.split(data).x
        if not isinstance(self.model, GraphVAE):
            raise UserError(f"nodes are those of graphs, and {self.info.name} has none")
        with inference(self.model):
            return self.model.node_codes(graphs.to(self.device)).cpu(), graphs.labels

    def codes(self, data: Any = None) -> Tensor:
        """Return posterior means (N, D) as the decoder takes them; a UserError where they are not plain vectors."""
        split = self.split(data)
        z = self.encode(split)
        one = batched(self.model, self.model.posterior_mean, split.x[:1], None if split.y is None else split.y[:1])
        if one.dim() != 2 or one.shape[1] != z.shape[1]:
            raise UserError(f"the codes of {self.recipe} are not plain vectors of numbers, which can be moved along")
        return z

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the points (means) of p(x|z) of codes (N, D), in the data's units (greys on [0, 1]): (N, *shape)."""
        return self.prepare.values(self._points(z, y))

    def _points(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return `decode` as the model makes it."""
        return batched(self.model, lambda code, label: point(self.model.decode(code, label)), z, y)

    def reconstruct(self, data: Any = None, y: Any = None) -> Any:
        """Return deterministic reconstructions of examples, in the data's units (greys on [0, 1]): a tensor.

        Those of a table given as a data frame are such a frame, with the names and dtypes of the one trained on.
        """
        split = self.split(data, y)
        made = self.prepare.values(batched(self.model, self.model.reconstruct, split.x, split.y))
        library = self._library(data)
        if library is None:
            return made
        return Tables().frame(made, self.info, split.y, library, getattr(data, "index", None))

    def picture(self, x: Any) -> Any:
        """Return values in the data's units (tensor or array) as pictures show them, in [0, 1].

        Spectrograms are stored the lowest band first, and shown with it at the bottom.
        """
        shown = self.prepare.picture(x)
        if self.info.modality != "audio":
            return shown
        return shown.flip(-2) if isinstance(shown, Tensor) else shown[..., ::-1, :]

    def interpolate(self, a: Any, b: Any, y: Tensor | None = None, steps: int = 8, kind: Kind = "linear") -> Tensor:
        """Return decoded paths between R examples a and as many b: (R, steps, *shape), in the data's units.

        Both are data as for other methods; the labels of a hold all along, where `y` does not say others.
        """
        first, last = self.split(a, y), self.split(b)
        with inference(self.model):
            label = label_for(self.model, first.y, len(first))
            label = None if label is None else label.to(self.device)
            ends = [self.model.posterior_mean(part.inputs.to(self.device), label) for part in (first, last)]
            frames = [point(self.model.decode(z, label)) for z in interpolate(ends[0], ends[1], steps, kind)]
        made = joined([self.prepare.values(frame) for frame in frames])
        paths = torch.stack(made.split([len(frame) for frame in frames]), 1)
        if self.info.kind != "series":
            return paths
        begin, end = (lengths_of(part.x).float().unsqueeze(1) for part in (first, last))
        return stopped(paths, torch.lerp(begin, end, torch.linspace(0, 1, steps)).round())

    def interpolate_examples(
        self, pairs: Sequence[tuple[int, int]], data: Any = None, *, steps: int = 8, kind: Kind = "linear"
    ) -> Tensor:
        """Return decoded paths between examples by number, (R, steps, *shape); the first's label holds."""
        split = self.split(data)
        a, b = (split.take(torch.tensor(list(ends))) for ends in zip(*pairs))
        return self.interpolate(a, b, None, steps, kind)

    def lines(self, x: Any) -> list[str]:
        """Return a readable line for each example, as `sample` gives them; only for data of a modality."""
        if self.modality is None:
            raise UserError(f"{self.info.name} are arrays of numbers, which have no lines to read")
        return self.modality.lines(x, self.info)
