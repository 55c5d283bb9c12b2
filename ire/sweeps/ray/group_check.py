"""Checks whether workers on this machine can train together, by one sum over a process group like a trial's."""

import os
import socket
import traceback
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
import torch.multiprocessing as processes

SECONDS = 60.0
"""Seconds that the group may take to connect and to compute the sum."""
NUMBERS = 1 << 20
"""Size of the sum, whose terms differ between workers: 4 MiB."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of the check."""

    backend: str
    error: str | None
    """The error of the first worker that failed; None if all succeeded."""


def check_group(workers: int, gpus: int, *, seconds: float = SECONDS) -> Outcome:
    """Let `workers` processes communicate: by NCCL if there is one of `gpus` for each, else by gloo on the CPU."""
    backend = "nccl" if gpus >= workers else "gloo"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with TemporaryDirectory(prefix="ire-doctor-") as folder:
        context = processes.get_context("spawn")
        started = [
            context.Process(target=_worker, args=(rank, workers, backend, port, folder), daemon=True)
            for rank in range(workers)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join(seconds)
        late = [process for process in started if process.is_alive()]
        for process in late:
            process.kill()
            process.join()
        said = {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).iterdir())}
    errors = [text for text in said.values() if text != "ok"]
    if not errors and late:
        errors = [f"no answer within {seconds:.0f} s"]
    if not errors and len(said) < workers:
        errors = ["a worker ended without an error message"]
    return Outcome(backend=backend, error=errors[0] if errors else None)


def _worker(rank: int, workers: int, backend: str, port: int, folder: str) -> None:
    said = Path(folder, str(rank))
    try:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group(backend, rank=rank, world_size=workers)
        numbers = torch.full((NUMBERS,), float(rank + 1), device=device)
        dist.all_reduce(numbers)
        right = workers * (workers + 1) / 2
        wrong = int((numbers != right).sum())
        said.write_text(f"{wrong} of {NUMBERS} sums are wrong" if wrong else "ok", encoding="utf-8")
        dist.destroy_process_group()
    except Exception:
        said.write_text(traceback.format_exc(limit=-2).strip(), encoding="utf-8")
