"""The report on curves as plain data: its `report.json`."""

from ire.sweeps.findings.curves.arms import Arm, Side
from ire.sweeps.findings.curves.comparison import CurvesComparison
from ire.sweeps.findings.statistics.verdict import Ratio, SpeedUp
from ire.sweeps.report.curves.schema import (
    SCHEMA,
    ArmFacts,
    BoundFacts,
    CurvesFacts,
    CurvesSpeedUpFacts,
    LossSideFacts,
    MetricSideFacts,
)
from ire.sweeps.report.curves.sentences import curves_findings, curves_headline
from ire.sweeps.report.facts.numbers import BOUNDS
from ire.sweeps.report.facts.schema import IntervalFacts, ObjectiveFacts


def curves_json(comparison: CurvesComparison) -> CurvesFacts:
    """The report as plain data: `report.json`."""
    metric = comparison.metric
    objective: ObjectiveFacts = (
        {} if metric.is_loss else {"objective": {"metric": metric.name, "mode": metric.mode}}
    )
    return {
        "schema": SCHEMA,
        **objective,
        "headline": curves_headline(comparison),
        "findings": curves_findings(comparison),
        "clock": comparison.clock,
        "studies": comparison.studies,
        "about": "methods" if comparison.judges_methods else "configurations",
        "paired": comparison.paired,
        "arms": [_arm(comparison, arm) for arm in comparison.arms],
        "contract": [{"clause": c.name, "kept": c.kept, "text": c.text} for c in comparison.contract],
    }


def _arm(comparison: CurvesComparison, arm: Arm) -> ArmFacts:
    return {
        "arm": arm.name,
        "is_baseline": arm.is_baseline,
        "horizons": {str(side.horizon): _side(comparison, side) for side in arm.sides},
        "verdict": {clock: judgement.verdict for clock, judgement in arm.judgements.items()},
        "against": {clock: name for clock in arm.speed_ups if (name := arm.against(clock)) is not None},
        "speed_up": {clock: _speed_up(found) for clock in arm.speed_ups if (found := arm.speed_up(clock))},
        "difference": {
            baseline: _difference(comparison, costs) for baseline, costs in arm.differences.items()
        },
    }


def _side(comparison: CurvesComparison, side: Side) -> LossSideFacts | MetricSideFacts:
    mean, std = comparison.mean(side) or (None, None)
    runs, lost = len(side.runs), side.lost
    if comparison.metric.is_loss:
        return {"runs": runs, "lost": lost, "mean_loss": mean, "standard_deviation": std}
    return {"runs": runs, "lost": lost, "mean": mean, "standard_deviation": std}


def _speed_up(found: SpeedUp) -> CurvesSpeedUpFacts:
    return {
        "text": str(found),
        "ratio": _bound(found.ratio),
        "low": _bound(found.low),
        "high": _bound(found.high),
        "units": found.units,
        "p_faster": found.p_faster,
        "p_slower": found.p_slower,
    }


def _bound(ratio: Ratio) -> BoundFacts:
    return {"value": ratio.value, "bound": BOUNDS[ratio.censored], "censored": ratio.censored}


def _difference(comparison: CurvesComparison, costs: tuple[float, float, float]) -> IntervalFacts:
    value, low, high = comparison.difference(costs)
    return {"value": value, "low": low, "high": high}
