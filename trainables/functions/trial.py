"""The handle of a training function: what a trial asks of it, and the way its losses go back.

    def train(trial):
        torch.manual_seed(trial.seed)
        ...
        for step in range(trial.first_step, trial.horizon):
            ...                                  # one optimizer step
            if trial.due(step + 1):
                trial.report(step + 1, train_loss=..., val_loss=..., val_accuracy=...)

The same handle serves a sweep, `ire train`, a debugger and a notebook; nothing here knows of Ray.
"""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from ire.invalid_input import InvalidInput, exited
from ire.methods.own_arm import GRADIENTS, OPTIMIZER, optimizer_of, own_arm
from ire.optim import IRE
from ire.trial.report import Report
from ire.trial.spec import TrialSpec
from trainables.functions.numbers import check_metric, finite, finite_values, mean_over_workers, number
from trainables.functions.saved_state import check_plain, generators, generators_of_others, set_generators
from trainables.functions.scheduled import scheduled_optimizer
from trainables.functions.steps import check_due, check_over, checked_step
from trainables.functions.stopwatch import Stopwatch
from trainables.training.checkpoint import save_checkpoint
from trainables.training.hardware import hardware
from trainables.training.loop import DIVERGED, FINISHED, STOPPED
from trainables.training.placement import peak_memory_mib
from trainables.training.progress import EXPLODED
from trainables.training.utilization import gpu_utilization

NO_EXIT = "raise an exception to fail the trial: one that is done is ended by its last report"
"""The remedy for training code that calls `sys.exit`."""


class TrialEnded(BaseException):
    """Ends a training function: its trial is done, pruned or has diverged.

    No `Exception`, so that a function's own handlers let it pass; `finally` and `with` blocks run.
    """


class Trial:
    """One trial, in one worker: settings in, losses out."""

    def __init__(
        self,
        spec: TrialSpec,
        report: Callable[[Report, "Trial"], bool] = lambda report, trial: True,
        *,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
        checkpoint: str | Path | None = None,
        checkpoint_seconds: float = 60.0,
        on_trouble: Callable[[OSError], None] | None = None,
        state: Mapping[str, Any] | None = None,
        softly: bool = False,
    ) -> None:
        """`report` takes every report on every worker, and returns whether the trial goes on; `state` is a checkpoint.

        With `softly` the last report does not end the function, so that `overran` says whether it goes on. The other
        arguments are those of `trainables.functions.run.run_function`.
        """
        self.spec = spec
        self.device: torch.device = torch.device(device)
        """Where to train."""
        self.rank: int = rank
        self.world_size: int = world_size
        """Workers that train this trial together, in a process group that exists."""
        self.status: str | None = None
        """How the trial has ended: `finished`, `diverged`, `stopped`; None while it runs."""
        self.reports: list[Report] = []
        """All reports so far, those before a resume included."""
        self.overran = False
        """Whether the function went on to a step past its horizon."""
        self._softly = softly
        self._deliver = report
        self._checkpoint, self._checkpoint_seconds = checkpoint, checkpoint_seconds
        self._on_trouble = on_trouble
        self._arm = own_arm(spec.method)
        self._cost = optimizer_of(spec.method, spec.settings)
        self._saved: Any = None
        self._generators: Mapping[str, Any] | None = None
        self._others: list[dict[str, Any]] = []  # the generators of workers 1, 2, ... at the last report
        self._step = self._first_step = self._reported = 0
        self._gradients: float | None = None
        self._first_loss: float | None = None
        self._logged: dict[str, tuple[Any, int]] = {}
        self._test: Callable[[], Mapping[str, Any]] | None = None
        self._optimizer: Optimizer | None = None
        self._lr: float | None = None
        self._model: nn.Module | None = None
        self._watch = Stopwatch(self.device)
        self._seconds_of_last_report = 0.0
        self._saved_at = time.monotonic()
        self._waits_for_save = False
        if state is not None:
            self._load(state)
        self._watch.start(self._step, skip=True)

    @classmethod
    def alone(
        cls,
        method: str,
        settings: Mapping[str, Any] | None = None,
        *,
        horizon: int,
        eval_interval: int | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        test: bool = False,
    ) -> "Trial":
        """A trial outside of any sweep: for a script's own `__main__`, a notebook, a debugger.

        `Trial.alone("mine", {"lr": 0.1}, horizon=200).run(train)` calls `train` with it. `eval_interval` is a tenth of
        the horizon if it is not given.
        """
        spec = TrialSpec(
            task="a function",
            method=method,
            settings=own_arm(method).resolve(settings or {}),
            seed=seed,
            horizon=horizon,
            eval_interval=eval_interval or max(1, horizon // 10),
            test=test,
        )
        return cls(spec, device=device)

    def run(self, function: Callable[["Trial"], Any]) -> "Trial":
        """Call `function` with this trial until it ends; returns the trial, whose `status` and `reports` say how.

        Raises `InvalidInput` if the function returns, or calls `sys.exit`, before the trial has ended.
        """
        name = getattr(function, "__name__", "the function")
        try:
            function(self)
        except TrialEnded:
            pass
        except SystemExit as end:
            if self.status is None:
                raise exited(f"{name}, after step {self._step},", end, remedy=NO_EXIT) from end
        if self.status is None:
            check_over(name, self.spec, reported=self._reported)
        return self

    # What is asked

    @property
    def method(self) -> str:
        """The arm, as the space names it."""
        return self.spec.method

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting of the arm: what was suggested within its ranges, and what the space fixes."""
        return MappingProxyType(dict(self.spec.settings))

    @property
    def seed(self) -> int:
        """Decides all that is random in the trial; trials of different arms that share it are compared in pairs.

        Python's, numpy's and torch's global generators are seeded with it before the function is called.
        """
        return self.spec.seed

    @property
    def study(self) -> int:
        """The number of the study, from 0: where the script splits off its validation data, the split's own number."""
        return self.spec.study

    @property
    def horizon(self) -> int:
        """The number of optimizer steps to train: schedules are laid over it."""
        return self.spec.horizon

    @property
    def first_step(self) -> int:
        """Steps that have been taken already: 0, or the step of what is in `saved`."""
        return self._first_step

    def due(self, step: int) -> bool:
        """Whether a report is due after `step` optimizer steps; ask after every step.

        While it is true the clock stands still: what is computed until `report` is no training time.
        """
        self._check_running(step)
        step = self._at(step)
        if not self.spec.reports_at(step) or step <= self._reported:
            return False
        self._watch.stop(step)
        return True

    # What goes back

    def report(self, step: int, *, val_loss: Any = None, train_loss: Any = None, **metrics: Any) -> None:
        """Report losses after `step` optimizer steps; ends the function if the trial is done or pruned.

        `val_loss` is what is searched and judged by, lower is better, unless the space's `[objective]` names another
        metric. `train_loss` and further `metrics`, such as `val_accuracy`, are recorded and drawn; with several workers
        each value is the mean of theirs. A loss that is ten times the first one, or not finite, ends the trial as
        diverged, and so does a metric by which trials are compared that is not finite.

        Raises:
            InvalidInput: a step that is not due, or a due one that was left out; a name or value that cannot be kept.
        """
        self._check_running(step)
        step = self._at(step)
        self._watch.stop(step)
        check_due(step, self.spec, reported=self._reported)
        if {"val_loss": val_loss, **metrics}.get(self.spec.metric) is None:
            what = (
                "which the search minimises"
                if self.spec.metric == "val_loss"
                else "by which trials are compared"
            )
            raise InvalidInput(
                f"trial.report({step}): {self.spec.metric} is missing, {what}; report it each time, as in "
                f"trial.report(step, train_loss=..., {self.spec.metric}=...)"
            )
        for name in metrics:
            check_metric(name, call="trial.report")
        values = {"train_loss": train_loss, "val_loss": val_loss, **metrics}
        values |= {name: value / count for name, (value, count) in self._logged.items()}
        if self.spec.test and step == self.horizon and self._test is not None:
            values |= {f"test_{name}": value for name, value in self._test().items()}
        numbers = {name: number(name, value) for name, value in values.items()}
        numbers = mean_over_workers(numbers, rank=self.rank, world_size=self.world_size)
        self._others = generators_of_others(self.world_size)
        self._take(step, numbers)

    def _take(self, step: int, numbers: dict[str, float | None]) -> None:
        train_loss, val_loss = numbers.pop("train_loss"), numbers.pop("val_loss")
        compared = {"val_loss": val_loss, **numbers}[self.spec.metric]
        diverged = self._is_diverged(train_loss, val_loss) or finite(compared) is None
        seconds, passed = self._watch.seconds, self._watch.seconds - self._seconds_of_last_report
        of_the_machine: dict[str, Any] = {"warmup_seconds": self._watch.setup_seconds}
        if self._lr is not None:
            of_the_machine["lr"] = self._lr
        report: Any = {
            "step": step,
            "gradient_evaluations": self._gradient_evaluations(step),
            "seconds": seconds,
            "train_loss": finite(train_loss),
            "val_loss": finite(val_loss),
            **of_the_machine,
            **finite_values(numbers),
            **peak_memory_mib(self.device),
            **gpu_utilization(self.device),
            "hardware": hardware(self.device),
            "steps_per_second": (step - self._reported) / passed if passed > 0 else None,
            "diverged": diverged,
        }
        self._reported, self._seconds_of_last_report = step, seconds
        self._logged.clear()
        self.reports.append(report)
        goes_on = self._deliver(report, self)
        if diverged:
            self._end(DIVERGED)
        if step == self.horizon and self._softly and goes_on:
            self.status = FINISHED
            return
        if step == self.horizon:
            self._end(FINISHED)
        if not goes_on:
            self._end(STOPPED)
        self._watch.start(step)

    def log(self, name: str, value: Any) -> None:
        """Keep a value for TensorBoard and the records: the next report has the mean of those logged since the last.

        A tensor is read only then, so that logging does not wait for a GPU.
        """
        check_metric(name, call="trial.log")
        if name in ("train_loss", "val_loss"):
            raise InvalidInput(f"trial.log({name!r}): trial.report has it; rename yours")
        value = value.detach().double() if isinstance(value, Tensor) else float(value)
        total, count = self._logged.get(name, (0.0, 0))
        self._logged[name] = (total + value, count + 1)

    def count(self, *, gradients: float) -> None:
        """Count work, in gradients of a full batch, where a step is not one; call it for every step, then.

        SAM is two a step, a half batch one half. What a step may cost at most the space says: `gradients_per_step`
        of the arm.
        """
        if not math.isfinite(gradients) or gradients < 0:
            raise InvalidInput(f"trial.count(gradients={gradients!r}): must be a number of at least 0")
        self._gradients = (self._gradients or 0.0) + gradients

    def test_metrics(self, function: Callable[[], Mapping[str, Any]]) -> None:
        """Register what evaluates the test split: it is called at the end of confirm runs, and of no others.

        It returns metrics by name, `loss` among them, which are reported as `test_loss` and so on.
        """
        self._test = function

    @property
    def can_test(self) -> bool:
        """Whether `test_metrics` has been called."""
        return self._test is not None

    # The optimizer of a method

    def build_optimizer(self, model: nn.Module) -> Optimizer:
        """The optimizer of the arm's method over `model`, which sets its own learning rate before each step.

        The method is the setting `optimizer`, or the arm's name; its settings are those of the arm that it knows.
        Steps are counted by its calls of `step`. For IRE the loop also makes the curvature pass (docs/optimizer.md),
        for SAM it passes a closure. Raises `InvalidInput` if the arm names no method.
        """
        found = self._cost
        if found is None:
            raise InvalidInput(
                f"build_optimizer: {self.method!r} is no method with these settings; name one in the space, as in "
                f'{OPTIMIZER} = "adamw", with a range for each setting that it needs (`ire methods NAME`)'
            )

        def stepped(lr: float) -> None:
            self._step += 1
            self._lr = lr

        self._model = model
        self._optimizer = scheduled_optimizer(
            *found, model, self.spec, step=lambda: self._step, stepped=stepped
        )
        return self._optimizer

    # Resuming in the middle

    @property
    def saved(self) -> Any:
        """What `save` kept before an interruption, or None: then start from the beginning.

        Read it when model and optimizer are built: it also puts the global random generators where they were.
        """
        if self._generators is not None:
            set_generators(self._generators)
        return self._saved

    def save(self, state: Any) -> bool:
        """Keep `state`, tensors and plain Python values, so that the trial can continue from here; after a report.

        Saves once a minute at most, and returns whether it did; `state` may be a function that makes it. Only worker 0
        writes. Without any call an interrupted trial starts from the beginning.
        """
        self._check_running()
        if self.spec.reports_at(self._step) and self._reported < self._step:
            raise InvalidInput(
                f"trial.save at step {self._step}: its report is due first; call trial.report, then save"
            )
        running = self._watch.is_running
        try:
            if self.rank or not self._saves_now():
                return False
            self._watch.stop(self._step)
            return self._keep(state)
        finally:
            if self._waits_for_save or (running and not self._watch.is_running):
                self._watch.start(self._step)
            self._waits_for_save = False

    def save_due(self) -> bool:
        """Whether `save` keeps a state now: ask before you make one that takes long, and call `save` then.

        From here to `save` is no training time. With several workers ask on all of them: worker 0 decides.
        """
        self._check_running()
        decided = [self._saves_now()]
        if self.world_size > 1:
            dist.broadcast_object_list(decided, src=0)
        if decided[0] and self._watch.is_running:
            self._watch.stop(self._step)
            self._waits_for_save = True
        return decided[0]

    def _saves_now(self) -> bool:
        return self._checkpoint is not None and time.monotonic() - self._saved_at >= self._checkpoint_seconds

    def _keep(self, state: Any) -> bool:
        """Write the checkpoint; False if it cannot be written."""
        assert self._checkpoint is not None
        state = state() if callable(state) else state
        check_plain(state)
        kept = {
            "spec": self.spec.identity,
            "step": self._step,
            "reports": self.reports,
            "gradients": self._gradients,
            "first_loss": self._first_loss,
            "seconds": self._watch.seconds,
            "setup_seconds": self._watch.setup_seconds,
            "seconds_of_last_report": self._seconds_of_last_report,
            "generators": [generators(), *self._others],
            "state": state,
        }
        try:
            save_checkpoint(kept, self._checkpoint)
        except OSError as error:
            if self._on_trouble is None:
                raise
            self._on_trouble(error)
            return False
        self._saved_at = time.monotonic()
        return True

    def _load(self, state: Mapping[str, Any]) -> None:
        if differing := self.spec.differences(state["spec"]):
            told = ", ".join(differing)
            raise InvalidInput(f"the checkpoint belongs to another trial: {told}; choose another folder")
        kept = state["generators"]  # in older checkpoints those of worker 0 alone
        self._generators = kept[self.rank if self.rank < len(kept) else 0] if isinstance(kept, list) else kept
        self._saved = state["state"]
        self._step = self._first_step = state["step"]
        self.reports = list(state["reports"])
        self._reported = self.reports[-1]["step"] if self.reports else 0
        self._gradients, self._first_loss = state["gradients"], state["first_loss"]
        self._watch = Stopwatch(self.device, seconds=state["seconds"], setup_seconds=state["setup_seconds"])
        self._seconds_of_last_report = state["seconds_of_last_report"]

    # What the sweep asks of it

    @property
    def step(self) -> int:
        """Steps taken so far, as far as the trial knows."""
        return self._step

    @property
    def reported(self) -> int:
        """The step of the last report; 0 before the first."""
        return self._reported

    def flat_fractions(self) -> dict[str, float]:
        """The share of each parameter tensor that IRE's mask holds, by parameter name; of `build_optimizer`'s IRE."""
        if not isinstance(self._optimizer, IRE) or self._model is None:
            return {}
        fractions = self._optimizer.flat_fractions()
        return {name: fractions[p] for name, p in self._model.named_parameters() if p in fractions}

    def _check_running(self, step: int = 0) -> None:
        if self.status is not None:
            self.overran |= step > self.horizon
            raise TrialEnded(self.status)

    def _end(self, status: str) -> NoReturn:
        self.status = status
        raise TrialEnded(status)

    def _at(self, step: Any) -> int:
        """The loop stands after that step, which is returned as Python's own number."""
        if self._waits_for_save:  # for a `save` that did not come
            self._waits_for_save = False
            self._watch.start(self._step)
        self._step = checked_step(step, self.spec)
        self._watch.stepped(self._step)
        return self._step

    def _gradient_evaluations(self, step: int) -> int:
        """What has been counted, or else what the steps cost; raises `InvalidInput` if the budget cannot hold."""
        most = self._arm.gradient_evaluations(self.spec.settings, self.horizon, steps=step)
        if self._gradients is None:
            return most
        counted = math.ceil(self._gradients - 1e-6)
        if counted > most + 1:
            raise InvalidInput(
                f"{self.method} has counted {self._gradients:g} gradients in {step} steps, and a budget foresees "
                f"{most}: say in its table of the space what a step costs at most, {GRADIENTS} = "
                f"{math.ceil(100 * self._gradients / step) / 100:g}"
            )
        return counted

    def _is_diverged(self, train_loss: float | None, val_loss: float | None) -> bool:
        losses = [loss for loss in (train_loss, val_loss) if loss is not None]
        if not losses:
            return False
        if self._first_loss is None and all(map(math.isfinite, losses)):
            self._first_loss = max(losses)
        if self._first_loss is None:
            return True
        limit = self._first_loss + (EXPLODED - 1) * max(abs(self._first_loss), 1e-12)
        return not all(loss < limit for loss in losses)  # NaN compares as false
