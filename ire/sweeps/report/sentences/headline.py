"""The headline of a report: what a sweep found, in one sentence, and what is still missing."""

from collections.abc import Sequence

from ire.methods.foreign import shortened
from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Row
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.verdict import (
    FASTER,
    NOT_FINISHED,
    NOT_SHOWN,
    SLOWER,
)
from ire.sweeps.plan.options import MIN_STUDIES
from ire.sweeps.records.records import RUNNING
from ire.sweeps.report.sentences.parts import is_or_are, methods_joined, names_joined, speed_ups_over


def headline(results: Results) -> str:
    """The task and the finding in one sentence, and what qualifies it."""
    return ". ".join(headline_parts(results))


def headline_parts(results: Results) -> list[str]:
    """The sentences of the headline without their full stops: the finding; whether it is about configurations, and what
    an incomplete sweep still lacks.
    """
    finding, *more = [*_finding(results.comparison), *_so_far(results)]
    return [shortened(part) for part in (f"{results.plan.task}: {finding}", *more)]


def _finding(comparison: Comparison) -> list[str]:
    if comparison.baseline is None:
        if comparison.is_complete and any(row.is_baseline for row in comparison.rows):
            return ["no verdict: no baseline has confirm runs"]
        if comparison.is_complete:
            return ["there is no baseline to compare with"]
        return ["no baseline has been confirmed yet"]
    if len(comparison.rows) == 1:
        return ["there is no other method to compare with"]
    broken = [
        clause.text for clause in comparison.contract if clause.kept is False and clause.name != "hardware"
    ]
    if broken:
        return [f"not comparable: {'; '.join(broken)}"]
    challengers = [row for row in comparison.rows if not row.is_baseline]
    rows = challengers or [row for row in comparison.rows if row.method != comparison.baseline]
    if not any(row.speed_ups or (row.against_best and not comparison.judges_methods) for row in rows):
        return ["no verdict yet: confirm runs or the baselines' curves are missing"]
    if not comparison.judges_methods:
        return _configurations(comparison, rows)
    judged = [row for row in rows if comparison.clock in row.judgements]
    if not judged:
        return ["no verdict: runs diverged, failed or are missing"]
    by_verdict = {
        word: [row for row in judged if row.verdicts[comparison.clock] == word]
        for word in (FASTER, SLOWER, NOT_SHOWN, NOT_FINISHED)
    }
    clock = CLOCKS[comparison.clock]
    parts: list[str] = []
    if faster := by_verdict[FASTER]:
        parts.append(
            f"in {clock}, over {comparison.studies} studies, {methods_joined(faster)} {is_or_are(faster)} "
            f"faster than every tuned baseline: {speed_ups_over(faster, comparison.clock)}"
        )
    else:
        parts.append(
            f"in {clock}, over {comparison.studies} studies, no method is shown to be faster than every tuned baseline"
        )
    if slower := by_verdict[SLOWER]:
        parts.append(
            f"{methods_joined(slower)} {is_or_are(slower)} slower: {speed_ups_over(slower, comparison.clock)}"
        )
    if faster and by_verdict[NOT_SHOWN]:
        parts.append(f"no difference is shown for {methods_joined(by_verdict[NOT_SHOWN])}")
    if unfinished := by_verdict[NOT_FINISHED]:
        parts.append(f"the comparison is not finished for {methods_joined(unfinished)}")
    return ["; ".join(parts)]


def _configurations(comparison: Comparison, rows: Sequence[Row]) -> list[str]:
    """The finding from too few studies, or from studies that share a search: it is about configurations."""
    yardstick, metric = f"the one found for {comparison.baseline}", comparison.metric
    others = [row for row in rows if row.method != comparison.baseline]
    better, worse = (
        [row.method for row in others if comparison.ends(row) == end] for end in (metric.better, metric.worse)
    )
    parts: list[str] = []
    of = "" if metric.is_loss else f" in {metric.words}"
    if better:
        parts.append(
            f"the configurations found for {names_joined(better)} end {metric.better}{of} than {yardstick}"
        )
    if worse:
        parts.append(
            f"the configurations found for {names_joined(worse)} end {metric.worse}{of} than {yardstick}"
        )
    if not parts:
        parts.append(f"no configuration is shown to end lower or higher{of} than {yardstick}")
    count = f"{comparison.studies} stud{'y' if comparison.studies == 1 else 'ies'}"
    if comparison.shares_trials:
        count += " that start from the same search"
    can = "" if comparison.shares_trials else f" ({MIN_STUDIES} can)"
    return [
        "; ".join(parts),
        f"This is about configurations, not methods: {count} cannot tell a better method from a luckier search{can}",
    ]


def _so_far(results: Results) -> list[str]:
    comparison, plan = results.comparison, results.plan
    if comparison.is_complete:
        return []
    running = sum(t.status == RUNNING for t in results.records.trials.values())
    planned = plan.confirm_seeds * plan.studies
    seeds = ", ".join(f"{row.method} {len(row.runs)} of {planned}" for row in comparison.rows if row.winner)
    trials = f"{running} trial{'s' * (running != 1)} unfinished"
    return [f"Incomplete: {trials}; confirm runs so far: {seeds or 'none'}"]
