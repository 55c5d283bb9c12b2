"""Writes a small training function with a module beside it, for tests that sweep it."""

from pathlib import Path

SCRIPT = """
import os
import signal
from pathlib import Path

import torch
import torch.distributed as dist

import floor


def train(trial):
    draw = torch.Generator().manual_seed(trial.seed)
    noise = 0.01 * torch.rand((), generator=draw).item()
    at = trial.saved or 0.0
    for step in range(trial.first_step, trial.horizon):
        at += 0.1 / (1 + abs(trial.settings["lr"] - 0.1))
        if trial.world_size > 1:
            total = torch.ones(())
            dist.all_reduce(total)
            assert total == trial.world_size
        once = Path(__file__).with_name("kill")
        if once.is_file() and step == 5 and trial.rank == 0:
            once.unlink()
            Path(__file__).with_name("floor.py").write_text("FLOOR = 9.0\\n")  # nobody reads it in this sweep
            os.kill(os.getpid(), signal.SIGKILL)
        if trial.due(step + 1):
            loss = floor.FLOOR - 0.2 * trial.settings.get("twist", False) + noise + 1 / (1 + at)
            trial.report(step + 1, train_loss=loss, val_loss=loss + 0.02 * trial.rank, val_shift=trial.rank)
            trial.save(at)
    raise AssertionError("the last report ends the function")
"""

FLOOR = "FLOOR = 0.5\n"

SPACE = """
description = "a formula"
horizon = 8
eval_interval = 2
[search]
trials = 3
budget_per_trial = 1.0
rungs = [4]
[confirm]
seeds = 2
studies = 1
candidates = 1
[arms.baseline]
role = "baseline"
lr = { log = [1e-2, 1.0], published = 0.1 }
[arms.mine]
lr = { log = [1e-2, 1.0], published = 0.1 }
twist = { choice = [true, false], published = true }
kind = "soft"
"""


def write(folder: Path) -> str:
    """The script's path and function, as a command line names them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text(SCRIPT)
    (folder / "floor.py").write_text(FLOOR)
    (folder / "train.toml").write_text(SPACE)
    return f"{folder / 'train.py'}:train"
