"""What a method costs over the optimizer inside it: the same step through the registry and by the bare class, in turns.

    python benchmarks/method_step.py adamw muon lion

Prints the median over pairs of (step of the method) / (bare step) in CPU time, with quartiles; the aim is 1 +- 0.01.
"""

import argparse
import statistics
import time

import torch
from torch.optim import Optimizer

from ire.methods.method import parse_method
from search_spaces import find_space
from trainables.task import load_task
from trainables.training.groups import grouped
from trainables.training.optimizers import build_optimizer, set_learning_rates


def bare(method, settings, model) -> list[Optimizer]:
    """What a person would write: the constructors, and nothing of ours."""
    made, groups = [], grouped(method, settings, model)
    for base, is_rest in ((method.base, False), (method.base.rest, True)):
        parameters = [p for group in groups if group.is_rest == is_rest for p in group.parameters.values()]
        if base is not None and parameters:
            made.append(base.load()(parameters, **base.keywords(settings, horizon=1000)))
    return made


def seconds(step, repeats: int) -> float:
    start = time.thread_time()  # of this thread alone: others on the machine do not count
    for _ in range(repeats):
        step()
    return time.thread_time() - start


def ratios(name: str, task: str, pairs: int, repeats: int) -> list[float]:
    """(step by the registry, its learning rates set as the loop does) / (bare step), pair by pair."""
    method, space = parse_method(name), find_space(task)
    settings = method.resolve(space.published(method))
    models = [load_task(task).model() for _ in range(2)]
    ours = build_optimizer(method, settings, models[0], horizon=1000, seed=0)
    theirs = bare(method, settings, models[1])
    for model in models:
        for p in model.parameters():
            p.grad = torch.full_like(p, 1e-3)

    def step_ours() -> None:
        set_learning_rates(ours, method, settings, 0.5)
        ours.step()

    def step_theirs() -> None:
        for optimizer in theirs:
            for group in optimizer.param_groups:
                group["lr"] = 0.5 * settings["lr"]
            optimizer.step()

    seconds(step_ours, repeats), seconds(step_theirs, repeats)
    found = []
    for pair in range(pairs):
        steps = (step_ours, step_theirs) if pair % 2 else (step_theirs, step_ours)
        taken = {step: seconds(step, repeats) for step in steps}
        found.append(taken[step_ours] / taken[step_theirs])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("methods", nargs="*", default=["adamw", "sgd", "muon", "lion"])
    parser.add_argument("--task", default="stdlib-lm")
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.methods:
        found = ratios(name, arguments.task, arguments.pairs, arguments.repeats)
        low, median, high = statistics.quantiles(found, n=4)
        print(f"{name}: {median:.3f} [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    main()
