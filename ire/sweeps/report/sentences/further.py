"""The sentences after the headline: other clocks, power, lost runs, and what the plan left out."""

from ire.methods.foreign import shortened
from ire.sweeps.findings.calibration import calibration_of
from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.findings.power import POWER, SMALL
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.statistics.horizon import UNKNOWN
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.verdict import (
    FASTER,
    NOT_SHOWN,
    SLOWER,
)
from ire.sweeps.plan.options import MIN_STUDIES
from ire.sweeps.report.sentences.controls import control_findings
from ire.sweeps.report.sentences.masks import mask_findings
from ire.sweeps.report.sentences.parts import (
    beaten_by_shorter,
    is_or_are,
    methods_joined,
    names_joined,
    speed_ups_over,
)
from ire.sweeps.report.sentences.search import (
    after_a_look,
    not_searched,
    searched_by_default,
    shared_steps,
    unfinished,
    warm_started,
    widened,
)


def further_findings(results: Results) -> list[str]:
    """The sentences after the headline, in the order of the report."""
    comparison = results.comparison
    found = (
        *_clock(comparison),
        *_other_clocks(comparison),
        *_power(comparison),
        *beaten_by_shorter({row.method: row.over.speed_ups.get("step", {}) for row in comparison.rows}),
        *control_findings(comparison),
        *mask_findings(comparison),
        *_lost(comparison),
        *widened(results),
        *unfinished(results),
        *shared_steps(results),
        *after_a_look(results),
        *missing(results),
        *searched_by_default(results),
        *not_searched(results),
        *warm_started(results),
        *_calibrated(results),
    )
    return [shortened(finding) for finding in found]


def _clock(comparison: Comparison) -> list[str]:
    if not comparison.clock_reason or not any(row.speed_ups for row in comparison.rows):
        return []
    return [f"The headline is in {CLOCKS[comparison.clock]}, not wall-clock: {comparison.clock_reason}."]


def _other_clocks(comparison: Comparison) -> list[str]:
    """Verdicts on the clocks other than the headline's."""
    sentences: list[str] = []
    for clock, words in CLOCKS.items():
        if clock == comparison.clock:
            continue
        for word in (FASTER, SLOWER):
            rows = [row for row in comparison.rows if row.verdicts.get(clock) == word and not row.is_baseline]
            if rows:
                sentences.append(
                    f"In {words}, {methods_joined(rows)} {is_or_are(rows)} {word}: {speed_ups_over(rows, clock)}."
                )
    return sentences


def _power(comparison: Comparison) -> list[str]:
    """Which speed-up could have been detected, for each method without a verdict."""
    clock = comparison.clock
    sentences: list[str] = []
    for row in comparison.rows:
        if row.is_baseline or row.verdicts.get(clock) != NOT_SHOWN:
            continue
        power = row.powers[clock]
        found = (
            f"a true speed-up of {power.least_detectable:.2f} or more"
            if power.least_detectable < 100
            else "no speed-up, however large,"
        )
        needed = (
            f"; {power.studies_for_small} studies would find {SMALL}"
            if power.studies_for_small and power.least_detectable > SMALL
            else ""
        )
        sentences.append(
            f"{row.method}: {found} would have been found in {POWER:.0%} of such sweeps{needed}."
        )
    return sentences


def _lost(comparison: Comparison) -> list[str]:
    sentences: list[str] = []
    lost = [f"{row.method} {row.lost}" for row in comparison.rows if row.lost]
    if lost:
        sentences.append(f"No verdict on methods whose confirm runs diverged or failed: {', '.join(lost)}.")
    without = [
        f"{row.method} {count}" for row in comparison.rows if (count := row.without(comparison.judged))
    ]
    if without:
        value = comparison.judged.replace("_", " ")
        sentences.append(
            f"No verdict on methods of which confirm runs have no finite {value}: {', '.join(without)}."
        )
    curve = [f"{p.baseline} {p.lost} at {p.factor:g} T" for p in comparison.curve if p.lost]
    if curve:
        sentences.append(
            f"Some runs of the baselines' curves diverged or failed ({', '.join(curve)}). Their remaining runs can "
            "keep a method from being called faster, but no method is called slower because of them."
        )
    unread = dict.fromkeys(
        name
        for row in comparison.rows
        for over in row.over.speed_ups.values()
        for name, speed_up in over.items()
        if speed_up.ratio.censored == UNKNOWN and not speed_up.whole
    )
    if unread:
        sentences.append(
            f"Too many runs of {names_joined(list(unread))} are lost for a comparison, so no method is called faster."
        )
    return sentences


def _calibrated(results: Results) -> list[str]:
    """How often such verdicts are wrong, in simulated sweeps."""
    found = calibration_of(results.plan, results.comparison)
    if found is None:
        return []
    return [
        f"How often such verdicts are wrong: of {found.sweeps} simulated sweeps with losses like those of "
        f"{found.surface} ({found.line}), {found.faster:.1%} called a method faster and {found.slower:.1%} called one "
        "slower."
    ]


def missing(results: Results) -> list[str]:
    """What the plan left out of the comparison, and the command that adds it."""
    comparison, plan = results.comparison, results.plan
    folder = results.home.argument
    sentences: list[str] = []
    judged = any(row.method != comparison.baseline for row in comparison.rows)
    if comparison.baseline and judged and plan.confirm_seeds:
        if not plan.curve:
            sentences.append(
                f"Without baseline curves there is no speed-up and no verdict: `ire resume {folder} --curve` runs them."
            )
        elif not comparison.has_curve:
            sentences.append(
                "The baselines' curves have not been run yet, so there is no speed-up and no verdict."
            )
        elif comparison.studies < MIN_STUDIES and not comparison.shares_trials and comparison.is_complete:
            sentences.append(
                f"`ire resume {folder} --studies {MIN_STUDIES}` adds the studies that a verdict about methods needs."
            )
        if not plan.controls and any(plan.method(row.method).ire for row in comparison.rows):
            sentences.append(f"Controls were not run: `ire resume {folder} --controls` adds them.")
    return sentences
