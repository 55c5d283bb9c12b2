"""The hardware of a trial as one string; only times on equal hardware are compared."""

import functools
import platform
from pathlib import Path

import torch


@functools.cache
def hardware(device: torch.device) -> str:
    """The model of the GPU, or of the CPU; all workers are assumed to have the same."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
