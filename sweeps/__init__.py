"""What launches, resumes, watches and reports a sweep; the `ire` command.

from sweeps import sweep, open_experiment, resume

experiment = sweep("digits", methods=["sgd", "sgd-ire"], trials=8)
experiment.trials, experiment.curves, experiment.winners   # data frames
experiment.report()
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Experiment": "sweeps.experiment",
    "open_experiment": "sweeps.experiment",
    "resume": "sweeps.launch",
    "sweep": "sweeps.launch",
}

__all__ = ["Experiment", "open_experiment", "resume", "sweep"]


def __getattr__(name: str) -> Any:
    """Import on first use: `ire methods` must not wait for torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'sweeps' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
