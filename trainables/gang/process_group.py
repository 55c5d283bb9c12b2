"""Connects the workers of a gang as Ray's TorchTrainer does, but only the workers import torch.

Ray's `TorchConfig` needs torch in the trial's actor and in the controller, too: seconds before the first worker starts,
and half a gigabyte of memory in each of the two.
"""

# Ray's functions are typed in part.
# pyright: reportUnknownMemberType=false, reportUntypedBaseClass=false

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import ray
import ray.train
from ray.train.backend import Backend, BackendConfig

TIMEOUT = timedelta(minutes=30)
"""How long a collective may take, as with Ray's `TorchConfig`; what hangs is noticed sooner, by `hang_seconds`."""


class GangBackend(Backend):
    """Sets the variables of `torchrun` in every worker and starts its process group."""

    share_cuda_visible_devices = True
    """Workers of one machine see the GPUs of each other, which NCCL needs."""

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Called in Ray's controller when the workers have started."""
        host, port = worker_group.execute_single(0, free_address)
        worker_group.execute(connect, backend_config.backend, host, port)


@dataclass
class ProcessGroup(BackendConfig):
    """The process group of a gang: `backend` is `nccl` or `gloo`."""

    backend: str

    @property
    def backend_cls(self) -> type[Backend]:
        return GangBackend


def free_address() -> tuple[str, int]:
    """The address of this machine in the cluster, and a free port."""
    host: str = cast(Any, ray.util).get_node_ip_address()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as found:
        found.bind(("", 0))
        return host, found.getsockname()[1]


def connect(backend: str, host: str, port: int) -> None:
    """Join the process group of the gang, as one of its workers."""
    import torch.distributed as dist  # seconds that Ray's own processes need not spend
    from ray.train.torch import get_device

    context = ray.train.get_context()
    os.environ |= {
        "MASTER_ADDR": host,
        "MASTER_PORT": str(port),
        "RANK": str(context.get_world_rank()),
        "WORLD_SIZE": str(context.get_world_size()),
        "LOCAL_RANK": str(context.get_local_rank()),
        "LOCAL_WORLD_SIZE": str(context.get_local_world_size()),
        "NODE_RANK": str(context.get_node_rank()),
        "ACCELERATE_TORCH_DEVICE": str(get_device()),  # of Hugging Face's Trainer
    }
    if "TORCH_NCCL_BLOCKING_WAIT" not in os.environ:
        os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1")  # a lost peer is an error, not a hang
    dist.init_process_group(backend, init_method="env://", timeout=TIMEOUT)
