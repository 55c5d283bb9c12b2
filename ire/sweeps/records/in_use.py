"""Finds the process that is writing an experiment, for readers that take no lock and write nothing."""

from pathlib import Path

from ire.sweeps.records.experiment_lock import folder_owner, is_gone


def user_of(folder: Path) -> str | None:
    """The process that holds the folder, in words; None if there is none, or it has ended.

    A process on another machine may have ended. For an object store nothing is known.
    """
    owner = folder_owner(folder)
    if not isinstance(owner.get("pid"), int) or is_gone(owner):
        return None
    return f"process {owner['pid']} on {owner['host']}"
