"""Lets a Hugging Face `Trainer` train a trial of a sweep: a callback that reports, and the arguments that it needs.

from trainables.huggingface import TrialCallback, training_arguments

trainer = Trainer(
    model=model,
    args=training_arguments(trial, learning_rate=trial.settings["lr"]),
    train_dataset=..., eval_dataset=...,
    callbacks=[TrialCallback(trial)],
)
trainer.train()
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from ire.invalid_input import InvalidInput
from trainables.functions.trial import Trial

PREFIX = "eval_"
UNJUDGED = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")
"""What an evaluation of the Trainer says of its own speed."""


def training_arguments(trial: Trial, **own: Any) -> TrainingArguments:
    """`TrainingArguments` of a trial: its horizon, seed and device, silent, and without checkpoints of their own.

    `own` are further arguments, or other values for them. Evaluations happen where the trial asks for them, by the
    callback. Raises `InvalidInput` for an argument that the trial decides.
    """
    decided: dict[str, Any] = {"max_steps": trial.horizon, "seed": trial.seed, "data_seed": trial.seed}
    for name in (*decided, "num_train_epochs", "eval_strategy", "eval_steps"):
        if name in own:
            raise InvalidInput(
                f"training_arguments({name}={own[name]!r}): the trial decides it; leave it out, and change horizon or "
                "eval_interval in the space file"
            )
    usual: dict[str, Any] = {
        "output_dir": str(Path(tempfile.gettempdir()) / "ire-huggingface"),  # made, and left empty
        "use_cpu": trial.device.type == "cpu",
        "save_strategy": "no",
        "logging_strategy": "no",  # the callback asks for the mean loss at each report
        "report_to": [],
        "disable_tqdm": True,
    }
    return TrainingArguments(**{**usual, **own, **decided})


class TrialCallback(TrainerCallback):
    """Evaluates and reports where a report is due, and ends the training when the trial has ended.

    The metrics of `eval_dataset` are reported as `val_...`, and the mean training loss since the last report as
    `train_loss`. The end of the trial leaves `trainer.train()` as an exception, which ends the training function.
    """

    def __init__(self, trial: Trial, *, loss: str = "eval_loss") -> None:
        """`loss` is the metric that is the trial's `val_loss`; with several evaluation sets `eval_NAME_loss`."""
        self._trial, self._loss = trial, loss
        self._is_due = False
        self._train_loss: float | None = None
        self._metrics: dict[str, Any] = {}

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._trial.due(state.global_step):
            self._is_due = control.should_log = control.should_evaluate = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        self._train_loss = (logs or {}).get("loss", self._train_loss)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if not self._is_due:  # one of the script's own
            return
        self._metrics |= metrics or {}
        if self._loss not in self._metrics:  # of several evaluation sets the next one may have it
            return
        self._is_due, found, self._metrics = False, self._metrics, {}
        named = {name.removeprefix(PREFIX): value for name, value in found.items() if name.startswith(PREFIX)}
        further = {
            f"val_{name}": value
            for name, value in named.items()
            if f"{PREFIX}{name}" != self._loss and not name.endswith(UNJUDGED) and _is_number(value)
        }
        self._trial.report(
            state.global_step, train_loss=self._train_loss, val_loss=found[self._loss], **further
        )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._is_due:
            raise InvalidInput(
                f"step {state.global_step} was evaluated without {self._loss}: give the Trainer an eval_dataset with "
                "labels, or TrialCallback the metric's name, as in TrialCallback(trial, loss='eval_NAME_loss')"
            )


def test_metrics(trainer: Trainer, dataset: Any) -> dict[str, Any]:
    """The metrics of a test set, for `trial.test_metrics(lambda: test_metrics(trainer, dataset))`."""
    found = trainer.evaluate(dataset, metric_key_prefix="test")
    named = {name.removeprefix("test_"): value for name, value in found.items() if name.startswith("test_")}
    return {name: value for name, value in named.items() if name not in UNJUDGED and _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
