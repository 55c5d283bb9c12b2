"""A long-lived TorchTrainer worker group that trains one Tune trial after another.

A TorchTrainer per trial starts six processes and polls every two seconds: tens of seconds around a second of
training. Here the trial's actor is reused by Tune (`reuse_actors=True`), and the TorchTrainer inside it runs
one function that takes jobs from a mailbox until told to end. Workers, process group, CUDA context and
loaded data stay warm; a new trial costs a message.
"""

import os
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
import torch.distributed as dist
from ray.train.torch import TorchConfig, TorchTrainer
from ray.tune import Trainable

from trainables.data.folder import data_in
from trainables.loop import STOPPED, train
from trainables.mailbox import Mailbox
from trainables.task import Task, load_task, search_for_modules
from trainables.training import Report, Training
from trainables.trial import TrialSpec

FLUSH_SECONDS = 0.5
"""Reports travel together, at most this late; a rung's and the last one travel at once."""

COLLECT_SECONDS = 1.0
"""How often a trial without news looks whether its gang is still alive."""

POLL_SECONDS = 0.5
"""How often Ray Train's controller looks at its workers (default 2): how late it sees that they ended or died."""

PEER_SECONDS = 6 * POLL_SECONDS
"""How long a worker with an exception waits for Ray to notice that another one has died."""

END_SECONDS = 4.0
"""How long an orderly end of the gang may take before its processes are left to Ray."""

REPLACE_SECONDS = 60.0
"""The same for a gang that is replaced: the new one needs its place on the cluster."""


class GangTrainable(Trainable):
    """The Tune side of a gang. Its config is `{"job": ..., "gang": ...}`.

    `job`: `spec` (TrialSpec as a dict), `checkpoint` (path or None), `checkpoint_seconds`.
    `gang`: `workers`, `cpus_per_worker`, `gpus_per_worker`, `max_failures`, `storage`, `import_path`,
    `data_dir`.
    Each result holds the `reports` since the last one; the last of a trial that failed has an `error`.
    """

    def setup(self, config: dict[str, Any]) -> None:
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", str(POLL_SECONDS))
        self._gang = config["gang"]
        self._mailbox = ray.remote(num_cpus=0)(Mailbox).remote()
        self._broken = False
        self._loss: BaseException | None = None
        self._start_gang()
        self._post(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Abandon the current job, if it still runs, and post the next: what makes trials cheap.

        After an error the gang is replaced: a CUDA error, for one, poisons its process for good.
        """
        if self._broken or new_config["gang"] != self._gang or not self._thread.is_alive():
            self._end(REPLACE_SECONDS)
            self.setup(new_config)
        else:
            self._post(new_config)
        return True

    def step(self) -> dict[str, Any]:
        message = ray.get(self._mailbox.collect.remote(self._number, COLLECT_SECONDS))
        if message is None:  # nothing new: come back soon, so that Tune can stop this trial in between
            message = {"reports": []}
            if not self._thread.is_alive():
                self._deaths += 1
                if self._deaths > self._gang["max_failures"]:
                    message["error"] = (
                        f"its workers were lost {self._deaths} times, the last time by: {self._loss}"
                    )
                else:
                    self._start_gang()  # the mailbox hands it the same job
        self._broken = "error" in message
        return message

    def cleanup(self) -> None:
        """End the gang in order: its processes and its placement group are gone, if they end in time."""
        self._end(END_SECONDS)

    def _end(self, seconds: float) -> None:
        ray.get(self._mailbox.close.remote())
        self._thread.join(seconds)
        ray.kill(self._mailbox)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: workers write their own checkpoints, and Tune is not what resumes a sweep."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing, for the same reason."""

    def _post(self, config: dict[str, Any]) -> None:
        self._deaths = 0
        self._number = ray.get(self._mailbox.post.remote(config["job"]))

    def _start_gang(self) -> None:
        self._thread = threading.Thread(target=self._run_gang, name="gang", daemon=True)
        self._thread.start()

    def _run_gang(self) -> None:
        gang = self._gang
        resources = {"CPU": gang["cpus_per_worker"]}
        if gang["gpus_per_worker"]:
            resources["GPU"] = gang["gpus_per_worker"]
        trainer = TorchTrainer(
            serve,
            train_loop_config={
                "mailbox": self._mailbox,
                "import_path": gang["import_path"],
                "data_dir": gang["data_dir"],
            },
            torch_config=TorchConfig(backend="nccl" if gang["gpus_per_worker"] else "gloo"),
            scaling_config=ray.train.ScalingConfig(
                num_workers=gang["workers"],
                use_gpu=bool(gang["gpus_per_worker"]),
                resources_per_worker=resources,
            ),
            run_config=ray.train.RunConfig(
                name=f"gang-{self.trial_id}",
                storage_path=gang["storage"],
                # Ray would count over all trials of the gang; `step` restarts it and counts for each
                failure_config=ray.train.FailureConfig(max_failures=0),
            ),
        )
        try:
            trainer.fit()
        except Exception as error:
            self._loss = error


def serve(config: dict[str, Any]) -> None:
    """The TorchTrainer's function, in every worker: take a job, train it, and again, until the box closes."""
    search_for_modules(config["import_path"])
    with data_in(config["data_dir"]):
        _serve(config["mailbox"])


def _serve(mailbox: Any) -> None:
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    device = ray.train.torch.get_device()
    tasks: dict[str, Task] = {}
    finished = 0
    while True:
        taken = _from_worker_0(ray.get(mailbox.take.remote(finished)) if rank == 0 else None, world_size)
        if taken is None:
            return
        finished, job = taken
        spec = TrialSpec.from_dict(job["spec"])
        messenger = Messenger(mailbox, finished, spec, rank=rank, world_size=world_size, device=device)
        try:
            if spec.task not in tasks:
                tasks[spec.task] = load_task(spec.task)
            status = train(
                spec,
                messenger,
                task=tasks[spec.task],
                checkpoint=Path(job["checkpoint"]) if job["checkpoint"] else None,
                checkpoint_seconds=job["checkpoint_seconds"],
                device=device,
                rank=rank,
                world_size=world_size,
            )
        except Exception:
            if world_size > 1:
                # If it came of a peer's death, Ray ends this worker now, and the gang is restarted.
                time.sleep(PEER_SECONDS)
            # Not raised on: it is this trial's own, and would come again with every restart.
            messenger.flush(error=traceback.format_exc())
            if world_size > 1:  # peers may wait for this worker in a collective: its end releases them
                os._exit(1)
            return
        if status != STOPPED:
            messenger.flush()


class Messenger:
    """Carries a trial's reports from its workers to the mailbox, and the verdict back to every worker."""

    def __init__(
        self, mailbox: Any, number: int, spec: TrialSpec, *, rank: int, world_size: int, device: torch.device
    ) -> None:
        self._mailbox, self._number, self._spec = mailbox, number, spec
        self._rank, self._world_size, self._device = rank, world_size, device
        self._reports: list[Report] = []
        self._sent = time.monotonic()

    def __call__(self, report: Report, training: Training) -> bool:
        """Take one report; False if the trial is to be abandoned. Called on every worker."""
        last = report["step"] == self._spec.horizon or report["diverged"]
        stands = True
        if self._rank == 0:
            self._reports.append(report | {"diagnostics": training.flat_fractions()})
            rung = report["step"] in self._spec.rungs and not last
            if not last and (rung or time.monotonic() - self._sent >= FLUSH_SECONDS):
                stands = self._send(wait=rung)
        if self._world_size > 1:
            flag = torch.tensor(int(stands), device=self._device)
            dist.broadcast(flag, src=0)
            stands = bool(flag.item())
        return stands

    def flush(self, error: str | None = None) -> None:
        """Send what is left, as the last of this trial; an `error` comes from the worker that has it."""
        if self._rank == 0 or error:
            self._send(last=True, error=error)

    def _send(self, *, wait: bool = False, last: bool = False, error: str | None = None) -> bool:
        message = {"reports": self._reports, "last": last} | ({"error": error} if error else {})
        self._reports, self._sent = [], time.monotonic()
        return ray.get(self._mailbox.put.remote(self._number, message, wait))


def _from_worker_0(value: Any, world_size: int) -> Any:
    """Worker 0's value, on every worker."""
    if world_size == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
