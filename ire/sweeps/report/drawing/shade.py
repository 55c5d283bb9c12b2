"""Maps values to colours, for the points of a panel, the field between them and the bar beside them.

matplotlib is imported when used.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable

TICKS = 4
"""Number of labels beside the colour bar."""
STOPS = 9
"""Number of colours in the page's bar."""


@dataclass(frozen=True, kw_only=True)
class Shade:
    """Colours from `low` to `high`; the brightest is the best value."""

    low: float
    high: float
    log: bool
    """Whether equal ratios, instead of equal differences, get equal steps of colour."""
    lower_is_better: bool

    @staticmethod
    def over(values: Sequence[float], *, log: bool, lower_is_better: bool) -> "Shade":
        """The shade that spans `values`; logarithmic only if all of them are positive."""
        low, high = float(min(values)), float(max(values))
        log = log and low > 0
        least = 0.01 * low if log else 1e-9
        return Shade(low=low, high=max(high, low + least), log=log, lower_is_better=lower_is_better)

    @property
    def ticks(self) -> list[float]:
        """Values from `low` to `high`, evenly spaced on the scale."""
        return [
            float(tick) for tick in (np.geomspace if self.log else np.linspace)(self.low, self.high, TICKS)
        ]

    def mappable(self) -> "ScalarMappable":
        """The shade for matplotlib."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LogNorm, Normalize

        norm = (LogNorm if self.log else Normalize)(self.low, self.high)
        return ScalarMappable(norm=norm, cmap="cividis_r" if self.lower_is_better else "cividis")

    def colours(self, values: Sequence[float]) -> list[str]:
        """The colour of each value, as `#rrggbb`."""
        from matplotlib.colors import to_hex

        return [to_hex(colour) for colour in self.mappable().to_rgba(np.asarray(values, dtype=float))]

    def live(self) -> dict[str, Any]:
        """The data of the bar on the page, from its lower end up."""
        scale = np.geomspace if self.log else np.linspace
        ticks = [[i / (TICKS - 1), f"{tick:.3g}"] for i, tick in enumerate(self.ticks)]
        return {"colours": self.colours(scale(self.low, self.high, STOPS).tolist()), "ticks": ticks}


@dataclass(frozen=True, kw_only=True)
class Field:
    """Values on a square grid that spans 0 to 1 on both axes, the first row at the bottom."""

    values: np.ndarray
    """Shape (rows, columns)."""
    opacity: np.ndarray
    """Shape (rows, columns), 0 to 1."""

    def rgba(self, shade: Shade) -> np.ndarray:
        """Colours and opacity, shape (rows, columns, 4), 0 to 1."""
        found = np.asarray(shade.mappable().to_rgba(self.values), dtype=float)
        found[..., 3] = self.opacity
        return found

    def live(self, shade: Shade) -> str:
        """The image for the page, as a `data:` URL."""
        from matplotlib.image import imsave  # pyright: ignore[reportUnknownVariableType] - matplotlib has it in part

        buffer = io.BytesIO()
        imsave(buffer, self.rgba(shade), origin="lower", format="png")
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
