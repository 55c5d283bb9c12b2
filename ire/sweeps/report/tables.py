"""The tables of a report as text, whatever they are printed on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ire.foreign_text import visible
from ire.methods.composed import Method
from ire.methods.foreign import shortened
from ire.methods.own_arm import OwnArm
from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.findings.paper import beside_the_paper
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Control, Measured, Row, published
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.tuning_gain import effort, trials_to_within
from ire.sweeps.plan.preset import load_preset
from ire.sweeps.plan.searched_settings import settings_that_vary, short_settings
from ire.sweeps.records.records import DIVERGED, FAILED, FINISHED, PRUNED, TrialRecord
from ire.sweeps.report.words import headline
from ire.sweeps.search.stages import CONTROL_WORDS, KAPPA_0, PUBLISHED
from ire.sweeps.search.widening import study_plan
from ire.trial.metric import Metric
from ire.trial.report import MEASURES
from ire.trial.seeds import derive_seed

TEXT = (
    *("method", "control", "what it is", "verdict", "against", "clock", "winner", "settings", "clause", ""),
    *("trial", "event", "cause", "status", "experiment", "started", "task"),
)
"""Columns that hold words; the others hold numbers."""
ENDS = (FINISHED, PRUNED, DIVERGED, FAILED)
LARGEST_SHOWN = 100
"""What would have to be larger than this to be found is nothing that will be."""
FLATNESS_HEADS = {
    "fisher_trace": "Tr F",
    "hessian_trace": "Tr H",
    "largest_eigenvalue": "largest eigenvalue of H",
}

MASK_HEADS = {
    "mask_overlap": "overlap with the mask before",
    "zero_curvature": "curvatures exactly zero",
    "flat_fraction": "share that is boosted",
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with a title, column heads and cells."""

    title: str
    heads: list[str]
    lines: list[list[str]]

    def __post_init__(self) -> None:
        """Methods stand here by their short names."""
        object.__setattr__(self, "heads", [shortened(head) for head in self.heads])
        object.__setattr__(self, "lines", [[shortened(cell) for cell in line] for line in self.lines])


def tables(results: Results) -> Iterator[Table]:
    """Every table for which there is something to say; the results always, and first."""
    yield result_table(results)
    for table in (
        clocks(results),
        metrics(results),
        paper(results),
        grid(results),
        other_ratios(results),
        controls(results),
        searches(results),
        tuning_efforts(results),
        flatness(results),
        masks(results),
        contract(results),
        faults(results),
    ):
        if table.lines:
            yield table


def paper(results: Results) -> Table:
    """What the paper reports beside what was found, for a sweep of a preset."""
    lines = [
        [
            beside.method,
            beside.metric.replace("_", " "),
            f"{beside.paper:.4f}",
            "" if beside.ours is None or beside.spread is None else _plus_minus((beside.ours, beside.spread)),
            "" if beside.difference is None else f"{beside.difference:+.4f}",
        ]
        for beside in beside_the_paper(results)
    ]
    heads = ["method", "what it is", "paper", "ours", "difference"]
    preset = results.plan.preset
    of = load_preset(preset).paper_of if preset is not None else None
    title = "Beside the paper" + (f": its numbers are of {of}, ours of the last step" if of else "")
    return Table(title=title, heads=heads, lines=lines)


def result_table(results: Results) -> Table:
    """The verdict on each method, in few columns: the clock of the headline, and the loss that is judged."""
    comparison = results.comparison
    clock = comparison.clock
    value = f"{comparison.judged_on} {comparison.metric.words}"
    heads = ["method", "verdict", f"{CLOCKS[clock]} speed-up", "against", value, "runs"]
    planned = results.plan.confirm_seeds * results.plan.studies
    lines = [
        [
            row.method + (" (baseline)" if row.is_baseline else ""),
            _verdict(comparison, row, clock),
            _speed_up(row, clock),
            row.against.get(clock, "-"),
            _mean(row.metric(comparison.judged)),
            _runs(row, planned),
        ]
        for row in comparison.rows
    ]
    return Table(title=headline(results), heads=heads, lines=lines)


def _mean(value: tuple[float, float] | None) -> str:
    return f"{value[0]:.4f}" if value else "-"


def clocks(results: Results) -> Table:
    """The verdict and the speed-up on every clock, and what could have been found."""
    comparison = results.comparison
    lines = [
        [
            row.method,
            words,
            _verdict(comparison, row, clock),
            _speed_up(row, clock),
            row.against[clock],
            _least(row, clock),
        ]
        for row in comparison.rows
        for clock, words in CLOCKS.items()
        if clock in row.speed_ups
    ]
    heads = ["method", "clock", "verdict", "speed-up", "against", "would have found"]
    return Table(title="Every clock", heads=heads, lines=lines)


def _least(row: Row, clock: str) -> str:
    if clock not in row.powers:
        return "-"
    least = row.powers[clock].least_detectable
    return f"{least:.2f}" if least < LARGEST_SHOWN else "nothing"


def metrics(results: Results) -> Table:
    """What each method reached: mean and standard deviation over its confirm runs."""
    comparison = results.comparison
    names = [f"{split} {name}" for split in ("val", "test") for name in comparison.metrics]
    lines = [
        [row.method, *(_plus_minus(row.metric(name.replace(" ", "_"))) for name in names)]
        for row in comparison.rows
        if row.runs
    ]
    return Table(title="Confirm runs", heads=["method", *names], lines=lines)


def other_ratios(results: Results) -> Table:
    """Rivals of the speed-up, and its checks."""
    comparison = results.comparison
    clock, words = comparison.clock, CLOCKS[comparison.clock]
    heads = [
        "method",
        f"S by validation {comparison.metric.words}",
        "S of published settings",
        "time to target",
        "best run: steps",
        f"best run: {words}",
        f"{comparison.metric.words} minus that of its base",
    ]
    lines = []
    for row in comparison.rows:
        untuned = published(row)
        cells = [
            str(row.validation_speed_ups.get(clock, "-")),
            _speed_up(untuned, clock) if untuned and untuned is not row else "-",
            str(row.time_to_target.get(clock, "-")),
            str(row.best_run.get("step", "-")),
            str(row.best_run.get(clock, "-")),
            str(row.against_base or "-"),
        ]
        if untuned is row and row.winners:
            cells[1] = "they won"
        if any(cell != "-" for cell in cells):
            lines.append([row.method, *cells])
    return Table(title=f"Other ratios, in {words} where not said", heads=heads, lines=lines)


def controls(results: Results) -> Table:
    """What remains of a method when something is taken away from it."""
    comparison = results.comparison
    metric = comparison.metric
    heads = [
        *("method", "control", f"val {metric.words}", f"test {metric.words}"),
        *(f"speed-up: {CLOCKS['step']}", CLOCKS["gradient_evaluations"]),
        *(
            f"method's {metric.words} minus control's",
            f"method {metric.better}?",
            "without curvature",
            "runs",
            "what it is",
        ),
    ]
    lines = [
        [
            row.method,
            control.name,
            _plus_minus(control.metric(metric.name)),
            _plus_minus(control.metric(metric.on_test)),
            _speed_up(control, "step"),
            _speed_up(control, "gradient_evaluations"),
            str(control.against_method or "-"),
            _is_better(control, metric),
            _without_curvature(row, control),
            f"{len(control.runs)}/{results.plan.confirm_seeds * results.plan.studies}",
            CONTROL_WORDS[control.name],
        ]
        for row in comparison.rows
        for control in row.controls
    ]
    return Table(title="Controls: is it the curvature?", heads=heads, lines=lines)


def _without_curvature(row: Row, control: Control) -> str:
    """The loss that a model of the step size alone predicts, where it fits."""
    model = row.null_model
    return (
        f"{model.predicted[control.name]:.4f}"
        if model and model.fits and control.name in model.predicted
        else "-"
    )


def _is_better(control: Control, metric: Metric) -> str:
    """Whether the method ends better than its control, in words."""
    difference = control.against_method
    if difference is None:
        return "not shown"
    return (
        "yes" if difference.shows_better else f"no, {metric.worse}" if difference.shows_worse else "not shown"
    )


def searches(results: Results) -> Table:
    """What the searches of each method found, a line a study, and what they cost."""
    plan, comparison = results.plan, results.comparison
    heads = ["method", "study", *ENDS, "gradients spent", "within 1 % after", "state, bytes a parameter"]
    is_timed = any(row.optimizer_share is not None for row in comparison.rows)
    heads += ["optimizer, of a step"] * is_timed + ["winner", "settings"]
    trials = results.records.trials.values()
    budgets = [study_plan(plan, study, trials).budget for study in range(comparison.studies)]
    lines = []
    for row in comparison.rows:
        winners = {winner.study: winner for winner in row.winners}
        for study in range(comparison.studies):
            trials, winner = [t for t in row.search if t.study == study], winners.get(study)
            lines.append(
                [
                    row.method,
                    str(study + 1),
                    *(str(sum(t.status == status for t in trials)) for status in ENDS),
                    f"{sum(t.gradient_evaluations for t in trials)}"
                    + (f"/{budgets[study]}" if row.is_searched else ", not searched"),
                    _trials_needed(trials, comparison.metric),
                    _state_bytes(plan.method(row.method)),
                    *["-" if row.optimizer_share is None else f"{row.optimizer_share:.1%}"] * is_timed,
                    winner.trial.name if winner else "none finished",
                    short_settings(plan, row.method, winner.settings) if winner else "-",
                ]
            )
    by = plan.space.selects
    best = "lowest" if by.mode == "min" else "highest"
    title = "Search" if by.is_loss else f"Search: the winner has the {best} final {by.name.replace('_', ' ')}"
    return Table(title=title, heads=heads, lines=lines)


def _state_bytes(method: Method) -> str:
    """Of an arm of a training function nothing is known."""
    return "-" if isinstance(method, OwnArm) else f"{method.state_bytes:g}"


def tuning_efforts(results: Results) -> Table:
    """How easily each method was tuned, over the studies: only where there are enough of them for an interval."""
    comparison, lines = results.comparison, []
    for row in comparison.rows:
        found = tuning_effort(results, row)
        if found is not None:
            lines.append([row.method, f"{found[0]:.1f}", f"[{found[1]:.1f}, {found[2]:.1f}]"])
    title = f"How easily tuned: search trials to within 1 % of the best, over {comparison.studies} studies"
    return Table(title=title, heads=["method", "trials", "95 % interval"], lines=lines)


def tuning_effort(results: Results, row: Row) -> tuple[float, float, float] | None:
    """Geometric mean and interval of the trials that a method's searches needed; None from too few studies."""
    comparison = results.comparison
    if not comparison.judges_methods or not row.is_searched:
        return None
    studies = [[t for t in row.search if t.study == study] for study in range(comparison.studies)]
    needed = [trials_to_within(trials, comparison.metric) for trials in studies]
    known = [count for count in needed if count is not None]
    if len(known) < comparison.studies:
        return None
    return effort(known, np.random.default_rng(derive_seed(results.plan.seed, "effort", row.method)))


def _trials_needed(trials: Sequence[TrialRecord], metric: Metric) -> str:
    """How soon a search came within a hundredth of the best value it found."""
    needed = trials_to_within(trials, metric)
    return "-" if needed is None else f"{needed} trial{'s' * (needed > 1)}"


def grid(results: Results) -> Table:
    """Every point of a grid that was measured; one seed each, the same."""
    plan = results.plan
    test = [f"test_{name}" for name in results.comparison.metrics]
    metrics = {name: name.replace("_", " ") for name in ("train_loss", *test)} | FLATNESS_HEADS
    lines = [
        [trial.method, short_settings(plan, trial.method, trial.spec.settings) or "published"]
        + [f"{v:.4g}" if (v := trial.reports[-1].get(name)) is not None else "-" for name in metrics]
        for row in results.comparison.rows
        for trial in row.search
        if plan.space.search.measured and trial.status == FINISHED
    ]
    return Table(title="Grid, one run a point", heads=["method", "settings", *metrics.values()], lines=lines)


def flatness(results: Results) -> Table:
    """How flat each method's solutions are."""
    lines = [
        [name, *(_plus_minus(found.metric(key), digits=4, fixed=False) for key in MEASURES)]
        for name, found in _with_controls(results)
        if found.metric(MEASURES[0])
    ]
    return Table(title="Flatness", heads=["method", *FLATNESS_HEADS.values()], lines=lines)


def masks(results: Results) -> Table:
    """Whether the masks of IRE mean something, at the end of the confirm runs."""
    lines = [
        [
            name,
            *(_plus_minus(found.metric(key), digits=3) if found.metric(key) else "-" for key in MASK_HEADS),
        ]
        for name, found in _with_controls(results)
        if found.metric("mask_overlap")
    ]
    return Table(
        title="Masks at the end: an overlap near 0 is that of random masks, 1 of equal ones",
        heads=["method", *MASK_HEADS.values()],
        lines=lines,
    )


def _with_controls(results: Results) -> list[tuple[str, Measured]]:
    """Each method and its controls, but for those that differ from it by settings alone."""
    measured: list[tuple[str, Measured]] = []
    for row in results.comparison.rows:
        measured.append((row.method, row))
        measured += [
            (f"{row.method}: {c.name}", c) for c in row.controls if c.name not in (KAPPA_0, PUBLISHED)
        ]
    return measured


def all_trials(results: Results) -> Table:
    """Every search trial with its settings, best first: for the page, where it can be sorted."""
    plan, metric, found = results.plan, results.comparison.metric, []
    for row in results.comparison.rows:
        won = [winner.trial for winner in row.winners]
        found += [(row, trial, trial in won) for trial in row.search]
    names = list(dict.fromkeys(name for row, _, _ in found for name in settings_that_vary(plan, row.method)))
    ends = {
        trial.name: trial.reports[-1].get(metric.name) if trial.reports else None for _, trial, _ in found
    }

    def rank(each: tuple[Row, TrialRecord, bool]) -> tuple[bool, bool, float]:
        trial, end = each[1], ends[each[1].name]
        return trial.status != FINISHED, end is None, 0.0 if end is None else metric.cost(end)

    lines = [
        [
            trial.name,
            row.method,
            "won" if won else trial.status,
            "-" if ends[trial.name] is None else f"{ends[trial.name]:.4f}",
            str(trial.step),
            *(_setting(trial.spec.settings.get(name)) for name in names),
        ]
        for row, trial, won in sorted(found, key=rank)
    ]
    heads = ["trial", "method", "status", f"val {metric.words}", "steps", *names]
    return Table(title="All search trials", heads=heads, lines=lines)


def _setting(value: Any) -> str:
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def contract(results: Results) -> Table:
    """The fairness contract, clause by clause."""
    words = {True: "kept", False: "BROKEN", None: "not yet"}
    return Table(
        title="Fairness contract",
        heads=["clause", "kept", ""],
        lines=[[c.name, c.word or words[c.kept], c.text] for c in results.comparison.contract],
    )


def faults(results: Results) -> Table:
    """What went wrong with trials and did not come of their settings: dead workers, hangs, exceptions."""
    lines = []
    for trial in results.records.trials.values():
        for fault in trial.faults:
            lines.append([trial.name, fault.kind, last_line(fault.cause), trial.status])
        if trial.status == FAILED:
            lines.append([trial.name, "given up", last_line(trial.error or ""), trial.status])
    return Table(title="Faults", heads=["trial", "event", "cause", "status"], lines=lines)


def last_line(text: str) -> str:
    """The line of a traceback that says most, and no more than a table can hold."""
    last = visible(text).strip().rpartition("\n")[2].strip()
    return last if len(last) <= 160 else f"{last[:157]}..."


def _verdict(comparison: Comparison, row: Row, clock: str) -> str:
    """The verdict on one clock; from fewer than three studies how the configurations end, whatever the clock."""
    if not comparison.is_comparable:
        return "not comparable"
    if comparison.judges_methods:
        return row.verdicts.get(clock, "-")
    if row.against_best is None:
        return "-"
    if row.against_best.shows_better:
        return f"ends {comparison.metric.better}"
    return f"ends {comparison.metric.worse}" if row.against_best.shows_worse else "not shown"


def _speed_up(measured: Measured, clock: str) -> str:
    return str(measured.speed_ups.get(clock, "-"))


def _runs(row: Row, planned: int) -> str:
    """How many confirm runs are behind a line: `5/5`, or `3/5, 2 diverged`."""
    lost = [f"{row.confirm_statuses[s]} {s}" for s in (DIVERGED, FAILED) if row.confirm_statuses[s]]
    return ", ".join([f"{len(row.runs)}/{planned}", *lost])


def _plus_minus(value: tuple[float, float] | None, *, digits: int = 4, fixed: bool = True) -> str:
    if not value:
        return "-"
    kind = f".{digits}f" if fixed else f".{digits - 1}g"
    return f"{value[0]:{kind}} ±{value[1]:{kind if fixed else '.2g'}}"
