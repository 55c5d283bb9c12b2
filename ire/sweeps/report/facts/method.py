"""One method of a report as plain data: its verdicts, values, controls and search."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ire.sweeps.findings.boosted import boosted_parts
from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Measured, Row, published
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.tuning_gain import (
    counts,
    expected_best,
    expected_best_interval,
    trial_costs,
    trials_to_within,
)
from ire.sweeps.records.records import TrialRecord
from ire.sweeps.report.facts.numbers import (
    by_clock,
    difference_facts,
    finite,
    mean_std,
    ratio_facts,
    speed_up_facts,
)
from ire.sweeps.report.facts.schema import (
    ExpectedBest,
    FinalValues,
    MeanStd,
    MeasuredFacts,
    MethodFacts,
    TimingFacts,
    TuningFacts,
)
from ire.sweeps.report.sentences.search import shared
from ire.sweeps.report.tables.search import tuning_effort
from ire.sweeps.search.stages import CONTROL_WORDS
from ire.trial.report import MEASURES
from ire.trial.seeds import derive_seed


def method_facts(results: Results, row: Row) -> MethodFacts:
    comparison = results.comparison
    untuned = published(row)
    return {
        "method": row.method,
        "is_baseline": row.is_baseline,
        "winners": [
            {"study": winner.study + 1, "trial": winner.trial.name, "settings": dict(winner.settings)}
            for winner in row.winners
        ],
        "at_edge": [{"setting": e.setting, "value": e.value, "end": e.end} for e in row.edges],
        **_measured(comparison, row),
        "by_clock": {
            clock: {
                "verdict": row.verdicts.get(clock),
                "against": row.against[clock],
                "least_detectable": finite(row.powers[clock].least_detectable)
                if clock in row.powers
                else None,
                "studies_for_small": row.powers[clock].studies_for_small if clock in row.powers else None,
                "speed_ups": {
                    name: speed_up_facts(found) for name, found in row.over.speed_ups[clock].items()
                },
            }
            for clock in CLOCKS
            if clock in row.speed_ups
        },
        "loss_minus_best_baseline": difference_facts(row.against_best),
        "speed_up_by_validation_loss": by_clock(row.validation_speed_ups),
        "speed_up_of_published_settings": by_clock(untuned.speed_ups) if untuned else {},
        "time_to_target": by_clock(row.time_to_target),
        "best_run_ratio": {clock: ratio_facts(ratio) for clock, ratio in row.best_run.items()},
        "loss_minus_base": difference_facts(row.against_base),
        "controls": [
            {
                "control": control.name,
                "what": CONTROL_WORDS[control.name],
                "settings": [
                    {"study": run.study + 1, "settings": dict(run.spec.settings)}
                    for run in control.runs
                    if run.number == min(r.number for r in control.runs if r.study == run.study)
                ],
                "is_tuned": control.is_tuned,
                **_measured(comparison, control),
                "loss_minus_control": difference_facts(control.against_method),
            }
            for control in row.controls
        ],
        "without_curvature": {"p": row.null_model.p, "predicted": dict(row.null_model.predicted)}
        if row.null_model
        else None,
        "search_trials": row.statuses,
        "confirm_trials": row.confirm_statuses,
        "gradient_evaluations": row.spent,
        "shared_gradient_evaluations": shared(results, row.method),
        "training_seconds": row.training_seconds,
        **_timing(row),
        "trials_to_within_1_percent": [
            trials_to_within(
                [trial for trial in row.search if trial.study == winner.study], results.plan.space.metric
            )
            for winner in row.winners
        ],
        **_tuning_effort(results, row),
        "expected_best": _expected_best(results, row),
        "importance": results.importances[row.method],
    }


def _measured(comparison: Comparison, measured: Measured) -> MeasuredFacts:
    names = [f"{split}_{name}" for split in ("val", "test") for name in comparison.metrics]
    of_mask = ("mask_overlap", "zero_curvature")

    def reached(names: Iterable[str]) -> dict[str, MeanStd]:
        return {name: mean_std(found) for name in names if (found := measured.metric(name))}

    return {
        "confirm_runs": len(measured.runs),
        "lost_runs": measured.lost,
        "metrics": reached(names),
        "flatness": reached(MEASURES),
        "mask": reached(of_mask),
        "boosted": [asdict(part) for part in boosted_parts(measured.runs)],
        "final_val_losses": _by_study(measured.runs, "val_loss"),
        "final_test_losses": _by_study(measured.runs, "test_loss"),
        **final_values(comparison, lambda name: _by_study(measured.runs, name)),
        "speed_up": by_clock(measured.speed_ups),
    }


def _timing(row: Row) -> TimingFacts:
    return {} if row.optimizer_share is None else {"optimizer_share": row.optimizer_share}


def _tuning_effort(results: Results, row: Row) -> TuningFacts:
    """How easily the method was tuned; empty with too few studies."""
    found = tuning_effort(results, row)
    if found is None:
        return {}
    mean, low, high = found
    return {"tuning_effort": {"trials": mean, "low": low, "high": high}}


def _expected_best(results: Results, row: Row) -> ExpectedBest | None:
    metric = results.plan.space.metric
    costs = trial_costs(row.search, metric)
    if not len(costs):
        return None
    draws = np.random.default_rng(derive_seed(results.plan.seed, "expected best", row.method))
    ends, n = expected_best_interval(costs, draws), counts(len(costs)).tolist()
    mean, low, high = (metric.cost(values).tolist() for values in (expected_best(costs), *ends))
    return {"n": n, "mean": mean, "low": min(low, high), "high": max(low, high)}


def final_values(comparison: Comparison, values: Callable[[str], Any]) -> FinalValues:
    """Final values of the compared metric; empty where it is the loss, whose values are always given."""
    metric = comparison.metric
    if metric.is_loss:
        return {}
    return {"final_values": {name: values(name) for name in (metric.name, metric.on_test)}}


def by_seed(runs: Sequence[TrialRecord], name: str) -> dict[str, float]:
    """Final values of runs by seed number, without runs in which the value was not measured."""
    return {str(run.number): run.final(name) for run in runs if run.reports[-1].get(name) is not None}


def _by_study(runs: Sequence[TrialRecord], name: str) -> list[dict[str, float]]:
    """Final values of runs by seed number, one mapping per study."""
    studies = sorted({run.study for run in runs})
    return [by_seed([run for run in runs if run.study == study], name) for study in studies]
