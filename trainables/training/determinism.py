"""Bitwise reproducible trials on a GPU: sets torch's switches for a trial and restores them afterwards.

On a CPU nothing is needed. On a GPU a sum of atomic additions (an embedding's gradient, some of cuDNN's weight
gradients) has another order each time, and cuDNN's tuner may choose another algorithm in another process.
"""

import contextlib
import os
from collections.abc import Iterator

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextlib.contextmanager
def determinism(wanted: bool) -> Iterator[None]:
    """Inside, torch takes deterministic algorithms where it has them, and warns where not; nothing unless `wanted`.

    It only warns because it takes every running sum of floats for one that is not: labels are sampled by one along
    each row, which is the same every time. cuBLAS reads its variable at its first product in the process.
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
