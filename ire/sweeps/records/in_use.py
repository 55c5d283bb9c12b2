"""Whether a process is writing an experiment now, as far as a reader can tell who takes no lock and writes nothing."""

from pathlib import Path

from ire.sweeps.records.experiment_lock import folder_owner, is_gone


def user_of(folder: Path) -> str | None:
    """The process that has the folder, in words; None if there is none, or it is gone.

    Of a process on another machine it is not known whether it still runs; of an object store nothing is known.
    """
    owner = folder_owner(folder)
    if not isinstance(owner, dict) or not isinstance(owner.get("pid"), int) or is_gone(owner):
        return None
    return f"process {owner['pid']} on {owner['host']}"
