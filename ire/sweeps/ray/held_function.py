"""Sends a training function that no file holds to the workers of a cluster: by cloudpickle, and never to a folder."""

from ray import cloudpickle

from trainables.functions.at_hand import held, is_of_no_file


def pickled(task: str) -> bytes | None:
    """The function that this process has under that name, with the name; None if a file or module holds it."""
    if not is_of_no_file(task):
        return None
    return cloudpickle.dumps((task, held(task)))  # pyright: ignore[reportPrivateImportUsage]
