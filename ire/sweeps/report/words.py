"""What was found, in sentences: the verdict, what is missing and how to get it, and how the numbers are defined."""

from collections.abc import Collection, Sequence

from ire.methods.foreign import shortened
from ire.methods.method import parse_method
from ire.storage.storage import is_uri
from ire.sweeps.findings.comparison import Comparison, Control, Difference, Row
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.statistics.draws import LEVEL
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.verdict import FASTER, MARGIN, MIN_SEEDS, NOT_SHOWN, SLOWER
from ire.sweeps.records.records import RUNNING, SEARCH
from ire.sweeps.search.stages import KAPPA_0, PUBLISHED


def headline(results: Results) -> str:
    """What was found, in one sentence, honest about what is missing."""
    comparison = results.comparison
    return shortened(f"{results.plan.task}: {_finding(comparison)}{_so_far(results)}")


def _finding(comparison: Comparison) -> str:
    if comparison.baseline is None:
        if comparison.is_complete:
            return "there is no baseline to compare with"
        return "no baseline has been confirmed yet"
    broken = [
        clause.text for clause in comparison.contract if clause.kept is False and clause.name != "hardware"
    ]
    if broken:
        return f"not comparable: {'; '.join(broken)}"
    judged = [row for row in comparison.rows if row.verdicts]
    if not judged:
        return f"no verdict yet on anything but the best tuned baseline, {comparison.baseline}"
    clock = comparison.clock
    told = {
        word: [row for row in judged if row.verdicts[clock] == word] for word in (FASTER, SLOWER, NOT_SHOWN)
    }
    parts = []
    if told[FASTER]:
        parts.append(
            f"{_and([row.method for row in told[FASTER]])} {_are(told[FASTER])} faster than the best tuned baseline, "
            f"{comparison.baseline}, in {CLOCKS[clock]}: {_by(told[FASTER], clock)}"
        )
    else:
        parts.append(
            f"no method is shown to be faster than the best tuned baseline, {comparison.baseline}, in {CLOCKS[clock]}"
        )
    if told[SLOWER]:
        parts.append(f"{_and([row.method for row in told[SLOWER]])} {_are(told[SLOWER])} slower")
    if told[FASTER] and told[NOT_SHOWN]:
        parts.append(f"of {_and([row.method for row in told[NOT_SHOWN]])} neither is shown")
    return "; ".join(parts)


def _so_far(results: Results) -> str:
    comparison, plan = results.comparison, results.plan
    if comparison.is_complete:
        return ""
    running = sum(t.status == RUNNING for t in results.records.trials.values())
    seeds = ", ".join(
        f"{row.method} {len(row.confirmed)} of {plan.confirm_seeds}" for row in comparison.rows if row.winner
    )
    return f" (incomplete: {running} trials unfinished; confirm seeds so far: {seeds or 'none'})"


def further_findings(results: Results) -> list[str]:
    """The sentences after the first: controls, edges of spaces, lost runs, other clocks, what is missing."""
    comparison = results.comparison
    found = (
        *_other_clocks(comparison),
        *control_findings(comparison),
        *_lost(comparison),
        *_edges(comparison),
        *_shared(results),
        *missing(results),
        *_searched_by_default(results),
    )
    return [shortened(finding) for finding in found]


def _searched_by_default(results: Results) -> list[str]:
    """For which methods the space file has no table, and what was searched instead."""
    space, arms = results.plan.space, map(parse_method, results.plan.methods)
    told = dict.fromkeys(space.searched_by_default(arm) for arm in arms)
    return [f"{sentence}." for sentence in told if sentence]


def shared(results: Results, method: str | None = None) -> int:
    """Gradient evaluations that trials count and another one spent for them; of one method's search, or of all."""
    return sum(
        min(trial.prefix, trial.gradient_evaluations)  # one that fails at once counts nothing
        for trial in results.records.trials.values()
        if method is None or (trial.arm == method and trial.stage == SEARCH)
    )


def _shared(results: Results) -> list[str]:
    saved = shared(results)
    if not saved:
        return []
    counted = sum(trial.gradient_evaluations for trial in results.records.trials.values())
    told = [
        f"{row.method}'s search {shared(results, row.method) / row.spent:.0%}"
        for row in results.comparison.rows
        if shared(results, row.method)
    ]
    return [
        f"Steps before IRE that trials share were trained once: {saved} of {counted} gradient evaluations were not "
        f"spent ({', '.join([f'{saved / counted:.0%}', *told])}). Budgets and clocks count them as if they were."
    ]


def _other_clocks(comparison: Comparison) -> list[str]:
    told = []
    for clock, words in CLOCKS.items():
        faster = [row for row in comparison.rows if row.verdicts.get(clock) == FASTER]
        if clock != comparison.clock and faster and comparison.is_comparable:
            told.append(
                f"In {words} {_and([row.method for row in faster])} {_are(faster)} faster: {_by(faster, clock)}."
            )
    return told


def control_findings(comparison: Comparison) -> list[str]:
    """What remains of each method's advantage when something is taken away from it."""
    told = []
    for row in comparison.rows:
        known = {control.name: control for control in row.controls if control.name != PUBLISHED}
        if row.unsettled:
            told.append(
                f"Whether it is the curvature is not settled for {row.method}: runs of it or of its "
                f"control{'s' * (len(row.unsettled) > 1)} {_and(row.unsettled)} are missing, diverged or failed."
            )
        elif KAPPA_0 in known:
            told += _of_controls(row, known.pop(KAPPA_0), known.values())
    return told


def _of_controls(row: Row, boost: Control, others: Collection[Control]) -> list[str]:
    told, method, helps = [], row.method, is_lower(boost.against_method)
    if not helps:
        ends = "lower" if is_higher(boost.against_method) else "no higher, as far as this shows"
        told.append(f"That the boost helps is not shown for {method}: at kappa = 0 it ends {ends}.")
    beaten = [control.name for control in others if is_lower(control.against_method)]
    unbeaten = [control.name for control in others if not is_lower(control.against_method)]
    if unbeaten:
        beats = f" It does end lower than {_and(beaten)}." if beaten else ""
        told.append(
            f"That it is the curvature is not shown for {method}: it does not end lower than its "
            f"control{'s' * (len(unbeaten) > 1)} {_and(unbeaten, 'or')}.{beats}"
        )
    elif helps:
        told.append(f"It is the curvature: {method} ends lower than all of its controls.{_beside_base(row)}")
    else:
        told.append(
            f"Which coordinates are boosted does matter: {method} ends lower than its other controls."
        )
    return told


def _beside_base(row: Row) -> str:
    """Controls have the method's own settings: what its base does with others is another question."""
    if row.against_base is None:
        return ""
    if is_lower(row.against_base):
        return " Its base, tuned by itself, ends higher, too."
    if is_higher(row.against_base):
        return " Its base, tuned by itself, ends lower still."
    return " That its base, tuned by itself, ends higher, too, is not shown."


def is_lower(difference: Difference | None) -> bool:
    """Whether the first of two ends lower, by the interval over seeds."""
    return difference is not None and difference.seeds >= MIN_SEEDS and difference.high < 0


def is_higher(difference: Difference | None) -> bool:
    """Whether the first of two ends higher, by the interval over seeds."""
    return difference is not None and difference.seeds >= MIN_SEEDS and difference.low > 0


def _lost(comparison: Comparison) -> list[str]:
    told = []
    lost = [f"{row.method} {row.lost}" for row in comparison.rows if row.lost]
    if lost:
        told.append(f"No verdict on methods whose confirm runs diverged or failed: {', '.join(lost)}.")
    curve = [f"{point.lost} at {point.factor:g} T" for point in comparison.curve if point.lost]
    if curve:
        told.append(
            "No verdict on any method: runs of the baseline's curve diverged or failed, and it is read from "
            f"all of them: {', '.join(curve)}."
        )
    return told


def _edges(comparison: Comparison) -> list[str]:
    found = [edge for row in comparison.rows for edge in row.edges]
    if not found:
        return []
    return [
        f"Not finished: winners at the edge of their space ({'; '.join(map(str, found))}). Widen it and run all again."
    ]


def missing(results: Results) -> list[str]:
    """What the plan left out of the comparison, and the command that adds it."""
    comparison, plan = results.comparison, results.plan
    folder = results.home.argument if is_uri(results.location) else results.folder.name
    told = []
    judged = any(row.method != comparison.baseline for row in comparison.rows)
    if comparison.baseline and judged and plan.confirm_seeds:
        if not plan.curve:
            told.append(
                f"There is no baseline curve, and so no speed-up and no verdict: `ire resume {folder} --curve` runs it."
            )
        elif not comparison.has_curve:
            told.append("The baseline curve has not been run yet, so there is no speed-up and no verdict.")
        if not plan.controls and any(parse_method(row.method).ire for row in comparison.rows):
            told.append(
                f"Whether it is the curvature was not asked: `ire resume {folder} --controls` runs the controls."
            )
    return told


NOTES = (
    "The speed-up S = h*/T is how much longer (above 1) the best tuned baseline would have to run, with a complete "
    "schedule, to end at the validation loss at which the method ends at the task's horizon T. It is read from the "
    "baseline's curve of final loss against horizon: monotone, never extrapolated; ≥ and ≤ mean that the curve ends "
    "there.",
    "Gradient evaluations: a step costs one gradient of a full batch, a step of SAM two, one with a "
    "penalty three, a mask of IRE one more. "
    "Wall-clock: device-synchronised training time per step, masks included, evaluation and checkpoints left out, "
    "of the median run.",
    f"Intervals are {LEVEL:.0%}, from a bootstrap over seeds in which runs of one seed, of equal initialisation and "
    "data order, stay together. They are not corrected for the number of methods; verdicts are (Holm). faster: shown "
    f"to exceed {MARGIN}, a margin fixed beforehand; slower: shown to be below 1; anything else is not shown. No "
    f"verdict below {MIN_SEEDS} seeds, or where a confirm run diverged or failed. They are about these winners: "
    "how lucky each search was is in no interval of one sweep, but in those over several with other seeds.",
    "The best baseline is the one of the lowest mean validation loss over its confirm runs, which makes it look a "
    "little better than it is: faster is the harder to show, and for slower the p values are multiplied by the number "
    "of baselines. Its curve keeps the settings found at T unless `--curve-lr` lets each point choose its learning "
    "rate; that can only flatter the methods. Values are mean ± standard deviation over confirm seeds. Nothing was "
    "chosen by test losses.",
    "Time to target: time of the baseline to its own final loss over the method's time to the same loss, on mean "
    "curves of the confirm runs; best run: the same for the best search trial of each, one run, no interval. These "
    "are the ratios that the literature quotes; they read curves in mid-schedule, and no verdict rests on them.",
)


def _and(words: Sequence[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _by(rows: Sequence[Row], clock: str) -> str:
    """`1.31 [1.12, 1.50]`, each with its method where there are several."""
    if len(rows) == 1:
        return str(rows[0].speed_ups[clock])
    return ", ".join(f"{row.method} {row.speed_ups[clock]}" for row in rows)


def _are(rows: Sequence[Row]) -> str:
    return "is" if len(rows) == 1 else "are"
