"""TensorBoard on an experiment: it is what remains of the command, and so it ends when the command is ended."""

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
    """Run TensorBoard until it is ended; returns its exit code, if it comes back at all."""
    home.fetch("trials")
    logdir = grouped(home.folder, read_records(home.folder).trials.values())
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), *options]
    if not home.is_mirrored:
        sys.stdout.flush()
        os.execv(command[0], command)  # this very process: whoever ends it ends TensorBoard
    viewer = subprocess.Popen(command)  # the mirror must be removed after it
    for number in ENDING:
        signal.signal(number, lambda received, _: viewer.send_signal(received))
    return viewer.wait()
