"""A trial that does not fit into memory fails with advice, and its worker continues with the next trial."""

import torch

from ire.trial.spec import TrialSpec


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation has failed, on the device or on the host; the process stays usable."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


def lacks_memory(error: BaseException) -> bool:
    """Whether memory is why it failed, even if the process is not usable afterwards.

    CUDA and its libraries allocate outside torch's allocator: contexts, workspaces, loaded kernels.
    """
    text = str(error).lower()
    return is_out_of_memory(error) or "out of memory" in text or "status_alloc_failed" in text


def advice(error: BaseException, spec: TrialSpec) -> str:
    """The allocator's first line, and the options that make the trial smaller."""
    cause = (str(error).splitlines() or [type(error).__name__])[0]
    return (
        f"out of memory with --micro-batches {spec.micro_batches}: a sweep with --micro-batches "
        f"{2 * spec.micro_batches} needs about half as much for activations; --precision bf16 and a larger "
        f"--gpus-per-worker also help ({cause})"
    )
