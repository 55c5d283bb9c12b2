"""The state of one trial and its three moves: advance by a step, evaluate, report.

Nothing here depends on anything but the trial's specification and the step: batches, sampled labels, dropout
and the learning rate are functions of (seed, step), so a checkpoint is the model, the optimizer and a few
counters, and a resumed trial is bitwise the undisturbed one.
"""

import logging
from functools import partial
from typing import Any

import torch
import torch.distributed as dist

# Imported before there is a process group. DDP would import it later, and its functions keep the group of that moment
# as a default: the group's threads then outlive it, and one that frees a tensor while Python ends aborts the process.
import torch.distributed.nn.functional
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ire.invalid_input import InvalidInput
from ire.methods.of_task import attributes
from ire.optim import IRE, frozen_batch_norm
from ire.trial.report import Report
from ire.trial.schedule import DECAY_SHARE, lr_factor
from ire.trial.seeds import derive_seed, generator, seed_step
from ire.trial.spec import TrialSpec
from trainables.data.batch import Batch, examples, moved
from trainables.task import Task
from trainables.training.clock import Clock
from trainables.training.compiling import compiled
from trainables.training.feed import Feed
from trainables.training.flatness import flatness
from trainables.training.groups import grouped
from trainables.training.hardware import hardware
from trainables.training.objective import Draw, EvaluationSums, Objective, sampled_loss
from trainables.training.optimizer_time import optimizer_seconds
from trainables.training.optimizers import (
    build_optimizer,
    set_learning_rates,
    set_mode,
    wants_curvature,
)
from trainables.training.placement import model_on, peak_memory_mib
from trainables.training.rehearsal import check_count
from trainables.training.sampled_hessian import predictions
from trainables.training.start import LossTrigger
from trainables.training.stream_check import check_stream
from trainables.training.utilization import gpu_utilization
from trainables.updates import Setup, build_update

LOG = logging.getLogger(__name__)

EXPLODED = 10.0
"""A loss above this multiple of the first batch's counts as diverged."""


class Training:
    """One trial in one worker; with several workers each holds its share of every batch.

    A process group must exist when `world_size` > 1 (gloo on CPU, NCCL on GPU).
    """

    def __init__(
        self, task: Task, spec: TrialSpec, *, device: torch.device, rank: int = 0, world_size: int = 1
    ) -> None:
        task = task.in_study(spec.study).with_attributes(attributes(spec.settings))
        self.task, self.spec, self.device, self.rank, self.world_size = task, spec, device, rank, world_size
        self.method = spec.parsed_method
        self.settings = self.method.resolve(spec.settings)
        self._optimizer_steps = self.method.optimizer_steps(self.settings, task.batch_size)
        if spec.compile and self.method.differentiates_twice:
            raise InvalidInput(
                f"--compile: {spec.method} differentiates twice, which a compiled model cannot; omit --compile"
            )

        torch.set_float32_matmul_precision("high" if spec.precision == "tf32" else "highest")
        torch.manual_seed(derive_seed(spec.seed, "model"))
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self.model = model_on(task, device)
        self.objective: nn.Module = Objective(task, self.model)
        self._sums: nn.Module = EvaluationSums(task, self.model)
        if world_size > 1:
            # Batch-norm statistics are each worker's own while training and averaged before they are read.
            self.objective = DistributedDataParallel(self.objective, broadcast_buffers=False)
        if spec.compile:
            self.objective, self._sums = compiled(self.objective, device), compiled(self._sums, device)
        self.optimizer = build_optimizer(
            self.method,
            self.settings,
            self.model,
            horizon=spec.horizon,
            seed=spec.seed,
            optimizer_steps=self._optimizer_steps,
            compile=spec.compile,
        )
        if rank == 0 and LOG.isEnabledFor(logging.INFO):
            for group in grouped(self.method, self.settings, self.model):
                LOG.info("%s: %s (%s)", spec.name, group, ", ".join(group.parameters))
        self.start = self.method.start(self.settings, spec.horizon)
        """The step from which IRE boosts; the latest one as long as it waits for a training loss."""
        self._trigger = LossTrigger(
            self.settings.get("start_loss", 0.0),
            horizon=spec.horizon,
            device=device,
            mean=partial(_mean_over_workers, world_size=world_size),  # not a method: trials are in no cycle
        )
        self._setup = Setup(
            task=task,
            spec=spec,
            method=self.method,
            settings=self.settings,
            model=self.model,
            objective=self.objective,
            optimizer=self.optimizer,
            device=device,
            rank=rank,
            world_size=world_size,
        )
        self.update = build_update(self._setup)
        self.data = task.data_identity()
        """What the trial is trained on, as its checkpoints record it; None if its task does not say."""
        task.check_same_data(spec.data, whose=f"the sweep of {spec.name}")
        check_stream(task, seed=spec.seed)
        self.batches = task.train_batches(seed=spec.seed, start=0)
        self._feed = Feed(self.update.parts, device)

        self.step = 0
        self._gradients = 0  # of the trial's own batch
        self._full_batches = task.batch_size / spec.batch_unit if spec.batch_unit else 1.0
        self._clock = Clock(device, compiles=spec.compile)
        self._clock.skip_next()
        self.reports: list[Report] = []
        self._first_loss: float | None = None
        self._loss_sum = torch.zeros((), device=device, dtype=torch.float64)
        self._step_of_last_report = 0
        self._seconds_of_last_report = 0.0
        self._is_in_training = False

    @property
    def seconds(self) -> float:
        """Of training alone, up to the last report: device-synchronised, without evaluation, compiles and the like."""
        return self._clock.seconds

    @property
    def gradient_evaluations(self) -> int:
        """Gradients so far, in those of a full batch; of a batch of another size (`spec.batch_unit`) by its share."""
        return round(self._gradients * self._full_batches)

    @property
    def may_start_early(self) -> bool:
        """Whether a low training loss lets IRE boost before `start`."""
        return self._trigger.is_set and self.step < self.start

    # One step

    def advance(self) -> None:
        """Take one step of the task: one of the optimizer, or several (`trainables.updates`)."""
        self._clock.start()
        if not self._is_in_training:  # to say so again takes a walk through all modules
            self.objective.train()
            set_mode(self.optimizer, training=True)
            self._is_in_training = True
        seed_step(derive_seed(self.spec.seed, "step", self.step, self.rank), self.device)
        self._set_lr()
        parts = [self.task.prepared(part) for part in self._feed.take(self.batches)]
        if wants_curvature(self.optimizer):
            self._refresh_curvature(parts)
        loss = self.update.advance(parts, self.step)
        self._feed.fetch(self.batches)
        if self._first_loss is None:
            self._first_loss = self._mean_over_workers(loss.double()).item()
        self._loss_sum += loss
        check_count(self.method, self.settings, round(self.update.gradients))
        self._gradients += round(self.update.gradients)
        self.step += 1
        self._clock.stepped()
        if self.may_start_early and self._trigger.reached(loss, self.step):
            self._start_at(self.step)
        if self.step == self.start:
            self._clock.stop()
            self._clock.skip_next()  # IRE's own step is compiled in it
            if not self.spec.reports_at(self.step):  # which sums up, too
                self._sum_up()

    def _start_at(self, step: int) -> None:
        """Let IRE boost from `step` on."""
        self.start = step
        self.optimizer.start = step * self._optimizer_steps

    def _set_lr(self) -> None:
        factor = lr_factor(
            self.step,
            horizon=self.spec.horizon,
            warmup_fraction=self.settings["warmup_fraction"],
            final_lr_fraction=self.settings["final_lr_fraction"],
            schedule=self.method.schedule(self.settings, self.spec.schedule),
            decay_share=self.settings.get("decay_share", DECAY_SHARE),
        )
        set_learning_rates(self.optimizer, self.method, self.settings, factor)

    def _refresh_curvature(self, parts: list[Batch]) -> None:
        """The extra backward on labels sampled from the model (Wang et al. 2024, Algorithm 1)."""
        self.optimizer.zero_grad()
        count = sum(map(examples, parts))
        with frozen_batch_norm(self.model):
            for index, batch in enumerate(parts):
                number, part, of = self.update.labels_of(index)
                labels = generator(self.spec.seed, "labels", self.step, number, device=self.device)
                with self._setup.reduce_on_last(index, parts):
                    with self._setup.autocast():
                        draw = Draw(generator=labels, rank=part, world_size=of)
                        loss = sampled_loss(self.objective, self.task, self.model, batch, draw)
                    (loss / (count / examples(batch))).backward()
        if isinstance(self.optimizer, IRE):
            self.optimizer.update_mask()
        else:
            self.optimizer.update_curvature(
                predictions([self.task.targets(part) for part in parts]) * self.world_size
            )
        self._gradients += 1

    # Evaluation and reports

    @torch.no_grad()
    def evaluate(self, split: str) -> dict[str, float]:
        """The task's metrics on `validation` or `test`, the mean over all its predictions."""
        self._average_buffers()
        self.model.eval()
        set_mode(self.optimizer, training=False)
        self._is_in_training = False
        sums: dict[str, Tensor] = {}
        for index, batch in enumerate(self.task.eval_batches(split)):
            mine = index % self.world_size == self.rank
            if index and not mine:  # the first batch is everyone's, so that all know the metrics' names
                continue
            batch = moved(batch, self.device)
            with self._setup.autocast():
                metrics = self._sums(batch)
            for name, value in metrics.items():
                sums[name] = sums.get(name, 0) + value.double() * mine  # each batch counts once
        if self.world_size > 1:
            packed = torch.stack(list(sums.values()))
            dist.all_reduce(packed)
            sums = dict(zip(sums, packed, strict=True))
        count = sums.pop("count")
        return {name: (value / count).item() for name, value in sums.items()}

    def report(self) -> Report:
        """Evaluate, and append and return what is known at this step; non-finite numbers become None.

        `seconds` is training time alone: device-synchronised, without evaluation, checkpoints, compiles and the
        first steps on a GPU, of which `warmup_seconds` has the rest.
        """
        self._clock.stop()
        busy = gpu_utilization(self.device)  # of training: the evaluation comes now
        steps = self.step - self._step_of_last_report
        train_loss = self._mean_over_workers(self._loss_sum).item() / max(1, steps)
        values: dict[str, Any] = {"val_loss": None, "hardware": hardware(self.device)}
        if self.spec.timing:
            plain = self.method.update is None
            alone = optimizer_seconds(self.optimizer, self.model, self.device) if plain else None
            values["optimizer_seconds"] = alone
        else:
            values = {f"val_{name}": value for name, value in self.evaluate("validation").items()}
            if self.spec.metric not in values:
                raise InvalidInput(
                    f"{self.task.name} does not report {self.spec.metric}, by which trials are compared: metric in "
                    f"[objective] must be one of {', '.join(values)}"
                )
        if self.spec.test and self.step == self.spec.horizon:
            values |= {f"test_{name}": value for name, value in self.evaluate("test").items()}
            values["hardware"] = hardware(self.device)
        if self.spec.flatness and self._passes_flatness_point():
            parts = self.world_size * self.spec.micro_batches
            values |= flatness(
                self.task, self.model, batches=self.spec.flatness, parts=parts, device=self.device
            )
        interval = self.seconds - self._seconds_of_last_report
        report = {
            "step": self.step,
            "gradient_evaluations": self.gradient_evaluations,
            "seconds": self.seconds,
            "train_loss": train_loss,
            **values,
            "lr": self.optimizer.param_groups[0]["lr"],
            **self.update.measured(),
            "steps_per_second": steps / interval if interval > 0 else None,
            **self._of_the_machine(),
            **busy,
            "diverged": self._is_diverged(train_loss, values),
        }
        report = {name: _finite(value) for name, value in (report | self._of_ire()).items()}
        self.reports.append(report)
        self._loss_sum.zero_()
        self._trigger.settle()
        self._step_of_last_report, self._seconds_of_last_report = self.step, self.seconds
        return report

    def _passes_flatness_point(self) -> bool:
        """Whether flatness is due at this report: the first one at or after each point."""
        passed, before = (
            step * self.spec.flatness_points // self.spec.horizon
            for step in (self.step, self._step_of_last_report)
        )
        return passed > before

    def _of_the_machine(self) -> dict[str, Any]:
        """What a report says of warming up and of memory; nothing on a CPU without compiling."""
        if self.device.type == "cpu" and not self.spec.compile:
            return {}
        return {"warmup_seconds": self._clock.warmup_seconds} | peak_memory_mib(self.device)

    def _of_ire(self) -> dict[str, Any]:
        """What a report says of IRE, now."""
        if not isinstance(self.optimizer, IRE):
            return {}
        seen = self.optimizer.diagnostics()
        return {
            "kappa": seen["kappa_in_force"],
            "ire_start": self.start if self.step >= self.start else None,
            "flat_fraction": seen["flat_fraction"],
            "skipped_refreshes": seen["skipped_refreshes"],
            "mask_overlap": seen["overlap_beyond_chance"],
            "zero_curvature": seen["zero_curvature"],
        }

    def flat_fractions(self) -> dict[str, float]:
        """The share of each parameter tensor that the current mask holds, by parameter name."""
        if not isinstance(self.optimizer, IRE):
            return {}
        fractions = self.optimizer.flat_fractions()
        return {name: fractions[p] for name, p in self.model.named_parameters() if p in fractions}

    def _sum_up(self) -> None:
        """Make all that workers have of their own the same: what a checkpoint, written by one of them, may hold."""
        self._loss_sum = self._mean_over_workers(self._loss_sum)
        self._trigger.settle()
        self._average_buffers()

    def _is_diverged(self, train_loss: float, values: dict[str, Any]) -> bool:
        limit = self._first_loss + (EXPLODED - 1) * abs(self._first_loss)
        if self.spec.timing:
            return not train_loss < limit  # NaN compares as false
        compared = _finite(values[self.spec.metric]) is not None
        return not (train_loss < limit and values["val_loss"] < limit and compared)

    def _mean_over_workers(self, value: Tensor) -> Tensor:
        return _mean_over_workers(value, self.world_size)

    def _average_buffers(self) -> None:
        if self.world_size > 1:
            for buffer in self.model.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(self._mean_over_workers(buffer))

    # Checkpoints

    def state_dict(self) -> dict[str, Any]:
        """All that the specification and the step do not determine; valid after `report` and where IRE starts."""
        state = self.model.state_dict()
        return {
            "spec": self._identity(),
            "data": self.data,
            "step": self.step,
            "gradient_evaluations": self.gradient_evaluations,
            **({} if self._full_batches == 1 else {"gradients": self._gradients}),
            "seconds": self.seconds,
            "warmup_seconds": self._clock.warmup_seconds,
            "loss_sum": self._loss_sum.item(),
            "last_report": [self._step_of_last_report, self._seconds_of_last_report],
            "first_loss": self._first_loss,
            "reports": self.reports,
            "start": self.start,
            "start_trigger": self._trigger.state(),
            "model": {name: value for name, value in state.items() if name not in self._frozen},
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken; raises `InvalidInput` if that was another trial."""
        self.task.check_same_data(state.get("data"), whose="the checkpoint")  # older ones say nothing of data
        mine, theirs = self._identity(), TrialSpec.from_dict(state["spec"]).to_dict()
        differing = [name for name in mine if theirs[name] != mine[name]]
        if differing:
            told = ", ".join(f"{name} {theirs[name]!r}, now {mine[name]!r}" for name in differing)
            raise InvalidInput(f"the checkpoint belongs to another trial: {told}; choose another file")
        self._load(state)

    def begin_with(self, prefix: dict[str, Any]) -> None:
        """Continue where another trial stood that is the same up to there (`trainables.training.prefix`)."""
        self._load(prefix)
        if self.reports and self.reports[-1]["step"] == self.step:  # the other one may begin to boost here
            self.reports[-1] = self.reports[-1] | self._of_ire()

    def _load(self, state: dict[str, Any]) -> None:
        lost = self.model.load_state_dict(state["model"], strict=False)
        if lost.unexpected_keys or set(lost.missing_keys) - self._frozen:
            raise RuntimeError(f"the checkpoint does not fit the model: {lost}")
        self.optimizer.load_state_dict(state["optimizer"])
        self._is_in_training = False
        self.step, self._clock.seconds = state["step"], state["seconds"]
        self._clock.warmup_seconds = state.get("warmup_seconds", 0.0)
        self._loss_sum.fill_(state.get("loss_sum", 0.0))  # older checkpoints were all taken at a report
        last = state.get("last_report", [self.step, self.seconds])
        self._step_of_last_report, self._seconds_of_last_report = last
        self._gradients = state.get("gradients", state["gradient_evaluations"])
        self.reports = list(state["reports"])
        self._first_loss = state["first_loss"]
        self._trigger.load(state["start_trigger"])
        if state["start"] < self.method.start(state["spec"]["settings"], self.spec.horizon):
            self._start_at(state["start"])  # a low loss has come
        self.batches = self.task.train_batches(seed=self.spec.seed, start=self.step)
        self._feed.forget()

    def agree_on_step(self) -> None:
        """Raise `RuntimeError` unless all workers stand at the same step: a checkpoint that one cannot read."""
        steps = self._mean_over_workers(torch.tensor(float(self.step), device=self.device))
        if steps.item() != self.step:
            raise RuntimeError(
                f"worker {self.rank} stands at step {self.step}, the mean is {steps.item():g}: the experiment folder "
                "must be on a file system that all workers share"
            )

    @property
    def _frozen(self) -> set[str]:
        """Parameters that are never trained: every model of the task has the same, a checkpoint needs none."""
        return {name for name, p in self.model.named_parameters() if not p.requires_grad}

    def _identity(self) -> dict[str, Any]:
        """The identity of a trial: its specification except the name; for data, see `check_same_data`."""
        return {name: value for name, value in self.spec.to_dict().items() if name not in ("name", "data")}


def _mean_over_workers(value: Tensor, world_size: int) -> Tensor:
    if world_size == 1:
        return value
    value = value.clone()
    dist.all_reduce(value)
    return value / world_size


def _finite(value: Any) -> Any:
    """None for a float that JSON cannot hold."""
    finite = not isinstance(value, float) or value - value == 0
    return value if finite else None
