"""Lets a Lightning `Trainer` train a trial of a sweep: a callback that reports, and the arguments that it needs.

from trainables.lightning import TrialCallback, trainer_arguments

callback = TrialCallback(trial, checkpoint=True)  # checkpoint: an interrupted trial continues
trainer = lightning.Trainer(**trainer_arguments(trial), callbacks=[callback])
trainer.fit(module, train_loader, validation_loader, ckpt_path=callback.resume_from)
"""

import logging
import signal
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from ire.invalid_input import InvalidInput
from trainables.functions.packed_files import KeptFiles, packed
from trainables.functions.saved_state import generators, set_generators
from trainables.functions.trial import Trial

FILE = "trial.ckpt"
NOTICES = "lightning.pytorch.utilities.rank_zero"
"""The logger by which a Trainer says which devices it sees, once a trial."""


def trainer_arguments(trial: Trial, **own: Any) -> dict[str, Any]:
    """Arguments of `lightning.Trainer`: the trial's horizon and device, silent, and without checkpoints of its own.

    `own` adds arguments or changes their values. The callback starts validation where the trial asks for it. The
    Trainer's notices of its devices are turned off, unless their logger already has a level. Raises `InvalidInput`
    for an argument that the trial decides.
    """
    for name in ("max_steps", "max_epochs", "max_time", "val_check_interval", "check_val_every_n_epoch"):
        if name in own:
            raise InvalidInput(
                f"trainer_arguments({name}={own[name]!r}): the trial decides it; leave it out, and change horizon or "
                "eval_interval in the space file"
            )
    if logging.getLogger(NOTICES).level == logging.NOTSET:
        logging.getLogger(NOTICES).setLevel(logging.WARNING)
    usual: dict[str, Any] = {
        "accelerator": "gpu" if trial.device.type == "cuda" else "cpu",
        "devices": [trial.device.index or 0] if trial.device.type == "cuda" else 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    if trial.world_size > 1:  # the worker processes exist and read their rank from the environment
        usual |= {"strategy": "ddp", "devices": trial.world_size}
    return {**usual, **own, "max_steps": trial.horizon, "max_epochs": -1}


class TrialCallback(Callback):
    """Validates and reports where a report is due, and ends the training when the trial has ended.

    What the module logs as `val_...` and `train_loss` is reported. The end of the trial leaves `trainer.fit` as an
    exception, which ends the training function. A step is a batch after which an optimizer has stepped, one or several
    (manual optimization); Lightning's own counter adds up the steps of all optimizers.
    """

    def __init__(self, trial: Trial, *, loss: str = "val_loss", checkpoint: bool = False) -> None:
        """`loss` is the logged value that is the trial's `val_loss`.

        With `checkpoint` the trial keeps the Trainer's own checkpoint, at most once a minute, after a report; pass
        `resume_from` to `trainer.fit`.
        """
        self._trial, self._loss = trial, loss
        self._kept = KeptFiles(trial) if checkpoint else None
        self._epoch_began: Mapping[str, Any] | None = None
        """The random generators from which the order of this epoch was drawn."""
        self._steps = trial.first_step
        self._counted = 0
        """Lightning's count of optimizer steps at the last of `_steps`."""

    @property
    def resume_from(self) -> str | None:
        """The file of the checkpoint from which the trial continues, or None: it starts from the beginning."""
        folder = self._kept.folder() if self._kept else None
        return None if folder is None else str(folder / FILE)

    def setup(self, trainer: "lightning.Trainer", pl_module: "lightning.LightningModule", stage: str) -> None:
        """Let the trial decide when the Trainer validates: its own intervals know neither rungs nor the last step."""
        loop = trainer.fit_loop.epoch_loop
        if not hasattr(loop, "_should_check_val_fx"):
            raise InvalidInput(
                f"lightning {lightning.__version__} decides elsewhere when it validates; trainables.lightning "
                "knows 2.5 and 2.6"
            )
        loop._should_check_val_fx = lambda data_fetcher: self._is_due()  # pyright: ignore[reportPrivateUsage] - Lightning has no other
        trainer.check_val_every_n_epoch = None

    def on_fit_start(self, trainer: "lightning.Trainer", pl_module: "lightning.LightningModule") -> None:
        if self._kept is not None and not self._kept.is_asked:
            raise InvalidInput(
                "TrialCallback(checkpoint=True): pass the checkpoint on, as in "
                "trainer.fit(..., ckpt_path=callback.resume_from)"
            )
        if not pl_module.automatic_optimization:
            # It is in steps of all optimizers; `should_stop` ends the training.
            trainer.fit_loop.epoch_loop.max_steps = -1
        self._epoch_began = generators()
        self._on_interrupt = signal.getsignal(signal.SIGINT)

    def on_exception(
        self, trainer: "lightning.Trainer", pl_module: "lightning.LightningModule", exception: BaseException
    ) -> None:
        """Let Ctrl-C end the sweep: from here on a Trainer would ignore it and end its process."""
        if isinstance(exception, KeyboardInterrupt):
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, self._on_interrupt)
            raise exception

    def on_train_start(self, trainer: "lightning.Trainer", pl_module: "lightning.LightningModule") -> None:
        self._counted = trainer.global_step
        if self._kept is None:
            return
        combined = trainer.fit_loop._combined_loader  # pyright: ignore[reportPrivateUsage] - Lightning has no other
        for loader in [] if combined is None else combined.flattened:
            if any(getattr(part, "generator", None) for part in (loader, getattr(loader, "sampler", None))):
                raise InvalidInput(
                    "TrialCallback(checkpoint=True): a DataLoader has its own generator, whose state no checkpoint "
                    "contains; leave out generator=...: the global generator, seeded with trial.seed, sets the order"
                )
        if self._kept.forget():
            self._skip(trainer)

    def _skip(self, trainer: "lightning.Trainer") -> None:
        """Draw the order of the interrupted epoch again, and skip the batches that have been trained on."""
        saved, fetcher = self._trial.saved, trainer.fit_loop._data_fetcher  # pyright: ignore[reportPrivateUsage] - Lightning has no other
        assert fetcher is not None
        self._epoch_began = saved["epoch_began"]
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        if done:
            set_generators(saved["epoch_began"])
            iter(fetcher)
            for _ in range(done):
                next(fetcher)
            fetcher.fetched -= done  # the Trainer adds them again
        assert self._trial.saved is not None  # reading it restores the generators

    def on_train_epoch_start(
        self, trainer: "lightning.Trainer", pl_module: "lightning.LightningModule"
    ) -> None:
        if trainer.current_epoch > 0:  # the first epoch's order is already drawn
            self._epoch_began = generators()

    def _is_due(self) -> bool:
        return self._steps > self._trial.reported and self._trial.due(self._steps)

    def on_train_batch_end(
        self,
        trainer: "lightning.Trainer",
        pl_module: "lightning.LightningModule",
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if trainer.global_step > self._counted:
            self._counted = trainer.global_step
            self._steps += 1
            self._trial.due(self._steps)
            trainer.should_stop |= self._steps == self._trial.horizon

    def on_validation_end(self, trainer: "lightning.Trainer", pl_module: "lightning.LightningModule") -> None:
        if not self._is_due():  # the script's own validation
            return
        found = {name: value.item() for name, value in trainer.callback_metrics.items() if value.numel() == 1}
        if self._loss not in found:
            names = ", ".join(sorted(name for name in found if not name.startswith("train_"))) or "nothing"
            raise InvalidInput(
                f"step {self._steps} was validated, but no {self._loss} was logged: call "
                f"self.log({self._loss!r}, ...) in validation_step, or name another one, as in "
                f"TrialCallback(trial, loss=...); logged: {names}"
            )
        train = found.get("train_loss", found.get("train_loss_step"))
        further = {
            name: value for name, value in found.items() if name.startswith("val_") and name != self._loss
        }
        further.pop("val_loss", None)
        self._trial.report(self._steps, train_loss=train, val_loss=found[self._loss], **further)
        if self._kept is not None and self._trial.save_due():
            with tempfile.TemporaryDirectory(prefix="ire-lightning-") as folder:
                trainer.save_checkpoint(Path(folder) / FILE, weights_only=False)
                self._trial.save({"files": packed(Path(folder)), "epoch_began": self._epoch_began})
