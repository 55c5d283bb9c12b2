"""What launches, resumes, watches and reports a sweep; the `ire` command.

    from sweeps import sweep, open_experiment, resume

    experiment = sweep("digits", methods=["sgd", "sgd-ire"], trials=8)
    experiment.trials, experiment.curves, experiment.winners   # data frames
    experiment.report()
"""

from sweeps.experiment import Experiment, open_experiment
from sweeps.launch import resume, sweep

__all__ = ["Experiment", "open_experiment", "resume", "sweep"]
