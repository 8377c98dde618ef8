"""`vaekit.fit`: a hand-made model trained in place on data as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Unpack, cast

import torch
from torch.utils.data import DataLoader, TensorDataset

from vaekit import distributed
from vaekit.data.dataset import DataSet
from vaekit.data.iterated import pair_of
from vaekit.data.prepare import as_input
from vaekit.data.settings import DataSettings
from vaekit.data.shuffling import mix
from vaekit.errors import UserError
from vaekit.models.base import Model
from vaekit.recipes.own import as_model, own_stages
from vaekit.recipes.settings import Settings, check
from vaekit.runs.locks import locked
from vaekit.runs.own import meet, meet_data, own_data
from vaekit.runs.train import Shortcuts, given_settings
from vaekit.training.data_source import DataSource
from vaekit.training.hooks import Callback, Metric
from vaekit.training.log import Kept, Logger
from vaekit.training.loop import fit as run_stages
from vaekit.training.progress import Progress, for_terminal
from vaekit.training.settings import TrainSettings
from vaekit.training.source import Batch, Source
from vaekit.training.stages import Stage
from vaekit.training.state import FitResult


class FitOptions(Shortcuts, total=False):
    """What `fit` takes by name, beside metrics and callbacks."""

    valid: Any
    folder: str | Path | None
    resume: bool
    loggers: Sequence[Logger]
    progress: bool | Progress
    set: Mapping[str, Any] | Sequence[str]


def fit(
    model: Any,
    data: Any,
    objective: Any = None,
    settings: TrainSettings | None = None,
    *,
    metrics: Mapping[str, Metric] | Iterable[Metric] = (),
    callbacks: Iterable[Callback] = (),
    **options: Unpack[FitOptions],
) -> FitResult:
    """Train a model in place: on `data` as they are, with the loop, schedules and checks that recipes train with.

    Args:
        model: a `vaekit.VAE` of any modules, or another `vaekit.Model`.
        data: arrays or tensors x or (x, y), a `Dataset` or a dict, which the model sees as they are, float32, the
            splits of `vaekit.train` drawn from them; a `DataLoader`, whose batches are taken as it gives them; a known
            set, a path or a `DataSet`, prepared as the likelihood wants; or a `Source`.
        objective: an `Objective`, a term, a plain function of the trace that gives (B,) or a scalar, a list of these,
            or stages; default the negative ELBO.
        settings: settings of training; those given by name go above them.
        metrics: functions of the trace, of (model, x) or of (model, x, y), by name or each by its own name: their means
            over held-out examples are logged as "valid.NAME".
        callbacks: functions called with a `StepInfo` after every step; one that returns True ends training.
        options: `valid` are held-out data (else a tenth is drawn; a loader has none of its own). `epochs`, `steps`,
            `batch_size`, `lr`, `seed`, `device`, `precision`, and `set` ({"train.clip": 10}) are settings. `folder`
            keeps a log and checkpoints, from which `resume` goes on. `loggers`, `progress`: as in `vaekit.train`.

    Returns:
        The result: `held_out.elbo`, `held_out.metrics`, `records` (what was logged), warnings.

    >>> from torch import nn; from vaekit import VAE, Bernoulli, DiagonalNormal, StandardNormal
    >>> model = VAE(DiagonalNormal(nn.Linear(9, 4)), StandardNormal(2), Bernoulli(nn.Linear(2, 9)))
    >>> x = torch.rand(100, 9).round()
    >>> result = fit(model, x, steps=20, metrics={"rate": lambda trace: trace.kl["z"]})
    >>> sorted(result.held_out.metrics), result.held_out.n > 0
    (['rate'], True)
    """
    if _are_stages(data):  # as (model, stages, source), the order of the loop's own `fit`
        data, objective = objective, data
    made = as_model(model)
    chosen = _settings(settings, options)
    source = _source(made, data, options.get("valid"), chosen)
    kept, shown = Kept(), options.get("progress")
    folder = options.get("folder")
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
    with locked(Path(folder)) if folder is not None and distributed.is_main() else nullcontext():
        result = run_stages(
            made,
            own_stages(objective, metrics, callbacks),
            source,
            chosen,
            folder=None if folder is None else Path(folder),
            loggers=[*options.get("loggers", ()), kept],
            progress=for_terminal() if shown is True else shown or None,
            resume=options.get("resume", False),
        )
    made.eval()
    return replace(result, records=kept.records)


def _are_stages(value: Any) -> bool:
    return isinstance(value, Stage) or (
        isinstance(value, list | tuple) and bool(value) and all(isinstance(one, Stage) for one in value)
    )


def _settings(settings: TrainSettings | None, options: FitOptions) -> TrainSettings:
    given = given_settings(cast(Any, options))
    others = sorted(given.keys() - {"train"})
    if others:
        raise UserError(
            f"fit has settings of training alone, and '{others[0]}' is of what a recipe builds; leave it out"
        )
    base = {} if settings is None else settings.model_dump(exclude_unset=True)
    return check(Settings, {"model": {}, "objective": {}, "train": base | given.get("train", {})}).train


def _source(model: Model, data: Any, valid: Any, settings: TrainSettings) -> Source:
    """Return what batches come from."""
    if all(hasattr(data, name) for name in ("steps", "train", "valid", "to")) and not isinstance(data, DataSet):
        if valid is not None:
            raise UserError("a source has its own held-out batches; leave valid out")
        return data
    if isinstance(data, DataLoader):
        source = LoaderSource(data, _loader(valid), settings.steps)
        meet(model, *source.first())
        return source
    held_out = {} if valid is None else {"valid": valid}
    dataset = own_data(model, data, DataSettings(), held_out)  # split as `Run.of` splits, whatever the seed
    meet_data(model, dataset)
    return DataSource(dataset)


def _loader(data: Any) -> DataLoader[Any] | None:
    """Return held-out data as a loader."""
    if data is None or isinstance(data, DataLoader):
        return data
    x, y = data if isinstance(data, tuple) else (data, None)
    tensors = [torch.as_tensor(part) for part in (x, y) if part is not None]
    return DataLoader(TensorDataset(*tensors), batch_size=500)


@dataclass(frozen=True)
class LoaderSource:
    """The batches of a `DataLoader` as they are: its own sizes, order and workers.

    What it draws (an order) depends on (seed, epoch) alone. A loader that does not know its length gives `length`
    batches an epoch, from the start again where it ends before.
    """

    loader: DataLoader[Any]
    held_out: DataLoader[Any] | None = None
    length: int | None = None
    device: Any = "cpu"

    def steps(self, batch_size: int) -> int:
        """Return the number of batches of the loader, whatever the batch size asked for."""
        try:
            return len(self.loader)
        except TypeError:
            if self.length is None:
                raise UserError("the DataLoader does not say how long it is; give steps=N") from None
            return self.length

    def train(self, batch_size: int, *, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield the epoch's batches from number `skip` on."""
        return islice(self._again(seed, epoch), skip, None)

    def _again(self, seed: int, epoch: int) -> Iterator[Batch]:
        for turn in range(1 << 62):
            # A loader draws its order on the CPU when it starts; the noise of other devices goes on undisturbed.
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(mix(seed, epoch, 1, turn))
                stream = iter(self.loader)
                first = next(stream, None)
            if first is None:
                raise UserError("the DataLoader gives no batch; check its dataset and drop_last")
            yield self._batch(first)
            for batch in stream:
                yield self._batch(batch)

    def valid(self, batch_size: int) -> Iterator[Batch]:
        """Yield the held-out batches, if there are any."""
        for batch in self.held_out or ():
            yield self._batch(batch)

    def first(self) -> Batch:
        """Return the first batch."""
        return next(self._again(0, 0))

    def to(self, device: Any) -> LoaderSource:
        """Return the source with batches on `device`."""
        return replace(self, device=torch.device(device))

    def _batch(self, batch: Any) -> Batch:
        x, y = (None if part is None else torch.as_tensor(part).to(self.device) for part in pair_of(batch))
        assert x is not None
        x = as_input(x)
        return x.to(torch.get_default_dtype()) if x.is_floating_point() else x, y
