"""Measures one call on a GPU: its time, its launches, its synchronisations; on a CPU, the operations that would launch.

Host milliseconds end when control returns to Python, with nothing queued before. Queued milliseconds are those of one
call among many in a row, synchronised once, as in training.
"""

import collections
import statistics
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

READS = ("_local_scalar_dense", "nonzero", "masked_select", "unique")
"""Operations whose result the host must know before it continues."""


@dataclass(frozen=True)
class Counted:
    """What one call does."""

    kernels: int
    """Kernels and copies on a GPU, operations on a CPU."""
    gpu_ms: float
    waits: collections.Counter
    """(file:line) to how often the host waits there."""

    @property
    def places(self) -> str:
        return ", ".join(f"{place} x{n}" for place, n in self.waits.most_common(4))


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def host_ms(call: Callable[[], object], device: torch.device, rounds: int = 10) -> float:
    times = []
    for _ in range(rounds):
        synchronise(device)
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    synchronise(device)
    return statistics.median(times) * 1e3


def queued_ms(call: Callable[[], object], device: torch.device, calls: int = 20, rounds: int = 3) -> float:
    times = []
    for _ in range(rounds):
        synchronise(device)
        began = time.perf_counter()
        for _ in range(calls):
            call()
        synchronise(device)
        times.append((time.perf_counter() - began) / calls)
    return statistics.median(times) * 1e3


def peak_mib(call: Callable[[], object], device: torch.device) -> float:
    """The peak memory that a call allocates, in MiB, without earlier allocations."""
    if device.type != "cuda":
        call()
        return 0.0
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20


def counted(
    call: Callable[[], object], device: torch.device, ready: Callable[[], object] = lambda: None
) -> Counted:
    """Call it twice: once to count launches, once to locate waits; `ready` is called before each."""
    ready()
    if device.type != "cuda":
        with _Operations() as operations:
            call()
        return Counted(operations.number, 0.0, operations.reads)
    from torch.profiler import ProfilerActivity, profile

    synchronise(device)
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        call()
        synchronise(device)
    events = [e for e in trace.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    gpu_ms = sum(e.time_range.elapsed_us() for e in events) / 1e3
    ready()
    synchronise(device)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = (w for w in caught if "synchroniz" in str(w.message))
    return Counted(
        len(events), gpu_ms, collections.Counter(f"{_short(w.filename)}:{w.lineno}" for w in waits)
    )


class _Operations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.number, self.reads = 0, collections.Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.number += 1
        if any(name in str(function) for name in READS):
            ours = [f for f in traceback.extract_stack() if "site-packages" not in f.filename]
            frame = next((f for f in reversed(ours) if f.filename != __file__), None)
            self.reads[f"{_short(frame.filename)}:{frame.lineno}" if frame else "torch"] += 1
        return function(*args, **(kwargs or {}))


def _short(filename: str) -> str:
    return "/".join(Path(filename).parts[-2:])
