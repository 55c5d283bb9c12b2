"""The report on curves from another scheduler: verdict, speed-ups, and what the curves cannot show."""

import json
from pathlib import Path
from typing import Any

from ire.foreign_text import in_markdown, without_secrets
from ire.sweeps.findings.curves.arms import Arm
from ire.sweeps.findings.curves.judged import CurvesComparison
from ire.sweeps.findings.power import POWER, power
from ire.sweeps.findings.statistics.horizon import WITHIN
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.verdict import FASTER, NOT_SHOWN, SLOWER, SpeedUp
from ire.sweeps.plan.options import MIN_STUDIES
from ire.sweeps.report.curves_pictures import curves_pictures
from ire.sweeps.report.markdown import markdown_table
from ire.sweeps.report.page import rendered
from ire.sweeps.report.sentence_parts import names_joined
from ire.sweeps.report.table import LARGEST_SHOWN, Table

SCHEMA = 1


def _note(comparison: CurvesComparison) -> str:
    metric = comparison.metric
    better = "" if metric.is_loss else f" For {metric.name}, {metric.better} is better."
    return (
        "Speed-up: how much longer a baseline would have to run, with a complete schedule, to reach the "
        f"final {metric.words} of the arm; above 1 is faster.{better} ≥ and ≤ are bounds: the baseline's curve "
        "ends there. Intervals are at 95 %, or at the level of the verdict, which is corrected over the arms (Holm). "
        "docs/report.md has all definitions."
    )


def curves_headline(comparison: CurvesComparison) -> str:
    """The finding in one sentence, which says whether it is about methods or configurations."""
    clock, words = comparison.clock, CLOCKS[comparison.clock]
    judged = [arm for arm in comparison.challengers if clock in arm.judgements]
    if not judged:
        return "no verdict: too few whole runs, see the contract"
    baselines = names_joined([arm.name for arm in comparison.baselines])
    methods = comparison.judges_methods
    parts = []
    for verdict in (FASTER, SLOWER):
        arms = [arm for arm in judged if arm.judgements[clock].verdict == verdict]
        if not arms:
            continue
        ratios = ", ".join(f"{arm.name} {arm.speed_up(clock)} against {arm.against(clock)}" for arm in arms)
        what = "" if methods else "the configurations of " if len(arms) > 1 else "the configuration of "
        are = "are" if len(arms) > 1 else "is"
        parts.append(
            f"{what}{names_joined([arm.name for arm in arms])} {are} {verdict} than {baselines}, in {words}: {ratios}"
        )
    if not parts:
        what = "arm" if methods else "configuration"
        parts.append(f"no {what} is shown to be faster or slower than {baselines}, in {words}")
    return "; ".join(parts) + _about(comparison)


def _about(comparison: CurvesComparison) -> str:
    if comparison.judges_methods:
        return f". Over {comparison.studies} studies"
    count = f"{comparison.studies} stud{'y' if comparison.studies == 1 else 'ies'}"
    return (
        f". This is about configurations, not methods: {count} cannot tell a better method from a luckier search "
        f"({MIN_STUDIES} can)"
    )


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
                "{:.4f} ± {:.4f}".format(*mean) if (mean := comparison.mean(arm.main)) else "-",
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


def curves_findings(comparison: CurvesComparison) -> list[str]:
    """Which speed-ups could have been detected, and which runs were left out."""
    clock, found = comparison.clock, []
    for arm in comparison.challengers:
        judgement, speed_up = arm.judgements.get(clock), arm.speed_up(clock)
        if judgement is None or speed_up is None:
            continue
        if judgement.verdict != NOT_SHOWN or speed_up.ratio.censored != WITHIN:
            continue
        draws = arm.draws[clock][judgement.against][:, 0]
        least = power(draws, studies=speed_up.units, tail=judgement.tails[0]).least_detectable
        if least < LARGEST_SHOWN:
            found.append(
                f"{arm.name}: a true speed-up of {least:.2f} or more would have been found in {POWER:.0%} of such "
                "comparisons."
            )
    if comparison.copies:
        found.append(f"{comparison.copies} runs are copies of other runs of their arm and count once.")
    for arm in comparison.challengers:
        others = [side for side in arm.sides if side is not arm.main]
        if others:
            left = ", ".join(f"{len(side.runs)} at {side.horizon}" for side in others)
            found.append(
                f"{arm.name} is judged at {arm.main.horizon} steps; its runs at other horizons are left out: {left}."
            )
    for arm in comparison.baselines:
        left = [side for side in arm.sides if side not in arm.curve]
        if left:
            runs = ", ".join(f"{len(side.runs)} at {side.horizon}" for side in left)
            found.append(f"{arm.name}: horizons with too few or lost runs are not on its curve: {runs}.")
    return found


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
                        **dict(
                            zip(
                                ("mean_loss" if metric.is_loss else "mean", "standard_deviation"),
                                mean,
                                strict=True,
                            )
                        ),
                    }
                    for side in arm.sides
                    for mean in [comparison.mean(side) or (None, None)]
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


def write_curves_report(comparison: CurvesComparison, folder: Path) -> Path:
    """Write `report.html`, `report.md`, `report.json` and the figure into `folder`; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    headline, findings, tables = (
        curves_headline(comparison),
        curves_findings(comparison),
        curves_tables(comparison),
    )
    facts = without_secrets(json.dumps(curves_json(comparison), indent=1, allow_nan=False))
    (folder / "report.json").write_text(f"{facts}\n", encoding="utf-8")
    parts = [f"**{in_markdown(headline)}**", ""]
    parts += [line for finding in findings for line in (in_markdown(finding), "")]
    for table in tables:
        parts += [f"**{in_markdown(table.title)}**", "", *markdown_table(table), ""]
    (folder / "report.md").write_text("\n".join([*parts, _note(comparison), ""]), encoding="utf-8")
    pictures = curves_pictures(comparison)
    for picture in pictures:
        picture.write(folder)
    page = folder / "report.html"
    page.write_text(
        rendered(
            "curves",
            title="Verdict on curves",
            headline=headline,
            findings=findings,
            tables=tables,
            pictures=pictures,
            note=_note(comparison),
        ),
        encoding="utf-8",
    )
    return page
