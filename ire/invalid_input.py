"""One exception for everything a user can get wrong, so that the command line can tell it from a defect."""

import difflib
from collections.abc import Iterable


class InvalidInput(ValueError):
    """A user's mistake: one line that names the value, the allowed ones, the place and the remedy."""


def unknown(kind: str, value: object, allowed: Iterable[str], *, where: str = "") -> InvalidInput:
    """The error for a `value` that is none of the `allowed` names, the nearest of them first."""
    allowed = list(allowed)
    near = difflib.get_close_matches(str(value), allowed, n=3, cutoff=0.5)
    ordered = near + [name for name in allowed if name not in near]
    hint = f"did you mean {near[0]!r}? " if near else ""
    place = f" in {where}" if where else ""
    return InvalidInput(
        f"unknown {kind} {str(value)!r}{place}: {hint}allowed: {', '.join(ordered) or 'none'}"
    )
