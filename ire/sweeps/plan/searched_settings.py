"""Which settings of a method a sweep searches, and one line that shows their values."""

from collections.abc import Mapping
from typing import Any

from ire.sweeps.plan.plan import Plan
from search_spaces import Fixed


def settings_that_vary(plan: Plan, method: str) -> list[str]:
    """The names of the searched settings of `method`, in order."""
    dimensions = plan.space.dimensions(plan.method(method))
    return [name for name, dimension in dimensions.items() if not isinstance(dimension, Fixed)]


def short_settings(plan: Plan, method: str, settings: Mapping[str, Any]) -> str:
    """The searched settings of a method in one line, without those whose condition does not hold."""
    taking_part = plan.space.active(plan.method(method), settings)
    return ", ".join(
        f"{name} {_short(settings[name])}" for name in settings_that_vary(plan, method) if name in taking_part
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
