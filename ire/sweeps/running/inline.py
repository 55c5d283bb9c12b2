"""Trains the trials of a sweep in this process, one after another, without Ray: for debuggers, notebooks and CI."""

import bdb
import traceback

import torch

from ire.invalid_input import InvalidInput
from ire.storage.storage import is_full
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import RUNNING, TrialRecord
from ire.sweeps.running.run import Run
from ire.trial.message import Message, StorageTrouble
from ire.trial.report import Report
from trainables.functions.function import load_workload
from trainables.functions.run import run_trial
from trainables.functions.trial import Trial
from trainables.gang.out_of_memory import advice, lacks_memory
from trainables.training.placement import existing_objects_skipped, release
from trainables.training.training import Training


def check_inline(plan: Plan) -> None:
    """Raise `InvalidInput` for a plan whose trials need more than this process."""
    if plan.workers > 1:
        raise InvalidInput(
            f"--inline --workers {plan.workers}: one process is one worker; without --inline, Ray runs "
            f"{plan.workers}"
        )
    if plan.gpus_per_worker and not torch.cuda.is_available():
        raise InvalidInput(
            f"--inline --gpus-per-worker {plan.gpus_per_worker:g}: this process sees no GPU; a new sweep takes "
            "--gpus-per-worker cpu"
        )


class InlineRun(Run):
    """One run of a protocol in this process; ends when the protocol is over, cannot continue, or is interrupted.

    Trials run with the same arguments as in a worker on Ray, so their reports are equal, bit for bit.
    """

    def run(self) -> None:
        """Train all remaining trials."""
        threads = torch.get_num_threads()
        plan = self.protocol.plan
        self._workload = load_workload(plan.task, plan.import_path)
        self._device = torch.device("cuda" if self.protocol.plan.gpus_per_worker else "cpu")
        self.begin()
        try:
            with existing_objects_skipped():
                while trial := self.next_trial():
                    self._train(trial)
        finally:
            torch.set_num_threads(threads)

    def _train(self, trial: TrialRecord) -> None:
        release()

        def take(report: Report, training: Training | Trial) -> bool:
            is_past = report["step"] < training.step  # a report sent again, whose mask is no longer known
            flat_fractions = {} if is_past else training.flat_fractions()
            message = Message(reports=(report,), flat_fractions=(flat_fractions,))
            goes_on = self.message(trial.name, message)
            self.tick()
            return goes_on and self.cannot_go_on is None

        def storage_error(error: OSError) -> None:
            trouble = StorageTrouble(cause=str(error), is_full=is_full(error))
            self.message(trial.name, Message(storage_trouble=trouble))

        def begins_with(training: Training) -> None:
            self.message(trial.name, Message(prefix=training.gradient_evaluations))

        try:
            run_trial(
                self._workload,
                trial.spec,
                take,
                device=self._device,
                on_trouble=storage_error,
                on_prefix=begins_with,
                **self.where(trial),
            )
        except bdb.BdbQuit:  # `quit` in the debugger ends the sweep; a resume continues the trial
            raise KeyboardInterrupt from None
        except Exception as error:
            text = traceback.format_exc()
            if lacks_memory(error):
                text = f"{advice(error, trial.spec)}\n{text}"
            self.message(trial.name, Message(error=text))
            self._check_device(trial)
        assert trial.status != RUNNING or self.cannot_go_on, f"{trial.name} has ended without its last report"

    def _check_device(self, trial: TrialRecord) -> None:
        """Stop the run if an error of `trial` made the GPU unusable for this process."""
        if self._device.type != "cuda":
            return
        try:
            torch.cuda.synchronize()
        except RuntimeError as error:
            cause = str(error).splitlines()[0]
            self._break_off(
                f"after the error of {trial.name} this process can no longer use its GPU: {cause}"
            )
