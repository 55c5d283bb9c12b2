"""The public names: the optimizer IRE (Implicit Regularization Enhancement) and the sweeps that compare optimizers.

IRE moves faster along flat directions: Wang et al., "Improving Generalization and Convergence by Enhancing Implicit
Regularization", NeurIPS 2024.

    from ire import IRE, sampled_nll                  # the optimizer: needs torch and nothing else
    from ire import sweep, resume, open_experiment    # sweeps: pip install 'ire[sweep]'
    from ire import Trial                             # what a training function of your own is called with

Every name is imported when used, so `import ire` alone loads nothing, torch included.
The names below are public and stay; modules beneath `ire` are internal unless docs/optimizer.md names them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors; at run time see __getattr__
    from ire.invalid_input import InvalidInput
    from ire.optim import (
        IRE,
        SAM,
        Estimate,
        Source,
        fisher_trace,
        frozen_batch_norm,
        hessian_trace,
        largest_eigenvalue,
        sampled_nll,
    )
    from ire.sweeps.experiments.experiment import Experiment, open_experiment
    from ire.sweeps.experiments.launch import resume, sweep
    from ire.sweeps.experiments.verdict import verdict
    from trainables.functions.trial import Trial

__version__ = "0.2.0"

_OPTIM = (
    *("IRE", "SAM", "Estimate", "Source", "fisher_trace", "frozen_batch_norm", "hessian_trace"),
    *("largest_eigenvalue", "sampled_nll"),
)
_HOME = dict.fromkeys(_OPTIM, "ire.optim") | {
    "InvalidInput": "ire.invalid_input",
    "Experiment": "ire.sweeps.experiments.experiment",
    "open_experiment": "ire.sweeps.experiments.experiment",
    "resume": "ire.sweeps.experiments.launch",
    "sweep": "ire.sweeps.experiments.launch",
    "verdict": "ire.sweeps.experiments.verdict",
    "Trial": "trainables.functions.trial",
}

__all__ = [
    "IRE",
    "SAM",
    "Estimate",
    "Experiment",
    "InvalidInput",
    "Source",
    "Trial",
    "__version__",
    "fisher_trace",
    "frozen_batch_norm",
    "hessian_trace",
    "largest_eigenvalue",
    "open_experiment",
    "resume",
    "sampled_nll",
    "sweep",
    "verdict",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ire' has no attribute {name!r}")
    from ire.extras import explain_missing

    with explain_missing(f"ire.{name}"):
        return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
