"""TensorBoard's log directory: the runs of an experiment in groups, METHOD/STAGE/TRIAL, as links to `trials/`.

The links can be made again at any time, for old experiments as well. On a system without links the runs stay in
`trials/`, under their names.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from ire.sweeps.records.records import TIMING, TrialRecord

GROUPED = "runs"


def grouped(folder: Path, trials: Iterable[TrialRecord]) -> Path:
    """Link the run of the experiment and those of trials that have events; returns the log directory."""
    try:
        _link_experiment(folder)
        for trial in trials:
            if trial.stage != TIMING and (folder / "trials" / trial.name).is_dir():
                _link(
                    folder / GROUPED / _slug(trial) / trial.stage / trial.name, folder / "trials" / trial.name
                )
    except OSError:  # no links here, or a read-only folder
        return folder / "trials"
    return folder / GROUPED


def group(folder: Path, trial: TrialRecord) -> None:
    """Link the run of a trial that has just started; does nothing where links are impossible."""
    with contextlib.suppress(OSError):
        _link_experiment(folder)
        _link(folder / GROUPED / _slug(trial) / trial.stage / trial.name, folder / "trials" / trial.name)


def _slug(trial: TrialRecord) -> str:
    """The arm as it is spelled in the names of its trials."""
    return trial.arm.replace(":", "-").replace("/", "-")


def _link_experiment(folder: Path) -> None:
    """Link the run of the experiment itself, which describes the HParams tab; its files are directly in `trials/`."""
    for path in (folder / "trials").glob("events.*"):
        _link(folder / GROUPED / path.name, path)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        link.symlink_to(os.path.relpath(target, link.parent), target_is_directory=target.is_dir())
