"""The report on curves as plain data: its `report.json`."""

from typing import Any

from ire.sweeps.findings.curves.comparison import CurvesComparison
from ire.sweeps.findings.statistics.verdict import SpeedUp
from ire.sweeps.report.curves.sentences import curves_findings, curves_headline

SCHEMA = 1


def curves_json(comparison: CurvesComparison) -> dict[str, Any]:
    """The report as plain data: `report.json`."""

    def speed_up(found: SpeedUp) -> dict[str, Any]:
        return {
            "text": str(found),
            **{
                name: {"value": ratio.value, "censored": ratio.censored}
                for name, ratio in (("ratio", found.ratio), ("low", found.low), ("high", found.high))
            },
            "units": found.units,
            "p_faster": found.p_faster,
            "p_slower": found.p_slower,
        }

    metric = comparison.metric
    objective = {} if metric.is_loss else {"objective": {"metric": metric.name, "mode": metric.mode}}
    return {
        "schema": SCHEMA,
        **objective,
        "headline": curves_headline(comparison),
        "findings": curves_findings(comparison),
        "clock": comparison.clock,
        "studies": comparison.studies,
        "about": "methods" if comparison.judges_methods else "configurations",
        "paired": comparison.paired,
        "arms": [
            {
                "arm": arm.name,
                "is_baseline": arm.is_baseline,
                "horizons": {
                    str(side.horizon): {
                        "runs": len(side.runs),
                        "lost": side.lost,
                        "mean_loss" if metric.is_loss else "mean": mean,
                        "standard_deviation": std,
                    }
                    for side in arm.sides
                    for mean, std in [comparison.mean(side) or (None, None)]
                },
                "verdict": {clock: judgement.verdict for clock, judgement in arm.judgements.items()},
                "against": {clock: arm.against(clock) for clock in arm.speed_ups},
                "speed_up": {
                    clock: speed_up(found) for clock in arm.speed_ups if (found := arm.speed_up(clock))
                },
                "difference": {
                    name: dict(zip(("value", "low", "high"), comparison.difference(found), strict=True))
                    for name, found in arm.differences.items()
                },
            }
            for arm in comparison.arms
        ],
        "contract": [{"clause": c.name, "kept": c.kept, "text": c.text} for c in comparison.contract],
    }
