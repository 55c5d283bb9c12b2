"""A panel of a figure as data: drawn once as an image for print, and once on the page, where it answers the mouse."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from ire.foreign_text import visible
from ire.methods.foreign import shortened
from ire.sweeps.report.palette import Style
from ire.sweeps.report.shade import Field, Shade

Numbers = Sequence[float] | np.ndarray
"""Values of the points of a series, in their order: an array has one axis."""

DIGITS = 5
"""Of a number on the page."""
BAND, ALONG_X, ALONG_Y = "band", "x", "y"
"""How an interval is drawn: as a band around a line, or as a bar through its point."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a panel."""

    label: str
    log: bool = False
    low: float | None = None
    """Where it begins; None: where the data do."""
    high: float | None = None
    ticks: Sequence[tuple[float, str]] = ()
    """Its ticks and their names; none: round numbers."""

    def live(self) -> dict[str, Any]:
        """For the page."""
        ticks = [[at, shortened(visible(name))] for at, name in self.ticks]
        return {
            "label": visible(self.label),
            "log": self.log,
            "low": self.low,
            "high": self.high,
            "ticks": ticks,
        }


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points of one method or trial, joined by a line or not."""

    name: str
    style: Style
    x: Numbers
    y: Numbers
    low: Numbers = ()
    """Lower ends of the intervals of the points; as many as points, or none."""
    high: Numbers = ()
    interval: str = BAND
    arrows: Sequence[str] = ()
    """By point: `<`, `>`, `<>` where an end of its interval is only a bound, else empty."""
    values: Sequence[float] = ()
    """What the panel's shade colours its points by; none: they have the style's colour."""
    bars: bool = False
    """Each point is a bar from 0."""
    line: bool = True
    stepped: bool = False
    """Whether a value holds until the next one."""
    marked: bool = False
    hollow: bool = False
    size: float = 4.0
    """Of its markers, in points."""
    width: float = 1.7
    alpha: float = 1.0
    solid: bool = False
    """Drawn without dashes, whatever the style says."""
    edged: bool = False
    """Markers with a dark edge: winners."""
    note: str = ""
    """What hovering says of the whole series, below its name."""
    notes: Sequence[str] = ()
    """What hovering says of each point."""

    def live(self, shade: Shade | None = None) -> dict[str, Any]:
        """For the page: only what differs from the usual."""
        style = self.style
        told: dict[str, Any] = {
            "name": shortened(visible(self.name)),
            "x": _short(self.x),
            "y": _short(self.y),
        }
        if len(self.low):
            told |= {"low": _short(self.low), "high": _short(self.high), "interval": self.interval}
        optional = {
            "arrows": list(self.arrows) if any(self.arrows) else None,
            "colours": shade.colours(self.values) if shade and len(self.values) else None,
            "bars": self.bars,
            "line": self.line,
            "stepped": self.stepped,
            "marker": style.marker if self.marked else None,
            "hollow": self.hollow,
            "edged": self.edged,
            "dashed": self.line and not self.solid and style.line != "-",
            "note": visible(self.note),
            "notes": [visible(note) for note in self.notes],
        }
        told |= {key: value for key, value in optional.items() if value}
        told |= {"colour": style.colour, "dark": style.on_dark, "size": self.size, "width": self.width}
        return told | ({"alpha": self.alpha} if self.alpha < 1 else {})


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Axes and what is drawn between them."""

    x: Axis
    y: Axis
    series: Sequence[Series]
    title: str = ""
    level: float | None = None
    """A dotted line across."""
    uprights: Sequence[tuple[float, str]] = ()
    """Lines from bottom to top, solid for `-` and dotted for `:`."""
    shade: Shade | None = None
    """What the colours of points and field mean; a bar beside the panel shows it."""
    field: Field | None = None
    """What lies below the points, in the colours of `shade`."""

    def live(self) -> dict[str, Any]:
        """For the page."""
        return {
            "title": shortened(visible(self.title)),
            "x": self.x.live(),
            "y": self.y.live(),
            "series": [series.live(self.shade) for series in self.series],
            "level": self.level,
            "uprights": [list(upright) for upright in self.uprights],
            "shade": self.shade.live() if self.shade else None,
            "field": self.field.live(self.shade) if self.field and self.shade else None,
        }


def _short(values: Numbers) -> list[float | None]:
    """Rounded, without what JSON cannot say: what is not finite is a gap."""
    return [float(f"{value:.{DIGITS}g}") if isfinite(value) else None for value in values]
