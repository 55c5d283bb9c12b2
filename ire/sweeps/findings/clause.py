"""One clause of the fairness contract, and when two ranges are the same for it."""

from dataclasses import dataclass, replace

from search_spaces import Dimension, Fixed


@dataclass(frozen=True, kw_only=True)
class Clause:
    """One clause of the contract."""

    name: str
    kept: bool | None
    """None: it cannot be judged yet."""
    text: str
    word: str = ""
    """What is said in place of `kept`, where that is neither yes nor no nor later."""


def same_range(one: Dimension, other: Dimension) -> bool:
    """Whether the same is searched, wherever it starts."""
    if isinstance(one, Fixed) or type(one) is not type(other):
        return one == other
    return replace(one, published=other.published) == other
