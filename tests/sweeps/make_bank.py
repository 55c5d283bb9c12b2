"""Makes `data/bank.json`: AdamW on `digits` at five horizons over many seeds, real noise to test the statistics on.

    python tests/sweeps/make_bank.py [--seeds 80]

Some seven minutes on one core. Each run has a complete schedule of its own; the curve is kept for the task's horizon.
"""

import argparse
import json
import platform
from pathlib import Path

import torch

from ire.methods.method import parse_method
from ire.trial.seeds import derive_seed
from ire.trial.spec import TrialSpec
from search_spaces import find_space
from trainables.task import load_task
from trainables.training.loop import train

FACTORS = (0.5, 0.7071, 1.0, 1.4142, 2.0)
BANK = Path(__file__).with_name("data") / "bank.json"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=80)
    given = parser.parse_args()
    task, space, method = load_task("digits"), find_space("digits"), parse_method("adamw")
    settings = method.resolve(space.published(method))
    bank = {
        "made_by": "python tests/sweeps/make_bank.py",
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "settings": settings,
        "factors": FACTORS,
        "steps": [],
        "curves": [],
        "final_losses": [],
    }
    for seed in range(given.seeds):
        finals = []
        for factor in FACTORS:
            spec = TrialSpec(
                task="digits",
                method="adamw",
                settings=settings,
                seed=derive_seed("bank", seed) % 2**31,
                horizon=round(space.horizon * factor),
                eval_interval=space.eval_interval if factor == 1 else round(space.horizon * factor),
            )
            reports = []
            train(spec, lambda report, _, reports=reports: reports.append(report) or True, task=task)
            finals.append(round(reports[-1]["val_loss"], 6))
            if factor == 1:
                bank["curves"].append([round(report["val_loss"], 5) for report in reports])
                bank["steps"] = [report["step"] for report in reports]
        bank["final_losses"].append(finals)
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in bank.items()]
    BANK.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
