"""The figure of the verdict, a forest plot: each method's speed-up with its interval, one panel per clock."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.findings.differences import Difference
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Row
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, UNKNOWN
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.verdict import FASTER, MARGIN, SLOWER, SpeedUp
from ire.sweeps.report.drawing.palette import Style
from ire.sweeps.report.drawing.panel import ALONG_X, Axis, Panel, Series
from ire.sweeps.report.drawing.picture import Picture

ROW = 0.27
"""Height of one method, in inches."""
ROOM = 1.08
"""Factor by which an axis extends beyond its outermost values."""


class Judged(Protocol):
    """What the figure needs of a row: by clock its speed-up, the baseline it is over, and the verdict."""

    @property
    def method(self) -> str: ...
    @property
    def is_baseline(self) -> bool: ...
    @property
    def speed_ups(self) -> Mapping[str, SpeedUp]: ...
    @property
    def against(self) -> Mapping[str, str]: ...
    @property
    def verdicts(self) -> Mapping[str, str]: ...


def forest(results: Results, styles: Mapping[str, Style]) -> Picture | None:
    """Speed-ups on every clock, else differences in final loss from the best baseline; None without either."""
    comparison = results.comparison
    rows = [row for row in comparison.rows if row.speed_ups]
    if rows:
        panels = [clock_panel(rows, styles, clock) for clock in _clocks(comparison)]
        caption = (
            "Speed-up over the tuned baseline that is hardest to beat, with its interval: right of 1 is faster. "
            f"Filled: a verdict, faster (by more than {MARGIN}, dotted) or slower. Hollow: not shown, or not finished. "
            "An arrow marks the end of the baseline's curve: the true value lies beyond it. "
            "A star marks a baseline."
        )
        title = "The verdict"
    else:
        differences = [
            (row, row.against_best)
            for row in comparison.rows
            if row.against_best and row.method != comparison.baseline
        ]
        if not differences:
            return None
        rows = [row for row, _ in differences]
        panels = [_differences(comparison, differences, styles)]
        metric = comparison.metric
        side = "Left" if metric.better == "lower" else "Right"
        caption = f"{side} of 0 is better than {comparison.baseline}, the best baseline; 95 % intervals."
        title = f"Final {metric.words} beside the best baseline's"
    return Picture(
        name="verdict", title=title, caption=caption, panels=panels, height=1.1 + ROW * max(2, len(rows))
    )


def _clocks(comparison: Comparison) -> list[str]:
    """All clocks with a speed-up, that of the headline first."""
    known = [clock for clock in CLOCKS if any(clock in row.speed_ups for row in comparison.rows)]
    return sorted(known, key=lambda clock: clock != comparison.clock)


def clock_panel(rows: Sequence[Judged], styles: Mapping[str, Style], clock: str) -> Panel:
    """Speed-ups on one clock, one line per row."""
    shown = [(i, row, row.speed_ups[clock]) for i, row in enumerate(rows) if clock in row.speed_ups]
    ends = [end for _, _, found in shown for end in (found.ratio.value, found.low.value, found.high.value)]
    low, high = min([1 / ROOM, *ends]) / ROOM, max([MARGIN, *ends]) * ROOM
    return Panel(
        title=CLOCKS[clock],
        x=Axis(label="speed-up", log=True, low=low, high=high),
        y=_methods(rows),
        uprights=((1.0, "-"), (MARGIN, ":")),
        series=[
            Series(
                name=row.method,
                style=styles[row.method],
                x=[found.ratio.value],
                y=[i],
                low=[low if found.low.censored in (BELOW, UNKNOWN) else found.low.value],
                high=[high if found.high.censored in (ABOVE, UNKNOWN) else found.high.value],
                interval=ALONG_X,
                arrows=[_arrows(found)],
                line=False,
                marked=True,
                hollow=row.verdicts.get(clock) not in (FASTER, SLOWER),
                size=7,
                notes=[f"{found} against {row.against[clock]}\n{row.verdicts.get(clock, 'no verdict')}"],
            )
            for i, row, found in shown
        ],
    )


def _arrows(found: SpeedUp) -> str:
    left = "<" if found.low.censored in (BELOW, UNKNOWN) else ""
    return left + (">" if found.high.censored in (ABOVE, UNKNOWN) else "")


def _differences(
    comparison: Comparison, found: Sequence[tuple[Row, Difference]], styles: Mapping[str, Style]
) -> Panel:
    """Final losses minus the best baseline's, one line per row."""
    return Panel(
        x=Axis(label=f"final {comparison.metric.words} minus that of {comparison.baseline}"),
        y=_methods([row for row, _ in found]),
        uprights=((0.0, "-"),),
        series=[
            Series(
                name=row.method,
                style=styles[row.method],
                x=[difference.value],
                y=[i],
                low=[difference.low],
                high=[difference.high],
                interval=ALONG_X,
                line=False,
                marked=True,
                hollow=True,
                size=7,
                notes=[str(difference)],
            )
            for i, (row, difference) in enumerate(found)
        ],
    )


def _methods(rows: Sequence[Judged]) -> Axis:
    """One line per method, the first on top."""
    names = [(float(i), row.method + (" *" if row.is_baseline else "")) for i, row in enumerate(rows)]
    return Axis(label="", low=len(rows) - 0.5, high=-0.5, ticks=names)
