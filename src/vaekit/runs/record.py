"""What a run's JSON files hold, field by field: run.json, evaluation.json and thresholds.json.

A file that does not is refused when it is read, by one sentence that names the field. To add a field, add it here with
a default; where older code would misread the file with it, raise the format by a step in `RUN_STEPS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, cast

from pydantic import ConfigDict, Field, JsonValue, model_validator

from vaekit.data.facts import FACTS, ColumnFacts
from vaekit.data.info import DataInfo
from vaekit.data.prepare import Prepare
from vaekit.schemas import Number, Place, Positive, Record, Text, Whole, checked, migrated

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Section = Literal["model", "objective", "train", "data"]
Values = dict[str, JsonValue]
NotFinite = dict[str, Text]

# -- run.json ----------------------------------------------------------------------------------------------------------


class ModelRecord(Record):
    """A hand-made model: its class, its layers for a reader, and what it was made with."""

    kind: Text = Field(alias="class")
    layers: str
    arguments: Values | None = None


class InitRecord(Record):
    """The run that this one started from, and which weights it took."""

    source: Text = Field(alias="from")
    recipe: Text
    taken: Whole
    anew: list[Text]


class ContinuedRecord(Record):
    """A length that the run was given when it was taken up again."""

    at_step: Whole
    was: Values
    now: Values
    when: Text


class WeightsRecord(Record):
    """The weights that belong to this record: the SHA-256 of model.safetensors, as `sha256sum` prints it."""

    sha256: Sha256


class ContentsRecord(Record):
    """What the data held (`data.contents`): counts and digests, of each split too, and how examples are dealt out."""

    count: Whole
    digest: Text
    test: Annotated[float, Field(ge=0, le=1)]
    valid: Annotated[float, Field(ge=0, le=1)]
    splits: dict[Literal["train", "valid", "test"], tuple[Whole, Text]]
    columns: list[Text] = Field(default_factory=list)


class DataRecord(Record):
    """Where the data were, what they are, what they held, and how they are prepared."""

    source: Text
    info: DataInfo
    prepare: Prepare
    contents: ContentsRecord | None = None
    held_out: dict[Literal["valid", "test"], Text] = Field(default_factory=dict)
    as_is: bool = Field(default=False, alias="as-is")

    @model_validator(mode="after")
    def _fits(self) -> DataRecord:
        problem = _of_info(self.info) or _of_prepare(self.prepare, self.info)
        if problem is not None:
            raise ValueError(problem)
        place = Place("facts", "")
        facts = FACTS.get(self.info.modality)
        if facts is not None:
            found = _inside("info.facts", lambda: checked(facts, self.info.facts, place))
            problem = found.problem(list(self.info.shape), self.info.levels)
            if problem is not None:
                raise ValueError(f"info.facts.{problem}")
        for i, attribute in enumerate(self.info.condition):
            _inside(f"info.condition.{i}", lambda attribute=attribute: checked(ColumnFacts, attribute, place))
        return self


class ResultRecord(Record):
    """How training ended: lengths, times, the held-out score or why there is none, warnings."""

    parameters: Whole
    epochs: Whole | None = None
    steps: Whole | None = None
    seconds: Number | None = None
    wall_seconds: Number | None = None
    examples_per_second: Number | None = None
    elbo: Number | None = None
    elbo_stderr: Number | None = None
    elbo_standardised: Number | None = None
    held_out_n: Whole | None = None
    held_out_loss: Number | None = None
    no_latents: Number | None = None
    no_latents_stderr: Number | None = None
    no_latents_of: Text | None = None
    no_latents_apart_stderr: Number | None = None
    refused: Text | None = None
    skipped_steps: Whole = 0
    precision: Text | None = None
    examples_at_once: Positive | None = None
    warnings: list[Text]
    metrics: dict[str, JsonValue] = Field(default_factory=dict)
    not_finite: NotFinite = Field(default_factory=dict)


class RunRecord(Record):
    """run.json: everything it takes to build the model again, and how its training went."""

    format: Positive
    recipe: Text
    settings: dict[Section, Values]
    given: dict[Section, Values]
    data: DataRecord
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    versions: dict[str, Text]
    command: str = ""
    created: Text
    status: Literal["running", "done", "failed"]
    failed: Text | None = None
    result: ResultRecord | None = None
    weights: WeightsRecord | None = None
    model: ModelRecord | None = None
    init: InitRecord | None = None
    continued: list[ContinuedRecord] = Field(default_factory=list)
    processes: Positive | None = None
    launch: Text | None = None


RUN_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: lambda old: old,  # its weights have no sha256, and are taken as they are
}
"""How a record of format n becomes one of format n + 1."""
RUN_FORMAT = 1 + len(RUN_STEPS)


def check_run(value: Any, place: Place) -> dict[str, Any]:
    """Return the record of a run in the newest format, as plain JSON; what is wrong with it is a UserError."""
    record = migrated(value, RUN_STEPS, place)
    checked(RunRecord, record, place)
    return record


def _inside(at: str, check: Callable[[], Any]) -> Any:
    """Run a check of a part, and name the part in what it says."""
    try:
        return check()
    except ValueError as error:
        reason = str(error).removeprefix("facts is damaged (").removesuffix("); ")
        raise ValueError(f"{at}.{reason}") from None


def _of_info(info: DataInfo) -> str | None:
    """Return what is wrong with the data's description, or None."""
    sizes = (info.n_train, info.n_valid, info.n_test)
    if not 1 <= len(info.shape) <= 4 or not all(1 <= n <= 1 << 40 for n in info.shape) or info.dimensions > 1 << 40:
        return f"info.shape: {info.shape} is not the shape of an example"
    if info.levels is not None and not 2 <= info.levels <= 1 << 24:
        return f"info.levels: {info.levels} is not a number of levels"
    if any(not 0 <= n < 2**53 for n in sizes):
        return f"info.n_train, n_valid, n_test: {sizes} are not numbers of examples"
    if len(info.factor_sizes) != len(info.factor_names) or any(n < 1 for n in info.factor_sizes):
        return "info.factor_sizes: they are not one for each of factor_names"
    if any(sd <= 0 for sd in info.deviation) or len(info.mean) != len(info.deviation):
        return "info.deviation: it is not one number above 0 for each mean"
    if info.standardised and (not info.deviation or info.dimensions % len(info.deviation)):
        return "info.standardised: there is no deviation for each entry of an example"
    if len(set(info.classes)) != len(info.classes):
        return "info.classes: a class is named twice"
    return None


def _of_prepare(prepare: Prepare, info: DataInfo) -> str | None:
    """Return what is wrong with how data are prepared, or None."""
    if prepare.kind != info.kind:
        return f"prepare.kind: {prepare.kind}, and the data's is {info.kind}"
    if prepare.levels is not None and not 2 <= prepare.levels <= 1 << 24:
        return f"prepare.levels: {prepare.levels} is not a number of levels"
    if prepare.levels is None and prepare.mode == "dequantise":
        return "prepare.levels: missing, and prepare.mode=dequantise needs them"
    if (prepare.mean is None) != (prepare.sd is None) or any(sd <= 0 for sd in prepare.sd or ()):
        return "prepare.sd: it is not numbers above 0 for the means"
    if not 0 <= prepare.axes <= len(info.shape) or not 0 <= prepare.seed < 2**63:
        return "prepare.axes, prepare.seed: out of range"
    count = (info.dimensions if not prepare.axes else info.shape[-prepare.axes]) if prepare.mean is not None else 0
    if any(len(part or ()) != count for part in (prepare.mean, prepare.sd)):
        return f"prepare.mean, prepare.sd: they are not {count} numbers each"
    return None if prepare.high >= prepare.low else "prepare.high: it is below prepare.low"


# -- evaluation.json ---------------------------------------------------------------------------------------------------


class NumberRecord(Record):
    """A metric's number, with what it is a number of and the facts of its metric."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]

    value: Number | None
    unit: Text
    n: Whole
    stderr: Number | None = None
    interval: Annotated[list[Number | None], Field(min_length=2, max_length=2)] | None = None
    refused: Text | None = None
    split: Text | None = None
    seed: Whole | None = None
    number_of: dict[str, Text] = Field(default_factory=dict)
    k: Whole | None = None
    features: Text | None = None
    rate: list[Number] | None = None
    distortion: list[Number] | None = None
    not_finite: NotFinite = Field(default_factory=dict)


EVALUATION_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
EVALUATION_FORMAT = 1 + len(EVALUATION_STEPS)


def check_evaluation(value: Any, place: Place) -> dict[str, Any]:
    """Return the numbers of evaluation.json by name."""
    numbers = migrated(value, EVALUATION_STEPS, place)
    del numbers["format"]
    checked(dict[Text, NumberRecord], numbers, place)
    return numbers


# -- thresholds.json ---------------------------------------------------------------------------------------------------


class ReferenceRecord(Record):
    """The scores of a split's examples, by which others are judged."""

    of: Literal["held-out", "training", "data"]
    scores: list[Number | None] = Field(min_length=1)
    not_finite: NotFinite = Field(default_factory=dict)


class ThresholdsRecord(Record):
    """thresholds.json: references by score, and the fingerprint of the model that they are of."""

    format: Positive
    model: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    references: dict[str, ReferenceRecord]


THRESHOLDS_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
THRESHOLDS_FORMAT = 1 + len(THRESHOLDS_STEPS)


def check_thresholds(value: Any, place: Place) -> ThresholdsRecord:
    """Return what thresholds.json holds."""
    return cast(ThresholdsRecord, checked(ThresholdsRecord, migrated(value, THRESHOLDS_STEPS, place), place))
