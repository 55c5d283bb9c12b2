"""Measures the driver's cost of a very long sweep: 10,000 trials and 1,000,000 reports, with trials that take no time.

Search, ASHA, records and report are the real ones; only training is left out. Prints the driver's time for each
tenth of the reports, which must not grow, its memory, and how long a resume and a report of the folder take.

    python benchmarks/scale.py [--trials 10000] [--reports 100]
"""

import argparse
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import RUNNING
from ire.sweeps.search.protocol import Protocol
from search_spaces import find_space
from search_spaces.space import parse_space

METHODS = ("sgd", "sgd-ire", "adamw", "adamw-ire")


def plan(trials: int, reports: int) -> Plan:
    """A plan of the digits space in which every trial sends `reports` reports, and half of them reach a late rung."""
    text = find_space("digits").text
    horizon = 4 * reports
    replaced = text.replace("horizon = 240", f"horizon = {horizon}").replace(
        "eval_interval = 8", "eval_interval = 4"
    )
    replaced = replaced.replace("rungs = [120, 176]", f"rungs = [{horizon - 4}]")
    assert replaced.count(str(horizon)) and f"rungs = [{horizon - 4}]" in replaced
    space = parse_space(replaced, task="digits", source="benchmarks/scale.py")
    each = math.ceil(trials / len(METHODS))
    needed = math.ceil(
        2.2 * each / space.search.budget_per_trial
    )  # so that the cap on trials binds, not the budget
    return Plan(
        name="scale",
        task="digits",
        methods=METHODS,
        trials=max(each, needed),
        confirm_seeds=5,
        seed=0,
        space=space,
    )


def run(protocol: Protocol, trials: int) -> list[tuple[int, float]]:
    """Run until `trials` have started; returns (reports, seconds of the driver) after each trial."""
    marks, reports, spent = [], 0, 0.0
    while len(protocol.records.trials) < trials:
        began = time.perf_counter()
        trial = protocol.next_trial()
        spec = trial.spec
        floor = 0.05 + 0.1 * abs(math.log10(spec.settings["lr"] / 0.1)) + 1e-3 * (spec.seed % 97) / 97
        for step in range(spec.eval_interval, spec.horizon + 1, spec.eval_interval):
            loss = floor + 2 * math.exp(-step / 40)
            report = {
                "step": step,
                "gradient_evaluations": step,
                "seconds": step / 100,
                "train_loss": loss,
                "val_loss": loss,
                "val_accuracy": 1 - loss / 3,
                "lr": 0.1,
                "grad_norm": 1.0,
                "steps_per_second": 100.0,
                "diverged": False,
            }
            reports += 1
            if not protocol.report(trial, report):
                break
        assert trial.status != RUNNING
        trial.forget_reports()
        spent += time.perf_counter() - began
        marks.append((reports, spent))
    return marks


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--reports", type=int, default=100, help="of one trial")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sweep = plan(arguments.trials, arguments.reports)
        (folder / "sweep.toml").write_text(sweep.to_toml())
        before = resident()
        marks = run(Protocol(sweep, folder), arguments.trials)
        tenth = len(marks) // 10
        costs = []
        for index in range(10):
            (r0, s0), (r1, s1) = (
                marks[index * tenth - 1] if index else (0, 0.0),
                marks[(index + 1) * tenth - 1],
            )
            costs.append(1e6 * (s1 - s0) / (r1 - r0))
        print(f"{len(marks)} trials, {marks[-1][0]} reports, {marks[-1][1]:.0f} s of driver time")
        print("microseconds a report, by tenths:", " ".join(f"{cost:.0f}" for cost in costs))
        print(f"last tenth over first: {costs[-1] / costs[0]:.2f} (at most 1.5)")
        print(f"memory of the driver: {before:.0f} -> {resident():.0f} MB")
        print(f"trials.jsonl {size(folder / 'trials.jsonl')}, results.jsonl {size(folder / 'results.jsonl')}")
        began = time.perf_counter()
        Protocol(sweep, folder)
        print(f"replay for a resume: {time.perf_counter() - began:.0f} s")
        began = time.perf_counter()
        code = f"import resource; from sweeps import open_experiment; open_experiment({name!r}).report(); "
        code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        print(f"ire report: {seconds:.0f} s (at most 60), {done.stdout.strip()} MB")


def resident() -> float:
    """The largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.0f} MB"


if __name__ == "__main__":
    main()
