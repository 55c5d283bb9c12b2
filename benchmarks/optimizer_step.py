"""Measures the cost of a boosted step: every path against torch's fused step, and against the straightforward way.

    python benchmarks/optimizer_step.py [--rounds 15] [--threads 1] [--device cpu]

Prints medians [quartiles] of ratios within interleaved pairs: base and variant run one after the other, in
alternating order, so that slow phases of the machine hit both. Time is processor seconds with one thread, wall-clock
with several, CUDA events on a GPU. Memory is counted from the profiler's
allocator events: peak bytes per parameter during a step, without the memory that it keeps.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.optim import Optimizer

from ire.optim import IRE
from ire.optim.steps.paths import Paths

KAPPA, GAMMA = 3.0, 0.6


def resnet18() -> list[tuple[int, ...]]:
    """Parameter shapes of ResNet-18 for ImageNet: 11.7 M in 62 tensors."""
    shapes: list[tuple[int, ...]] = [(64, 3, 7, 7), (64,), (64,)]
    before = 64
    for width in (64, 128, 256, 512):
        for block in range(2):
            inputs = before if block == 0 else width
            shapes += [(width, inputs, 3, 3), (width,), (width,), (width, width, 3, 3), (width,), (width,)]
            if block == 0 and inputs != width:
                shapes += [(width, inputs, 1, 1), (width,), (width,)]
        before = width
    return [*shapes, (1000, 512), (1000,)]


def llama() -> list[tuple[int, ...]]:
    """A Llama of width 512, 8 layers, 32000 words, untied: 58 M in 75 tensors."""
    layer = [(512, 512)] * 4 + [(1376, 512), (1376, 512), (512, 1376), (512,), (512,)]
    return [(32000, 512), *(layer * 8), (512,), (32000, 512)]


MODELS: dict[str, Callable[[], list[tuple[int, ...]]]] = {"resnet18": resnet18, "llama": llama}
BASES = {
    "AdamW": lambda ps, **how: torch.optim.AdamW(ps, lr=1e-4, weight_decay=0.1, **how),
    "SGD momentum": lambda ps, **how: torch.optim.SGD(ps, lr=1e-4, momentum=0.9, weight_decay=1e-4, **how),
}


class Straightforward:
    """The published algorithm, written down directly: three copies, a Boolean mask, `topk` of all values."""

    def __init__(self, base: Optimizer) -> None:
        self.base = base
        self.parameters = [p for group in base.param_groups for p in group["params"]]
        self.mask = [torch.zeros_like(p, dtype=torch.bool) for p in self.parameters]

    def update_mask(self) -> None:
        squares = [p.grad**2 for p in self.parameters]
        everything = torch.cat([s.flatten() for s in squares])
        count = int(everything.numel() * (1 - GAMMA))
        threshold = torch.topk(everything, count).values[-1]
        self.mask = [s <= threshold for s in squares]

    def step(self) -> None:
        before = [p.detach().clone() for p in self.parameters]
        self.base.step()
        with torch.no_grad():
            for p, old, mask in zip(self.parameters, before, self.mask, strict=True):
                p += mask * KAPPA * (p - old)


def build(model: str, base: str, device: str, **how) -> Optimizer:
    """A base optimizer on a model with gradients, one step old."""
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(s, device=device) * 0.02) for s in MODELS[model]()]
    for p in parameters:
        p.grad = torch.randn_like(p)
    optimizer = BASES[base](parameters, **how)
    optimizer.step()
    return optimizer


def boosted(base: Optimizer, **settings) -> IRE:
    optimizer = IRE(base, kappa=KAPPA, gamma=GAMMA, curvature="random", interval=10**9, **settings)
    for _ in range(2):
        optimizer.step()  # draws the mask, compiles
    return optimizer


def rebuilt(base: Optimizer, **settings) -> IRE:
    base.register_step_post_hook(lambda *_: None)  # so the base takes its own step
    return boosted(base, **settings)


def measured(base: Optimizer, **settings) -> IRE:
    optimizer = boosted(base)  # as if the base were unknown:
    paths = Paths(base, compile=settings.get("compile", False), boost_weight_decay=True)
    paths._rule = None
    optimizer._boosted_step.of_bases = [paths]
    for _ in range(2):
        optimizer.step()
    return optimizer


def without_kernels(make: Callable[..., IRE]) -> Callable[..., IRE]:
    """The same without a C compiler: torch's own kernels, on cache blocks."""

    def build_without(base: Optimizer, **settings) -> IRE:
        optimizer = make(base, **settings)
        step = optimizer.step

        def slow_step() -> None:
            os.environ["IRE_KERNELS"] = "0"
            try:
                step()
            finally:
                del os.environ["IRE_KERNELS"]

        optimizer.step = slow_step
        return optimizer

    return build_without


def straightforward(base: Optimizer, **settings) -> Straightforward:
    plain = Straightforward(base)
    plain.update_mask()
    return plain


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def clock() -> float:
    """Processor seconds of this process, so that other processes on the machine do not count.

    With several threads these would add up, so wall-clock is used then.
    """
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def seconds(step: Callable[[], object], device: str) -> float:
    if device == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        step()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3
    begin_time = clock()
    step()
    return clock() - begin_time


def pairs(
    reference: Callable[[], object], variant: Callable[[], object], rounds: int, device: str
) -> Iterator[tuple[float, float]]:
    """(reference, variant) seconds, run in alternating order."""
    for round_ in range(rounds + 2):
        synchronise(device)
        first, second = (reference, variant) if round_ % 2 else (variant, reference)
        a, b = seconds(first, device), seconds(second, device)
        if round_ >= 2:  # warm-up
            yield (a, b) if round_ % 2 else (b, a)


def quartiles(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:5.2f} [{low:.2f}, {high:.2f}]"


def scratch(step: Callable[[], object], count: int) -> float:
    """Peak bytes per parameter that are allocated inside `step`, CPU only."""
    with torch.profiler.profile(profile_memory=True, record_shapes=False) as profile:
        step()
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak / count


def report(model: str, base: str, rounds: int, device: str, compiled: bool) -> None:
    references = {how: build(model, base, device, **{how: True}) for how in ("fused", "foreach")}
    count = sum(p.numel() for group in references["fused"].param_groups for p in group["params"])
    makers = {"native": boosted, "rebuilt": rebuilt, "measured": measured}
    print(f"\n{model}, {count / 1e6:.1f} M parameters, {base}")
    print(f"{'':36s} {'ratio [quartiles]':>22s}  {'to':16s} {'ms':>7s} {'scratch B/p':>12s}")

    def show(name: str, optimizer, reference, against: str) -> None:
        times = list(pairs(reference.step, optimizer.step, rounds, device))
        ratios = [b / a for a, b in times]
        milliseconds = statistics.median(b for _, b in times) * 1e3
        bytes_ = f"{scratch(optimizer.step, count):12.3f}" if device == "cpu" else f"{'-':>12s}"
        print(f"{name:36s} {quartiles(ratios):>22s}  {against:16s} {milliseconds:7.1f} {bytes_}", flush=True)

    for name, make in makers.items():
        show(name, make(build(model, base, device, fused=True)), references["fused"], "fused")
        if compiled:
            optimizer = make(build(model, base, device, fused=True), compile=True)
            show(f"{name} compiled", optimizer, references["fused"], "fused")
    for name in ("native", "measured"):
        slow = without_kernels(makers[name])(build(model, base, device, fused=True))
        show(f"{name}, no compiler", slow, references["fused"], "fused")
    for name in ("native", "measured"):
        optimizer = makers[name](build(model, base, device, foreach=True))
        show(f"{name}, base foreach", optimizer, references["foreach"], "foreach")
    plain = straightforward(build(model, base, device, fused=True))
    show("straightforward", plain, references["fused"], "fused")
    optimizer = boosted(build(model, base, device, fused=True), compile=compiled)
    show("straightforward", plain, optimizer, "native compiled" if compiled else "native")
    optimizer = measured(build(model, base, device, fused=True))
    show("straightforward", plain, optimizer, "measured")


def kept(optimizer: IRE) -> int:
    """Bytes that IRE keeps in addition to the base's state."""
    tables: list[dict[Tensor, Tensor]] = [optimizer._memory.masks, optimizer._memory.averages]
    return sum(t.numel() * t.element_size() for table in tables for t in table.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="pairs per ratio")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--model", choices=[*MODELS], action="append", help="all if not given")
    parser.add_argument("--base", choices=[*BASES], action="append", help="all if not given")
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    name = (
        torch.cuda.get_device_name() if arguments.device == "cuda" else f"{arguments.threads} CPU thread(s)"
    )
    print(f"torch {torch.__version__}, {name}, {arguments.rounds} pairs a ratio")
    for model in arguments.model or MODELS:
        for base in arguments.base or BASES:
            report(model, base, arguments.rounds, arguments.device, not arguments.no_compile)
    example = boosted(build("resnet18", "AdamW", arguments.device, fused=True))
    count = sum(p.numel() for p in example.parameters())
    print(f"\nkept beside the base's state: {kept(example) / count:.2f} bytes a parameter")


if __name__ == "__main__":
    main()
