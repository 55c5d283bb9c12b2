"""Bitwise reproducible trials on a GPU: sets torch's switches for a trial and restores them afterwards.

A CPU needs nothing. On a GPU the order of atomic additions (an embedding's gradient, some of cuDNN's weight
gradients) changes each time, and cuDNN's tuner may choose another algorithm in another process.
"""

import contextlib
import os
from collections.abc import Generator

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextlib.contextmanager
def determinism(wanted: bool) -> Generator[None, None, None]:
    """Let torch use deterministic algorithms inside, and warn where it has none; no effect unless `wanted`.

    Errors would be wrong: torch treats every running sum of floats as nondeterministic, and labels are sampled with one
    along each row, which is always the same. cuBLAS reads its variable at its first product in the process.
    """
    if not wanted:
        yield
        return
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    cudnn = torch.backends.cudnn
    tuner, chosen = cudnn.benchmark, cudnn.deterministic
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.benchmark, cudnn.deterministic = tuner, chosen
