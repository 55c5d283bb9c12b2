"""Measures the cost of a whole sweep beyond its training: wall-clock over pure training time, after start-up.

    python benchmarks/sweep_overhead.py [--trials 11] [--confirm-seeds 0] [--studies 1] [--max-concurrent N]

Runs a digits sweep of four methods (40 trials by default) through the whole system; with confirm seeds and studies also
its later stages. Pure training time is the time that workers spend in optimizer steps; evaluation, reports, records,
TensorBoard, Optuna and Tune are the overhead.
Start-up ends when every slot has finished its first trial. The quiet pass, one trial at a time, does not count.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from ire import sweep
from ire.sweeps.records.records import TIMING

METHODS = ("sgd", "sgd-ire", "adamw", "adamw-ire")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=11)
    parser.add_argument("--confirm-seeds", type=int, default=0)
    parser.add_argument("--studies", type=int, default=1)
    parser.add_argument("--max-concurrent", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    experiment = sweep(
        "digits",
        methods=METHODS,
        trials=given.trials,
        confirm_seeds=given.confirm_seeds,
        studies=given.studies,
        curve=False,
        max_concurrent=given.max_concurrent,
        storage=folder,
        name="overhead",
    )
    trials = [trial for trial in experiment.records.trials.values() if trial.stage != TIMING]
    slots = given.max_concurrent
    warm = max(sorted(trial.ended for trial in trials[:slots]))
    measured = [trial for trial in trials if trial.ended > warm]
    # a trial that was running when start-up ended counts by the share that came after
    training = sum(
        trial.seconds
        * min(1.0, (trial.ended - warm).total_seconds() / (trial.ended - trial.started).total_seconds())
        for trial in measured
    )
    wall = (max(trial.ended for trial in trials) - warm).total_seconds()
    shutil.rmtree(folder)
    print(f"\n{len(measured)} of {len(trials)} trials after start-up, {slots} slots")
    print(f"wall-clock {wall:.1f} s, pure training {training:.1f} s / {slots} = {training / slots:.1f} s")
    print(f"ratio {wall * slots / training:.3f}")


if __name__ == "__main__":
    main()
