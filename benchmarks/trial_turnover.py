"""Measures the time from one trial to the next: the warm gang against a TorchTrainer per trial, in one run.

    python benchmarks/trial_turnover.py [--trials 55] [--textbook-trials 4]

Turnover is the time from a trial's last report to the next trial's first training step, with one slot, measured
inside the workers. The textbook recipe is a Tune function that builds a TorchTrainer, which trains the same trials
with the same loop. Also printed: the resident memory of the gang's worker after its 50th trial over its 5th.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import ray
from ray import tune
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from ire import sweep
from search_spaces import find_space

HERE = Path(__file__).parent


def marks_of(folder: Path) -> list[dict]:
    """The marks that the trials logged, in order; empties the file for the next run."""
    path = folder / "marks.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.unlink()
    return lines


def turnovers(marks: list[dict]) -> list[float]:
    """Seconds from each last report to the next first step."""
    return [
        after["time"] - before["time"]
        for before, after in itertools.pairwise(marks)
        if before["event"] == "last report" and after["event"] == "first step"
    ]


def textbook_loop(config: dict) -> None:
    """What a TorchTrainer's worker runs in the textbook recipe."""
    sys.path.append(config["folder"])
    from ire.trial.spec import TrialSpec
    from trainables.training.loop import train

    train(TrialSpec.from_dict(config["spec"]), lambda report, training: ray.train.report(report) or True)


def textbook_trial(config: dict) -> None:
    """A Tune function that builds a TorchTrainer for its trial."""
    TorchTrainer(
        textbook_loop,
        train_loop_config=config,
        scaling_config=ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(storage_path=config["folder"], name=config["spec"]["name"]),
    ).fit()
    tune.report({"done": True})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=55)
    parser.add_argument("--textbook-trials", type=int, default=4)
    given = parser.parse_args()

    folder = Path(tempfile.mkdtemp())
    shutil.copy(HERE / "timed_digits.py", folder / "timed_task.py")  # a task from outside the package
    text = find_space("digits").text.replace("horizon = 240", "horizon = 40").replace("[120, 176]", "[]")
    text = text.replace("eval_interval = 8", "eval_interval = 40").replace(
        "budget_per_trial = 0.75", "budget_per_trial = 1"
    )
    (folder / "timed_digits.toml").write_text(text)
    os.chdir(folder)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")

    experiment = sweep(
        "timed_task:TimedDigits",
        methods=["sgd"],
        trials=given.trials,
        confirm_seeds=0,
        max_concurrent=1,
        name="gang",
        storage=folder,
    )
    gang_marks = marks_of(folder)
    gang = turnovers(gang_marks)
    memory = [mark["rss"] for mark in gang_marks if mark["event"] == "last report"]

    specs = [trial.spec.to_dict() for trial in experiment.records.trials.values()][: given.textbook_trials]
    tune.Tuner(
        tune.with_resources(textbook_trial, {"CPU": 0.01}),
        param_space={"spec": tune.grid_search(specs), "folder": str(folder)},
        tune_config=tune.TuneConfig(max_concurrent_trials=1),
        run_config=tune.RunConfig(storage_path=str(folder), name="textbook", verbose=0),
    ).fit()
    textbook = turnovers(marks_of(folder))
    ray.shutdown()
    shutil.rmtree(folder)

    quartiles = statistics.quantiles(gang, n=4)
    print(f"\nwarm gang      {len(gang):3d} turnovers, median {quartiles[1] * 1e3:7.1f} ms", end="")
    print(f"  [{quartiles[0] * 1e3:.1f}, {quartiles[2] * 1e3:.1f}]")
    print(f"textbook       {len(textbook):3d} turnovers, median {statistics.median(textbook) * 1e3:7.0f} ms")
    print(f"ratio          {statistics.median(textbook) / quartiles[1]:.0f}x less overhead per trial")
    if len(memory) >= 50:
        print(
            f"worker memory  after trial 5 {memory[4] / 2**20:.1f} MiB, after trial 50 {memory[49] / 2**20:.1f} MiB: ",
            end="",
        )
        print(f"{(memory[49] / memory[4] - 1) * 100:+.2f} %")


if __name__ == "__main__":
    main()
