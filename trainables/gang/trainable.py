"""A long-lived TorchTrainer worker group that trains one Tune trial after another.

A TorchTrainer per trial starts six processes and polls every two seconds: tens of seconds around a second of
training. Here the trial's actor is reused by Tune (`reuse_actors=True`), and the TorchTrainer inside it runs
one function that takes jobs from a mailbox until the mailbox closes. Workers, process group, CUDA context and
loaded data stay warm; a new trial costs a message.
"""

# Ray's functions are typed in part.
# pyright: reportUnknownMemberType=false

import os
import threading
import time
from typing import Any, cast

import ray
import ray.train
from ray import PlacementGroupID
from ray.train.torch import TorchConfig, TorchTrainer
from ray.tune import Trainable
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ire.trial.message import Message, Trouble
from trainables.gang.job import Config, Gang
from trainables.gang.mailbox import Mailbox
from trainables.gang.ray_internals import abandoned_placement_groups, without_cleaner
from trainables.gang.shares import share
from trainables.gang.watchdog import Watchdog

COLLECT_SECONDS = 1.0
"""Seconds between checks that the gang of a silent trial is alive."""

POLL_SECONDS = 0.5
"""Seconds between the checks that Ray Train's controller makes on its workers (default 2), so how late it notices
their end."""

END_SECONDS = 4.0
"""Seconds for a clean end of the gang before its processes are left to Ray."""

REPLACE_SECONDS = 60.0
"""The same for a gang that is replaced: the new one needs its resources."""

ANSWER_SECONDS = 15.0
"""A hung worker diagnoses itself; after this many seconds without a diagnosis it is killed."""

WAITING_SECONDS = 120.0
"""After this many seconds without a worker a trial reports what it waits for, and again at every doubling."""


class GangTrainable(Trainable):
    """The Tune side of a gang. Its config is a `Config`; each result holds one `Message` in `messages`."""

    def setup(self, config: Any, function: bytes | None = None) -> None:
        """`function` is the pickled training function, for a sweep whose function is not in a file."""
        self._function = function
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", str(POLL_SECONDS))
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # a process that no worker uses
        self._gang: Gang = config["gang"]
        # No soft affinity: Ray could move the actor to a node that has just died, before Ray notices.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        as_actor: Any = ray.remote(num_cpus=0, scheduling_strategy=cast(Any, here))
        self._mailbox: Any = as_actor(Mailbox).remote()
        self._broken = False
        self._placement_group: str | None = None
        self._start_gang()
        self._post(config)

    def reset_config(self, new_config: Any) -> bool:
        """Abandon the current job, if it still runs, and post the next one, so that a trial starts cheaply.

        After an error the gang is replaced: a CUDA error, for example, makes its process unusable.
        """
        if self._broken or new_config["gang"] != self._gang or not self._thread.is_alive():
            self._end(REPLACE_SECONDS)
            self.setup(new_config)
        else:
            self._post(new_config)
        return True

    def step(self) -> dict[str, Any]:
        self._watchdog.excuse(time.monotonic() - self._stepped)  # while nobody read its messages
        try:
            return {"messages": [self._next_message()]}  # in a list: Tune flattens what is in a dictionary
        finally:
            self._stepped = time.monotonic()

    def _next_message(self) -> Message:
        message: Message | None = _answer(self._mailbox.collect.remote(self._number, COLLECT_SECONDS))
        if message is not None:
            self._watchdog.heard()
            self._placement_group = message.placement_group or self._placement_group
            self._is_taken_up = True
        elif not self._thread.is_alive():
            message = Message(trouble=self._trouble())
            self._watchdog = Watchdog(self._watchdog.limit)
            self._is_taken_up = False
            self._start_gang()  # the mailbox hands it the same job
        else:  # nothing new: return soon, so that Tune can stop this trial in between
            message = Message(notice=self._look_after_silence())
        self._broken = message.error is not None and not message.gang_is_well
        return message

    def _trouble(self) -> Trouble:
        """Why the gang ended during a trial."""
        if self._placement_group:  # its owner may have died with the workers
            remove_placement_group_by_id(self._placement_group)
        diagnoses: str = _answer(self._mailbox.diagnoses.remote())
        if diagnoses:
            return Trouble(kind="hang", cause=diagnoses)
        if self._killed:
            self._killed = False
            return Trouble(
                kind="hang", cause="no report, and no answer from the worker: its process is stuck"
            )
        return Trouble(kind="workers lost", cause=str(self._loss))

    def _look_after_silence(self) -> str | None:
        """A notice if a trial has been silent for long; kills workers that do not react at all."""
        silence = self._watchdog.silence
        if not self._is_taken_up and silence >= self._next_notice:
            self._next_notice = 2 * silence
            available = cast(dict[str, float], ray.available_resources())
            free = {name: free for name, free in available.items() if name in ("CPU", "GPU")}
            need = f"{self._gang['workers']} x {self._gang['cpus_per_worker']} CPU"
            need += f" + {self._gang['gpus_per_worker']} GPU" if self._gang["gpus_per_worker"] else ""
            return f"no worker has started for {silence:.0f} s: it needs {need}, and {free} are free"
        if self._is_taken_up and not self._killed and silence >= self._watchdog.limit + ANSWER_SECONDS:
            self._killed = True
            for worker in ray.get(self._mailbox.workers.remote()):
                ray.kill(worker)
        return None

    def cleanup(self) -> None:
        """End the gang cleanly: its processes and its placement group, if they end in time."""
        self._end(END_SECONDS)

    def _end(self, seconds: float) -> None:
        ray.get(self._mailbox.close.remote())
        self._thread.join(seconds)
        ray.kill(self._mailbox)
        if self._placement_group:  # interrupts a long step; after a clean end nothing is left to free
            remove_placement_group_by_id(self._placement_group)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Does nothing: workers write their own checkpoints, and a sweep does not resume through Tune."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Does nothing, for the same reason."""

    def _post(self, config: Config) -> None:
        self._watchdog = Watchdog(config["job"]["hang_seconds"])
        self._next_notice = WAITING_SECONDS
        self._killed = self._is_taken_up = False
        self._stepped = time.monotonic()
        self._number = ray.get(self._mailbox.post.remote(config["job"]))

    def _start_gang(self) -> None:
        self._loss: BaseException | None = None
        self._thread = threading.Thread(target=self._run_gang, name="gang", daemon=True)
        self._thread.start()

    def _run_gang(self) -> None:
        gang = self._gang
        resources: dict[str, float] = {"CPU": gang["cpus_per_worker"]}
        if gang["gpus_per_worker"]:
            resources["GPU"] = share(gang["gpus_per_worker"])
        trainer = without_cleaner(TorchTrainer)(
            serve,
            train_loop_config={
                "mailbox": self._mailbox,
                "import_path": gang["import_path"],
                "sources": gang["sources"],
                "function": self._function,
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
                # Ray would count over all trials of the gang; `step` restarts the gang and counts per trial.
                failure_config=ray.train.FailureConfig(max_failures=0),
            ),
        )
        try:
            trainer.fit()
        except Exception as error:
            self._loss = error


def _answer(reference: Any) -> Any:
    """Results from the mailbox; Ray's own types take one reference for a list."""
    return ray.get(reference)


def serve(config: dict[str, Any]) -> None:
    """The TorchTrainer's function in every worker: take and train one job after another until the mailbox closes."""
    from trainables.gang.serving import serve_jobs  # seconds that Ray's own processes need not spend

    serve_jobs(config)


def remove_placement_group_by_id(group: str) -> None:
    """Free the resources of a gang whose owners died."""
    ray.util.remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(group))))


def remove_abandoned_placement_groups() -> None:
    """Free the resources of this job's gangs whose controllers died.

    A gang occupies its resources before any of its workers can report them.
    """
    for group in abandoned_placement_groups():
        remove_placement_group_by_id(group)
