"""The figures of a report on curves: the verdict, and where every run ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from ire.sweeps.findings.curves.arms import Arm
from ire.sweeps.findings.curves.comparison import CurvesComparison
from ire.sweeps.findings.statistics.verdict import SpeedUp
from ire.sweeps.report.drawing.palette import OTHERS, Style
from ire.sweeps.report.drawing.panel import Axis, Panel, Series
from ire.sweeps.report.drawing.picture import Picture
from ire.sweeps.report.pictures.forest import ROW, clock_panel


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One arm in the figure of the verdict."""

    method: str
    speed_ups: Mapping[str, SpeedUp]
    against: Mapping[str, str]
    verdicts: Mapping[str, str]
    is_baseline: bool = False


def curves_pictures(comparison: CurvesComparison) -> list[Picture]:
    """The verdict on the clock of the headline, and where every run ends."""
    looks, clock = _styles(comparison.arms), comparison.clock
    rows = [
        _Row(
            method=arm.name,
            speed_ups={clock: found},
            against={clock: arm.against(clock) or ""},
            verdicts={name: judgement.verdict for name, judgement in arm.judgements.items()},
        )
        for arm in comparison.challengers
        if (found := arm.speed_up(clock))
    ]
    found = [
        Picture(
            name="ends",
            title="Where runs end",
            caption=f"Final {comparison.value} of every whole run against its horizon; "
            "a line joins a baseline's means.",
            panels=[_ends(comparison, looks)],
            styles=looks,
            width=7.5,
            height=4.2,
        )
    ]
    if rows:
        panel = clock_panel(rows, looks, clock)
        caption = "Right of 1 is faster. An arrow marks the end of the baseline's curve: the true value lies beyond it."
        height = 1.1 + ROW * max(2, len(rows))
        found.insert(
            0,
            Picture(
                name="verdict", title="The verdict", caption=caption, panels=[panel], width=7.5, height=height
            ),
        )
    return found


def _styles(arms: Sequence[Arm]) -> dict[str, Style]:
    """Baselines are dashed with round markers, other arms solid with triangles."""
    return {
        arm.name: Style(hue, (0, (5, 2)) if arm.is_baseline else "-", "o" if arm.is_baseline else "^")
        for arm, hue in zip(arms, cycle(OTHERS), strict=False)
    }


def _ends(comparison: CurvesComparison, looks: Mapping[str, Style]) -> Panel:
    series: list[Series] = []
    value = comparison.metric.cost
    for arm in comparison.arms:
        runs = [(side.horizon, run) for side in arm.sides for run in side.whole]
        series.append(
            Series(
                name=arm.name,
                style=looks[arm.name],
                x=[horizon for horizon, _ in runs],
                y=[value(run.loss) for _, run in runs],
                line=False,
                marked=True,
                alpha=0.7,
                notes=[run.name for _, run in runs],
            )
        )
        means = (
            [(side.horizon, value(side.loss[0])) for side in arm.curve if side.loss]
            if arm.is_baseline
            else []
        )
        if len(means) > 1:
            x, y = zip(*means, strict=True)
            series.append(Series(name=arm.name, style=looks[arm.name], x=x, y=y))
    return Panel(
        x=Axis(label="horizon, steps", log=True), y=Axis(label=f"final {comparison.value}"), series=series
    )
