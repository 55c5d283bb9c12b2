"""The tables of the search: what each method's trials found, and what they cost."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ire.methods.composed import Method
from ire.methods.own_arm import OwnArm
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Row
from ire.sweeps.findings.statistics.tuning_gain import effort, trials_to_within
from ire.sweeps.plan.searched_settings import settings_that_vary, short_settings
from ire.sweeps.records.records import DIVERGED, FAILED, FINISHED, PRUNED, TrialRecord
from ire.sweeps.report.tables.controls import FLATNESS_HEADS
from ire.sweeps.report.tables.table import Table
from ire.sweeps.search.widening import study_plan
from ire.trial.metric import Metric
from ire.trial.seeds import derive_seed

ENDS = (FINISHED, PRUNED, DIVERGED, FAILED)


def searches(results: Results) -> Table:
    """What the searches of each method found and cost, one line per study."""
    plan, comparison = results.plan, results.comparison
    heads = ["method", "study", *ENDS, "gradients spent", "within 1 % after", "state, bytes a parameter"]
    is_timed = any(row.optimizer_share is not None for row in comparison.rows)
    heads += ["optimizer share"] * is_timed + ["winner", "settings"]
    trials = results.records.trials.values()
    budgets = [study_plan(plan, study, trials).budget for study in range(comparison.studies)]
    lines: list[list[str]] = []
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
    """Bytes per parameter; unknown for an arm of a training function."""
    return "-" if isinstance(method, OwnArm) else f"{method.state_bytes:g}"


def tuning_efforts(results: Results) -> Table:
    """How easily each method was tuned, over the studies; no lines with too few studies for an interval."""
    comparison = results.comparison
    lines: list[list[str]] = []
    for row in comparison.rows:
        found = tuning_effort(results, row)
        if found is not None:
            lines.append([row.method, f"{found[0]:.1f}", f"[{found[1]:.1f}, {found[2]:.1f}]"])
    title = f"Tuning effort: search trials until within 1 % of the best, over {comparison.studies} studies"
    return Table(title=title, heads=["method", "trials", "95 % interval"], lines=lines)


def tuning_effort(results: Results, row: Row) -> tuple[float, float, float] | None:
    """Geometric mean and interval of the trials that a method's searches needed; None with too few studies."""
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
    """How many trials a search needed to come within 1 % of the best value it found."""
    needed = trials_to_within(trials, metric)
    return "-" if needed is None else f"{needed} trial{'s' * (needed > 1)}"


def grid(results: Results) -> Table:
    """Every measured point of a grid, all with the same seed."""
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
    return Table(
        title="Grid, one run per point", heads=["method", "settings", *metrics.values()], lines=lines
    )


def all_trials(results: Results) -> Table:
    """Every search trial with its settings, best first; the page can sort it."""
    plan, metric = results.plan, results.comparison.metric
    found: list[tuple[Row, TrialRecord, bool]] = []
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
