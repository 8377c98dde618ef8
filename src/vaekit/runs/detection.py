"""Anomalies under a run: scores, the threshold that its own examples give, verdicts, and what each number adds."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor

from vaekit.atomic import write_json
from vaekit.data.dataset import Prepared, Split
from vaekit.data.tables.dataframes import made_frame
from vaekit.errors import UserError
from vaekit.inference import joined, label_for
from vaekit.runs.folder import MOMENT, THRESHOLDS, weights_of
from vaekit.runs.latent import STUDIED, LatentRun
from vaekit.runs.locks import locked
from vaekit.runs.record import THRESHOLDS_FORMAT, check_thresholds
from vaekit.runs.results import Detection
from vaekit.schemas import Place, or_else, read
from vaekit.tasks.anomaly import CODED, SCORES, Reference, Scorer, default_score, judge, threshold
from vaekit.tasks.contributions import DECOMPOSED, contributions

KEPT = 1000
"""The most examples whose scores give a threshold."""
AFFORDABLE = 100_000_000
"""The most decoded numbers (examples × samples × numbers an example) that training spends on a threshold."""


class Samples(TypedDict, total=False):
    """How scores are sampled: `k` (64) importance samples an example, from `seed` (0)."""

    k: int
    seed: int


class DetectingRun(LatentRun):
    """A run that judges examples: `data` is as for `RunBase`."""

    _references: dict[str, Reference] | None = None

    @cached_property
    def _normal(self) -> Tensor:
        """Codes of training examples, which distances are measured from."""
        return self.codes(self.training(STUDIED))

    @cached_property
    def _standards(self) -> dict[tuple[int, int], dict[str, tuple[float, float]]]:
        return {}

    def detect(
        self,
        data: Any = None,
        *,
        against: Any = None,
        anomalous: Sequence[Any] | None = None,
        score: str | None = None,
        contamination: float = 0.05,
        threshold: float | Literal["held-out", "data"] = "held-out",
        contributions: bool = False,
        **samples: Unpack[Samples],
    ) -> Detection:
        """Score examples by how strange they are to the model, and mark those above a threshold.

        Args:
            data: the examples.
            against: further data, all of them anomalies: the score is judged by them.
            anomalous: names of the classes of `data` that are anomalies: the score is judged by them.
            score: iw (-log p(x), nats), elbo, reconstruction, regret, complexity, distance, neighbours or combined; see
                vaekit.tasks.anomaly. By default combined for tables, else iw.
            contamination: the share of normal examples that may lie above the threshold.
            threshold: "held-out" takes it from the scores of the run's validation split (of its training split, where
                nothing was held out), kept in the run; "data" marks the share `contamination` of the examples given; a
                number is the threshold itself.
            contributions: what each number of each example adds to its score; scores iw, elbo and reconstruction.
            samples: `k` (64) importance samples, from `seed` (0).
        """
        k, seed = samples.get("k", 64), samples.get("seed", 0)
        score = score or ("iw" if contributions else self.default_score)
        self._check(score, contamination, threshold, contributions)
        if against is not None and anomalous is not None:
            raise UserError("'against' is anomalous data and 'anomalous' names anomalous classes; give one of them")
        split, truth = self._judged(data, against, anomalous)
        scores = self.anomaly_scores(split, score, k=k, seed=seed)
        limit, reference = self._threshold(scores, score, contamination, threshold, k, seed)
        parts, latents = self._parts(split, score, k, seed) if contributions else (None, None)
        made = Detection(
            score,
            scores,
            limit,
            ~(scores <= limit),  # what has no number is strange
            truth,
            {} if truth is None else judge(scores, truth),
            reference="given" if reference is None else reference.of,
            reference_n=len(scores) if reference is None else len(reference.scores),
            p_values=None if threshold != "held-out" or reference is None else reference.p_values(scores),
            contributions=parts,
            latent=latents,
            origin=split.places,
        )
        library = None if against is not None else self._library(data)
        return made if library is None else replace(made, frame=self._judged_frame(made, library, data))

    def _judged_frame(self, made: Detection, library: str, data: Any) -> Any:
        """Return what was found of each row as a data frame."""
        columns = {"score": made.scores, "anomaly": made.anomaly, "p_value": made.p_values, "truth": made.truth}
        if made.contributions is not None:
            names = [column["name"] for column in self.info.facts["columns"]]
            columns |= {f"contribution_{name}": part for name, part in zip(names, made.contributions.T)}
            columns["contribution_latent"] = made.latent
        known = {name: column.tolist() for name, column in columns.items() if column is not None}
        return made_frame(known, library, index=getattr(data, "index", None))

    def _check(self, score: str, contamination: float, limit: Any, parts: bool) -> None:
        if score not in SCORES:
            raise UserError(f"there is no anomaly score '{score}'; there are {', '.join(SCORES)}")
        if parts and score not in DECOMPOSED:
            raise UserError(
                f"the score '{score}' is no sum over an example's numbers; contributions are of {', '.join(DECOMPOSED)}"
            )
        threshold([0.0], contamination)
        if isinstance(limit, str) and limit not in ("held-out", "data"):
            raise UserError(f"a threshold is 'held-out', 'data' or a number, not '{limit}'")

    def _judged(
        self, data: Any, against: Any, anomalous: Sequence[Any] | None
    ) -> tuple[Prepared, np.ndarray[Any, Any] | None]:
        """Return the examples to score, and which are anomalies, where that is known."""
        split, truth = self._new(data), None
        if anomalous is not None:
            truth = self.of_classes(split, anomalous)
            if truth.all() or not truth.any():
                raise UserError(f"all or none of the examples are of the classes {', '.join(map(str, anomalous))}")
        if against is not None:
            odd = self._new(against)
            truth = np.arange(len(split) + len(odd)) >= len(split)
            split = split.and_then(odd, joined([split.x, odd.x]))
        return split, truth

    def _new(self, data: Any) -> Prepared:
        """Return examples to judge. What is new may have levels that training did not meet: they count as missing."""
        plain = data is None or self.info.kind != "table"
        return self.split(data if plain else self.prepared(data, unknown="missing"))

    def _threshold(
        self, scores: np.ndarray, score: str, contamination: float, limit: Any, k: int, seed: int
    ) -> tuple[float, Reference | None]:
        if limit == "data":
            reference = Reference.of_scores(scores, "data")
        elif limit == "held-out":
            reference = self.reference(score, k=k, seed=seed)
        else:
            return float(limit), None
        return reference.threshold(contamination), reference

    def _parts(self, split: Split, score: str, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        scorer = Scorer(self.model, k=k, seed=seed)
        parts, latents = contributions(scorer, score, split.inputs, label_for(self.model, split.y, len(split)))
        return parts.numpy(), latents.numpy()

    @property
    def default_score(self) -> str:
        """The score that `detect` takes where none is asked for; `iw` where the training data cannot be read again."""
        score = default_score(self.info.kind)
        if score in CODED:
            try:
                self.training(1)
            except UserError as error:
                warnings.warn(f"scored by iw alone, since the training data are not here: {error}", stacklevel=3)
                return "iw"
        return score

    def _standards_of(self, k: int, seed: int) -> dict[str, tuple[float, float]]:
        """Return mean and standard deviation over training examples of the scores that "combined" is made of."""
        if (k, seed) not in self._standards:
            known = self.training(KEPT)
            scorer = Scorer(self.model, k=k, seed=seed, normal=self._normal)
            y = label_for(self.model, known.y, len(known))
            self._standards[k, seed] = scorer.standardised_by(known.x, y)
        return self._standards[k, seed]

    def anomaly_scores(
        self,
        data: Any = None,
        score: str | None = None,
        *,
        k: int = 64,
        seed: int = 0,
        normal: Tensor | None = None,
        standards: Mapping[str, tuple[float, float]] | None = None,
    ) -> np.ndarray:
        """Return the anomaly score (N,) of examples, the higher the stranger; see vaekit.tasks.anomaly.

        `normal` (M, D) are the codes that distances are measured from, `standards` the mean and deviation of scores; by
        default those of the training split.
        """
        score = score or self.default_score
        split, kind = self._new(data), self.info.kind
        if score == "complexity" and kind not in ("binary", "levels", "unit"):
            raise UserError(f"the complexity correction needs values in [0, 1], and {self.info.name}'s are {kind}")
        levels = 2 if kind == "binary" else self.info.levels or 256
        if score in CODED and normal is None:
            normal = self._normal
        if score == "combined" and standards is None:
            standards = self._standards_of(k, seed)
        y = label_for(self.model, split.y, len(split))
        scorer = Scorer(self.model, k=k, levels=levels, seed=seed, normal=normal, standards=standards)
        return scorer.score(score, split.x, y).numpy()

    # -- the threshold -------------------------------------------------------------------------------------------------

    def reference(self, score: str | None = None, *, k: int = 64, seed: int = 0) -> Reference:
        """Return the scores of the run's validation split (else of its training split), by which others are judged.

        At most 1,000 examples are scored, spread over the split. A run with a folder keeps what was computed in its
        thresholds.json; training leaves those of the default score and of `iw` there.
        """
        score = score or self.default_score
        key = f"{score} k={k} seed={seed}"
        kept = self._kept()
        if key not in kept:
            kept |= {key: self._reference(score, k, seed)}
            self._references = kept
            self._write()
        return kept[key]

    def keep_reference(self) -> None:
        """Keep the reference of the default score and of `iw`, if they are quick to compute: for use without the data.

        A model that bounds nothing has none; other scores are computed when they are asked for.
        """
        try:
            count = min(len(self.data.valid) or len(self.data.train), KEPT)
            if count * 64 * self.info.dimensions <= AFFORDABLE:
                for score in dict.fromkeys([default_score(self.info.kind), "iw"]):
                    self.reference(score)
        except UserError:
            pass
        except Exception as error:  # it is to cost a trained run nothing
            warnings.warn(f"no threshold for detect was kept: {type(error).__name__}: {error}", stacklevel=2)
        self._write()

    def _write(self) -> None:
        """Add the references to those in the folder; where that cannot be done, they are computed again."""
        if self.path is None or not self._references or self.weights_read != weights_of(self.path):
            return
        try:
            with locked(self.path, wait=MOMENT):
                every = self._read() | self._references
                entries = {name: {"of": one.of, "scores": one.scores.tolist()} for name, one in every.items()}
                facts = {"format": THRESHOLDS_FORMAT, "model": self.fingerprint, "references": entries}
                write_json(self.path / THRESHOLDS, facts)
        except (OSError, UserError) as error:
            warnings.warn(f"the threshold for detect was not kept: {error}", stacklevel=2)

    def _reference(self, score: str, k: int, seed: int) -> Reference:
        try:
            split, of = (self.data.valid, "held-out") if len(self.data.valid) else (self.data.train, "training")
        except UserError as error:
            raise UserError(
                f"the threshold comes from the run's own examples, and {error}; or give it: a number, or 'data' to "
                "mark a share of the examples given"
            ) from None
        if len(split) > KEPT:
            split = split.take(torch.linspace(0, len(split) - 1, KEPT).long())
        return Reference.of_scores(self.anomaly_scores(self.prepare.fixed(split, 1), score, k=k, seed=seed), of)

    def _kept(self) -> dict[str, Reference]:
        """Return the references computed so far, those in the folder too if they are of these weights."""
        if self._references is None:
            self._references = self._read()
        return dict(self._references)

    def _read(self) -> dict[str, Reference]:
        """Return the references that the folder has of these weights."""
        if self.path is None or not (self.path / THRESHOLDS).is_file():
            return {}
        path = self.path / THRESHOLDS
        place = Place(path, "its scores are computed again from the run's data")
        found = or_else(lambda: check_thresholds(read(path, place), place), None)
        if found is None or found.model != self.fingerprint:
            return {}
        return {
            name: Reference.of_scores(np.array(one.scores, dtype=np.float64), one.of)
            for name, one in found.references.items()
        }
