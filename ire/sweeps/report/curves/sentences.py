"""The sentences of a report on curves: verdict, what could have been detected, and the note below."""

import numpy as np

from ire.sweeps.findings.curves.arms import Arm
from ire.sweeps.findings.curves.comparison import CurvesComparison
from ire.sweeps.findings.power import POWER, power
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.verdict import FASTER, NOT_SHOWN, SLOWER
from ire.sweeps.plan.options import MIN_STUDIES
from ire.sweeps.report.sentences.parts import beaten_by_shorter, names_joined
from ire.sweeps.report.tables.table import LARGEST_SHOWN


def curves_headline(comparison: CurvesComparison) -> str:
    """The finding in one sentence, which says whether it is about methods or configurations."""
    clock, words = comparison.clock, CLOCKS[comparison.clock]
    judged = [arm for arm in comparison.challengers if clock in arm.judgements]
    if not judged:
        return "no verdict: too few whole runs or studies, see the contract"
    baselines = names_joined([arm.name for arm in comparison.baselines])
    methods = comparison.judges_methods
    parts: list[str] = []
    for verdict in (FASTER, SLOWER):
        arms = [arm for arm in judged if arm.judgements[clock].verdict == verdict]
        if not arms:
            continue
        ratios = ", ".join(f"{arm.name} {arm.speed_up(clock)} against {arm.against(clock)}" for arm in arms)
        decisive = {arm.against(clock) for arm in arms}
        than = baselines if verdict == FASTER else decisive.pop() if len(decisive) == 1 else "a baseline"
        what = "" if methods else "the configurations of " if len(arms) > 1 else "the configuration of "
        are = "are" if len(arms) > 1 else "is"
        parts.append(
            f"{what}{names_joined([arm.name for arm in arms])} {are} {verdict} than {than}, in {words}: {ratios}"
        )
    if not parts:
        what = "arm" if methods else "configuration"
        than = f"faster or slower than {baselines}"
        if len(comparison.baselines) > 1:
            than = f"faster than {baselines}, or slower than one of them"
        parts.append(f"no {what} is shown to be {than}, in {words}")
    return "; ".join(parts) + _about(comparison)


def _about(comparison: CurvesComparison) -> str:
    if comparison.judges_methods:
        return f". Over {comparison.studies} studies"
    count = f"{comparison.studies} stud{'y' if comparison.studies == 1 else 'ies'}"
    return (
        f". This is about configurations, not methods: {count} cannot tell a better method from a luckier search "
        f"({MIN_STUDIES} can)"
    )


def curves_findings(comparison: CurvesComparison) -> list[str]:
    """Which speed-ups could have been detected, and which runs were left out."""
    clock = comparison.clock
    found: list[str] = []
    for arm in comparison.challengers:
        judgement, speed_up = arm.judgements.get(clock), arm.speed_up(clock)
        if judgement is None or speed_up is None or judgement.verdict != NOT_SHOWN:
            continue
        found += _with_one_horizon(comparison, arm, judgement.against)
        draws = arm.draws[clock][judgement.against]
        least = power(draws, studies=speed_up.units, tail=judgement.tails[0]).least_detectable
        if least < LARGEST_SHOWN:
            found.append(
                f"{arm.name}: a true speed-up of {least:.2f} or more would have been found in {POWER:.0%} of such "
                "comparisons."
            )
    found += beaten_by_shorter({arm.name: arm.speed_ups.get("step", {}) for arm in comparison.challengers})
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


def _with_one_horizon(comparison: CurvesComparison, arm: Arm, against: str) -> list[str]:
    """What to run where an arm ends better or worse than a baseline that has no other horizon to tell by how much."""
    (baseline,) = (each for each in comparison.baselines if each.name == against)
    _, low, high = arm.differences.get(against, (0.0, -np.inf, np.inf))
    if len(baseline.curve) > 1 or low <= 0 <= high:
        return []
    better, runs = ("better", "longer") if high < 0 else ("worse", "shorter")
    return [
        f"{arm.name} ends {better} than {against} at the only horizon of {against}, which does not tell how much time "
        f"that is worth: give {against} {runs} runs as well, each with its whole schedule."
    ]


def curves_note(comparison: CurvesComparison) -> str:
    """The definition of a speed-up, below the report."""
    metric = comparison.metric
    better = "" if metric.is_loss else f" For {metric.name}, {metric.better} is better."
    return (
        "Speed-up: how much longer a baseline would have to run, with a complete schedule, to reach the "
        f"final {metric.words} of the arm; above 1 is faster.{better} ≥ and ≤ are bounds: the baseline's curve "
        "ends there; with ? it bounds nothing. Intervals are at 95 %, "
        "or at the level of the verdict, which is corrected over the arms (Holm). "
        "docs/report.md has all definitions."
    )
