"""Frees the memory of earlier trials and initialises a trial's model on its device."""

import gc
from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import nn

from trainables.task import Task


def model_on(task: Task, device: torch.device) -> nn.Module:
    """A freshly initialised model of the task.

    On a GPU its parameters are drawn by the GPU's generator, since a CPU takes seconds for hundreds of millions of
    numbers; a task whose initialisation needs the CPU is initialised there. On a GPU convolutions are in channels-last
    format, which suits its tensor cores.
    """
    if device.type != "cuda":
        return task.model().to(device)
    before = torch.get_rng_state()
    try:
        with device:
            model = task.model()
    except (RuntimeError, ValueError, TypeError):  # a CPU generator, numpy, a table made by hand
        torch.set_rng_state(before)
        model = task.model()
    if any(isinstance(module, nn.Conv2d) for module in model.modules()):
        model = model.to(memory_format=torch.channels_last)
    return model.to(device)


@contextmanager
def existing_objects_skipped() -> Generator[None, None, None]:
    """Let `release` skip what exists, mostly loaded modules; a process that had frozen objects keeps all frozen."""
    frozen_before = gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not frozen_before:
            gc.unfreeze()


def why_unusable(device: torch.device | str) -> str | None:
    """Why nothing can be computed on a device: it is not there, full, broken, or in exclusive mode; else None."""
    # torch knows devices that are not here, and has an exception for each kind
    try:
        torch.ones(2, device=device).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return str(error).strip().splitlines()[0]
    return None


def release() -> None:
    """Free the memory of ended trials; Python's collector does not know how full a GPU is."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def begin_peak_memory(device: torch.device) -> None:
    """Begin a trial's peak: a warm worker's allocator remembers that of all earlier trials."""
    if device.type == "cuda":
        torch.cuda.init()  # torch resets only what it has initialised
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_mib(device: torch.device) -> dict[str, float]:
    """The peak memory since `begin_peak_memory`, as a column of a trial's reports; a CPU has none."""
    if device.type != "cuda":
        return {}
    return {"peak_memory_mib": torch.cuda.max_memory_allocated(device) / 2**20}
