"""Metrics: named numbers with a unit, a direction and a standard error, computed on the test split of a run's data."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

from vaekit import distributed
from vaekit.atomic import finite
from vaekit.data.batches import at_once
from vaekit.data.info import DataInfo
from vaekit.data.shuffling import mix, some_rows
from vaekit.devices import device_of
from vaekit.errors import NotALikelihood, OutOfMemory, UserError, lacks_memory
from vaekit.inference import BATCH, Progress, batches, inference, joined, label_for
from vaekit.models.base import Model
from vaekit.registry import Entry, Registry
from vaekit.trace import measured

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """One number: its value (None if refused or not finite), unit, count, standard error or interval, further facts.

    `values` (n,) are those of the examples whose mean it is, if it is one: differences between runs are taken of them.
    """

    value: float | None
    unit: str
    n: int
    stderr: float | None = None
    interval: tuple[float, float] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    values: Tensor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Give a value that is not finite as None, with the reason.

        >>> Result(math.inf, "nats", 3).to_dict()
        {'value': None, 'unit': 'nats', 'n': 3, 'refused': 'its value is inf', 'not_finite': {'value': 'inf'}}
        """
        if self.value is not None and not math.isfinite(self.value):
            told = {"refused": f"its value is {self.value}"} | dict(self.facts)
            object.__setattr__(self, "facts", told | {"not_finite": {"value": str(self.value)}})
            object.__setattr__(self, "value", None)

    def __str__(self) -> str:
        """Return the value with its standard error and unit, or the reason why there is none.

        >>> print(Result(-24.338, "nats/example", 174, 0.3021))
        -24.34 ± 0.30 nats/example
        """
        if self.value is None:
            return f"no value: {self.facts.get('refused', 'not computed')}"
        if not self.stderr:
            return f"{self.value:.4g} {self.unit}"
        digits = max(0, 1 - math.floor(math.log10(self.stderr)))
        return f"{self.value:.{digits}f} ± {self.stderr:.{digits}f} {self.unit}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON; what is not finite becomes null, with the reason."""
        out: dict[str, Any] = {"value": self.value, "unit": self.unit, "n": self.n}
        if self.stderr is not None:
            out["stderr"] = self.stderr
        if self.interval is not None:
            out["interval"] = list(self.interval)
        return finite(out | dict(self.facts))


def mean_of(values: Tensor, unit: str, **facts: Any) -> Result:
    """Return the mean of per-example values with its standard error.

    >>> mean_of(torch.tensor([1.0, 3.0]), "nats").to_dict()
    {'value': 2.0, 'unit': 'nats', 'n': 2, 'stderr': 1.0}
    """
    values = values.cpu().double()
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        reason = f"{bad} of {len(values)} examples have a value that is not finite"
        return Result(float(values.mean()), unit, len(values), facts={"refused": reason} | facts)
    stderr = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else None
    return Result(float(values.mean()), unit, len(values), stderr, facts=facts, values=values.float())


Metric = Callable[["Subject"], Mapping[str, Result]]


def refused(reason: str, unit: str, **facts: Any) -> Result:
    """Return a metric that has no value, with the reason."""
    return Result(None, unit, 0, facts={"refused": reason, **facts})


def refuses(*names: str, unit: str) -> Callable[[Metric], Metric]:
    """Make a metric that raises a UserError give these numbers without a value, with the error's reason."""

    def add(function: Metric) -> Metric:
        @wraps(function)
        def call(subject: Subject) -> Mapping[str, Result]:
            try:
                return function(subject)
            except UserError as error:
                reason = error.reason if isinstance(error, NotALikelihood) else str(error)
                return {name: refused(reason, unit) for name in names}

        return call

    return add


@dataclass
class Subject:
    """What is evaluated: a model and the test examples as it sees them (x, y) on the CPU, with the settings.

    `train` gives the training split prepared likewise, for metrics that fit a probe; it is read only when asked for.
    `factors` (N, F) are the known factors of the test examples, named by `info.factor_names`: whole numbers where
    examples share their values. `others` are other runs on the same examples. `show` brings images to [0, 1].
    `options` are settings of single metrics by name; `shared` holds what metrics computed for one another.

    Metrics read examples by `batches`, `per_example`, `pieces` and `some`, which move them to the model's device.
    """

    model: Model
    info: DataInfo
    x: Any
    y: Tensor | None = None
    k: int = 500
    seed: int = 0
    batch_size: int = BATCH
    train: Callable[[], tuple[Any, Tensor | None]] | None = None
    show: Callable[[Tensor], Tensor] = lambda x: x
    progress: Callable[[str, int, int], None] = lambda name, done, total: None
    options: Mapping[str, Any] = field(default_factory=dict)
    factors: Tensor | None = None
    others: Sequence[Subject] = ()
    shared: dict[str, Any] = field(default_factory=dict, repr=False)
    sharing: bool = field(default=False, repr=False)

    def in_units(self, difference: Tensor) -> Tensor:
        """Return a difference of examples as the model sees them, (B, *shape), in the data's own units."""
        if not self.info.standardised:
            return difference
        sd = torch.tensor(self.info.deviation, dtype=difference.dtype, device=difference.device)
        return difference * sd.view(-1, *[1] * (len(self.info.shape) - 1))

    def progress_of(self, name: str) -> Progress:
        """Return what reports the progress of one metric, (done, all)."""
        return lambda done, total: self.progress(name, done, total)

    def batches(self, name: str) -> Iterator[tuple[Any, Tensor | None]]:
        """Yield test batches as the model takes them, with labels where it is conditioned on them."""
        return batches(
            self.model, self.x, self.y, size=at_once(self.x, self.batch_size), progress=self.progress_of(name)
        )

    def per_example(self, name: str, call: Callable[[Any, Tensor | None], Tensor]) -> Tensor:
        """Return `call(x, y)` of all test examples, batch by batch, joined on the CPU."""
        return joined([call(x, y) for x, y in self.batches(name)])

    def some(self, n: int) -> tuple[Any, Tensor | None]:
        """Return `n` test examples (all, if there are fewer) in one batch: those of `some_rows`, for every metric."""
        return self._batch(self.some_rows(n))

    def some_rows(self, n: int) -> Tensor:
        """Return the numbers of `n` test examples, (n,) or all: the same for every metric, as data may be sorted."""
        return some_rows(len(self.x), n)

    def labels(self, n: int) -> Tensor | None:
        """Return `n` labels for a conditional model, those of the test examples in turn; None for other models."""
        y = label_for(self.model, self.y, len(self.x))
        return None if y is None else y[torch.arange(n) % len(y)].to(device_of(self.model))

    def pieces(self, name: str) -> Iterator[tuple[Any, Tensor | None]]:
        """Yield this process's pieces of the test examples, every W-th of W processes; of one process, all.

        Each piece has noise seeded by its place, so that the numbers do not depend on how many processes there are.
        """
        rank, world = (distributed.rank(), distributed.world()) if self.sharing else (0, 1)
        for start in range(rank * PIECE, len(self.x), world * PIECE):
            torch.manual_seed(mix(self.seed, start // PIECE))
            yield self._batch(torch.arange(start, min(start + PIECE, len(self.x))))
            self.progress(name, min(start + PIECE, len(self.x)), len(self.x))

    def _batch(self, rows: Tensor) -> tuple[Any, Tensor | None]:
        y = None if self.y is None else self.y[rows]
        return next(batches(self.model, self.x.index_select(0, rows), y, size=len(rows)))

    def join_pieces(self, parts: list[Tensor]) -> Tensor:
        """Return the values (N,) of all examples, in their order, from those of each process's pieces."""
        mine = joined(parts) if parts else torch.zeros(0)
        if not self.sharing:
            return mine
        every, world = torch.arange(len(self.x)).split(PIECE), distributed.world()
        order = torch.cat([piece for rank in range(world) for piece in every[rank::world]])
        return torch.empty_like(order, dtype=mine.dtype).index_copy_(0, order, distributed.join_rows(mine))

    def agreed(self, text: str | None) -> str | None:
        """Return the text of the first process that has one, where processes share the examples."""
        return distributed.first_text(text) if self.sharing else text

    def samples(self, n: int, draw: bool = False) -> Any:
        """Return `n` samples on the CPU, (n, ...); a conditional model is given the test examples' labels in turn.

        They are drawn in pieces, each seeded by its place, so that they do not depend on the batch size.
        """
        y, parts = self.labels(n), []
        for start in range(0, n, PIECE):
            torch.manual_seed(mix(self.seed, start // PIECE, 1))
            stop = min(start + PIECE, n)
            parts.append(self.model.sample(stop - start, None if y is None else y[start:stop], draw=draw).to("cpu"))
            self.progress("sample", stop, n)
        return joined(parts)

    @cached_property
    def features(self) -> Tensor:
        """Posterior means of the test examples, (N, F)."""
        with inference(self.model, self.seed):
            return self.per_example("encode", self.model.features)

    def blind_features(self) -> Tensor:
        """Return `features`, (N, F), for what asks how much of the label or of the factors is in them.

        Raises:
            UserError: the posterior is given the label, which is then in the codes whatever the example shows.
        """
        if self.labelled_codes:
            raise UserError("the posterior q(z|x, y) is given the label, so its codes hold it whatever x shows")
        return self.features

    @cached_property
    def labelled_codes(self) -> bool:
        """Whether other labels would give other posterior means."""
        x, y = self.some(PIECE)
        if y is None:
            return False
        with inference(self.model, self.seed):
            return not torch.equal(self.model.features(x, y), self.model.features(x, y.roll(1, 0)))


def once(function: Callable[[Subject], T]) -> Callable[[Subject], T]:
    """Compute a function of the subject at the first call, and keep its value in `shared` for other metrics."""

    @wraps(function)
    def call(subject: Subject) -> T:
        if function.__name__ not in subject.shared:
            subject.shared[function.__name__] = function(subject)
        return subject.shared[function.__name__]

    return call


PIECE = 100
"""Examples in one of `Subject.pieces`, and samples drawn at once."""

METRICS: Registry[Metric] = Registry("metric", "vaekit.metrics")


def metric(
    name: str,
    *,
    group: str,
    gives: Mapping[str, tuple[str, bool | None]],
    needs: Sequence[str] = (),
    reference: str = "",
    slow: bool = False,
    quiet: bool = False,
    shared: bool = False,
) -> Callable[[Metric], Metric]:
    """Register a metric. `gives` maps each number's name to (what it means, whether higher is better, None: neither).

    `needs`: "labels", "images", "factors", "sources" (factors, which may be continuous), "runs" (others to compare
    with), "features" (a network named in the options), "train", "classifier", "codes", "sets", "scene", a kind of data
    ("array", "tokens", "table", "graph") or "modality:NAME"; a subject without them leaves the metric out of a group,
    and is an error when asked for by name. A `slow` one, of minutes or for those who look for it, is computed only when
    it, a number of it or its group is asked for by name, not by "all". A `quiet` one without a value is left out unless
    it is asked for by name. Several processes share the examples of a `shared` one, which reads them by
    `Subject.pieces`; any other is computed by the first of them.
    """

    def add(function: Metric) -> Metric:
        facts = {"group": group, "gives": dict(gives), "needs": tuple(needs)}
        facts |= {"slow": slow, "quiet": quiet, "shared": shared}
        summary = (function.__doc__ or "").strip().split("\n")[0]
        return METRICS.register(name, summary=summary, reference=reference, **facts)(function)

    return add


def meanings() -> dict[str, tuple[str, bool | None]]:
    """Return what every number means and whether higher is better, by the number's name."""
    return {name: value for entry in METRICS for name, value in entry.facts["gives"].items()}


def lacking(subject: Subject, needs: Sequence[str]) -> str | None:
    """Return what the subject lacks of `needs`, as a sentence, or None."""
    info, model = subject.info, subject.model
    checks = {
        "labels": (subject.y is not None and not info.condition, _lacks_labels(subject)),
        "images": (info.is_image, "the data are not images"),
        "sources": (subject.factors is not None, "the data have no known factors"),
        "factors": (subject.factors is not None and not subject.factors.is_floating_point(), _lacks_factors(subject)),
        "features": ("features" in subject.options, "no features are named; give --features FILE.onnx or FILE.py:NAME"),
        "runs": (bool(subject.others), "it compares several runs; name them together: vaekit evaluate A B C"),
        "train": (subject.train is not None, "training data not found"),
        "classifier": (model.gives_label, "the model does not classify"),
        "codes": (model.offers(Model.codes), "the model has no quantised codes"),
        "sets": (model.offers(Model.log_given), "the model has no context that sets of examples share"),
        "scene": (bool(info.facts.get("scene")) and subject.factors is not None, "the data are no rendered scenes"),
        "array": (info.is_array, "the data are not arrays of numbers"),
        "tokens": (info.kind == "tokens", "the data are not sequences of tokens"),
        "table": (info.kind == "table", "the data are not a table"),
        "graph": (info.kind == "graph", "the data are not graphs"),
    }
    for need in needs:
        modality = need.removeprefix("modality:")
        met, sentence = checks.get(need) or (info.modality == modality, f"the data are not {modality}")
        if not met:
            return sentence
    return None


def _lacks_labels(subject: Subject) -> str:
    if subject.y is None:
        return "the data have no labels"
    what = "classes of some examples are missing" if subject.info.classes else "the data have numbers or attributes"
    return f"it needs the class of every example, and {what}"


def _lacks_factors(subject: Subject) -> str:
    if subject.factors is None:
        return "the data have no known factors"
    return "it needs factors with values that examples share, and these are continuous; see mcc"


def _beside_standardised(result: Result, info: DataInfo) -> Result:
    """Add to a density of data that the model sees standardised that of the standardised values: Σ log sd more."""
    in_nats = result.unit.startswith("nats") and result.facts.get("measure") == "density"
    if not info.standardised or result.value is None or not in_nats:
        return result
    return replace(result, facts={**result.facts, "standardised": result.value + info.log_unit})


def _contained(entry: Entry[Metric], subject: Subject) -> Mapping[str, Result]:
    """Return a metric's numbers; a failure of its own costs it alone, and is their reason."""
    try:
        return entry.part(subject)
    except UserError:
        raise
    except Exception as error:
        reason = f"the metric failed: {type(error).__name__}: {error}"
        if isinstance(error, OutOfMemory) or lacks_memory(error):
            reason = "there is not enough memory for it; lower --k or --limit"
        warnings.warn(f"{entry.name}: {reason}", stacklevel=3)
        return {name: refused(reason, "") for name in entry.facts["gives"]}


def own_metric(subject: Subject, function: Callable[..., Any]) -> Result:
    """Compute a user's function of the trace, or of (model, x) or (model, x, y), over the test examples.

    What is one value an example has a standard error; what is one of a batch is averaged over batches by their sizes.
    """
    label = label_for(subject.model, subject.y, len(subject.x))
    values: list[Tensor] = []
    of_examples = True
    with inference(subject.model, subject.seed):
        for x, y in batches(subject.model, subject.x, label, size=subject.batch_size):
            value = measured(function, subject.model, subject.model.trace(x, y, hard=True))
            of_examples = of_examples and value.dim() == 1
            values.append(value if value.dim() else value.expand(len(x)))
    made = mean_of(joined(values), "")
    return made if of_examples else replace(made, stderr=None)


def evaluate(
    subject: Subject, names: Sequence[str | Callable[..., Any]] | Mapping[str, Callable[..., Any]] = ("all",)
) -> dict[str, Result]:
    """Compute metrics by name or group, each with its own seeded noise; a function is a metric as well.

    "all" is everything that applies and is not slow. One name may stand for a list of it.
    """
    names = (names,) if isinstance(names, str) else names
    if isinstance(names, Mapping):
        return {name: own_metric(subject, function) for name, function in names.items()}
    functions = {getattr(one, "__name__", type(one).__name__): one for one in names if not isinstance(one, str)}
    if "<lambda>" in functions:
        raise UserError("a metric needs a name; define it as a function, or give {name: function}")
    known = _evaluate(subject, [one for one in names if isinstance(one, str)])
    return known | {name: own_metric(subject, function) for name, function in functions.items()}


def _evaluate(subject: Subject, names: Sequence[str]) -> dict[str, Result]:
    groups = {entry.facts["group"] for entry in METRICS}
    givers = {number: entry.name for entry in METRICS for number in entry.facts["gives"]}
    chosen: dict[str, bool] = {}  # whether it was asked for by its own name
    for name in names:
        if name == "all" or name in groups:
            for entry in METRICS:
                if name == entry.facts["group"] or (name == "all" and not entry.facts["slow"]):
                    chosen.setdefault(entry.name, False)
        elif name in METRICS.names or name in givers:
            chosen[name if name in METRICS.names else givers[name]] = True
        else:
            raise UserError(
                f"there is no metric '{name}'; groups: {', '.join(sorted(groups))}; metrics: {METRICS.names}"
            )
    out: dict[str, dict[str, Result]] = {name: {} for name in chosen}
    # Those that several processes share come first; the others are the first process's, and nobody waits for it.
    for name, by_name in sorted(chosen.items(), key=lambda one: not METRICS[one[0]].facts["shared"]):
        entry = METRICS[name]
        lack = lacking(subject, entry.facts["needs"])
        if lack and by_name:
            raise UserError(f"the metric '{name}' cannot be computed: {lack}")
        if lack or not (entry.facts["shared"] or distributed.is_main()):
            continue
        subject.sharing = entry.facts["shared"] and distributed.world() > 1
        with inference(subject.model, subject.seed):
            results = entry.part(subject) if subject.sharing else _contained(entry, subject)
        results = {key: _beside_standardised(result, subject.info) for key, result in results.items()}
        hidden = entry.facts["quiet"] and not by_name
        out[name] = {key: result for key, result in results.items() if not (hidden and result.value is None)}
    return {key: result for each in out.values() for key, result in each.items()}
