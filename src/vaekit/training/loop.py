"""The training loop: stages of players, one fused step each, nothing that waits for the device between log records."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaekit import bounds, collapse, distributed
from vaekit.atomic import sweep
from vaekit.devices import choose_device, rng_state, seeded, set_rng_state
from vaekit.errors import TrainingFailed
from vaekit.models.base import Model, evaluating
from vaekit.objectives.base import MODEL, Loss
from vaekit.schedules import Schedule, annealed_in
from vaekit.trace import Trace, measured
from vaekit.training import checkpoint, sharding
from vaekit.training.average import WeightAverage
from vaekit.training.compiled import Compiled
from vaekit.training.dtensor import is_part
from vaekit.training.gradient_sync import take_gradients
from vaekit.training.hooks import StepInfo
from vaekit.training.interrupt import deferred_interrupt
from vaekit.training.log import JsonLines, Logger
from vaekit.training.optimiser import Adam
from vaekit.training.precision import arithmetic, settle
from vaekit.training.progress import Progress
from vaekit.training.running_means import Sums
from vaekit.training.settings import TrainSettings
from vaekit.training.source import Source
from vaekit.training.stages import Stage, make_optimisers
from vaekit.training.state import FitResult, Position
from vaekit.training.validation import HeldOut, held_out

LEAST_STEPS = 2000
LAST, BEST = "last.safetensors", "best.safetensors"


class Fit:
    """One run of training. `run` does it; a folder with a checkpoint and `resume` goes on where that left off."""

    def __init__(
        self,
        model: Model,
        stages: Sequence[Stage],
        source: Source,
        settings: TrainSettings,
        *,
        folder: Path | None = None,
        loggers: Sequence[Logger] = (),
        progress: Progress | None = None,
    ) -> None:
        self.device = choose_device(settings.device)
        if distributed.world() > 1:
            for module in (model, *(stage.objective for stage in stages)):
                distributed.share_batch_norms(module)
        self.sharded = settings.shard and distributed.world() > 1
        if self.sharded:
            sharding.shard(model, self.device)
        self.model = model.to(self.device)
        self.stages = list(stages)
        for stage in self.stages:
            stage.objective.to(self.device)
        objectives = [stage.objective for stage in stages]
        # One precision for all processes: what `auto` chooses depends on the machine.
        self.precision = distributed.from_main(lambda: settle(settings.precision, self.device, model, objectives))
        self.compiled = Compiled(self.model, self.device) if settings.compile else None
        self.source = source.to(self.device)
        self.settings = settings
        self.folder = folder
        # The first process alone writes and shows; the others do all else alike.
        self.loggers = list(loggers) if distributed.is_main() else []
        self.progress = progress if progress and distributed.is_main() else Progress()
        self.raised: Tensor | None = None
        self.at = Position()
        self.warnings: list[str] = []
        self.skipped_before = 0
        self.per_epoch = source.steps(settings.batch_size)
        self.ramp = None if settings.warmup in (0, "0") else Schedule.parse(f"linear 0 1 {settings.warmup}")
        self.lengths = self._stage_lengths()
        self.jsonl: JsonLines | None = None
        self.last_held_out: HeldOut | None = None
        self.ended = False

    # -- lengths and learning rates ------------------------------------------------------------------------------

    def _stage_lengths(self) -> list[int]:
        epochs = self.settings.epochs or max(20, -(-LEAST_STEPS // self.per_epoch))
        total = self.settings.steps or epochs * self.per_epoch
        shares = [stage.share for stage in self.stages]
        return [max(1, round(total * share / sum(shares))) for share in shares]

    def _factor(self, step: int, total: int) -> float:
        ramp = 0.0 if self.ramp is None else self.ramp.steps(total, self.per_epoch)
        if step < ramp:
            return (step + 1) / (ramp + 1)
        if self.settings.decay == "none":
            return 1.0
        t = (step - ramp) / max(total - ramp, 1)
        return 0.5 * (1 + math.cos(math.pi * t)) if self.settings.decay == "cosine" else 1 - t

    # -- the run ----------------------------------------------------------------------------------------------------

    def run(self, resume: bool = False) -> FitResult:
        """Train every stage and return the result; the caller's random state is left as it was."""
        with seeded(self.settings.seed, self.device):
            if self.folder is not None and distributed.is_main():
                sweep(self.folder)
            modules = [self.model, *(stage.objective for stage in self.stages)]
            values = [value for module in modules for value in module.state_dict().values()]
            distributed.same_start([value for value in values if not is_part(value)])
            path = self._path(LAST)
            state = checkpoint.find(path) if resume and path is not None else None
            if self.folder is not None and distributed.is_main():
                position = 0 if state is None else state[1]["position"]["log_bytes"]
                self.jsonl = JsonLines(self.folder / "log.jsonl", position)
            try:
                with arithmetic(self.precision):
                    return self._run(state)
            finally:
                self.progress.end()
                for logger in [*self.loggers, *([self.jsonl] if self.jsonl else [])]:
                    logger.close()

    def _run(self, state: tuple[dict[str, Tensor], dict[str, Any]] | None) -> FitResult:
        first = 0 if state is None else state[1]["position"]["stage"]
        if state is not None:
            self._restore_stage_free(state)
        skipped = self.skipped_before
        for number in range(first, len(self.stages)):
            if self.ended:
                break
            self._start_stage(number, state if number == first else None)
            if not self.at.done:
                self._run_stage()
            self._finish_stage()
            # A checkpoint of a finished run has counted its last stage already.
            skipped += 0 if self.at.done else self._skipped()
            self.skipped_before = skipped
        self.at.done = True
        self._save_checkpoint()
        held = self.last_held_out or self._validate(averaged=False)
        if self.stage.trace is not None:
            held = self._of_the_model(held)
        return FitResult(self.at, held, skipped, self.warnings, self.precision)

    def _start_stage(self, number: int, state: tuple[dict[str, Tensor], dict[str, Any]] | None) -> None:
        self.stage = self.stages[number]
        self.total = self.lengths[number]
        self.make_trace = self.stage.tracer(self.model)
        self.optimisers: dict[str, Adam] = make_optimisers(self.model, self.stage, self.settings)
        self.annealed = [*annealed_in(self.model), *annealed_in(self.stage.objective)]
        self.average = WeightAverage(self.model, self.settings.ema) if self.settings.ema else None
        if state is None:
            self.at.stage, self.at.epoch, self.at.batch, self.at.stage_step = number, 0, 0, 0
            self.at.best, self.at.epochs_without = -math.inf, 0
            for name, value in self.annealed:
                value.schedule.check(name.removesuffix(".weight"), self.total, self.per_epoch)
            if number > 0:
                # From here on the stage's best weights replace the last stage's, which an older checkpoint would need.
                self._save_checkpoint()
        else:
            self._restore_stage(state)
        self.bounded: bool | None = None if self.stage.of_data else False
        self._reset_sums()
        self.progress.begin(self.stage.name, self.at.stage_step, self.total)

    def _run_stage(self) -> None:
        self._clock = self._saved_at = time.monotonic()
        with deferred_interrupt() as self._interrupt:
            while self.at.stage_step < self.total and not (self.ended or self._stopped_early()):
                self._run_epoch()

    def _run_epoch(self) -> None:
        self.model.train()
        with self.compiled.on() if self.compiled is not None else nullcontext():
            self._run_batches()
        self._end_epoch()
        if self.at.stage_step < self.total:
            self._leave_if_asked()

    def _run_batches(self) -> None:
        settings = self.settings
        batches = self.source.train(settings.batch_size, seed=settings.seed, epoch=self.at.epoch, skip=self.at.batch)
        for x, y in batches:
            with distributed.sharing(len(x), settings.seed, self.at.step):
                self._step(distributed.deal(x), distributed.deal(y))
            self.at.examples += len(x)
            self.at.batch += 1
            if self.ended or self.at.batch == self.per_epoch or self.at.stage_step >= self.total:
                break
            if self.at.stage_step % settings.log_every == 0:
                self._record()
            if self._checkpoint_due():
                self._record()
                self._save_checkpoint()
            self._leave_if_asked()

    def _leave_if_asked(self) -> None:
        if self._together(0, self._interrupt.is_set()):
            self._record()
            self._save_checkpoint()
            raise KeyboardInterrupt

    def _end_epoch(self) -> None:
        self._record()
        last = self.ended or self.at.stage_step >= self.total
        if self.at.batch == self.per_epoch:
            self.at.epoch, self.at.batch = self.at.epoch + 1, 0
        if last or self.at.epoch % self.settings.validate_every == 0:
            self._judge(self._validate())
        if self._checkpoint_due():
            self._save_checkpoint()

    # -- one step -------------------------------------------------------------------------------------------------

    @cached_property
    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _step(self, x: Any, y: Tensor | None) -> None:
        step = self.at.stage_step
        for _, value in self.annealed:
            value.advance(step, self.total, self.per_epoch)
        with self._autocast:
            trace: Trace = self.make_trace(x, y, k=self.stage.objective.k)
        # Outside: what a trace computes when asked (likelihoods, KLs) and the losses are float32 whatever networks use.
        losses: dict[str, Loss] = self.stage.objective(trace)
        if self.bounded is None:
            self.bounded = not distributed.any_of(bounds.refusal(trace) is not None)
        self._account(trace, losses)
        del trace  # what it holds beside the graph goes back before gradients want room
        flags = (self._interrupt.is_set(), self._time_to_save())
        grads, self.raised = take_gradients(losses, self.optimisers, self.stage.objective, flags, self.sharded)
        factor = self._factor(step, self.total)
        for player, optimiser in self.optimisers.items():
            whole = sharding.norm_of(grads[player], optimiser.owners) if self.sharded else None
            norm = optimiser.step(grads[player], factor, whole)
            norm = norm / distributed.world() if distributed.world() > 1 else norm
            self.sums.add("grad_norm" if player == MODEL else f"{player}.grad_norm", norm)
        self.model.after_step(step)
        if self.average is not None:
            self.average.update()
        self.at.stage_step += 1
        self.at.step += 1
        if self.stage.callbacks:
            self._call_back(losses[MODEL])

    def _call_back(self, loss: Loss) -> None:
        """Tell the callbacks of the step, which any of them may make the last."""
        at = self.at
        epoch = at.epoch + (at.batch + 1) / self.per_epoch
        info = StepInfo(at.step, epoch, self.stage.name, self.model, loss.total.detach(), loss.parts)
        answers = [callback(info) for callback in self.stage.callbacks]
        self.ended = distributed.any_of(any(answer is True for answer in answers))

    # -- accounts -------------------------------------------------------------------------------------------------

    def _reset_sums(self) -> None:
        self.sums = Sums()
        self.counted = 0

    @torch.no_grad()
    def _account(self, trace: Trace, losses: Mapping[str, Loss]) -> None:
        for player, loss in losses.items():
            prefix = "" if player == MODEL else f"{player}."
            self.sums.add(f"{prefix}loss", loss.total)
            for name, value in loss.parts.items():
                self.sums.add(f"{prefix}{name}", value)
        if self.bounded:
            self.sums.add_bound(trace)
        self.counted += 1

    def _record(self) -> None:
        """Read the sums (the one place that waits for the device), log them, and stop a run that has gone wrong."""
        if not self.counted:
            return
        now = time.monotonic()
        self.at.seconds += now - self._clock
        self._clock = now
        record: dict[str, Any] = {"step": self.at.step, "epoch": self.at.epoch + self.at.batch / self.per_epoch}
        record["stage"] = self.stage.name
        record |= self.sums.means(self.counted)
        record["lr"] = self.settings.lr * self._factor(max(self.at.stage_step - 1, 0), self.total)
        record["skipped"] = self.skipped_before + self._skipped()
        record["examples_per_second"] = self.at.examples / max(self.at.seconds, 1e-9)
        record |= {
            name.removesuffix(".weight"): float(a.value) for name, a in self.annealed if a.schedule.shape != "constant"
        }
        record |= {name: float(value) for name, value in self.model.watch().items()}
        self._emit(record)
        self._reset_sums()
        self._check_bad_steps()

    def _emit(self, record: Mapping[str, Any]) -> None:
        if self.jsonl is not None:
            self.jsonl.log(record)
        for logger in self.loggers:
            logger.log(record)
        self.progress.update(self.at.stage_step, record)

    def _skipped(self) -> int:
        return int(sum(float(o.skipped) for o in self.optimisers.values()))

    def _check_bad_steps(self) -> None:
        for player, optimiser in self.optimisers.items():
            bad = int(optimiser.in_a_row)
            if bad >= self.settings.max_bad_steps:
                raise TrainingFailed(
                    f"{bad} steps in a row had a gradient that was not finite or too large (player '{player}', step "
                    f"{self.at.step}): lower the learning rate (--set train.lr={self.settings.lr / 3:.2g}), clip "
                    "gradients (--set train.clip=10), or check the data for extreme values"
                )

    # -- held-out evaluation --------------------------------------------------------------------------------------

    def _validate(self, averaged: bool = True) -> HeldOut:
        average = self.average if averaged else None
        batches = self.source.valid(max(self.settings.batch_size, 500))
        seed = self.settings.seed + 1
        with evaluating(self.model, self.stage.objective), average.applied() if average else nullcontext():
            return held_out(
                self.make_trace,
                self.stage.objective,
                batches,
                seed,
                bounded=self.stage.of_data,
                device=self.device,
                metrics={name: partial(measured, own, self.model) for name, own in self.stage.metrics.items()},
            )

    def _judge(self, held: HeldOut) -> None:
        self.last_held_out = held
        record: dict[str, Any] = {"step": self.at.step, "epoch": float(self.at.epoch), "stage": self.stage.name}
        record["valid.loss"] = held.loss
        if held.bounded:
            record["valid.elbo"] = held.elbo
        if held.bounded and held.refused is not None:
            record["valid.refused"] = held.refused
        if held.stderr is not None:
            record |= {"valid.elbo.stderr": held.stderr}
        record |= {f"valid.{name}": value for name, value in (held.terms | held.metrics).items()}
        latents = held.watch.usage()
        for latent in latents:
            record |= {f"active.{latent.name}": latent.active, f"units.{latent.name}": latent.units}
        record |= {f"kl_elements.{name}": value for name, value in held.watch.kl_elements().items()}
        self._emit(record)
        collapsed = collapse.warning(latents)
        if collapsed and self.at.stage_step > self.total / 3 and collapsed not in self.warnings:
            self.warnings = [w for w in self.warnings if "collapsed" not in w] + [collapsed]
            self.progress.note(f"warning: {collapsed}")
        elif not collapsed:
            self.warnings = [w for w in self.warnings if "collapsed" not in w]
        if held.n and held.score > self.at.best:
            self.at.best, self.at.best_epoch, self.at.epochs_without = held.score, self.at.epoch, 0
            if self._keeps_best():
                self._save_best()
        else:
            self.at.epochs_without += 1

    def _stopped_early(self) -> bool:
        patience = self.settings.early_stop
        return patience is not None and self.at.epochs_without >= patience

    def _keeps_best(self) -> bool:
        return (self.settings.keep or ("best" if self.settings.early_stop else "last")) == "best"

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def _checkpoint_due(self) -> bool:
        if self.folder is None:
            return False
        if self.settings.checkpoint_steps is not None:
            return self.at.stage_step % self.settings.checkpoint_steps == 0
        return self._together(1, self._time_to_save())

    def _time_to_save(self) -> bool:
        return distributed.is_main() and time.monotonic() - self._saved_at >= self.settings.checkpoint_seconds

    def _together(self, which: int, mine: bool) -> bool:
        """Return whether any process raised the flag at the last step; CUDA is waited for at log records alone."""
        if distributed.world() == 1:
            return mine
        waits = self.device.type != "cpu" and self.at.stage_step % self.settings.log_every
        return self.raised is not None and not waits and bool(self.raised[which] > 0)

    def _path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / "checkpoints" / name

    def _save_checkpoint(self) -> None:
        path = self._path(LAST)
        if path is None or not (distributed.is_main() or self.sharded):
            return
        self._saved_at = time.monotonic()
        self.at.log_bytes = self.jsonl.position if self.jsonl else 0
        tensors = checkpoint.flatten(
            model=checkpoint.model_tensors(self.model),
            rng=rng_state(self.device),
            average={} if self.average is None else self.average.state(),
            **{f"objective.{i}": checkpoint.model_tensors(stage.objective) for i, stage in enumerate(self.stages)},
            **{f"optimiser.{player}": optimiser.state() for player, optimiser in self.optimisers.items()},
        )
        meta = {"position": vars(self.at), "warnings": self.warnings, "skipped_before": self.skipped_before}
        meta["position"] = {k: (None if v == -math.inf else v) for k, v in meta["position"].items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(path, tensors, meta, writes=distributed.is_main())

    def _restore_stage_free(self, state: tuple[dict[str, Tensor], dict[str, Any]]) -> None:
        tensors, meta = state
        values: dict[str, Any] = {k: (-math.inf if v is None else v) for k, v in meta["position"].items()}
        self.at = Position(**values)
        self.warnings = list(meta["warnings"])
        self.skipped_before = meta["skipped_before"]
        checkpoint.load_model(self.model, checkpoint.group(tensors, "model"), self._path(LAST))
        for i, stage in enumerate(self.stages):
            checkpoint.load_model(stage.objective, checkpoint.group(tensors, f"objective.{i}"), self._path(LAST))

    def _restore_stage(self, state: tuple[dict[str, Tensor], dict[str, Any]]) -> None:
        tensors, _ = state
        for player, optimiser in self.optimisers.items():
            optimiser.load(checkpoint.group(tensors, f"optimiser.{player}"))
        if self.average is not None:
            self.average.load(checkpoint.group(tensors, "average"))
        set_rng_state(checkpoint.group(tensors, "rng"), self.device)

    def _save_best(self) -> None:
        path = self._path(BEST)
        with self.average.applied() if self.average else nullcontext():
            tensors = checkpoint.model_tensors(self.model)
            if path is None:
                self._best_tensors = {name: value.detach().clone() for name, value in tensors.items()}
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            checkpoint.save(path, tensors, writes=distributed.is_main())

    def _finish_stage(self) -> None:
        """Leave in the model the weights that are to be kept: the best ones, the averages, or the last."""
        if self.at.done:
            return
        path = self._path(BEST)
        if self._keeps_best() and self.at.best > -math.inf:
            tensors = self._best_tensors if path is None else checkpoint.load_on_all(path)
            checkpoint.load_model(self.model, tensors, path)
            self.last_held_out = self._validate(averaged=False)
        elif self.average is not None:
            self.average.keep()

    def _of_the_model(self, held: HeldOut) -> HeldOut:
        """Score the model itself where the last stage traced something else; the loss stays that stage's."""
        self.model.eval()
        batches = self.source.valid(max(self.settings.batch_size, 500))
        return replace(
            held_out(self.model.trace, None, batches, self.settings.seed + 1, device=self.device), loss=held.loss
        )


def fit(
    model: Model,
    stages: Sequence[Stage],
    source: Source,
    settings: TrainSettings | None = None,
    *,
    folder: Path | None = None,
    loggers: Sequence[Logger] = (),
    progress: Progress | None = None,
    resume: bool = False,
) -> FitResult:
    """Train `model` in place and return the result of the run; see `Fit`.

    With a folder, the run logs to log.jsonl and checkpoints; `resume` continues from its last checkpoint, bit for bit
    on the same CPU with as many threads.
    """
    return Fit(
        model, stages, source, settings or TrainSettings(), folder=folder, loggers=loggers, progress=progress
    ).run(resume)
