"""Shares of CPUs and GPUs in Ray's own arithmetic: whole numbers of ten-thousandths, never floating division.

`1.0 // 0.2` is 4. Ray counts in ten-thousandths and rounds to the nearest, so three thirds of a GPU fit, but
seven sevenths (0.1429) would not: shares are rounded down before Ray sees them.
"""

import math

UNITS = 10_000
"""Units of one CPU or GPU (`RESOURCE_UNIT_SCALING` in Ray)."""


def units(amount: float) -> int:
    """`amount` in ten-thousandths, rounded down with a tolerance for float error."""
    return math.floor(amount * UNITS + 1e-6)


def share(amount: float) -> float:
    """The amount to request from Ray, so that as many fit as `places` says."""
    return units(amount) / UNITS


def places(have: float, need: float) -> int:
    """How many times `need` fits into the CPUs or GPUs of one node; a share of a GPU lies on one GPU."""
    if not units(need):
        raise ValueError(f"need must be at least {1 / UNITS:g}, got {need!r}")
    if 0 < need < 1 and have >= 1:
        return math.floor(have) * (UNITS // units(need))
    return units(have) // units(need)
