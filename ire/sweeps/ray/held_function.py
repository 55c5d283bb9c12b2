"""Sends a training function that is not in a file to the workers of a cluster, by cloudpickle and without files."""

from ray import cloudpickle

from trainables.functions.in_process import held, is_of_no_file


def pickled(task: str) -> bytes | None:
    """The pickled name and function that this process holds under that name; None if it is in a file or module."""
    if not is_of_no_file(task):
        return None
    return cloudpickle.dumps((task, held(task)))  # pyright: ignore[reportPrivateImportUsage, reportUnknownMemberType, reportUnknownVariableType]
