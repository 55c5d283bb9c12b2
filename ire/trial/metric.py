"""The metric by which trials are compared, and whether lower or higher is better."""

import re
from dataclasses import dataclass
from typing import Any

from ire.invalid_input import InvalidInput

MODES = ("min", "max")
VALIDATION, TEST = "val_", "test_"
NAME = re.compile(rf"{VALIDATION}[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The name of a value in a report, such as `val_loss`, and its direction.

    Search, pruning, selection and verdict all use its *cost*, of which lower is better: the value itself, or its
    negative if higher is better. A speed-up is then defined as for a loss: how much longer a baseline would have to run
    to reach the method's final cost.
    """

    name: str = "val_loss"
    mode: str = "min"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InvalidInput(f"mode = {self.mode!r}: must be one of {', '.join(MODES)}")

    def cost(self, value: Any) -> Any:
        """The cost of `value`, a number or an array: lower is better. The function is its own inverse."""
        return value if self.mode == "min" else -value

    @property
    def is_loss(self) -> bool:
        """Whether it is the validation loss, the default of a space."""
        return self == Metric()

    @property
    def plain(self) -> str:
        """Its name without a split: `accuracy`."""
        return self.name.removeprefix(VALIDATION)

    @property
    def on_test(self) -> str:
        """Its name on the test split."""
        return TEST + self.plain

    @property
    def words(self) -> str:
        """Its name in words, without a split."""
        return self.plain.replace("_", " ")

    @property
    def better(self) -> str:
        """Which of two values is better: `lower` or `higher`."""
        return "lower" if self.mode == "min" else "higher"

    @property
    def worse(self) -> str:
        return "higher" if self.mode == "min" else "lower"


LOSS = Metric()


def read_metric(name: object, mode: object, *, where: str) -> Metric:
    """The metric of a space file's `[objective]`; raises `InvalidInput`."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidInput(
            f"{where}: metric = {name!r}: must be a validation metric of the task, such as val_loss or val_accuracy"
        )
    if mode not in MODES:
        raise InvalidInput(
            f"{where}: mode = {mode!r}: must be min, if a lower {name} is better, or max, if a higher one is"
        )
    return Metric(name=name, mode=str(mode))
