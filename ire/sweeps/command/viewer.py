"""Replaces this process by TensorBoard on an experiment, so that ending the command ends TensorBoard."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from ire.sweeps.records.experiment_home import ExperimentHome
from ire.sweeps.records.records import read_records
from ire.sweeps.watch.run_groups import grouped

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def view(home: ExperimentHome, options: Sequence[str]) -> int:
    """Run TensorBoard until it ends; returns its exit code, or does not return if it replaces this process."""
    home.fetch("trials")
    logdir = grouped(home.folder, read_records(home.folder).trials.values())
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), *options]
    if not home.is_mirrored:
        sys.stdout.flush()
        os.execv(command[0], command)  # replaces this process: a signal to it reaches TensorBoard
    viewer = subprocess.Popen(command)  # a child, because the mirror must be removed afterwards
    for number in ENDING:
        signal.signal(number, lambda received, _: viewer.send_signal(received))
    return viewer.wait()
