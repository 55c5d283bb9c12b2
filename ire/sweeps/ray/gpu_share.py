"""Suggests at the end of a sweep which share of a GPU a trial needs, from the utilization of its GPUs."""

from collections.abc import Iterable, Mapping
from statistics import mean
from typing import Any, cast

from ire.sweeps.plan.plan import Plan
from trainables.gang.shares import places

IDLE = 0.6
"""A GPU with a higher utilization would gain little from more trials."""
SHARES = (0.5, 0.25, 0.2, 0.125, 0.1)
PROCESS_MIB = 600.0
"""Memory that a process takes beside its tensors: the CUDA context and the kernels that it loads."""
HEADROOM = 0.8
"""Share of a GPU's time and memory that the trials on it may need together."""


def suggested_share(plan: Plan, reports: Iterable[Mapping[str, Any]], memory_mib: float | None) -> str | None:
    """A suggestion for a sweep whose GPUs were often idle, from the last report of each trial; else None.

    If a GPU's memory is known (`memory_mib`), the trials on it must fit with some headroom.
    """
    reports = [r for r in reports if r.get("gpu_utilization") is not None]
    gpus = plan.gpus_per_worker
    if not reports or plan.workers > 1 or not 0 < gpus <= 1:
        return None
    together = places(1.0, gpus)
    busy = mean(r["gpu_utilization"] for r in reports)
    peak = max((r.get("peak_memory_mib") or 0.0 for r in reports), default=0.0)

    def fits(share: float) -> bool:
        number = places(1.0, share)
        return number * busy / together <= HEADROOM and (
            memory_mib is None or number * (peak + PROCESS_MIB) <= HEADROOM * memory_mib
        )

    best = min((share for share in SHARES if share < gpus and fits(share)), default=None)
    if busy > IDLE or best is None:
        return None
    return (
        f"the GPUs were busy {busy:.0%} of the time with {together} trial{'s' * (together != 1)} on each, of at most "
        f"{peak:,.0f} MiB: another sweep like this could run {places(1.0, best)} on each with "
        f"--gpus-per-worker {best:g}"
    )


def memory_of_a_gpu() -> float | None:
    """The memory in MiB of the smallest GPU of this machine; None without GPUs, and if they cannot be used."""
    import torch  # slow to load

    try:
        devices = [cast(Any, torch.cuda).get_device_properties(n) for n in range(torch.cuda.device_count())]
    except RuntimeError:
        return None
    return min((device.total_memory / 2**20 for device in devices), default=None)
