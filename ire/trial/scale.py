"""The name of a task includes its scale: `cifar10-resnet56`, or `cifar10-resnet56@tiny` for the scaled-down twin.

So the scale is part of a trial's identity, of `sweep.toml` and of every record, and no other field can contradict it.
`@original` is a task as in its paper, if the paper chose settings on the test set.
"""

TINY, ORIGINAL = "tiny", "original"


def split_scale(task: str) -> tuple[str, str | None]:
    """The task's name without its scale, and the scale, or None without one."""
    name, mark, scale = task.partition("@")
    return name, scale if mark else None


def scaled(task: str, scale: str | None) -> str:
    """The name of `task` at that scale."""
    return f"{task}@{scale}" if scale else task
