"""Draws a panel on matplotlib axes, for the figures in print.

matplotlib is imported when used.
"""

# matplotlib types its methods except for their keywords
# pyright: reportUnknownMemberType=false

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ire.methods.foreign import shortened
from ire.sweeps.report.drawing.panel import ALONG_X, BAND, Axis, Panel, Series
from ire.sweeps.report.drawing.shade import Shade

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis

MANY = 60
"""Above this number of lines a panel is an image inside its figure: as paths they would take megabytes."""

CROWDED = 3
"""From this number of names along an axis, the words of a name are stacked."""
BAR = 0.6
"""Height of a bar, as a share of the distance between bars."""


def draw(panel: Panel, axes: "Axes") -> None:
    """Draw `panel` on `axes`, which must be empty."""
    for series in panel.series:
        _draw(series, axes, panel.shade, rasterized=len(panel.series) > MANY)
    if panel.shade is not None:
        _shaded(panel, panel.shade, axes)
    if panel.level is not None:
        axes.axhline(panel.level, color="#555555", lw=1, ls=":")
    for at, line in panel.uprights:
        axes.axvline(at, color="#555555", lw=1, ls=line, zorder=0.9)
    if panel.x.log:
        axes.set_xscale("log")
    if panel.y.log:
        axes.set_yscale("log")
    _scale(panel.x, axes.set_xlim, axes.xaxis, axes.get_xlim)
    _scale(panel.y, axes.set_ylim, axes.yaxis, axes.get_ylim)
    axes.grid(visible=not panel.y.ticks, axis="y")
    axes.set_xlabel(panel.x.label)
    axes.set_ylabel(panel.y.label)
    if panel.title:
        axes.set_title(shortened(panel.title))


def _shaded(panel: Panel, shade: Shade, axes: "Axes") -> None:
    """The field below the points, and the bar beside the panel."""
    from matplotlib.ticker import FixedLocator, NullLocator

    if panel.field is not None:
        image = panel.field.rgba(shade)
        axes.imshow(image, origin="lower", extent=(0, 1, 0, 1), aspect="auto", zorder=0.5)
    bar = axes.figure.colorbar(shade.mappable(), ax=axes)
    bar.ax.yaxis.set_major_locator(FixedLocator(shade.ticks))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    bar.outline.set_visible(False)
    axes.grid(visible=False)


def _draw(series: Series, axes: "Axes", shade: Shade | None, *, rasterized: bool) -> None:
    style, x, y = series.style, np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float)
    if not len(x):
        return
    if series.bars:
        axes.barh(y, x, color=style.colour, height=BAR)
    if series.line:
        axes.plot(
            x,
            y,
            color=style.colour,
            ls="-" if series.solid else style.line,
            lw=series.width,
            alpha=series.alpha,
            drawstyle="steps-post" if series.stepped else "default",
            rasterized=rasterized,
        )
    if len(series.low):
        _intervals(series, axes, x, y)
    if len(series.values) and shade is not None:
        colours = shade.colours(series.values)
        axes.scatter(
            x,
            y,
            c=colours,
            marker=style.marker,
            s=series.size**2,
            edgecolors="black",
            linewidths=0.6,
            zorder=2,
        )
    elif series.marked:
        axes.plot(
            x,
            y,
            color=style.colour,
            marker=style.marker,
            ms=series.size,
            ls="",
            alpha=series.alpha,
            **_marker(series),
        )


def _marker(series: Series) -> dict[str, Any]:
    """Edge and fill of the markers."""
    if series.style.marker == "x":  # it has no fill
        return {"mec": series.style.colour, "mew": 1.1}
    if series.hollow:
        return {"mfc": "white", "mew": 1.4, "mec": series.style.colour}
    return {"mec": "black"} if series.edged else {"mec": "white", "mew": 0.6}


def _intervals(series: Series, axes: "Axes", x: np.ndarray, y: np.ndarray) -> None:
    colour = series.style.colour
    if series.interval == BAND:
        axes.fill_between(x, series.low, series.high, color=colour, alpha=0.1, lw=0)
        return
    for i, ends in enumerate(zip(series.low, series.high, strict=True)):
        xs, ys = (ends, [y[i]] * 2) if series.interval == ALONG_X else ([x[i]] * 2, ends)
        axes.plot(xs, ys, color=colour, lw=1.6, solid_capstyle="butt")
        arrows = series.arrows[i] if series.arrows else ""
        for sign, at in (("<", ends[0]), (">", ends[1])):
            if sign in arrows:
                axes.plot([at], [y[i]], marker=sign, ms=5, color=colour, ls="")


def _scale(
    axis: Axis,
    set_limits: Callable[[float | None, float | None], object],
    ticked: "XAxis | YAxis",
    limits: Callable[[], tuple[float, float]],
) -> None:
    if axis.low is not None or axis.high is not None:
        set_limits(axis.low, axis.high)
    if axis.ticks:
        names = [shortened(name) for _, name in axis.ticks]
        if ticked.axis_name == "x" and len(names) >= CROWDED:
            names = [name.replace("_", "\n") for name in names]
        ticked.set_ticks([at for at, _ in axis.ticks], names)
        ticked.set_ticks([], minor=True)
    elif axis.log:
        _plain_log_ticks(ticked, *limits())


def _plain_log_ticks(axis: "XAxis | YAxis", low: float, high: float) -> None:
    """Set ticks at a few round numbers, instead of powers of ten that may not be in view."""
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator

    steps = (1, 2, 5) if high / low < 300 else (1,)
    if high / low < 12:
        steps = (1, 1.5, 2, 3, 4, 5, 7)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    if high / low < 3:  # too short for logarithmic ticks
        ticks = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    ticks = [tick for tick in ticks if low <= tick <= high]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
