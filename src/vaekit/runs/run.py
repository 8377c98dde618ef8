"""Run: a trained model and everything it is for, arrays in and arrays out."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vaekit import distributed
from vaekit.atomic import write_text
from vaekit.data.dataset import Split
from vaekit.data.datasets import DATASETS
from vaekit.data.digest import digest as key_digest
from vaekit.data.series.collection import lengths_of, stopped
from vaekit.data.sources import read_raw
from vaekit.data.views.modality import arrays_of
from vaekit.distributions.tokens import Sampling
from vaekit.errors import UserError
from vaekit.explorer.server import PORT, serve
from vaekit.inference import inference, joined
from vaekit.intervals import wilson
from vaekit.likelihoods.tokens import Tokens
from vaekit.metrics.base import Result, evaluate
from vaekit.recipes.base import Built
from vaekit.recipes.own import as_model, own_stages
from vaekit.report import notebook
from vaekit.runs import figures, report, weights
from vaekit.runs.base import TEST_SEED, describe_source
from vaekit.runs.causes import CausalRun
from vaekit.runs.comparable import digest, number_of
from vaekit.runs.display import Evaluation
from vaekit.runs.folder import (
    LOG,
    MOMENT,
    REPORT,
    VALUES,
    own_files,
    together,
    weights_of,
    write_evaluation,
)
from vaekit.runs.locks import locked
from vaekit.runs.own import features_of, parts_of
from vaekit.runs.results import Augmented, Classification, Clustering, Imputation
from vaekit.runs.target import claimed
from vaekit.tasks import compressed_file, export, optimisation
from vaekit.tasks.array_imputation import in_source_terms, with_gaps
from vaekit.tasks.augmentation import adversarial, moved_codes, pixel_classifier
from vaekit.tasks.classification import few_labels, fit_classifier
from vaekit.tasks.clustering import Kind as ClusterKind
from vaekit.tasks.clustering import agreement, cluster
from vaekit.tasks.compression import Codec, Progress
from vaekit.tasks.imputation import Imputed, Method, impute
from vaekit.tasks.table_imputation import TableImputation, impute_table
from vaekit.training import checkpoint
from vaekit.training.state import FitResult
from vaekit.views import views_of

Augmentation = Literal["near", "class", "interpolate", "adversarial"]


class Run(CausalRun):
    """A model with what it was trained on and how, and what can be done with it.

    `vaekit.train` makes one, `vaekit.load` reads one from its folder. Methods that take `data` take None (the run's
    test split), prepared examples (`run.test`, `run.prepared(…)`), or other data of the same kind: a name, a path,
    arrays, frames, texts. `Run.of` makes one of a hand-made model.

    >>> import vaekit
    >>> run = vaekit.train("vae", "digits", steps=20)
    >>> run.detect().scores.shape, run.traverse(top=2).x.shape
    ((174,), (2, 9, 1, 8, 8))
    """

    # -- in memory and in a folder -------------------------------------------------------------------------------------

    @classmethod
    def of(
        cls,
        model: Any,
        data: Any,
        *,
        valid: Any = None,
        test: Any = None,
        name: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        fitted: FitResult | None = None,
    ) -> Run:
        """Return the run of a hand-made model that is trained already, in memory; `save` keeps it in a folder.

        Args:
            model: a `vaekit.VAE` of any modules, or another `vaekit.Model`.
            data: what it was trained on: arrays, tensors, x or (x, y), a `Dataset` or `DataLoader` as they are,
                float32; a known set, a path or a `DataSet` as the likelihood wants them. Split as `vaekit.fit` does.
            valid, test: held-out data of the user's own, in place of splits drawn from `data`.
            name: what to call the data.
            fitted: what `vaekit.fit` gave, for the record and the training curves.
            arguments: what the model was made with, plain JSON: `vaekit.load(path, module=Class)` makes it with them.

        >>> from torch import nn; import torch; from vaekit import VAE, Bernoulli, DiagonalNormal, StandardNormal
        >>> model = VAE(DiagonalNormal(nn.Linear(9, 4)), StandardNormal(2), Bernoulli(nn.Linear(2, 9)))
        >>> run = Run.of(model, torch.rand(100, 9).round(), test=torch.rand(10, 9).round(), name="bits")
        >>> run.evaluate(["elbo"])["elbo"].n, run
        (10, Run(custom on bits, held-out ELBO ... nats, in memory))
        """
        given = {split: other for split, other in (("valid", valid), ("test", test)) if other is not None}
        made = as_model(model)
        parts = parts_of(made, data, given, name, arguments)
        made.eval()
        run = cls(None, parts.record, Built(made, own_stages()), parts.settings, parts.data)
        if fitted is not None:
            run.records = fitted.records
            run.record["result"] |= {"steps": fitted.position.step, "seconds": round(fitted.position.seconds, 3)}
            run.record["result"] |= {"warnings": fitted.warnings, "precision": fitted.precision}
        return run

    def save(self, folder: str | Path, *, overwrite: bool = False, pictures: bool = True) -> Run:
        """Keep the run in a folder: record, weights, log, evaluations, and figures and report unless told not to.

        From then on it is a run of that folder. A hand-made model's code is not kept: `vaekit.load` asks for it.
        """
        target = Path(folder)
        with claimed(target, overwrite):
            with together(target, own_files(target)) as part:
                self.record = weights.keep(part, checkpoint.model_tensors(self.model), self.record)
                write_text(part / LOG, "".join(json.dumps(record) + "\n" for record in self.log))
                if self.evaluation():
                    write_evaluation(part, self.evaluation())
                    checkpoint.save(part / VALUES, self.values(), {})
            self.path, self.weights_read, self.unstored = target, weights_of(target), None
            self.keep_reference()
            if pictures:
                self.write_figures()
                self.write_report()
        return self

    # -- numbers -------------------------------------------------------------------------------------------------------

    def evaluate(
        self,
        metrics: Sequence[str | Callable[..., Any]] | Mapping[str, Callable[..., Any]] = ("all",),
        *,
        data: Any = None,
        k: int = 500,
        limit: int | None = None,
        seed: int = 0,
        progress: Callable[[str, int, int], None] | None = None,
        options: Mapping[str, Any] | None = None,
        others: Sequence[Run] = (),
    ) -> dict[str, Result]:
        """Compute metrics on the test split, or on `data`, and keep them (in evaluation.json, if there is a folder).

        `metrics` are names, groups, or functions of the trace, of (model, x) or of (model, x, y).
        `options` are settings of single metrics: {"inception": path}, or {"features": network, "FILE.onnx" or
        "FILE.py:NAME"} for distances on features of one's own. `others` are runs on the same data, for metrics that
        compare runs (udr). Under torchrun the processes share the examples for the likelihood's metrics; the others are
        the first one's, which alone keeps the numbers.

        Raises:
            UserError: data or settings are wrong, or the folder cannot be written; nothing is computed then. Where
                storing fails at the end, a warning says so, and the numbers are returned all the same.
        """
        distributed.start()
        if self.path is not None:
            distributed.from_main(self._check_writable)
        if options is not None and "features" in options:
            options = {**options, "features": features_of(options["features"])}
        split = None if data is None else self.split(data)
        subject = self.subject(split, k=k, limit=limit, seed=seed, progress=progress, options=options)
        for other in others:
            self._check_same_examples(other, data)
        subject.others = [
            other.subject(None if data is None else other.split(data), k=k, limit=limit, seed=seed) for other in others
        ]
        results = evaluate(subject, metrics)
        if distributed.is_main():
            self._keep(results, self._named(data, split), split, seed)
        return Evaluation(results)

    def _repr_html_(self) -> str:
        """Return what a notebook shows of the run: what it is, and the numbers that it has."""
        result, numbers = self.record.get("result") or {}, self.evaluation()
        names = {"value": "elbo", "stderr": "elbo_stderr", "n": "held_out_n", "refused": "refused"}
        held_out = {name: result[key] for name, key in names.items() if result.get(key) is not None}
        entries = {"held-out elbo": held_out | {"unit": "nats/example"}} if result else {}
        facts = {
            "recipe": self.recipe,
            "data": f"{self.info.name}, {' × '.join(map(str, self.info.shape))}, {self.info.kind}",
            "examples": f"{self.info.n_train:,} train, {self.info.n_valid:,} held out, {self.info.n_test:,} test",
            "parameters": f"{sum(p.numel() for p in self.model.parameters()):,}",
            "folder": self.path or "in memory",
        }
        return notebook.facts(f"{self.recipe} on {self.info.name}", facts) + notebook.numbers(entries | numbers)

    def _check_same_examples(self, other: Run, data: Any) -> None:
        """Raise a UserError if another run is this one, or was tested on other examples."""
        if other is self or (self.path is not None and other.path == self.path):
            raise UserError(f"{self.path or self.recipe} is named twice; a comparison needs different runs")
        if data is None and digest(other.data.test.x) != digest(self.data.test.x):
            raise UserError(
                f"the test examples of {other.path or other.recipe} are not those of {self.path or self.recipe}; give "
                "other data, or train the runs on the same data with the same data.seed"
            )

    def _named(self, data: Any, split: Split | None) -> str:
        """Say which examples numbers are of: the run's own where the data hold just what one of its splits did."""
        told = self.record["data"].get("contents")
        if split is None or split.keys is None or told is None:
            return "the test split" if data is None else describe_source(data)
        here = [len(split.keys), key_digest(split.keys)]
        known = {"test": "the test split", "valid": "the validation split", "train": "the training split"}
        return next((words for name, words in known.items() if told["splits"].get(name) == here), describe_source(data))

    def _keep(self, results: Mapping[str, Result], source: str, split: Split | None, seed: int) -> None:
        """Keep numbers with what they are numbers of, and the values of the examples that they are means of."""
        examples = digest((self.data.test if split is None else split).x)
        plain: dict[str, Any] = {}
        for name, result in results.items():
            changed = self.difference if split is None else None
            of = number_of(result, examples, source, self.prepare, self.model.takes_label, changed)
            facts = {"split": "test" if source == "the test split" else source, "seed": seed, "number_of": of}
            plain[name] = result.to_dict() | facts
        values = {name: result.values for name, result in results.items() if result.values is not None}
        try:
            self._store(plain, values)
            self.unstored = None
        except (OSError, UserError) as error:
            self.kept, self.example_values = self.evaluation() | plain, self._others(plain) | values
            self.unstored = f"the numbers could not be stored in {self.path} ({error})"
            warnings.warn(self.unstored, stacklevel=3)

    def _store(self, plain: dict[str, Any], values: dict[str, Tensor]) -> None:
        """Add numbers, and the values of examples, to those that the run has."""
        if self.path is None:
            self.kept, self.example_values = self.evaluation() | plain, self._others(plain) | values
            return
        with locked(self.path, wait=MOMENT):
            if self.weights_read != weights_of(self.path):
                raise UserError("its weights are others by now: load the run again")
            with together(self.path) as part:
                write_evaluation(part, self.evaluation() | plain)
                checkpoint.save(part / VALUES, self._others(plain) | values, {})

    def _others(self, plain: Mapping[str, Any]) -> dict[str, Tensor]:
        return {name: x for name, x in self.values().items() if name not in plain}

    def _check_writable(self) -> None:
        """Refuse a folder that cannot be written, or that another process holds for long."""
        assert self.path is not None
        with locked(self.path, wait=MOMENT):
            pass

    def draw_tokens(self, sampling: Sampling) -> bool:
        """Have the run's likelihoods of sequences draw tokens so; False if it has none."""
        parts: list[Any] = [part for part in self.model.modules() if isinstance(part, Tokens)]
        for part in parts:
            part.draw_with(sampling)
        return bool(parts)

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def impute(
        self,
        data: Any,
        *,
        method: Method = "resampling",
        draws: int = 10,
        k: int = 200,
        seed: int = 0,
        where: str = "x",
    ) -> Imputation:
        """Fill NaN of arrays and series, or a table's missing cells, by p(x_missing | x_observed); what is there stays.

        Of several modalities those that are missing are made from those that are there: x and each draw are an array
        for each modality, by name, and `missing` is (N, M).

        `method`: "resampling" (importance resampling) or "gibbs" (pseudo-Gibbs); see vaekit.tasks.imputation. A table
        may be a data frame, a dict of columns or a file. `where` names the data in errors.
        """
        if self.model.takes_label:
            raise UserError(f"this run's model ({self.recipe}) is conditioned on labels; use a model of x alone")
        how: dict[str, Any] = {"method": method, "draws": draws, "k": k, "seed": seed}
        if self.info.kind == "table":
            table = self.impute_table(data, **how)
            return Imputation(table.like(data), [table.like(data, m) for m in range(draws)], table.gaps.numpy())
        if self.info.kind == "series":
            return self._imputed_series(data, **how)
        if self.info.kind == "views":
            made = self.impute_views(data, **how)
            each = [arrays_of(rows, self.info) for rows in made.draws]
            gaps = torch.stack([~view.seen(self.split(data).x) for view in views_of(self.info.facts["views"])], -1)
            return Imputation(arrays_of(made.mean, self.info), each, gaps.numpy())
        x = np.asarray(data, dtype=np.float64)
        rows, unit = with_gaps(self.info, self.prepare, x, where)
        lost = self._data is None and self.record["data"]["source"] == "memory"
        start = torch.zeros(tuple(self.info.shape)) if lost else self.data.train_mean()
        filled = impute(self.model, rows, start, **how)
        mean, several = (in_source_terms(self.info, self.prepare, v, unit) for v in (filled.mean, filled.draws))
        missing = np.isnan(x)
        every = np.where(missing, several.reshape(len(several), *x.shape), x)
        return Imputation(np.where(missing, mean.reshape(x.shape), x), every, missing)

    def impute_table(self, data: Any, **how: Any) -> TableImputation:
        """Fill a table's missing cells as `impute` does, keeping how each cell was written."""
        return impute_table(self.model, self.info, self.settings.data, data, **how)

    def impute_views(self, data: Any, **how: Any) -> Imputed:
        """Make the missing modalities of examples from those that are there, as rows; `how` as `impute`."""
        if self.info.kind != "views":
            raise UserError(f"this run's model ({self.recipe}) is not of several modalities; use impute")
        return impute(self.model, self.split(data).x, None, **how)

    def augment(
        self,
        data: Any = None,
        *,
        method: Augmentation = "near",
        n: int | None = None,
        radius: float = 0.3,
        seed: int = 0,
    ) -> Augmented:
        """Make `n` new examples (default: as many as there are) from `data` (default: the training split).

        `method`: near (codes moved at random), class (codes drawn by class), interpolate (between two of a class) or
        adversarial (codes moved to where a classifier of these examples errs). `radius` is how far codes move, in
        standard deviations of the prior.
        """
        if radius < 0 or (n is not None and n < 1):
            raise UserError("the radius must not be negative, and n must be at least 1")
        split = self.training() if data is None else self.split(data)
        if method in ("class", "adversarial"):
            self.classes_of(split, f"augmenting by '{method}'")
        codes, count = self.codes(split), len(split) if n is None else n
        facts: dict[str, Any] = {}
        if method == "adversarial":
            z, of, facts = self._adversarial(codes, split, count, radius, seed)
        else:
            y = None if split.labels is None else split.labels.numpy()
            moved, index = moved_codes(codes.double().numpy(), y, count, method, radius, seed)
            z, of = torch.from_numpy(moved).float(), torch.from_numpy(index)
        label = None if split.y is None else split.y[of]
        means = self._points(z, label)
        if self.info.kind == "series":
            means = stopped(means, lengths_of(split.inputs[of]))
        names = None if label is None else np.array(self.class_names(label)) if self.info.classes else label.numpy()
        return Augmented(self._as_stored(means, seed), of.numpy(), names, self.prepare.values(means), facts)

    def _adversarial(
        self, codes: Tensor, split: Split, n: int, radius: float, seed: int
    ) -> tuple[Tensor, Tensor, dict[str, Any]]:
        assert split.y is not None
        rows = torch.arange(n) % len(split)
        logits, accuracy = pixel_classifier(split.x, split.y, seed)
        moved: list[Tensor] = []
        gains: list[Tensor] = []
        for z, y in zip(codes[rows].split(500), split.y[rows].split(500)):
            z, y = z.to(self.device), y.to(self.device)
            own = y if self.model.takes_label else None
            new, gain = adversarial(z, y, lambda code, own=own: self.model.decode(code, own).mean, logits, radius)
            moved.append(new)
            gains.append(gain)
        facts = {
            "classifier": "logistic regression on x, fitted to the same examples",
            "classifier_accuracy": accuracy,
            "mean_gain_in_loss": float(joined(gains).mean()),
        }
        return joined(moved), rows, facts

    def _as_stored(self, x: Tensor, seed: int) -> Any:
        """Return means of p(x|z) as the data are stored: greys as uint8, bits drawn, real values in their units."""
        prepare, kind = self.prepare, self.info.kind
        if prepare.levels == 2 and kind == "binary":
            draws = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
            return (draws < x).to(torch.uint8).numpy()
        if prepare.levels is not None and kind in ("binary", "levels", "unit"):
            return (x.clamp(0, 1) * (prepare.levels - 1)).round().to(torch.uint8).numpy()
        return prepare.invert(x).numpy()

    def cluster(
        self, data: Any = None, *, k: int | None = None, kind: ClusterKind = "gmm", bootstraps: int = 10, seed: int = 0
    ) -> Clustering:
        """Cluster examples by their codes into `k` (default: the number of classes, or 10), with their stability."""
        split = self.split(data)
        z = self.encode(split).numpy()
        made = cluster(z, k if k is not None else self.info.n_classes or 10, kind, bootstraps=bootstraps, seed=seed)
        facts: dict[str, Any] = {"kind": kind, "k": int(made.labels.max()) + 1, "n": len(z)}
        facts["sizes"] = np.bincount(made.labels).tolist()
        facts["stability"] = {
            "value": float(made.stability.mean()),
            "interval": list(made.interval),
            "unit": "adjusted Rand index",
            "n": len(made.stability),
        }
        if split.labels is not None:
            facts |= agreement(split.labels.numpy(), made.labels)
        return Clustering(made.labels, made.sure, self.label_names(split), facts, split.places)

    def classify(self, data: Any = None, *, labels: int = 100, seed: int = 0) -> Classification:
        """Predict each example's class by a classifier of codes that saw `labels` labels of the training split."""
        if not self.info.n_classes:
            raise UserError(f"{self.info.name} has no classes to learn from; train on data labelled with classes")
        if self.model.takes_label:
            raise UserError(f"this run's model ({self.recipe}) is given the label, so its codes cannot predict it")
        known = self.training()
        assert known.y is not None
        known = known.take((known.y >= 0).nonzero().squeeze(1))
        assert known.y is not None
        chosen = few_labels(known.y.numpy(), labels, seed)
        model = fit_classifier(self.encode(known.take(torch.from_numpy(chosen))).numpy(), known.y.numpy()[chosen], seed)
        split = self.split(data)
        z = self.encode(split).numpy()
        guess, sure = model.predict(z), model.predict_proba(z).max(1)
        known = split.y if split.y is not None and split.y.dim() == 1 and bool((split.y >= 0).any()) else None
        if known is None:
            return Classification(self.class_names(guess), sure, None, None, split.places)
        right = (guess == known.numpy())[known.numpy() >= 0]
        share = float(right.mean())
        accuracy = {"value": share, "interval": list(wilson(share, len(right))), "n": len(right)}
        return Classification(self.class_names(guess), sure, self.label_names(split), accuracy, split.places)

    def optimise(
        self,
        data: Any = None,
        *,
        n: int = 50,
        steps: int = 100,
        rate: float = 0.1,
        keep: float = 0.0,
        minimise: bool = False,
    ) -> dict[str, Any]:
        """Move molecules' codes towards more of the property that the run learned; see vaekit.tasks.optimisation.

        Returns columns of n molecules: `molecule`, `before`, `reconstruction`, `reconstructed` (its property),
        `optimised`, `after`, `predicted` and `similarity` (Tanimoto, to the start); empty or NaN where there is none.
        The numbers are of decoded molecules' true property, by rdkit, never of the prediction.
        """
        fact = self.info.facts.get("property")
        if fact is None:
            raise UserError(
                f"this run ({self.recipe}) predicts no property; train molecule-vae with data.property=logp, say"
            )
        if n < 1:
            raise UserError(f"n must be at least 1, not {n}")
        split = self.split(data).first(n)
        climb = {"steps": steps, "rate": rate, "keep": keep, "minimise": minimise}
        z = self.encode(split).to(self.device)
        with inference(self.model):
            code, value = optimisation.ascend(self.model.predict, z, **climb)
        again, end = (self.lines(self.decode(codes.cpu())) for codes in (z, code))
        predicted = value.double().cpu().numpy() * fact["sd"] + fact["mean"]
        return optimisation.columns(self.lines(split.inputs), again, end, predicted, fact["name"])

    # -- files in memory -----------------------------------------------------------------------------------------------

    def codec(self) -> Codec:
        """Return the run's codec; UserError for data or a model that bits back does not apply to."""
        return Codec.of(self.model, tuple(self.info.shape), self.levels)

    @property
    def levels(self) -> int:
        """How many values a pixel of the run's data can have; UserError where they are not quantised."""
        if self.info.kind == "binary":
            return 2
        if self.info.kind == "levels" and self.info.levels is not None:
            return self.info.levels
        raise UserError(
            f"compress needs quantised data, and this run's are {self.info.kind}; train with "
            "model.likelihood=discretised-logistic, or bernoulli on binary data"
        )

    def compress(self, data: Any = None, *, progress: Progress | None = None) -> bytes:
        """Compress an array of grey levels (N, *shape) without loss, by bits back coding; `decompress` gives it back.

        Values come back bit by bit, with type and shape. None compresses the run's own test split.
        """
        x, name = self.stored_levels(data)
        return compressed_file.pack(self.codec(), x, self.fingerprint, where=name, progress=progress)

    def decompress(self, data: bytes, *, where: str = "the file", progress: Progress | None = None) -> np.ndarray:
        """Return the array that `compress` was given. UserError for a damaged file or another model."""
        return compressed_file.unpack(self.codec, data, self.fingerprint, where=where, progress=progress)

    def stored_levels(self, data: Any = None) -> tuple[np.ndarray, str]:
        """Return the array to compress, and what it is: None is the run's own test split, a known name that set's.

        Those two are taken as the model sees them (binary where it is). A file's or folder's arrays are taken as they
        are, and so are arrays.
        """
        if isinstance(data, np.ndarray):
            return data, "x"
        if data is None:
            split, name = self.split(), f"the test split of {self.info.name}"
        elif data in DATASETS:
            other = self._whole(data)
            if (tuple(other.info.shape), other.info.levels) != (tuple(self.info.shape), self.info.levels):
                raise UserError(
                    f"{data} has examples of shape {tuple(other.info.shape)} with {other.info.levels} levels; this "
                    f"run's model takes {tuple(self.info.shape)} with {self.info.levels}"
                )
            own = other.test if len(other.test) else other.train
            split, name = self.prepare.fixed(own, TEST_SEED), f"{'the test split of ' if len(other.test) else ''}{data}"
        else:
            raw = read_raw(data, self.settings.data)
            if len(raw.parts) > 1:
                raise UserError(f"{data} holds several splits; give a file with one array, x")
            return raw.train.x, describe_source(data)
        level = split.x if self.levels == 2 else (split.x.float() * (self.levels - 1)).round()
        seen = ", made binary as the run does" if self.prepare.mode in ("stochastic", "fixed", "threshold") else ""
        return level.to(torch.uint8).numpy(), name + seen

    def export(
        self, format: export.Format = "onnx", *, parts: Sequence[export.Part] = export.PARTS
    ) -> dict[str, bytes]:
        """Return encoder (x → mean and sd of q(z|x)) and decoder (z → mean of p(x|z)) as programs without vaekit.

        They take and give raw values: grey levels, the data's own units. Quantised codes are whole numbers. `format`:
        "onnx", or "torch" (torch.export). Raises UserError for data or a part that no program can stand for; `parts`
        asks for one alone. See docs/deployment.md.
        """
        facts = {
            "recipe": self.recipe,
            "model": self.fingerprint,
            "data": {"kind": self.info.kind, "levels": self.info.levels, "classes": list(self.info.classes)},
            "condition": list(self.conditions.attributes),
            "facts": self.info.facts,
        }
        return export.programs(self.model, self.info, self.prepare, facts, format, parts)

    # -- seeing --------------------------------------------------------------------------------------------------------

    def explore(self, port: int = PORT, *, browser: bool = True, announce: Callable[[str], None] = print) -> None:
        """Serve the explorer's page of this run on this machine until it is interrupted."""
        serve(self, port, browser, announce)

    def write_figures(self) -> list[Path]:
        """Write the run's figures into its folder and return their paths."""
        assert self.path is not None
        with locked(self.path, wait=MOMENT):
            return figures.write_figures(self)

    def write_report(self) -> Path:
        """Write report.html into the run's folder, with the figures of what was evaluated, and return its path."""
        assert self.path is not None
        figures.write_evaluated(self)
        path = self.path / REPORT
        with locked(self.path, wait=MOMENT):
            write_text(path, report.render(self))
        return path
