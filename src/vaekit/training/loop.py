"""The training loop: stages of players, one fused step each, nothing that waits for the device between log records."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaekit import bounds, collapse, distributed
from vaekit.atomic import sweep
from vaekit.devices import choose_device, seeded
from vaekit.errors import UserError
from vaekit.models.base import Model, evaluating
from vaekit.objectives.base import MODEL, Loss, whole_loss
from vaekit.schedules import annealed_in
from vaekit.trace import Trace, measured
from vaekit.training import sharding
from vaekit.training.average import WeightAverage
from vaekit.training.compiled import Compiled
from vaekit.training.control import Control, scale_rates
from vaekit.training.dtensor import is_part
from vaekit.training.gradient_sync import Grads, added, own_gradients, sum_gradients
from vaekit.training.graph import graphed
from vaekit.training.hooks import StepInfo
from vaekit.training.interrupt import deferred_interrupt
from vaekit.training.log import JsonLines, Logger
from vaekit.training.memory import Parts, Trial, explained
from vaekit.training.memory import settle as settle_parts
from vaekit.training.optimiser import Adam
from vaekit.training.plan import Plan
from vaekit.training.precision import arithmetic, settle
from vaekit.training.progress import Progress
from vaekit.training.running_means import Sums
from vaekit.training.saved import Saved, State
from vaekit.training.settings import TrainSettings
from vaekit.training.source import Source
from vaekit.training.stages import Stage, check_bad_steps, make_optimisers, train_mode, without_frozen
from vaekit.training.state import FitResult, Position, times
from vaekit.training.validation import HeldOut, held_out


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
        self.stages = without_frozen(stages, model, settings)
        objectives = [stage.objective.to(self.device) for stage in self.stages]
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
        self.told: list[str] = []
        self.at = Position()
        self.warnings: list[str] = []
        self.warned = collapse.Warned()
        self.skipped_before = 0
        self.per_epoch = source.steps(settings.batch_size)
        self.plan = Plan(settings, [stage.share for stage in self.stages], self.per_epoch)
        self.saved = Saved(folder, self.model, objectives, self.device, self.sharded)
        self.jsonl: JsonLines | None = None
        self.last_held_out: HeldOut | None = None
        self.ended = False
        self.control = Control(folder if distributed.world() == 1 else None)

    # -- the run ----------------------------------------------------------------------------------------------------

    def run(self, resume: bool = False) -> FitResult:
        """Train every stage and return the result; the caller's random state is left as it was."""
        with seeded(self.settings.seed, self.device):
            if self.folder is not None and distributed.is_main():
                sweep(self.folder)
            modules = [self.model, *(stage.objective for stage in self.stages)]
            values = [value for module in modules for value in module.state_dict().values()]
            distributed.same_start([value for value in values if not is_part(value)])
            state = self.saved.find() if resume else None
            if self.folder is not None and distributed.is_main():
                position = 0 if state is None else state[1]["position"]["log_bytes"]
                self.jsonl = JsonLines(self.folder / "log.jsonl", position)
            try:
                with arithmetic(self.precision), explained(self.settings, self.device):
                    return self._run(state)
            except Exception as error:
                self._log_failure(error)
                raise
            finally:
                self.progress.end()
                for logger in [*self.loggers, *([self.jsonl] if self.jsonl else [])]:
                    logger.close()

    def _log_failure(self, error: Exception) -> None:
        """Let the log end with why a run failed that has taken steps."""
        if self.jsonl is not None and self.at.step:
            with suppress(OSError):  # the disk is full, say, which `error` tells
                at = {"step": self.at.step, "epoch": self.at.epoch + self.at.batch / self.per_epoch}
                self.jsonl.log(at | {"failed": " ".join(str(error).split()) or type(error).__name__})

    def _run(self, state: State | None) -> FitResult:
        first, last = 0, len(self.stages) - 1
        if state is not None:
            self._restore(state)
            first = self.at.stage
        for number in range(first, last + 1):
            self._start_stage(number, state if number == first else None)
            self._run_stage()
            ends = self.ended or number == last
            if ends:
                # Before weights are chosen: from here the run goes on when it is taken up again to last longer.
                self._save_checkpoint()
            self._finish_stage()
            if ends:
                break
            self.skipped_before += self._skipped()
        held = self.last_held_out or self._validate(averaged=False)
        if self.stage.trace is not None:
            held = self._of_the_model(held)
        return FitResult(self.at, held, self.skipped_before + self._skipped(), self.warnings, self.precision)

    def _start_stage(self, number: int, state: State | None) -> None:
        self.stage = self.stages[number]
        self.make_trace = self.stage.tracer(self.model)
        self.optimisers: dict[str, Adam] = make_optimisers(self.model, self.stage, self.settings)
        self.owners = {player: optimiser.owners for player, optimiser in self.optimisers.items()}
        self.annealed = [*annealed_in(self.model), *annealed_in(self.stage.objective)]
        scale_rates(self.stage.objective, self.at.rate_factor)
        self.average = WeightAverage(self.model, self.settings.ema) if self.settings.ema else None
        self.last_held_out = None
        if state is None:
            self.at.stage, self.at.epoch, self.at.batch, self.at.stage_step = number, 0, 0, 0
            self.at.best, self.at.epochs_without = -math.inf, 0
            self.warned = collapse.Warned()
        else:
            self.saved.restore_stage(state, self.optimisers, self.average)
        self.total = self.plan.length(number, self.at.step - self.at.stage_step)
        if state is None:
            for name, value in self.annealed:
                value.schedule.check(name.removesuffix(".weight"), self.total, self.per_epoch)
        elif self.at.stage_steps not in (0, self.total):
            self._go_on_longer()
        self.at.stage_steps = self.total
        self._choose_parts(state is None)
        self._begin_steps()
        if state is None and number > 0:
            # From here on the stage's best weights replace the last stage's, which an older checkpoint would need.
            self._save_checkpoint()
        self.bounded: bool | None = None if self.stage.of_data else False
        self._reset_sums()
        self.progress.begin(self.stage.name, self.at.stage_step, self.total)

    def _begin_steps(self) -> None:
        """Record steps anew, if at all: a graph holds the objective as it was."""
        modules = chain(self.model.modules(), self.stage.objective.modules())
        self.take = graphed(self._take, self.settings, self.device, self.at.rows_at_once, modules, self.told.append)

    def _choose_parts(self, new: bool) -> None:
        """Settle in which parts a stage's steps are computed; one that is taken up again keeps what it had."""
        if (not new and self.settings.accumulate == "auto") or self.sharded:
            return
        freeze = self.settings.freeze
        trial = Trial(self.make_trace, self.stage.objective, self.model, self.owners, self._autocast, freeze)
        parts, sentence = settle_parts(self.settings, self.source, trial)
        self.at.rows_at_once = parts.rows
        if sentence is not None:
            self.progress.note(sentence)

    def _go_on_longer(self) -> None:
        """Say what becomes of what follows the run's length, now that it is another; early stopping starts anew."""
        if self._stopped_early():
            self.at.epochs_without = 0
        if self.at.stage_step:
            named = {name.removesuffix(".weight"): value for name, value in self.annealed}
            words = self.plan.going_on(self.at.stage_step, self.at.stage_steps, self.total, named)
            self.progress.note(f"stage '{self.stage.name}' {words}")

    def _run_stage(self) -> None:
        self._clock = self._saved_at = time.monotonic()
        with deferred_interrupt() as self._interrupt:
            while self.at.stage_step < self.total and not (self.ended or self._stopped_early()):
                self._run_epoch()

    def _run_epoch(self) -> None:
        train_mode(self.model, self.settings.freeze)
        with self.compiled.on() if self.compiled is not None else nullcontext():
            self._run_batches()
        self._end_epoch()
        if self.at.stage_step < self.total:
            self._leave_if_asked()

    def _run_batches(self) -> None:
        settings = self.settings
        batches = self.source.train(settings.batch_size, seed=settings.seed, epoch=self.at.epoch, skip=self.at.batch)
        for x, y in batches:
            self._step(x, y)
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
            self._do_what_is_asked()
            if self.ended:
                break

    def _leave_if_asked(self) -> None:
        if self._together(0, self._interrupt.is_set()):
            self._record()
            self._save_checkpoint()
            raise KeyboardInterrupt

    def _do_what_is_asked(self) -> None:
        """Do what a page asks of the run; each change is a line of the log, and in the checkpoint written at once."""
        for asked in self.control.asked(self._leave_if_asked):
            if asked.what == "learning rate":
                self.at.lr_factor = times(self.at.lr_factor, asked.factor)
            elif asked.what == "beta":
                self.at.rate_factor = times(self.at.rate_factor, asked.factor)
                scale_rates(self.stage.objective, self.at.rate_factor)
                self._begin_steps()
            self.ended = self.ended or asked.what == "stop"
            self._record()
            self._clock = time.monotonic()  # a pause is no time of training
            at = {"step": self.at.step, "epoch": self.at.epoch + self.at.batch / self.per_epoch}
            self._emit(at | {"stage": self.stage.name, "control": asked.said})
            self.progress.note(f"asked from the page: {asked.said}")
            self._save_checkpoint()

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
        """Take one step on a batch: what changes from step to step goes into tensors, and `_take` does the rest."""
        for _, value in self.annealed:
            value.advance(self.at.stage_step, self.total, self.per_epoch)
        factor = self.plan.factor(self.at.stage_step, self.total) * self.at.lr_factor
        for optimiser in self.optimisers.values():
            optimiser.scale_rates(factor, wait=self.plan.waits(self.at.stage_step, self.total))
        told = self.take(x, y, self.sums)
        self.counted += 1
        if self.average is not None:
            self.average.update()
        self.at.stage_step += 1
        self.at.step += 1
        if self.stage.callbacks:
            epoch = self.at.epoch + (self.at.batch + 1) / self.per_epoch
            loss = whole_loss(told)
            info = StepInfo(self.at.step, epoch, self.stage.name, self.model, loss.total, loss.parts)
            answers = [callback(info) for callback in self.stage.callbacks]
            self.ended = distributed.any_of(any(answer is True for answer in answers))

    def _take(self, x: Any, y: Tensor | None, sums: Sums) -> list[Loss]:
        """Compute and move, in parts where memory asks for it: the same gradient, for the noise of each."""
        place = (self.settings.seed, self.at.step)
        with distributed.sharing(len(x), *place):
            grads: Mapping[str, Grads] | None = None
            told: list[Loss] = []
            parts = Parts(self.at.rows_at_once).of(len(x))
            for part in range(parts):
                with distributed.sharing(len(x), *place, part=(part, parts)) if parts > 1 else nullcontext():
                    own, loss = self._gradients(distributed.deal(x), distributed.deal(y), sums)
                grads = added(grads, own)
                told.append(loss)
            assert grads is not None
            self._move(grads, sums)
            self.model.after_step(self.at.stage_step)
        return told

    def _gradients(self, x: Any, y: Tensor | None, sums: Sums) -> tuple[Mapping[str, Grads], Loss]:
        with self._autocast:
            trace: Trace = self.make_trace(x, y, k=self.stage.objective.k)
        # Outside: what a trace computes when asked (likelihoods, KLs) and the losses are float32 whatever networks use.
        losses: dict[str, Loss] = self.stage.objective(trace)
        if self.bounded is None:
            self.bounded = distributed.first_text(bounds.refusal(trace)) is None
        self._account(trace, losses, sums)
        del trace  # what it holds beside the graph goes back before gradients want room
        own = losses[MODEL]
        grads = own_gradients(losses, self.owners, self.stage.objective, self.sharded)
        return grads, Loss(own.total.detach(), own.parts)

    def _move(self, grads: Mapping[str, Grads], sums: Sums) -> None:
        flags = (self._interrupt.is_set(), self._time_to_save())
        grads, self.raised = sum_gradients(grads, self.owners, flags)
        for player, optimiser in self.optimisers.items():
            whole = sharding.norm_of(grads[player], optimiser.owners) if self.sharded else None
            norm = optimiser.step(grads[player], whole)
            norm = norm / distributed.world() if distributed.world() > 1 else norm
            sums.add("grad_norm" if player == MODEL else f"{player}.grad_norm", norm)

    # -- accounts -------------------------------------------------------------------------------------------------

    def _reset_sums(self) -> None:
        self.sums = Sums()
        self.counted = 0

    @torch.no_grad()
    def _account(self, trace: Trace, losses: Mapping[str, Loss], sums: Sums) -> None:
        for player, loss in losses.items():
            prefix = "" if player == MODEL else f"{player}."
            sums.add(f"{prefix}loss", loss.total)
            for name, value in loss.parts.items():
                sums.add(f"{prefix}{name}", value)
        if self.bounded:
            sums.add_bound(trace)

    def _record(self) -> None:
        """Read the sums (the one place that waits for the device), log them, and stop a run that has gone wrong."""
        if not self.counted:
            return
        now = time.monotonic()
        self.at.seconds += now - self._clock
        self._clock = now
        record: dict[str, Any] = {"step": self.at.step, "epoch": self.at.epoch + self.at.batch / self.per_epoch}
        record["stage"] = self.stage.name
        record |= {"graph": self.told.pop()} if self.told else {}
        record |= self.sums.means(self.counted)
        factor = self.plan.factor(max(self.at.stage_step - 1, 0), self.total)
        record["lr"] = self.settings.lr * factor * self.at.lr_factor
        record["skipped"] = self.skipped_before + self._skipped()
        record["examples_per_second"] = self.at.examples / max(self.at.seconds, 1e-9)
        record |= {name.removesuffix(".weight"): float(a.value) for name, a in self.annealed if a.varies}
        record |= {name: float(value) for name, value in self.model.watch().items()}
        self._emit(record)
        self._reset_sums()
        check_bad_steps(self.optimisers, self.settings, self.at.step)

    def _emit(self, record: Mapping[str, Any]) -> None:
        if self.jsonl is not None:
            self.jsonl.log(record)
        for logger in self.loggers:
            logger.log(record)
        self.progress.update(self.at.stage_step, record)

    def _skipped(self) -> int:
        return int(sum(float(o.skipped) for o in self.optimisers.values()))

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
        self._emit({"step": self.at.step, "epoch": float(self.at.epoch), "stage": self.stage.name} | held.record())
        if self.total / 3 < self.at.stage_step < self.total:  # at the end comes the stage's last word on it
            self._say(self.warned.begin(held.watch.usage()))
        if held.n and held.score > self.at.best:
            self.at.best, self.at.best_epoch, self.at.epochs_without = held.score, self.at.epoch, 0
            if self._keeps_best():
                self.saved.save_best(self.average)
        elif held.n:
            self.at.epochs_without += 1

    def _say(self, warning: str | None) -> None:
        if warning is not None:
            self.progress.note(f"warning: {warning}")

    def _stopped_early(self) -> bool:
        patience = self.settings.early_stop
        return patience is not None and self.at.epochs_without >= patience

    def _keeps_best(self) -> bool:
        return (self.settings.keep or ("best" if self.settings.early_stop else "last")) == "best"

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def _checkpoint_due(self) -> bool:
        if self.folder is None:
            return False
        if self.settings.checkpoint_steps is not None and not self.control.watched:
            return self.at.stage_step % self.settings.checkpoint_steps == 0
        return self._together(1, self._time_to_save())

    def _time_to_save(self) -> bool:
        seconds = self.control.seconds(self.settings.checkpoint_seconds)
        return distributed.is_main() and time.monotonic() - self._saved_at >= seconds

    def _together(self, which: int, mine: bool) -> bool:
        """Return whether any process raised the flag at the last step; CUDA is waited for at log records alone."""
        if distributed.world() == 1:
            return mine
        waits = self.device.type != "cpu" and self.at.stage_step % self.settings.log_every
        return self.raised is not None and not waits and bool(self.raised[which] > 0)

    def _save_checkpoint(self) -> None:
        began = time.monotonic()
        self.at.log_bytes = self.jsonl.position if self.jsonl else 0
        facts = {"warnings": self.warnings, "collapsed": self.warned.names, "skipped_before": self.skipped_before}
        self.saved.save(self.at, self.optimisers, self.average, facts)
        self._saved_at = time.monotonic()
        self.control.saving = self._saved_at - began

    def _restore(self, state: State) -> None:
        self.at = self.saved.restore(state)
        if self.at.stage >= len(self.stages) or self.at.batch > self.per_epoch:
            raise UserError(
                f"{self.folder}: the checkpoint is of stage {self.at.stage + 1}, batch {self.at.batch:,}, and this run "
                f"has {len(self.stages)} stages of {self.per_epoch:,} batches an epoch; train again"
            )
        self.warnings = list(state[1]["warnings"])
        self.warned = collapse.Warned(list(state[1].get("collapsed", ())))
        self.skipped_before = state[1]["skipped_before"]

    def _finish_stage(self) -> None:
        """Leave in the model the weights that are to be kept: the best ones, the averages, or the last."""
        self.take = self._take  # without graphs, whose memory goes with them
        if self._keeps_best() and self.at.best > -math.inf:
            self.saved.load_best()
            self.last_held_out = self._validate(averaged=False)
        elif self.average is not None:
            self.average.keep()
        self.last_held_out = self.last_held_out or self._validate(averaged=False)
        latents = self.last_held_out.watch.usage()
        lost, back = collapse.warning(latents), self.warned.back(latents)
        self.warnings += [] if lost is None else [lost]
        if back is not None:
            self.progress.note(back)

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
