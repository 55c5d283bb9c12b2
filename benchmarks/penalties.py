"""Measures the cost of the methods of Novack et al. 2023: time and memory of a step over plain SGD on the same data.

    python benchmarks/penalties.py [--rounds 9] [--model resnet8] [--device cpu]

Prints medians [quartiles] of ratios within interleaved pairs: plain SGD and the method run one after the other, in
alternating order, on batches in the same micro-batches. On the CPU, one thread is used and its processor time counted,
so that other work on the machine does not count; on a GPU, synchronised wall-clock. Memory is the peak that a step
allocates, from the profiler's allocator events (GPU: torch's own count).
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

import trainables.penalties.second_derivatives as second_derivatives
from ire.methods.method import all_methods, parse_method
from ire.trial.spec import TrialSpec
from trainables.models.cifar_resnet import CifarResNet
from trainables.models.resnet18 import ResNet18
from trainables.models.vgg import VGG11, Vgg
from trainables.task import Task
from trainables.training.training import Training

MODELS: dict[str, Callable[[], nn.Module]] = {
    "resnet8": lambda: CifarResNet(depth=8, classes=10),
    "resnet20": lambda: CifarResNet(depth=20, classes=10),
    "resnet18, a quarter as wide": lambda: ResNet18(classes=10, width=16),
    "vgg11, a quarter as wide, no batch norm": lambda: Vgg(VGG11, classes=10, batch_norm=False, narrower=4),
}
AIMS = {"sgd-gn": 3.0, "sgd-ft": 3.5, "sgd-aj": 3.5, "sgd-uj": 3.5}
MICRO_BATCHES = 2
FOREVER = 10**9


class Images(Task):
    """One batch of random images, again and again."""

    name = "images"

    def __init__(self, model: str, micro_batch: int) -> None:
        self.batch_size = MICRO_BATCHES * micro_batch
        self._model = MODELS[model]

    def model(self) -> nn.Module:
        return self._model()

    def train_batches(self, *, seed, start):
        draws = torch.Generator().manual_seed(seed)
        images = torch.randn(self.batch_size, 3, 32, 32, generator=draws)
        return itertools.repeat((images, torch.randint(10, (self.batch_size,), generator=draws)))

    def eval_batches(self, split):
        return []


def training(method: str, model: str, micro_batch: int, device: str) -> Training:
    """A trial that never reports, some steps old."""
    arm = parse_method(method)
    settings = {"lr": 1e-3, "micro_batch": micro_batch}
    spec = TrialSpec(
        task="images",
        method=method,
        settings=arm.resolve({name: value for name, value in settings.items() if name in arm.settings}),
        seed=0,
        horizon=FOREVER,
        eval_interval=FOREVER,
        micro_batches=1 if arm.update else MICRO_BATCHES,
        external_norms=((1, 1.0),) if arm.update == "external" else (),
    )
    found = Training(Images(model, micro_batch), spec, device=torch.device(device))
    for _ in range(2):
        found.advance()
    return found


def seconds(step: Callable[[], object], device: str) -> float:
    """Processor seconds of this process on the CPU, wall-clock on a GPU."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    if device == "cuda":
        torch.cuda.synchronize()
    begin = clock()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - begin


def ratios(reference: Training, variant: Training, rounds: int, device: str) -> tuple[list[float], float]:
    """The ratios variant / reference of all pairs, and the reference's median seconds."""
    found, times = [], []
    for number in range(rounds):
        first, second = (reference, variant) if number % 2 else (variant, reference)
        a, b = seconds(first.advance, device), seconds(second.advance, device)
        plain, other = (a, b) if number % 2 else (b, a)
        found.append(other / plain)
        times.append(plain)
    return found, statistics.median(times)


def peak_bytes(step: Callable[[], object], device: str) -> int:
    """The peak memory that a step allocates, in bytes."""
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(profile_memory=True, record_shapes=False) as profile:
        step()
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def quartiles(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def report(model: str, micro_batch: int, rounds: int, device: str) -> None:
    plain = training("sgd", model, micro_batch, device)
    base = peak_bytes(plain.advance, device)
    print(
        f"\n{model}: {MICRO_BATCHES} micro-batches of {micro_batch} images; plain SGD holds {base / 2**20:.0f} MiB"
    )
    print(f"{'method':14s} {'time over plain SGD':>20s} {'aim':>5s} {'memory over':>12s}")
    for name, method in all_methods().items():
        if method.update is None or method.ire:
            continue
        variant = training(name, model, micro_batch, device)
        found, _ = ratios(plain, variant, rounds, device)
        memory = peak_bytes(variant.advance, device) / base
        aim = f"{AIMS[name]:.1f}" if name in AIMS else "-"
        print(f"{name:14s} {quartiles(found):>20s} {aim:>5s} {memory:12.2f}", flush=True)
    routes = dict(second_derivatives.CHEAPER)
    second_derivatives.CHEAPER.clear()  # as torch would differentiate twice
    try:
        variant = training("sgd-gn", model, micro_batch, device)
        found, _ = ratios(plain, variant, rounds, device)
        memory = peak_bytes(variant.advance, device) / base
        print(f"{'sgd-gn, torch':14s} {quartiles(found):>19s} {'-':>5s} {memory:12.2f}", flush=True)
    finally:
        second_derivatives.CHEAPER.update(routes)
    print(
        f"matrix products and convolutions over plain SGD, counted: {flop_ratio(model, micro_batch, device):.2f}"
    )


def flop_ratio(model: str, micro_batch: int, device: str) -> float:
    """Floating-point operations of a penalized gradient over those of a plain one: the limit of what is possible."""
    from torch.utils.flop_counter import FlopCounterMode

    from trainables.penalties import differentiable_twice, penalized_gradient

    network = MODELS[model]().to(device)
    images, labels = (
        torch.randn(micro_batch, 3, 32, 32, device=device),
        torch.zeros(micro_batch, device=device),
    )
    parameters = list(network.parameters())
    counts = []
    for penalized in (False, True):
        with FlopCounterMode(display=False) as counter:
            with differentiable_twice():
                loss = F.cross_entropy(network(images), labels.long())
            if penalized:
                penalized_gradient(loss, loss, parameters, 0.01)
            else:
                torch.autograd.grad(loss, parameters)
        counts.append(counter.get_total_flops())
    return counts[1] / counts[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="pairs per ratio")
    parser.add_argument("--micro-batch", type=int, default=64)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--model", choices=[*MODELS], action="append", help="all if not given")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "one CPU thread"
    print(f"torch {torch.__version__}, {name}, {arguments.rounds} pairs a ratio")
    for model in arguments.model or MODELS:
        report(model, arguments.micro_batch, arguments.rounds, arguments.device)


if __name__ == "__main__":
    main()
