"""Measures what a training function's handle costs: a trial of some 30 s against the same loop run bare.

    python benchmarks/function_overhead.py [--seconds 30] [--rounds 3]

The loop trains a small network, reports 20 times and saves its state after each report (kept once a minute). Bare loop
and trial take turns, and CPU seconds are counted, so that other processes disturb little. The time inside the handle's
own calls and around the function is also printed: seeding, reports, saving, restoring the process.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ire.trial.spec import TrialSpec
from trainables.functions.function import as_function
from trainables.functions.run import run_function
from trainables.functions.trial import Trial

REPORTS = 20
CALLS = ("report", "save")


class Bare:
    """A stand-in for the handle that does nothing."""

    first_step, saved, seed, device = 0, None, 0, torch.device("cpu")

    def __init__(self, horizon: int) -> None:
        self.horizon, self._interval = horizon, horizon // REPORTS

    def due(self, step: int) -> bool:
        return step % self._interval == 0 or step == self.horizon

    def report(self, step: int, **losses: Any) -> None:
        for loss in losses.values():
            float(loss)

    def save(self, state: Any) -> None: ...


def train(trial: Any) -> None:
    torch.manual_seed(trial.seed)
    model = nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))
    optimizer = torch.optim.AdamW(model.parameters())
    draw = torch.Generator().manual_seed(trial.seed)
    inputs, targets = torch.randn(4096, 64, generator=draw), torch.randint(10, (4096,), generator=draw)
    for step in range(trial.first_step, trial.horizon):
        rows = torch.randint(4096, (128,), generator=draw)
        loss = F.cross_entropy(model(inputs[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if trial.due(step + 1):
            with torch.no_grad():
                val_loss = F.cross_entropy(model(inputs), targets)
            trial.report(step + 1, train_loss=loss.detach(), val_loss=val_loss)
            trial.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()})


WIDTH = 256


def as_trial(horizon: int) -> None:
    spec = TrialSpec(
        task="a function",
        method="mine",
        settings={"lr": 1e-3},
        seed=0,
        horizon=horizon,
        eval_interval=horizon // REPORTS,
    )
    with tempfile.TemporaryDirectory() as folder:
        run_function(spec, lambda report, trial: True, function=as_function(train), checkpoint=folder)


def seconds(call: Callable[[], None]) -> float:
    """CPU seconds of this process only, on one thread, so that other processes do not count."""
    start = time.process_time()
    call()
    return time.process_time() - start


def inside(horizon: int) -> float:
    """Seconds of a whole trial outside the loop's own work: in the handle, and before and after the function."""
    spent, loop = 0.0, 0.0
    originals = {name: getattr(Trial, name) for name in CALLS}

    def timed(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal spent
            start = time.process_time()
            try:
                return original(*arguments, **named)
            finally:
                spent += time.process_time() - start

        return call

    def whole(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal loop
            start = time.process_time()
            try:
                return original(*arguments)
            finally:
                loop += time.process_time() - start

        return call

    run = Trial.run
    try:
        for name, original in originals.items():
            setattr(Trial, name, timed(original))
        Trial.run = whole(run)
        total = seconds(lambda: as_trial(horizon))
    finally:
        for name, original in originals.items():
            setattr(Trial, name, original)
        Trial.run = run
    trial = Trial.alone("mine", {}, horizon=horizon + 1, eval_interval=horizon + 1)
    asked = seconds(
        lambda: [trial.due(step) for step in range(1, horizon + 1)]
    )  # too short to be timed individually
    return spent + total - loop + asked


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    train(Bare(1000))  # warms up
    horizon = round(1000 * given.seconds / seconds(lambda: train(Bare(1000)))) // REPORTS * REPORTS
    ratios = []
    for _ in range(given.rounds):
        bare, trial = seconds(lambda: train(Bare(horizon))), seconds(lambda: as_trial(horizon))
        ratios.append(trial / bare)
        print(f"{horizon} steps: bare {bare:.2f} s, as a trial {trial:.2f} s, ratio {ratios[-1]:.4f}")
    own = inside(horizon)
    print(f"median ratio {statistics.median(ratios):.4f}")
    print(f"inside the handle and around the function {own:.3f} s: {own / bare:.2%} of the bare loop")
    print(f"{1e6 * own / horizon:.1f} microseconds a step")


if __name__ == "__main__":
    main()
