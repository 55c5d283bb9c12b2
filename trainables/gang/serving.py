"""The loop of every worker in a gang: take jobs from the mailbox and train them, one after another.

It is separate from `trainables.gang.trainable`, so that processes that only start workers do not import training code.
"""

import os
import traceback
from typing import Any

import ray
import ray.train
import torch.distributed as dist
from ray import cloudpickle
from ray.train.torch import get_device

from ire.trial.spec import TrialSpec
from trainables.data.folder import data_in
from trainables.functions.function import TrainingFunction, load_workload
from trainables.functions.in_process import hold
from trainables.functions.run import run_trial
from trainables.functions.sources import Sources, install
from trainables.gang.messenger import Messenger
from trainables.gang.out_of_memory import advice, is_out_of_memory, lacks_memory
from trainables.task import Task, search_for_modules
from trainables.training.loop import STOPPED
from trainables.training.placement import existing_objects_skipped, release


def serve_jobs(config: dict[str, Any]) -> None:
    """Take and train one job after another until the mailbox closes."""
    search_for_modules(config["import_path"])
    if config["sources"] is not None:
        install(Sources(**config["sources"]))
    if config["function"] is not None:
        hold(*cloudpickle.loads(config["function"]))
    with data_in(config["data_dir"]), existing_objects_skipped():
        _serve(config["mailbox"], config["import_path"])


def _serve(mailbox: Any, import_path: list[str]) -> None:
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    device = get_device()
    tasks: dict[str, Task | TrainingFunction] = {}
    finished = 0
    while True:
        release()
        taken = _from_worker_0(ray.get(mailbox.take.remote(finished)) if rank == 0 else None, world_size)
        if taken is None:
            return
        finished, job = taken
        spec = TrialSpec.from_dict(job["spec"])
        messenger = Messenger(
            mailbox,
            finished,
            spec,
            rank=rank,
            world_size=world_size,
            device=device,
            hang_seconds=job["hang_seconds"],
        )
        try:
            if spec.task not in tasks:
                tasks[spec.task] = load_workload(spec.task, import_path)
            with messenger:
                status = run_trial(
                    tasks[spec.task],
                    spec,
                    messenger,
                    checkpoint=job["checkpoint"],
                    checkpoint_seconds=job["checkpoint_seconds"],
                    keep_last=job["keep_last"],
                    on_trouble=messenger.storage_error,
                    prefixes=job["prefixes"],
                    on_prefix=messenger.prefix,
                    device=device,
                    rank=rank,
                    world_size=world_size,
                )
        except Exception as error:
            if world_size > 1 and is_of_a_peer(error):
                raise  # the gang ends here and is restarted
            text = f"{advice(error, spec)}\n" * lacks_memory(error) + traceback.format_exc()
            if world_size == 1 and is_out_of_memory(error):
                traceback.clear_frames(error.__traceback__)  # they hold the trial's tensors
                messenger.flush(error=text, gang_is_well=True)
                continue
            # Not raised: the error is the trial's own, and every restart would repeat it.
            messenger.flush(error=text)
            if world_size > 1:  # peers may wait for this worker in a collective; its exit releases them
                os._exit(1)
            return
        if status != STOPPED:
            messenger.flush()


def is_of_a_peer(error: BaseException) -> bool:
    """Whether an exception in one worker means that another worker, or the connection to it, is lost.

    torch has classes for the errors of NCCL and of the stores; gloo's errors are recognised by the source file that
    they name.
    """
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        if isinstance(at, dist.DistError) or "gloo/transport" in str(at):
            return True
        seen.append(at)
        at = at.__cause__ or at.__context__
    return False


def _from_worker_0(value: Any, world_size: int) -> Any:
    """Worker 0's value, on every worker."""
    if world_size == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
