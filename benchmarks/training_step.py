"""Measures the cost of a training step relative to a plain correct loop, and how long it waits for data.

    python benchmarks/training_step.py --data-dir DIR [--task cifar10-resnet56@tiny ...] [--device cuda]

Both loops train the same model on the same batches with torch's own optimizer, in turns of `--steps` steps; the plain
one makes its batches itself. With `--compile` both are compiled, the loss included. Model-FLOP utilisation is the
rate of operations that torch counts in forward and backward, over the rate of a large matrix product of the same type.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from ire.methods.method import parse_method
from ire.trial.spec import TrialSpec
from search_spaces import find_space
from trainables.data.batch import Batch
from trainables.data.folder import data_in
from trainables.task import Task, load_task
from trainables.training.training import Training

TASKS = (
    "digits",
    "stdlib-lm",
    "cifar10-resnet56@tiny",
    "cifar10-resnet56",
    "cifar100-vit-t@tiny",
    "wikitext2@tiny",
    "wikitext2",
)
MATRIX = 2048


class Timed:
    """An iterator that adds up the time spent waiting for it."""

    def __init__(self, items: Iterator) -> None:
        self._items, self.seconds = items, 0.0

    def __iter__(self) -> "Timed":
        return self

    def __next__(self):
        started = time.perf_counter()
        item = next(self._items)
        self.seconds += time.perf_counter() - started
        return item


class Plain:
    """A plain loop: a batch, a gradient, a step."""

    def __init__(
        self, task: Task, lr: float, *, base: str, device: torch.device, precision: str, compile: bool
    ) -> None:
        self.task, self.device, self.precision = task, device, precision
        torch.manual_seed(0)
        self.model = task.model().to(device).train()
        if device.type == "cuda" and any(isinstance(m, torch.nn.Conv2d) for m in self.model.modules()):
            self.model = self.model.to(memory_format=torch.channels_last)
        self.loss = torch.compile(self._loss) if compile else self._loss
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = (
            torch.optim.SGD(parameters, lr=lr, momentum=0.9, fused=True)
            if base == "sgd"
            else torch.optim.AdamW(parameters, lr=lr, fused=True)
        )
        self.batches = task.train_batches(seed=0, start=0)

    def step(self) -> None:
        batch = self.task.prepared(tuple(map(self._moved, next(self.batches))))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _moved(self, part: torch.Tensor) -> torch.Tensor:
        return part.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else part

    def _loss(self, batch: Batch) -> torch.Tensor:
        return self.task.loss(self.task.outputs(self.model, batch), batch)


def timed(step, steps: int, device: torch.device) -> float:
    """Seconds of one of `steps` calls."""
    synchronise(device)
    started = time.perf_counter()
    for _ in range(steps):
        step()
    synchronise(device)
    return (time.perf_counter() - started) / steps


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak(device: torch.device, precision: str) -> float:
    """Floating-point operations a second in the product of two large matrices."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    side = MATRIX * (4 if device.type == "cuda" else 1)  # a GPU's product must take longer than its launch
    a = torch.randn(side, side, device=device, dtype=kind)
    return 2 * side**3 / min(timed(lambda: a @ a, 3, device) for _ in range(3))


def measure(
    name: str, *, device: torch.device, precision: str, compile: bool, steps: int, rounds: int
) -> list[str]:
    """One line of the table."""
    task, space = load_task(name), find_space(name)
    base = "adamw" if "adamw" in space.methods or "sam-adamw" in space.methods else "sgd"
    method = parse_method(base)
    settings = method.resolve(space.published(method) | {"clip_norm": 0.0})
    spec = TrialSpec(
        task=name,
        method=base,
        settings=settings,
        seed=0,
        horizon=10**9,
        eval_interval=10**9,
        precision=precision,
        compile=compile,
        threads=torch.get_num_threads(),
    )
    training = Training(task, spec, device=device)
    training.batches = waiting = Timed(training.batches)
    plain = Plain(task, settings["lr"], base=base, device=device, precision=precision, compile=compile)
    for step in (training.advance, plain.step):
        timed(step, 5, device)
    waiting.seconds = 0.0
    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(timed(plain.step, steps, device))
        ours.append(timed(training.advance, steps, device))
    second = statistics.median(ours)
    plain.loss = plain._loss  # compiled operations are not counted
    with FlopCounterMode(display=False) as counter:
        plain.step()
    examples = task.batch_size * getattr(task, "context", 1)
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    return [
        name,
        f"{second * 1e3:.1f}",
        f"{examples / second:,.0f}",
        f"{waiting.seconds / (sum(ours) * steps):.1%}",
        f"{ratio:.2f}x",
        f"{counter.get_total_flops() / second / peak(device, precision):.0%}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", action="append", help="may be given several times")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--steps", type=int, default=10, help="in a turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each loop")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    print(
        "| task | ms a step | examples or tokens a second | waiting for data | against the plain loop | MFU |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    with data_in(options.data_dir):
        for name in options.task or TASKS:
            line = measure(
                name,
                device=device,
                precision=options.precision,
                compile=options.compile,
                steps=options.steps,
                rounds=options.rounds,
            )
            print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    main()
