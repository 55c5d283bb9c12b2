"""The picture of the verdict: each method's speed-up with its interval, a panel a clock (a forest plot)."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.findings.differences import Difference
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Row
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, UNKNOWN
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.verdict import FASTER, MARGIN, SLOWER, SpeedUp
from ire.sweeps.report.palette import Style
from ire.sweeps.report.panel import ALONG_X, Axis, Panel, Series
from ire.sweeps.report.pictures import Picture

ROW = 0.27
"""Inches of one method."""
ROOM = 1.08
"""By which factor an axis goes on behind the last value."""


class Judged(Protocol):
    """What is drawn of a row: by clock its speed-up, over which baseline, and the verdict."""

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
    """Speed-ups on every clock; without them how final losses differ from the best baseline's; None without either."""
    comparison = results.comparison
    rows = [row for row in comparison.rows if row.speed_ups]
    if rows:
        panels = [clock_panel(rows, styles, clock) for clock in _clocks(comparison)]
        caption = (
            "Speed-up over the tuned baseline that is hardest to beat, with its interval: right of 1 is faster. "
            f"Filled: a verdict, faster (by more than {MARGIN}, dotted) or slower. Hollow: not shown, or not finished. "
            "An arrow: the baseline's curve ends there, the true value lies beyond."
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
        caption = f"Left of 0 is lower than {comparison.baseline}, the best baseline; 95 % intervals."
        title = "Final losses beside the best baseline's"
    return Picture(
        name="verdict", title=title, caption=caption, panels=panels, height=1.1 + ROW * max(2, len(rows))
    )


def _clocks(comparison: Comparison) -> list[str]:
    """That of the headline first."""
    return sorted(CLOCKS, key=lambda clock: clock != comparison.clock)


def clock_panel(rows: Sequence[Judged], styles: Mapping[str, Style], clock: str) -> Panel:
    """Speed-ups on one clock, a line a row."""
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
    """Final losses minus the best baseline's, a line a row."""
    return Panel(
        x=Axis(label=f"final loss minus that of {comparison.baseline}"),
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
    """A line a method, the first one on top."""
    names = [(float(i), row.method + (" *" if row.is_baseline else "")) for i, row in enumerate(rows)]
    return Axis(label="", low=len(rows) - 0.5, high=-0.5, ticks=names)
