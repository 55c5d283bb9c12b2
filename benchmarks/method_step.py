"""Measures the overhead of a method over its optimizer: a step through the registry and a bare one, in turns.

    python benchmarks/method_step.py adamw muon lion

Both step the same parameters with the same gradients and the same state, so that only the way to the step differs: the
place of two models in memory would make a difference of a few per cent. Prints the median over pairs of (step of the
method) / (bare step) in CPU time, with its 99 % interval, and the same for the bare step against itself; the aim is
1 +- 0.01.
"""

import argparse
import gc
import math
import time
from collections.abc import Callable, Sequence

import torch
from torch.optim import Optimizer

from ire.methods.method import parse_method
from ire.optim.wrapping.several_bases import SeveralBases
from search_spaces import find_space
from trainables.task import load_task
from trainables.training.groups import grouped
from trainables.training.optimizers import build_optimizer, set_learning_rates

Step = Callable[[], None]


def bare(method, settings, model) -> list[Optimizer]:
    """The optimizer as a user would construct it, without our code."""
    made, groups = [], grouped(method, settings, model)
    for base, is_rest in ((method.base, False), (method.base.rest, True)):
        parameters = [p for group in groups if group.is_rest == is_rest for p in group.parameters.values()]
        if base is not None and parameters:
            made.append(base.load()(parameters, **base.keywords(settings, horizon=1000)))
    return made


def steps(name: str, task: str) -> tuple[Step, Step]:
    """A step through the registry, with learning rates set as the loop sets them, and the bare step."""
    method, space = parse_method(name), find_space(task)
    settings = method.resolve(space.published(method))
    model = load_task(task).model()
    ours = build_optimizer(method, settings, model, horizon=1000, seed=0)
    theirs = bare(method, settings, model)
    for own, other in zip(ours.bases if isinstance(ours, SeveralBases) else [ours], theirs, strict=True):
        other.state = own.state
    for p in model.parameters():
        p.grad = torch.full_like(p, 1e-3)
    rates = [settings["lr"], settings.get("rest_lr", settings["lr"])]

    def step_ours() -> None:
        set_learning_rates(ours, method, settings, 0.5)
        ours.step()

    def step_theirs() -> None:
        for optimizer, rate in zip(theirs, rates, strict=False):
            for group in optimizer.param_groups:
                group["lr"] = 0.5 * rate
            optimizer.step()

    return step_ours, step_theirs


def seconds(step: Step, repeats: int) -> float:
    start = time.thread_time()  # of this thread only, so that other load on the machine does not count
    for _ in range(repeats):
        step()
    return time.thread_time() - start


def ratios(first: Step, second: Step, pairs: int, repeats: int) -> list[float]:
    """(time of `first`) / (time of `second`) for each pair; they begin in turns."""
    found = []
    for pair in range(pairs):
        if pair % 2:
            a, b = seconds(first, repeats), seconds(second, repeats)
        else:
            b, a = seconds(second, repeats), seconds(first, repeats)
        found.append(a / b)
    return found


def median(values: Sequence[float]) -> tuple[float, float, float]:
    """The median with the ends of its 99 % interval, from the order of the values alone (a sign test)."""
    ordered, n = sorted(values), len(values)
    reach = 2.58 * math.sqrt(n) / 2
    low, high = max(0, math.floor((n - 1) / 2 - reach)), min(n - 1, math.ceil((n - 1) / 2 + reach))
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2, ordered[low], ordered[high]


def line(values: Sequence[float]) -> str:
    middle, low, high = median(values)
    return f"{middle:.4f} [{low:.4f}, {high:.4f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("methods", nargs="*", default=["adamw", "sgd", "muon", "lion"])
    parser.add_argument("--task", default="stdlib-lm")
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=1, help="steps of each in a pair (default 1)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    gc.disable()  # a collection would happen in one step of a pair
    for name in arguments.methods:
        ours, theirs = steps(name, arguments.task)
        seconds(ours, 50), seconds(theirs, 50)
        found = ratios(ours, theirs, arguments.pairs, arguments.repeats)
        same = ratios(theirs, theirs, arguments.pairs, arguments.repeats)
        took = 1e3 * seconds(theirs, 50) / 50
        print(f"{name}: {line(found)}, bare against itself {line(same)}, {took:.2f} ms a step")
        gc.collect()


if __name__ == "__main__":
    main()
