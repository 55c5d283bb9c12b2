"""What was found, in sentences: the verdict, what is missing and how to get it, and how the numbers are defined."""

from collections.abc import Collection, Sequence

from ire.methods.foreign import shortened
from ire.sweeps.findings.calibration import calibration_of
from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.findings.differences import Difference
from ire.sweeps.findings.power import POWER, SMALL
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Control, Row
from ire.sweeps.findings.statistics.draws import LEVEL
from ire.sweeps.findings.statistics.horizon import UNKNOWN
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.verdict import (
    FASTER,
    MARGIN,
    NOT_FINISHED,
    NOT_SHOWN,
    SLOWER,
)
from ire.sweeps.findings.yardstick import TEST
from ire.sweeps.plan.options import MIN_STUDIES
from ire.sweeps.records.records import RUNNING, SEARCH
from ire.sweeps.search.stages import KAPPA_0, PUBLISHED
from ire.sweeps.search.widening import Moved, has_room, widest
from ire.trial.metric import Metric


def headline(results: Results) -> str:
    """What was found, in one sentence, honest about what is missing."""
    return shortened(f"{results.plan.task}: {_finding(results.comparison)}{_so_far(results)}")


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
    challengers = [row for row in comparison.rows if not row.is_baseline]
    rows = challengers or [row for row in comparison.rows if row.method != comparison.baseline]
    if not any(row.speed_ups or (row.against_best and not comparison.judges_methods) for row in rows):
        return "no verdict yet: confirm runs or the baselines' curves are missing"
    if not comparison.judges_methods:
        return _configurations(comparison, rows)
    judged = [row for row in rows if comparison.clock in row.judgements]
    if not judged:
        return "no verdict: runs diverged, failed or are missing"
    by_verdict = {
        word: [row for row in judged if row.verdicts[comparison.clock] == word]
        for word in (FASTER, SLOWER, NOT_SHOWN, NOT_FINISHED)
    }
    clock, parts = CLOCKS[comparison.clock], []
    if faster := by_verdict[FASTER]:
        parts.append(
            f"in {clock}, over {comparison.studies} studies, {_and([row.method for row in faster])} {_are(faster)} "
            f"faster than every tuned baseline: {_by(faster, comparison.clock)}"
        )
    else:
        parts.append(
            f"in {clock}, over {comparison.studies} studies, no method is shown to be faster than every tuned baseline"
        )
    if slower := by_verdict[SLOWER]:
        parts.append(
            f"{_and([row.method for row in slower])} {_are(slower)} slower: {_by(slower, comparison.clock)}"
        )
    if faster and by_verdict[NOT_SHOWN]:
        parts.append(f"for {_and([row.method for row in by_verdict[NOT_SHOWN]])} no difference is shown")
    if unfinished := by_verdict[NOT_FINISHED]:
        parts.append(f"the comparison is not finished for {_and([row.method for row in unfinished])}")
    return "; ".join(parts)


def _configurations(comparison: Comparison, rows: Sequence[Row]) -> str:
    """One or two studies, or some that share a search: they compare the configurations that it happened to find."""
    known = {
        row.method: row.against_best
        for row in rows
        if row.against_best is not None and row.method != comparison.baseline
    }
    better = [method for method, difference in known.items() if difference.shows_better]
    worse = [method for method, difference in known.items() if difference.shows_worse]
    parts, yardstick, metric = [], f"the one found for {comparison.baseline}", comparison.metric
    of = "" if metric.is_loss else f" in {metric.words}"
    if better:
        parts.append(f"the configurations found for {_and(better)} end {metric.better}{of} than {yardstick}")
    if worse:
        parts.append(f"the configurations found for {_and(worse)} end {metric.worse}{of} than {yardstick}")
    if not parts:
        parts.append(f"no configuration is shown to end lower or higher{of} than {yardstick}")
    count = f"{comparison.studies} stud{'y' if comparison.studies == 1 else 'ies'}"
    if comparison.shares_trials:
        count += " that start from the same search"
    can = "" if comparison.shares_trials else f" ({MIN_STUDIES} can)"
    return (
        f"{'; '.join(parts)}. This is about configurations, not methods: {count} cannot tell a better method from a "
        f"luckier search{can}"
    )


def _so_far(results: Results) -> str:
    comparison, plan = results.comparison, results.plan
    if comparison.is_complete:
        return ""
    running = sum(t.status == RUNNING for t in results.records.trials.values())
    planned = plan.confirm_seeds * plan.studies
    seeds = ", ".join(f"{row.method} {len(row.runs)} of {planned}" for row in comparison.rows if row.winner)
    return f" (incomplete: {running} trials unfinished; confirm runs so far: {seeds or 'none'})"


def further_findings(results: Results) -> list[str]:
    """The sentences after the first: other clocks, power, controls, edges of ranges, lost runs, what is missing."""
    comparison = results.comparison
    found = (
        *_clock(comparison),
        *_other_clocks(comparison),
        *_power(comparison),
        *control_findings(comparison),
        *_lost(comparison),
        *_widened(results),
        *_unfinished(results),
        *_shared(results),
        *_after_a_look(results),
        *missing(results),
        *_searched_by_default(results),
        *_not_searched(results),
        *_warm_started(results),
        *_calibrated(results),
    )
    return [shortened(finding) for finding in found]


def _searched_by_default(results: Results) -> list[str]:
    """For which methods the space file has no table, and what was searched instead."""
    space, arms = results.plan.space, map(results.plan.method, results.plan.methods)
    told = dict.fromkeys(space.searched_by_default(arm) for arm in arms)
    return [f"{sentence}." for sentence in told if sentence]


def _not_searched(results: Results) -> list[str]:
    """Which methods were not searched, and what is known of how their settings were found."""
    sentences = []
    for row in results.comparison.rows:
        if row.is_searched:
            continue
        known = results.plan.space.fixed.get(row.method)
        cost = (
            "what finding them cost is unknown"
            if known is None or known.search_cost is None
            else f"finding them cost {known.search_cost} gradient evaluations, as the space file says"
        )
        sentences.append(
            f"{row.method} was not searched: its settings are fixed, and {cost}. What is found against it is about "
            "these settings."
        )
    return sentences


def _warm_started(results: Results) -> list[str]:
    """What the searches knew before they began."""
    imported = results.plan.imported
    if imported is None:
        return []
    names = [name for name in results.plan.methods if imported.of(name)]
    trials = ", ".join(f"{name} {len(imported.of(name))}" for name in names)
    cost = ", ".join(f"{name} {cost}" for name, cost in imported.spent.items())
    studies = ""
    if results.comparison.shares_trials:
        studies = (
            f" {results.comparison.studies} studies start from those of {imported.studies} there; for a verdict about "
            "methods there must be as many."
        )
    elif imported.studies > 1:
        studies = " Each study started from those of one study there."
    return [
        f"Searches were warm-started with trials of {imported.source} ({trials}). These cost gradient evaluations that "
        f"count as spent here ({cost}).{studies}"
    ]


def _calibrated(results: Results) -> list[str]:
    """How often such verdicts are wrong."""
    found = calibration_of(results.plan, results.comparison)
    if found is None:
        return []
    return [
        f"How often such verdicts are wrong: of {found.sweeps} simulated sweeps with losses like those of "
        f"{found.surface} ({found.line}), {found.faster:.1%} called a method faster and {found.slower:.1%} called one "
        "slower."
    ]


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
    shares = [
        f"{row.method}'s search {shared(results, row.method) / row.spent:.0%}"
        for row in results.comparison.rows
        if shared(results, row.method)
    ]
    return [
        f"Trials share the steps before IRE, which were trained once: {saved} of {counted} gradient evaluations were "
        f"not spent ({', '.join([f'{saved / counted:.0%}', *shares])}). Budgets and clocks count them as if they were."
    ]


def _clock(comparison: Comparison) -> list[str]:
    if not comparison.clock_reason or not any(row.speed_ups for row in comparison.rows):
        return []
    return [f"The headline is in {CLOCKS[comparison.clock]}, not wall-clock: {comparison.clock_reason}."]


def _other_clocks(comparison: Comparison) -> list[str]:
    """Faster and slower on the clocks that the headline does not speak of."""
    sentences = []
    for clock, words in CLOCKS.items():
        if clock == comparison.clock:
            continue
        for word in (FASTER, SLOWER):
            rows = [row for row in comparison.rows if row.verdicts.get(clock) == word and not row.is_baseline]
            if rows:
                sentences.append(
                    f"In {words} {_and([row.method for row in rows])} {_are(rows)} {word}: {_by(rows, clock)}."
                )
    return sentences


def _power(comparison: Comparison) -> list[str]:
    """What could have been found, beside what was not."""
    clock, sentences = comparison.clock, []
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


def control_findings(comparison: Comparison) -> list[str]:
    """What remains of each method's advantage when something is taken away from it."""
    sentences = []
    for row in comparison.rows:
        known = {control.name: control for control in row.controls if control.name != PUBLISHED}
        if row.unsettled:
            sentences.append(
                f"{row.method}: its controls are not settled; runs of it or of its "
                f"control{'s' * (len(row.unsettled) > 1)} {_and(row.unsettled)} are missing, diverged or failed."
            )
        elif KAPPA_0 in known and not all(control.is_tuned for control in known.values()):
            sentences.append(
                f"{row.method}: whether its gain comes from the curvature cannot be said. Its controls ran at a "
                "strength that was tuned for it; with --candidates 2 or more each control's own strength is "
                "tuned, too."
            )
        elif KAPPA_0 in known:
            if row.null_model is not None and row.null_model.fits:
                sentences.append(
                    f"{row.method}: a model without curvature, in which only the mean length of a step counts, "
                    f"predicts {_what(comparison.metric)} of the method and its controls "
                    f"(p = {row.null_model.p:.2f} of the misfit)."
                )
            sentences += _of_controls(row, comparison.metric, known.pop(KAPPA_0), known.values())
    return sentences


def _of_controls(row: Row, metric: Metric, boost: Control, others: Collection[Control]) -> list[str]:
    sentences, method, helps = [], row.method, is_better(boost.against_method)
    if not helps:
        worse = boost.against_method is not None and boost.against_method.shows_worse
        ends = f"is {metric.better}" if worse else f"is no {metric.worse}, as far as this shows"
        sentences.append(
            f"No evidence that the boost helps {method}: with kappa = 0 the final {metric.words} {ends}."
        )
    beaten = [control.name for control in others if is_better(control.against_method)]
    unbeaten = [control.name for control in others if not is_better(control.against_method)]
    if unbeaten:
        beats = f" It does beat {_and(beaten)}." if beaten else ""
        sentences.append(
            f"{method}'s gain cannot be attributed to curvature: it does not beat the "
            f"control{'s' * (len(unbeaten) > 1)} {_and(unbeaten)}, each at its own tuned strength.{beats}"
        )
    elif helps:
        sentences.append(
            f"The choice of coordinates explains {method}'s gain: it beats all its controls, each at its own tuned "
            f"strength.{_beside_base(row, metric)}"
        )
    else:
        sentences.append(f"The choice of coordinates matters: {method} beats all its other controls.")
    return sentences


def _beside_base(row: Row, metric: Metric) -> str:
    """Controls have the method's own settings: what its base does with others is another question."""
    if row.against_base is None:
        return ""
    if row.against_base.shows_better:
        return f" Its base optimizer, tuned on its own, ends {metric.worse} as well."
    if row.against_base.shows_worse:
        return f" The base optimizer, tuned on its own, reaches an even {metric.better} {metric.words}."
    return " Whether it also beats its own tuned base is not shown."


def is_better(difference: Difference | None) -> bool:
    """Whether a difference is known and shows that the first of the two ends better."""
    return difference is not None and difference.shows_better


def _what(metric: Metric) -> str:
    return "the losses" if metric.is_loss else f"the {metric.words}"


def _lost(comparison: Comparison) -> list[str]:
    sentences = []
    lost = [f"{row.method} {row.lost}" for row in comparison.rows if row.lost]
    if lost:
        sentences.append(f"No verdict on methods whose confirm runs diverged or failed: {', '.join(lost)}.")
    curve = [f"{p.baseline} {p.lost} at {p.factor:g} T" for p in comparison.curve if p.lost]
    if curve:
        sentences.append(
            f"Some runs of the baselines' curves diverged or failed ({', '.join(curve)}). What is left of these curves "
            "can keep a method from being called faster, but it makes none slower."
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
            f"So many runs of {_and(list(unread))} are lost that no comparison with it is possible, so no method is "
            "called faster."
        )
    return sentences


def _widened(results: Results) -> list[str]:
    """Which ranges searches have moved, and what it cost."""
    sentences = []
    for widening in results.comparison.widenings:
        moved = dict.fromkeys(f"{m} ({', '.join(_sharing(results, m))})" for m in widening.moved)
        study = f" in study {widening.study + 1}" if results.comparison.studies > 1 else ""
        sentences.append(
            f"Searches pressed against ranges{study}, which were widened: {'; '.join(moved)}. Every method could run "
            f"{widening.trials} more search trials for it."
        )
    return sentences


def _sharing(results: Results, moved: Moved) -> list[str]:
    """The methods that search a range that was moved."""
    plan = results.plan
    return [
        name
        for name in plan.methods
        if moved.setting in plan.space.dimensions(plan.method(name))
        and plan.space.table_of(plan.method(name), moved.setting) == moved.table
    ]


def _unfinished(results: Results) -> list[str]:
    comparison, sentences = results.comparison, []
    ends = [edge for row in comparison.rows for edge in row.edges]
    if ends:
        remedy = "Widen the range and run all methods again."
        searched = widest(results.plan, comparison.widenings)
        if any(has_room(searched, edge) for edge in ends):
            remedy = f"`ire resume {results.home.argument} --widen` moves it, for all methods that share it."
        sentences.append(
            f"Not finished: winners press against the end of a range ({'; '.join(map(str, ends))}). {remedy}"
        )
    starved = [row.method for row in comparison.rows if row.is_starved]
    if starved:
        sentences.append(
            f"Not finished: the budget left {_and(starved)} too few trials that ran to the end. Raise --trials."
        )
    return sentences


def _after_a_look(results: Results) -> list[str]:
    """What was changed after the first run: whoever looks and goes on until it fits finds what they look for."""
    first = results.records.runs[0] if results.records.runs else None
    registered = first.get("registered") if first else None
    if registered is None:
        return []
    now = results.plan.registered
    changed = [
        f"{name} {registered[name]} -> {now[name]}"
        for name in now
        if registered.get(name, now[name]) != now[name]
    ]
    if results.plan.widen and first is not None and not first.get("widen"):
        changed.append("widen no -> yes")
    return [f"Changed after the sweep had started: {', '.join(changed)}."] if changed else []


def missing(results: Results) -> list[str]:
    """What the plan left out of the comparison, and the command that adds it."""
    comparison, plan = results.comparison, results.plan
    folder = results.home.argument
    sentences = []
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


def notes(comparison: Comparison) -> list[str]:
    """How the numbers are defined."""
    split = "test split, by which nothing was chosen" if comparison.judged_on == TEST else "validation split"
    unit = "studies" if comparison.studies > 1 else "seeds of the one study"
    metric = comparison.metric
    return [
        "A study is one search of every method and the confirm runs of its winners, with seeds and a split of "
        f"the training data of its own. From {MIN_STUDIES} studies on a verdict is about methods; fewer compare "
        "the configurations that these searches found.",
        "The speed-up S = h*/T is how much longer (above 1) a tuned baseline would have to run, with a complete "
        f"schedule, to end at the {metric.words} at which the method ends at the task's horizon T. It is read from the "
        f"baseline's curve of final {metric.words} against horizon, on the {split}: monotone, never extrapolated; "
        f"≥ and ≤ mean that the curve ends there.{_direction(metric)}",
        f"faster: shown to be faster than every tuned baseline on that clock by more than {MARGIN}, a margin "
        "fixed beforehand; slower: some baseline is shown to be faster. Both are corrected over the methods "
        "(Holm); the speed-up shown is the one over the baseline that decides. not finished: winners at an end "
        "of their range, or too few trials that ran to the end.",
        f"Intervals are over {unit}, {LEVEL:.0%} or as much higher as the correction asks, so that they agree with the "
        "verdicts.",
        "Gradient evaluations: a step costs one gradient of a full batch, a step of SAM two, one with a penalty "
        "three, a mask of IRE one more. Wall-clock: device-synchronised time per step, masks included, measured "
        "by a quiet pass at the end in which the winners take turns; evaluation, checkpoints and compiling are "
        "left out.",
        "Values are mean ± standard deviation over the confirm runs. Time to target: time of the baseline to its "
        "own final loss over the method's time to the same loss, on mean curves of the confirm runs; best run: "
        "the same for the best search trial of each. These are the ratios that the literature quotes; they read "
        "curves in mid-schedule, and no verdict rests on them.",
    ]


def _direction(metric: Metric) -> str:
    """What is compared and which way, where it is not the loss."""
    if metric.is_loss:
        return ""
    return (
        f" Search, pruning, selection and verdict go by {metric.name}, {metric.better} is better; a speed-up means for "
        "it what it means for a loss."
    )


def _and(words: Sequence[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _by(rows: Sequence[Row], clock: str) -> str:
    """`1.31 [1.12, 1.50] against sgd`, each with its method where there are several."""
    return ", ".join(
        (f"{row.method} " if len(rows) > 1 else "") + f"{row.speed_ups[clock]} against {row.against[clock]}"
        for row in rows
    )


def _are(rows: Sequence[Row]) -> str:
    return "is" if len(rows) == 1 else "are"
