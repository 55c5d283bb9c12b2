"""One clause of the fairness contract, and when the contract considers two ranges equal."""

from dataclasses import dataclass, replace

from search_spaces import Dimension, Fixed


@dataclass(frozen=True, kw_only=True)
class Clause:
    """One clause of the contract."""

    name: str
    kept: bool | None
    """None if it cannot be judged yet."""
    text: str
    word: str = ""
    """A word shown instead of `kept`, if that is neither yes nor no nor later."""


def same_range(one: Dimension, other: Dimension) -> bool:
    """Whether two dimensions search the same values, apart from their published ones."""
    if isinstance(one, Fixed) or type(one) is not type(other):
        return one == other
    return replace(one, published=other.published) == other
