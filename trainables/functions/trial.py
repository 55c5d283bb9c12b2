"""The handle of a training function: it passes the trial's settings in and its losses back.

    def train(trial):
        torch.manual_seed(trial.seed)
        ...
        for step in range(trial.first_step, trial.horizon):
            ...                                  # one optimizer step
            if trial.due(step + 1):
                trial.report(step + 1, train_loss=..., val_loss=..., val_accuracy=...)

The same handle serves a sweep, `ire train`, a debugger and a notebook; nothing here knows of Ray.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer

from ire.invalid_input import InvalidInput, exited
from ire.methods.own_arm import OPTIMIZER, optimizer_of, own_arm
from ire.trial.report import FlatFraction, Report
from ire.trial.spec import TrialSpec
from trainables.functions.given import Given
from trainables.functions.numbers import (
    check_compared,
    check_metric,
    finite,
    mean_over_workers,
    number,
    test_values,
)
from trainables.functions.saved_state import SavedState
from trainables.functions.saving import Saver
from trainables.functions.scheduled import scheduled_optimizer
from trainables.functions.steps import check_due, check_over, checked_step
from trainables.functions.stopwatch import Stopwatch
from trainables.training.columns import flat_fractions
from trainables.training.loop import DIVERGED, FINISHED, STOPPED

NO_EXIT = "raise an exception to fail the trial; its last report ends it without one"
"""The remedy for training code that calls `sys.exit`."""


class TrialEnded(BaseException):
    """Ends a training function whose trial is finished, stopped or diverged.

    It is not an `Exception`, so the function's own `except Exception` lets it pass; `finally` and `with` blocks run.
    """


class Trial(Given):
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
        """`report` receives every report on every worker and returns whether to continue; `state` is a checkpoint.

        With `softly` the last report does not end the function, and `overran` says whether the function continued. The
        other arguments are those of `trainables.functions.run.run_function`.
        """
        super().__init__(spec)
        self.device: torch.device = torch.device(device)
        """Where to train."""
        self.rank: int = rank
        self.world_size: int = world_size
        """Number of workers that train this trial together, in an initialized process group."""
        self.status: str | None = None
        """How the trial ended: `finished`, `diverged` or `stopped`; None while it runs."""
        self.overran = False
        """Whether the function took a step past its horizon."""
        self._softly = softly
        self._deliver = report
        self._saver = Saver(checkpoint, seconds=checkpoint_seconds, on_trouble=on_trouble)
        self._cost = optimizer_of(spec.method, spec.settings)
        self._state = SavedState()
        self._test: Callable[[], Mapping[str, Any]] | None = None
        self._optimizer: Optimizer | None = None
        self._built = 0
        self._lr: float | None = None
        self._model: nn.Module | None = None
        self._watch = Stopwatch(self.device)
        self._waits_for_save = False
        if state is not None:
            self._load(state)
        self._watch.start(self.step, skip=True)

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
        """A trial outside of a sweep: for a script's own `__main__`, a notebook, a debugger.

        `Trial.alone("mine", {"lr": 0.1}, horizon=200).run(train)` calls `train` with it. `eval_interval` defaults to a
        tenth of the horizon.
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
                raise exited(f"{name}, after step {self.step},", end, remedy=NO_EXIT) from end
        if self.status is None:
            check_over(name, self.spec, reported=self.reported)
        return self

    def due(self, step: int) -> bool:
        """Whether a report is due after `step` optimizer steps; call it after every step.

        If it is due, the clock stops: the time until `report` does not count as training time.
        """
        self._check_running(step)
        step = self._at(step)
        if not self.spec.reports_at(step) or step <= self.reported:
            return False
        self._watch.stop(step)
        return True

    # Reports

    def report(self, step: int, *, val_loss: Any = None, train_loss: Any = None, **metrics: Any) -> None:
        """Report losses after `step` optimizer steps; ends the function if the trial is finished or pruned.

        Search and verdict minimize `val_loss`, unless the space's `[objective]` names another metric. `train_loss` and
        further `metrics`, such as `val_accuracy`, are recorded and plotted; with several workers each value is the mean
        over them. The trial ends as diverged if a loss is ten times the first one or not finite, or if the compared
        metric is not finite.

        Raises:
            InvalidInput: `step` is not due, or a due step was left out; a name or value cannot be recorded.
        """
        self._check_running(step)
        step = self._at(step)
        self._watch.stop(step)
        check_due(step, self.spec, reported=self.reported)
        check_compared({"val_loss": val_loss, **metrics}, self.spec.metric, step)
        for name in metrics:
            check_metric(name, call="trial.report")
        values = {"train_loss": train_loss, "val_loss": val_loss, **metrics}
        values |= self._progress.means()
        if self.spec.test and step == self.horizon and self._test is not None:
            values |= test_values(self._test(), self.spec.metric)
        numbers = {name: number(name, value) for name, value in values.items()}
        numbers = mean_over_workers(numbers, rank=self.rank, world_size=self.world_size)
        self._state.reported(self.world_size)
        self._take(step, numbers)

    def _take(self, step: int, numbers: dict[str, float | None]) -> None:
        diverged = self._progress.is_diverged(numbers["train_loss"], numbers["val_loss"])
        diverged = diverged or finite(numbers[self.spec.metric]) is None
        report = self._progress.report(
            step, numbers, watch=self._watch, lr=self._lr, device=self.device, diverged=diverged
        )
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
        """Record a value in TensorBoard and the records: the next report has the mean of those since the last one.

        Tensors are read only at that report, so logging does not wait for a GPU.
        """
        self._progress.log(name, value)

    def count(self, *, gradients: float) -> None:
        """Count work in gradients of a full batch, for loops where a step is not one; then call it for every step.

        A step of SAM is two, half a batch is one half. `gradients_per_step` of the arm in the space sets the maximum
        cost of a step.
        """
        self._progress.count(gradients)

    def test_metrics(self, function: Callable[[], Mapping[str, Any]]) -> None:
        """Register the function that evaluates the test split; it is called only at the end of confirm runs.

        It returns metrics by name, including `loss`, which are reported as `test_loss` and so on.
        """
        if not callable(function):
            raise InvalidInput(
                f"trial.test_metrics takes a function, not {function!r}: trial.test_metrics(lambda: {{'loss': ...}})"
            )
        self._test = function

    @property
    def can_test(self) -> bool:
        """Whether `test_metrics` has been called."""
        return self._test is not None

    # The optimizer of a method

    def build_optimizer(self, model: nn.Module) -> Optimizer:
        """The optimizer of the arm's method for `model`; it sets its own learning rate before each step.

        The method is the setting `optimizer`, or else the arm's name; it takes those settings of the arm that it
        knows. Each call of its `step` counts as one step; once several are built (for a GAN, say), a step is what `due`
        is called after. For IRE the loop also runs the curvature pass
        (docs/optimizer.md), for SAM it passes a closure. Raises `InvalidInput` if the arm names no method.
        """
        found = self._cost
        if found is None:
            raise InvalidInput(
                f"build_optimizer: {self.method!r} is not a method with these settings; name one in the space, as in "
                f'{OPTIMIZER} = "adamw", with a range for each setting that it needs (`ire methods NAME`)'
            )
        if not isinstance(model, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may have no types
            raise InvalidInput(
                f"build_optimizer takes the model, not a {type(model).__name__}: trial.build_optimizer(model); the "
                "method puts its parameters into groups"
            )

        def stepped(lr: float) -> None:
            self._progress.step += self._built == 1
            self._lr = lr

        self._built += 1
        self._model = model
        self._optimizer = scheduled_optimizer(
            *found, model, self.spec, step=lambda: self.step, stepped=stepped
        )
        return self._optimizer

    # Checkpoints

    @property
    def saved(self) -> Any:
        """The state that `save` wrote before an interruption, or None to start from the beginning.

        Read it after model and optimizer are built: it also restores the global random generators.
        """
        return self._state.read()

    def save(self, state: Any) -> bool:
        """Save `state`, tensors and plain Python values, from which the trial can continue; call it after a report.

        Saves at most once a minute, and returns whether it did; `state` may be a function that makes the state. Only
        worker 0 writes. A trial that never saves starts from the beginning after an interruption.
        """
        self._check_running()
        if self.spec.reports_at(self.step) and self.reported < self.step:
            raise InvalidInput(
                f"trial.save at step {self.step}: its report is due first; call trial.report, then save"
            )
        running = self._watch.is_running
        try:
            if self.rank or not self._saver.is_due:
                return False
            self._watch.stop(self.step)
            return self._saver.write(self._checkpoint(state))
        finally:
            if self._waits_for_save or (running and not self._watch.is_running):
                self._watch.start(self.step)
            self._waits_for_save = False

    def save_due(self) -> bool:
        """Whether `save` would write now: call it before you make a state that takes long, then call `save`.

        The time from here to `save` is not training time. With several workers call it on all of them: worker 0
        decides.
        """
        self._check_running()
        decided = [self._saver.is_due]
        if self.world_size > 1:
            dist.broadcast_object_list(decided, src=0)
        if decided[0] and self._watch.is_running:
            self._watch.stop(self.step)
            self._waits_for_save = True
        return decided[0]

    def _checkpoint(self, state: Any) -> dict[str, Any]:
        """A checkpoint with the function's `state`; raises `InvalidInput` for a state that cannot be read back."""
        return {
            "spec": self.spec.identity,
            **self._progress.state(),
            "seconds": self._watch.seconds,
            "setup_seconds": self._watch.setup_seconds,
            **self._state.written(state() if callable(state) else state),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        if differing := self.spec.differences(state["spec"]):
            changes = ", ".join(differing)
            raise InvalidInput(f"the checkpoint belongs to another trial: {changes}; choose another folder")
        self._state.load(state, self.rank)
        self._progress.load(state)
        self._watch = Stopwatch(self.device, seconds=state["seconds"], setup_seconds=state["setup_seconds"])

    # For the sweep

    def flat_fractions(self) -> dict[str, FlatFraction]:
        """What the mask holds of each parameter tensor, by name, if `build_optimizer` built an IRE; else empty."""
        return flat_fractions(self._optimizer, self._model)

    def _check_running(self, step: int = 0) -> None:
        if self.status is not None:
            self.overran |= step > self.horizon
            raise TrialEnded(self.status)

    def _end(self, status: str) -> NoReturn:
        self.status = status
        raise TrialEnded(status)

    def _at(self, step: Any) -> int:
        """Note that the loop has taken `step` steps; returns that number as a Python integer."""
        if self._waits_for_save:  # `save` was not called
            self._waits_for_save = False
            self._watch.start(self.step)
        self._progress.step = checked_step(step, self.spec)
        self._watch.stepped(self.step)
        return self.step
