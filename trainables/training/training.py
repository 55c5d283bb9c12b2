"""The state of one trial and its three moves: advance by a step, evaluate, report.

Everything depends only on the trial's specification and the step: batches, sampled labels, dropout and the learning
rate are functions of (seed, step), so a checkpoint is the model, the optimizer and a few counters, and a resumed trial
is bitwise the undisturbed one.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from ire.invalid_input import InvalidInput
from ire.methods.schedule import DECAY_SHARE, lr_factor
from ire.optim import IRE
from ire.trial.report import FlatFraction, Report
from ire.trial.seeds import derive_seed, seed_step
from ire.trial.spec import TrialSpec
from trainables.task import Task
from trainables.training.clock import Clock
from trainables.training.columns import finite, flat_fractions, of_ire, of_the_machine
from trainables.training.compiling import compiled
from trainables.training.curvature_pass import refresh_curvature
from trainables.training.evaluation import evaluate
from trainables.training.feed import Feed
from trainables.training.flatness import flatness
from trainables.training.groups import regrouped
from trainables.training.hardware import hardware
from trainables.training.objective import EvaluationSums
from trainables.training.optimizer_time import optimizer_seconds
from trainables.training.optimizers import set_learning_rates, set_mode, wants_curvature
from trainables.training.progress import Progress
from trainables.training.rehearsal import check_count
from trainables.training.setting_up import set_up
from trainables.training.start import LossTrigger
from trainables.training.stream_check import check_stream
from trainables.training.utilization import gpu_utilization
from trainables.updates import build_update
from trainables.updates.workers import average_buffers, mean_of_workers


class Training:
    """One trial in one worker; with several workers each holds its share of every batch.

    A process group must exist when `world_size` > 1 (gloo on CPU, NCCL on GPU).
    """

    def __init__(
        self, task: Task, spec: TrialSpec, *, device: torch.device, rank: int = 0, world_size: int = 1
    ) -> None:
        self.spec, self.device, self.rank, self.world_size = spec, device, rank, world_size
        self._setup = setup = set_up(task, spec, device=device, rank=rank, world_size=world_size)
        self.task = task = setup.task
        self.method, self.settings = setup.method, setup.settings
        self.model, self.objective, self.optimizer = setup.model, setup.objective, setup.optimizer
        sums = EvaluationSums(task, self.model)
        self._sums: nn.Module = compiled(sums, device) if spec.compile else sums
        self._optimizer_steps = self.method.optimizer_steps(self.settings, task.batch_size)
        self.start = self.method.start(self.settings, spec.horizon)
        """The step from which IRE boosts; the latest possible one while it waits for a training loss."""
        self._trigger = LossTrigger(
            self.settings.get("start_loss", 0.0),
            horizon=spec.horizon,
            device=device,
            mean=partial(mean_of_workers, world_size=world_size),  # a bound method would be a cycle
        )
        self.update = build_update(setup)
        self.data = task.data_identity()
        """The identity of the data, which checkpoints record; None if the task does not give one."""
        task.check_same_data(spec.data, whose=f"the sweep of {spec.name}")
        check_stream(task, seed=spec.seed)
        self.batches = task.train_batches(seed=spec.seed, start=0)
        self._feed = Feed(self.update.parts, device)
        self.progress = Progress(device)
        self._full_batches = task.batch_size / spec.batch_unit if spec.batch_unit else 1.0
        self._clock = Clock(device, compiles=spec.compile)
        self._clock.skip_next()
        self._is_in_training = False

    @property
    def step(self) -> int:
        """Steps of the task taken so far."""
        return self.progress.step

    @property
    def reports(self) -> list[Report]:
        """The trial's reports so far."""
        return self.progress.reports

    @property
    def seconds(self) -> float:
        """Training time up to the last report: device-synchronised, without evaluation, compiling and the like."""
        return self._clock.seconds

    @property
    def gradient_evaluations(self) -> int:
        """Gradients so far, in those of a full batch, whose size is `spec.batch_unit` if batch sizes differ."""
        return round(self.progress.gradients * self._full_batches)

    @property
    def may_start_early(self) -> bool:
        """Whether a low training loss lets IRE boost before `start`."""
        return self._trigger.is_set and self.step < self.start

    # One step

    def advance(self) -> None:
        """Take one step of the task: one of the optimizer, or several (`trainables.updates`)."""
        self._clock.start()
        if not self._is_in_training:  # setting the mode walks through all modules
            self.objective.train()
            set_mode(self.optimizer, training=True)
            self._is_in_training = True
        seed_step(derive_seed(self.spec.seed, "step", self.step, self.rank), self.device)
        self._set_lr()
        parts = [self.task.prepared(part) for part in self._feed.take(self.batches)]
        if wants_curvature(self.optimizer):
            refresh_curvature(self._setup, self.update, parts, self.step)
            self.progress.gradients += 1
        loss = self.update.advance(parts, self.step)
        self._feed.fetch(self.batches)
        if self.progress.first_loss is None:
            self.progress.first_loss = mean_of_workers(loss.double(), self.world_size).item()
        self.progress.loss_sum += loss
        check_count(self.method, self.settings, round(self.update.gradients))
        self.progress.gradients += round(self.update.gradients)
        self.progress.step += 1
        self._clock.stepped()
        if self.may_start_early and self._trigger.reached(loss, self.step):
            self._start_at(self.step)
        if self.step == self.start:
            self._clock.stop()
            self._clock.skip_next()  # IRE's own step is compiled in it
            if not self.spec.reports_at(self.step):  # a report also sums up
                self._sum_up()

    def _start_at(self, step: int) -> None:
        """Let IRE boost from `step` on."""
        self.start = step
        cast(IRE, self.optimizer).start = step * self._optimizer_steps  # only IRE waits

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

    # Evaluation and reports

    @torch.no_grad()
    def evaluate(self, split: str) -> dict[str, float]:
        """The task's metrics on `validation` or `test`, the mean over all its predictions."""
        self._is_in_training = False
        set_mode(self.optimizer, training=False)
        return evaluate(self._setup, self._sums, split)

    def report(self) -> Report:
        """Evaluate, and append and return the report of this step; non-finite numbers become None.

        `seconds` is training time only: device-synchronised, without evaluation, checkpoints, compiling and the extra
        time of the first steps on a GPU, which is in `warmup_seconds`.
        """
        self._clock.stop()
        busy = gpu_utilization(self.device)  # of training, not of the evaluation
        steps = self.progress.steps_since_report
        train_loss = mean_of_workers(self.progress.loss_sum, self.world_size).item() / max(1, steps)
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
        if self.spec.flatness and self.progress.passes(self.spec.horizon, self.spec.flatness_points):
            parts = self.world_size * self.spec.micro_batches
            values |= flatness(
                self.task, self.model, batches=self.spec.flatness, parts=parts, device=self.device
            )
        interval = self.progress.seconds_since_report(self.seconds)
        values = {
            "step": self.step,
            "gradient_evaluations": self.gradient_evaluations,
            "seconds": self.seconds,
            "train_loss": train_loss,
            **values,
            "lr": self.optimizer.param_groups[0]["lr"],
            **self.update.measured(),
            "steps_per_second": steps / interval if interval > 0 else None,
            **of_the_machine(
                self.device, compiles=self.spec.compile, warmup_seconds=self._clock.warmup_seconds
            ),
            **busy,
            "diverged": self._is_diverged(train_loss, values),
            **of_ire(self.optimizer, start=self.start, step=self.step),
        }
        report = cast(Report, {name: finite(value) for name, value in values.items()})
        self.progress.reported(report)
        self._trigger.settle()
        return report

    def flat_fractions(self) -> dict[str, FlatFraction]:
        """What the current mask holds of each parameter tensor, by parameter name."""
        return flat_fractions(self.optimizer, self.model)

    def _sum_up(self) -> None:
        """Make the sums and buffers of all workers equal, since one of them writes the checkpoint."""
        self.progress.loss_sum = mean_of_workers(self.progress.loss_sum, self.world_size)
        self._trigger.settle()
        average_buffers(self.model, self.world_size)

    def _is_diverged(self, train_loss: float, values: Mapping[str, Any]) -> bool:
        if self.spec.timing:
            return self.progress.has_exploded(train_loss)
        exploded = self.progress.has_exploded(train_loss) or self.progress.has_exploded(values["val_loss"])
        return exploded or finite(values[self.spec.metric]) is None

    # Checkpoints

    def state_dict(self) -> dict[str, Any]:
        """The state that specification and step do not determine; valid after `report` and at the start of IRE."""
        state = self.model.state_dict()
        return {
            "spec": self.spec.identity,
            "data": self.data,
            **self.progress.state(),
            "gradient_evaluations": self.gradient_evaluations,
            **({} if self._full_batches == 1 else {"gradients": self.progress.gradients}),
            "seconds": self.seconds,
            "warmup_seconds": self._clock.warmup_seconds,
            "start": self.start,
            "start_trigger": self._trigger.state(),
            "model": {name: value for name, value in state.items() if name not in self._frozen},
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`; raises `InvalidInput` if it belongs to another trial."""
        self.task.check_same_data(state.get("data"), whose="the checkpoint")  # older ones have none
        if differing := self.spec.differences(state["spec"]):
            changes = ", ".join(differing)
            raise InvalidInput(f"the checkpoint belongs to another trial: {changes}; choose another file")
        self._load(state)

    def begin_with(self, prefix: dict[str, Any]) -> None:
        """Continue from the state of another trial that is the same up to its step (`trainables.training.prefix`)."""
        self._load(prefix)
        if (
            self.reports and self.reports[-1]["step"] == self.step
        ):  # the other may boost from here on, and this one later
            self.reports[-1] = cast(
                Report, self.reports[-1] | of_ire(self.optimizer, start=self.start, step=self.step)
            )

    def _load(self, state: dict[str, Any]) -> None:
        # torch does not type its fields
        lost = cast(Any, self.model.load_state_dict(state["model"], strict=False))
        if lost.unexpected_keys or set(lost.missing_keys) - self._frozen:
            raise RuntimeError(f"the checkpoint does not fit the model: {lost}")
        self.optimizer.load_state_dict(regrouped(state["optimizer"], self.optimizer.param_groups))
        self._is_in_training = False
        self.progress.load(state)
        self._clock.seconds = state["seconds"]
        self._clock.warmup_seconds = state.get("warmup_seconds", 0.0)
        self._trigger.load(state["start_trigger"])
        if state["start"] < self.method.start(state["spec"]["settings"], self.spec.horizon):
            self._start_at(state["start"])  # the loss has fallen low enough
        self.batches = self.task.train_batches(seed=self.spec.seed, start=self.step)
        self._feed.forget()

    def agree_on_step(self) -> None:
        """Raise `RuntimeError` unless all workers are at the same step: one of them may not see the checkpoint."""
        steps = mean_of_workers(torch.tensor(float(self.step), device=self.device), self.world_size)
        if steps.item() != self.step:
            raise RuntimeError(
                f"worker {self.rank} is at step {self.step}, but the mean is {steps.item():g}: the experiment folder "
                "must be on a file system that all workers share"
            )

    @property
    def _frozen(self) -> set[str]:
        """Parameters that are never trained: they are equal in every model of the task, so checkpoints omit them."""
        return {name for name, p in self.model.named_parameters() if not p.requires_grad}
