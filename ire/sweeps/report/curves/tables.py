"""The tables of a report on curves: verdicts, the other clocks, differences, and the contract."""

from ire.sweeps.findings.curves.arms import Arm
from ire.sweeps.findings.curves.comparison import CurvesComparison
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.verdict import NOT_SHOWN
from ire.sweeps.report.tables.table import Table, plus_minus


def curves_tables(comparison: CurvesComparison) -> list[Table]:
    """Verdicts first, then the other clocks, differences at equal horizons, and the contract."""
    found = [_verdicts(comparison)]
    found += [
        _clock(comparison, clock)
        for clock in CLOCKS
        if clock != comparison.clock and any(arm.speed_up(clock) for arm in comparison.arms)
    ]
    if any(arm.differences for arm in comparison.arms):
        found.append(_differences(comparison))
    return [*found, _contract(comparison)]


def _verdicts(comparison: CurvesComparison) -> Table:
    clock = comparison.clock
    return Table(
        title="Arms",
        heads=[
            "method",
            "verdict",
            f"{CLOCKS[clock]} speed-up",
            "against",
            "horizon",
            comparison.metric.words,
            "runs",
        ],
        lines=[
            [
                arm.name + " (baseline)" * arm.is_baseline,
                _verdict(arm, clock, comparison.judges_methods),
                str(arm.speed_up(clock) or "-"),
                arm.against(clock) or "-",
                ", ".join(str(side.horizon) for side in arm.sides)
                if arm.is_baseline
                else str(arm.main.horizon),
                plus_minus(comparison.mean(arm.main)),
                f"{len(arm.main.whole)}/{len(arm.main.runs)}",
            ]
            for arm in comparison.arms
        ],
    )


def _verdict(arm: Arm, clock: str, methods: bool) -> str:
    if arm.is_baseline:
        return "-"
    judgement = arm.judgements.get(clock)
    if judgement is None:
        return "-" if clock == "wall" else "too few runs"
    return judgement.verdict + " (configuration)" * (not methods and judgement.verdict != NOT_SHOWN)


def _clock(comparison: CurvesComparison, clock: str) -> Table:
    return Table(
        title=f"In {CLOCKS[clock]}",
        heads=["method", "verdict", "speed-up", "against"],
        lines=[
            [
                arm.name,
                _verdict(arm, clock, comparison.judges_methods),
                str(arm.speed_up(clock) or "-"),
                arm.against(clock) or "-",
            ]
            for arm in comparison.challengers
        ],
    )


def _differences(comparison: CurvesComparison) -> Table:
    return Table(
        title=f"Final {comparison.metric.words} minus the baseline's, at equal horizons",
        heads=["method", "against", "difference", "horizon"],
        lines=[
            [
                arm.name,
                baseline,
                "{:+.4f} [{:+.4f}, {:+.4f}]".format(*comparison.difference(found)),
                str(arm.main.horizon),
            ]
            for arm in comparison.challengers
            for baseline, found in arm.differences.items()
        ],
    )


def _contract(comparison: CurvesComparison) -> Table:
    words = {True: "kept", False: "BROKEN", None: "cannot be checked"}
    return Table(
        title="Fairness contract",
        heads=["clause", "kept", ""],
        lines=[[c.name, words[c.kept], c.text] for c in comparison.contract],
    )
