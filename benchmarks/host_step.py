"""Measures what a step on a GPU costs the host, without a GPU: everything but the kernels and the copies to the device.

    python benchmarks/host_step.py

IRE's step in one launch and torch's fused AdamW step on tensors of 8 x 8, in turns, with launches replaced by nothing.
Gradients alternate between two sets, as the allocator of a GPU may do. Prints the median over pairs of (IRE's step) /
(torch's step) in CPU time with quartiles, and the shortest of each. On a GPU, IRE then launches a copy and a kernel,
torch a kernel for each few dozen tensors; both add 1 to the counters.
"""

import argparse
import statistics
import time
from collections.abc import Sequence

import torch

from ire import IRE
from ire.optim.steps.paths import Paths
from ire.optim.tensors.tiles import Tiles

STEPS = 60
"""In one reading."""


def parameters(count: int, kind: torch.dtype) -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(8, 8).to(kind)) for _ in range(count)]


def adamw(ps: Sequence[torch.nn.Parameter]) -> torch.optim.AdamW:
    return torch.optim.AdamW(ps, lr=1e-3, fused=True)


def give(ps: Sequence[torch.nn.Parameter], gradients: Sequence[torch.Tensor]) -> None:
    for p, gradient in zip(ps, gradients, strict=True):
        p.grad = gradient


def microseconds(step, ps, gradients) -> float:
    """Of one step, alone: setting the gradients is not counted."""
    total = 0.0
    for i in range(STEPS):
        give(ps, gradients[i % 2])
        began = time.thread_time()
        step()
        total += time.thread_time() - began
    return total / STEPS * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tensors", type=int, default=146, help="as many as Llama-60M has (default: 146)")
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    Paths._on_gpu = lambda self, base: True
    Tiles.launch = lambda *_, **__: None
    for kind in (torch.float32, torch.bfloat16):
        ours, theirs = (parameters(options.tensors, kind) for _ in range(2))
        gradients = [[torch.randn_like(p) for p in ours] for _ in range(2)]
        boosted = IRE(adamw(ours), kappa=3, gamma=0.6, interval=10**9, curvature="sampled")
        plain = adamw(theirs)
        give(ours, gradients[0])
        boosted.update_mask()
        for _ in range(3):
            give(ours, gradients[0])
            give(theirs, gradients[0])
            boosted.step()
            plain.step()
        assert boosted.path == "triton"
        kernels = torch._fused_adamw_, torch._foreach_add_
        torch._fused_adamw_ = lambda *_, **__: None
        torch._foreach_add_ = lambda counters, *_, **__: torch.autograd.graph.increment_version(counters)
        try:
            pairs = [
                (microseconds(boosted.step, ours, gradients), microseconds(plain.step, theirs, gradients))
                for _ in range(options.rounds)
            ]
        finally:
            torch._fused_adamw_, torch._foreach_add_ = kernels
        low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
        print(
            f"{options.tensors} tensors, {kind}: {middle:.2f} [{low:.2f}, {high:.2f}] of torch's fused AdamW; "
            f"at best {min(a for a, _ in pairs):.0f} and {min(b for _, b in pairs):.0f} us",
            flush=True,
        )


if __name__ == "__main__":
    main()
