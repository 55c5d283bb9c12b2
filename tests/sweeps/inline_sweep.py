"""Small sweeps that train in this process (`--inline`); a module that child processes can import."""

from dataclasses import replace
from pathlib import Path

from simulated import make_plan
from small_space import SHORT, space_with

from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.experiment_home import FolderHome
from ire.sweeps.running.inline import InlineRun
from ire.sweeps.search.protocol import Protocol


def small_plan() -> Plan:
    """Digits with a fifth of its steps."""
    return make_plan(
        methods=("sgd-ire", "adamw"), trials=4, confirm_seeds=2, curve=(), space=space_with(SHORT)
    )


def along_plan() -> Plan:
    """Digits with a fifth of its steps and flatness at three points of every confirm run."""
    space = space_with({**SHORT, "confirm": {"flatness_batches": 1, "flatness_points": 3}})
    return make_plan(methods=("sgd", "sgd-ire"), trials=2, confirm_seeds=2, curve=(), space=space)


def grid_plan(*, share_prefix, **fields):
    """Digits, 50 steps, IRE from 60 % on, a 3 x 2 grid of its settings."""
    grid = {
        "horizon": 50,
        "eval_interval": 5,
        "search": {"rungs": [], "grid": True},
        "ire": {
            "kappa": {"choice": [1.0, 2.0, 5.0], "published": 1.0},
            "gamma": {"choice": [0.8, 0.9], "published": 0.8},
            "start_fraction": 0.6,
        },
    }
    return make_plan(
        methods=("sgd", "sgd-ire"),
        confirm_seeds=2,
        controls=True,
        space=space_with(grid),
        share_prefix=share_prefix,
        **fields,
    )


def run(folder: Path, plan: Plan | None = None) -> Protocol:
    """The whole sweep in this process, with a checkpoint at every report."""
    protocol = Protocol(replace(plan or small_plan(), checkpoint_seconds=0.0), folder)
    InlineRun(protocol, FolderHome(folder), watchers=[]).run()
    assert protocol.is_over
    return protocol
