"""Lets a Hugging Face `Trainer` train a trial of a sweep: a callback that reports, and the arguments that it needs.

from trainables.huggingface import TrialCallback, training_arguments

callback = TrialCallback(trial, checkpoint=True)  # checkpoint: an interrupted trial continues
trainer = Trainer(
    model=model,
    args=training_arguments(trial, learning_rate=trial.settings["lr"]),
    train_dataset=..., eval_dataset=...,
    callbacks=[callback],
)
trainer.train(resume_from_checkpoint=callback.resume_from)
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch.distributed as dist
from torch import Tensor
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ire.invalid_input import InvalidInput
from ire.plain_values import is_number
from trainables.functions.packed_files import KeptFiles, packed
from trainables.functions.trial import Trial

PREFIX = "eval_"
UNJUDGED = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")
"""Suffixes of the speed measurements in an evaluation of the Trainer."""
PICKLED = "training_args.bin"
"""The one file of a checkpoint that runs code when it is read; no resume reads it."""


def training_arguments(trial: Trial, **own: Any) -> TrainingArguments:
    """`TrainingArguments` of a trial: its horizon, seed and device, no progress bar and no checkpoints of their own.

    `own` adds arguments or changes their values. The callback starts evaluations where the trial asks for them.
    Raises `InvalidInput` for an argument that the trial decides.
    """
    decided: dict[str, Any] = {"max_steps": trial.horizon, "seed": trial.seed, "data_seed": trial.seed}
    for name in (*decided, "num_train_epochs", "eval_strategy", "eval_steps"):
        if name in own:
            raise InvalidInput(
                f"training_arguments({name}={own[name]!r}): the trial decides it; leave it out, and change horizon or "
                "eval_interval in the space file"
            )
    usual: dict[str, Any] = {
        "output_dir": str(Path(tempfile.gettempdir()) / "ire-huggingface"),  # created, but stays empty
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

    def __init__(self, trial: Trial, *, loss: str = "eval_loss", checkpoint: bool = False) -> None:
        """`loss` is the metric that is the trial's `val_loss`; with several evaluation sets `eval_NAME_loss`.

        With `checkpoint` the trial keeps the Trainer's own checkpoint, at most once a minute, after a report; pass
        `resume_from` to `trainer.train`.
        """
        self._trial, self._loss = trial, loss
        self._kept = KeptFiles(trial) if checkpoint else None
        self._is_due = False
        self._train_loss: float | None = None
        self._metrics: dict[str, Any] = {}
        self._keeps = False
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._output_dir: str | None = None

    @property
    def resume_from(self) -> str | None:
        """The folder of the checkpoint from which the trial continues, or None: it starts from the beginning."""
        folder = self._kept.folder() if self._kept else None
        return None if folder is None else str(folder)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if args.load_best_model_at_end:
            raise InvalidInput(
                "load_best_model_at_end=True: a trial is judged at its last step and ends there, so the best model "
                "would never be loaded; leave it out"
            )
        if self._kept is None:
            return
        if args.save_only_model:
            raise InvalidInput(
                "TrialCallback(checkpoint=True): save_only_model leaves out the optimizer, without which no trial "
                "continues; set save_only_model=False"
            )
        if not self._kept.is_asked:
            raise InvalidInput(
                "TrialCallback(checkpoint=True): pass the checkpoint on, as in "
                "trainer.train(resume_from_checkpoint=callback.resume_from)"
            )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._kept is not None:
            self._kept.forget()
        self._forget_scratch(args)  # left by a save that the Trainer skipped
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
        if not self._is_due:  # the script's own evaluation
            return
        self._metrics |= metrics or {}
        if self._loss not in self._metrics:  # with several evaluation sets the next one may have it
            return
        self._is_due, found, self._metrics = False, self._metrics, {}
        named = {name.removeprefix(PREFIX): value for name, value in found.items() if name.startswith(PREFIX)}
        further = {
            f"val_{name}": value
            for name, value in named.items()
            if f"{PREFIX}{name}" != self._loss and not name.endswith(UNJUDGED) and is_number(value)
        }
        self._trial.report(
            state.global_step, train_loss=self._train_loss, val_loss=found[self._loss], **further
        )
        if self._kept is not None and self._trial.save_due():
            if not control.should_save:  # otherwise the script's own checkpoint is read
                self._scratch = tempfile.TemporaryDirectory(prefix="ire-huggingface-")
                self._output_dir, args.output_dir = args.output_dir, self._scratch.name
            self._keeps = control.should_save = True  # the Trainer saves after the evaluation

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if not self._keeps:  # the script's own checkpoint
            return
        assert args.output_dir is not None
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        files = self._of_all_workers(packed(folder, without=[PICKLED]))
        self._forget_scratch(args)
        self._trial.save({"files": files})

    def _of_all_workers(self, files: dict[str, Tensor]) -> dict[str, Tensor]:
        """The checkpoint on worker 0, with the files of the other workers: each keeps its own random generators."""
        if self._trial.world_size == 1:
            return files
        written: list[dict[str, Tensor]] = [{}] * self._trial.world_size
        dist.gather_object(files, written if self._trial.rank == 0 else None, dst=0)
        return {name: content for each in reversed(written) for name, content in each.items()}

    def _forget_scratch(self, args: TrainingArguments) -> None:
        self._keeps = False
        if self._scratch is not None and self._output_dir is not None:
            args.output_dir, self._output_dir = self._output_dir, None
            self._scratch.cleanup()
            self._scratch = None

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
    metrics: dict[str, float] = cast(Any, trainer).evaluate(dataset, metric_key_prefix="test")
    named = {name.removeprefix("test_"): value for name, value in metrics.items() if name.startswith("test_")}
    return {name: value for name, value in named.items() if name not in UNJUDGED and is_number(value)}
