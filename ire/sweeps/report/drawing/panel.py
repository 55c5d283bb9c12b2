"""A panel of a figure as data, drawn twice: as an image for print, and on the page, where it responds to the mouse."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from ire.foreign_text import visible
from ire.methods.foreign import shortened
from ire.sweeps.report.drawing.palette import Style
from ire.sweeps.report.drawing.shade import Field, Shade

Numbers = Sequence[float] | np.ndarray
"""Values of the points of a series, in their order: an array has one axis."""

DIGITS = 5
"""Significant digits of a number on the page."""
BAND, ALONG_X, ALONG_Y = "band", "x", "y"
"""How an interval is drawn: as a band around a line, or as a bar through its point."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a panel."""

    label: str
    log: bool = False
    low: float | None = None
    """Its lower end; None: that of the data."""
    high: float | None = None
    ticks: Sequence[tuple[float, str]] = ()
    """Positions and names of its ticks; empty: ticks at round numbers."""

    def live(self) -> dict[str, Any]:
        """The data for the page."""
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
    """Lower ends of the points' intervals; one per point, or none."""
    high: Numbers = ()
    interval: str = BAND
    arrows: Sequence[str] = ()
    """One per point: `<`, `>` or `<>` where an end of its interval is only a bound, else empty."""
    values: Sequence[float] = ()
    """Values by which the panel's shade colours the points; empty: all have the style's colour."""
    bars: bool = False
    """Whether each point is drawn as a bar from 0."""
    line: bool = True
    stepped: bool = False
    """Whether a value holds until the next one."""
    marked: bool = False
    hollow: bool = False
    size: float = 4.0
    """Size of its markers, in points."""
    width: float = 1.7
    alpha: float = 1.0
    solid: bool = False
    """Whether its line has no dashes, whatever the style says."""
    edged: bool = False
    """Whether markers have a dark edge, as winners' do."""
    note: str = ""
    """Text shown below the series' name when hovering."""
    notes: Sequence[str] = ()
    """Text of each point, shown when hovering."""

    def live(self, shade: Shade | None = None) -> dict[str, Any]:
        """The data for the page, without optional keys at their defaults."""
        style = self.style
        data: dict[str, Any] = {
            "name": shortened(visible(self.name)),
            "x": _short(self.x),
            "y": _short(self.y),
        }
        if len(self.low):
            data |= {"low": _short(self.low), "high": _short(self.high), "interval": self.interval}
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
        data |= {key: value for key, value in optional.items() if value}
        data |= {"colour": style.colour, "dark": style.on_dark, "size": self.size, "width": self.width}
        return data | ({"alpha": self.alpha} if self.alpha < 1 else {})


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Axes and what is drawn between them."""

    x: Axis
    y: Axis
    series: Sequence[Series]
    title: str = ""
    level: float | None = None
    """Height of a dotted horizontal line."""
    uprights: Sequence[tuple[float, str]] = ()
    """Positions of vertical lines, solid for `-` and dotted for `:`."""
    shade: Shade | None = None
    """The colour scale of points and field; a bar beside the panel shows it."""
    field: Field | None = None
    """The area below the points, in the colours of `shade`."""

    def live(self) -> dict[str, Any]:
        """The data for the page."""
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
    """Rounded values; None, a gap, for what is not finite, which JSON cannot express."""
    return [float(f"{value:.{DIGITS}g}") if isfinite(value) else None for value in values]
