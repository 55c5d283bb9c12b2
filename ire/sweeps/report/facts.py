"""The report as plain data: `report.json`, whose schema is described in docs/report.md and versioned here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ire.sweeps.findings.calibration import calibration_of
from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.findings.differences import Difference
from ire.sweeps.findings.of_functions import is_function
from ire.sweeps.findings.paper import beside_the_paper
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Measured, Row, published
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, UNKNOWN, WITHIN
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.tuning_gain import (
    counts,
    expected_best,
    expected_best_interval,
    trial_costs,
    trials_to_within,
)
from ire.sweeps.findings.statistics.verdict import MARGIN, Ratio, SpeedUp
from ire.sweeps.plan.options import PLANNED
from ire.sweeps.plan.preset import load_preset
from ire.sweeps.records.records import TrialRecord
from ire.sweeps.report.tables import last_line, tuning_effort
from ire.sweeps.report.words import further_findings, headline, shared
from ire.sweeps.search.stages import CONTROL_WORDS
from ire.trial.report import MEASURES
from ire.trial.scale import split_scale
from ire.trial.seeds import derive_seed
from trainables.functions.at_hand import is_of_no_file

SCHEMA = 3
CENSORED = {BELOW: "at most", WITHIN: None, ABOVE: "at least", UNKNOWN: "unknown"}


def as_json(results: Results) -> dict[str, Any]:
    """The comparison as plain data, without a time at which it was made: equal folders give equal reports."""
    comparison, plan = results.comparison, results.plan
    return {
        "schema": SCHEMA,
        "name": plan.name,
        "task": plan.task,
        "form": "training function" if is_function(plan) else "task",
        "headline": headline(results),
        "findings": further_findings(results),
        "complete": comparison.is_complete,
        "comparable": comparison.is_comparable,
        "clock": comparison.clock,
        "clock_reason": comparison.clock_reason,
        "timing_spread": comparison.timing_spread,
        "margin": MARGIN,
        "studies": comparison.studies,
        "judged_on": comparison.judged_on,
        **_objective(comparison),
        **_widened(comparison),
        **_warm_start(results),
        "judges_methods": comparison.judges_methods,
        "calibration": asdict(row) if (row := calibration_of(plan, comparison)) else None,
        "baseline": comparison.baseline,
        "horizon": plan.space.horizon,
        "trials": plan.trials,
        "candidates": plan.candidates,
        "confirm_seeds": plan.confirm_seeds,
        "planned_studies": plan.studies,
        "seed": plan.seed,
        "budget_gradient_evaluations": plan.budget,
        "shared_gradient_evaluations": shared(results),
        "elapsed_seconds": round(results.elapsed_seconds),
        "reproduce": reproduce(results),
        "versions": versions(results),
        "baseline_curve": [
            {
                "study": point.study + 1,
                "baseline": point.baseline,
                "factor": point.factor,
                "horizon": point.runs[0].spec.horizon,
                "lr": point.runs[0].spec.settings.get("lr"),
                "final_val_losses": {str(run.number): run.val_loss for run in point.runs},
                "final_test_losses": _final(point.runs, "test_loss"),
                **_final_values(comparison, lambda name, runs=point.runs: _final(runs, name)),
            }
            for point in comparison.curve
        ],
        "contract": [
            {"clause": c.name, "kept": c.kept, "text": c.text} | ({"word": c.word} if c.word else {})
            for c in comparison.contract
        ],
        "paper": [asdict(beside) | {"difference": beside.difference} for beside in beside_the_paper(results)],
        "faults": [
            {"trial": trial.name, "kind": fault.kind, "cause": last_line(fault.cause), "status": trial.status}
            for trial in results.records.trials.values()
            for fault in trial.faults
        ],
        "methods": [_row(results, row) for row in comparison.rows],
    }


def _row(results: Results, row: Row) -> dict[str, Any]:
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
                "least_detectable": _finite(row.powers[clock].least_detectable)
                if clock in row.powers
                else None,
                "studies_for_small": row.powers[clock].studies_for_small if clock in row.powers else None,
                "speed_ups": {name: _speed_up(found) for name, found in row.over.speed_ups[clock].items()},
            }
            for clock in CLOCKS
            if clock in row.speed_ups
        },
        "loss_minus_best_baseline": _difference(row.against_best),
        "speed_up_by_validation_loss": _by_clock(row.validation_speed_ups),
        "speed_up_of_published_settings": _by_clock(untuned.speed_ups) if untuned else {},
        "time_to_target": _by_clock(row.time_to_target),
        "best_run_ratio": {clock: _ratio(ratio) for clock, ratio in row.best_run.items()},
        "loss_minus_base": _difference(row.against_base),
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
                "loss_minus_control": _difference(control.against_method),
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
        **({} if row.optimizer_share is None else {"optimizer_share": row.optimizer_share}),
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


def _measured(comparison: Comparison, measured: Measured) -> dict[str, Any]:
    names = [f"{split}_{name}" for split in ("val", "test") for name in comparison.metrics]
    of_mask = ("mask_overlap", "zero_curvature")

    def reached(names: Iterable[str]) -> dict[str, dict[str, float]]:
        return {name: _mean_std(found) for name in names if (found := measured.metric(name))}

    return {
        "confirm_runs": len(measured.runs),
        "lost_runs": measured.lost,
        "metrics": reached(names),
        "flatness": reached(MEASURES),
        "mask": reached(of_mask),
        "final_val_losses": _by_study(measured.runs, "val_loss"),
        "final_test_losses": _by_study(measured.runs, "test_loss"),
        **_final_values(comparison, lambda name: _by_study(measured.runs, name)),
        "speed_up": _by_clock(measured.speed_ups),
    }


def _objective(comparison: Comparison) -> dict[str, Any]:
    """What is compared, where it is not the loss."""
    metric = comparison.metric
    return {} if metric.is_loss else {"objective": {"metric": metric.name, "mode": metric.mode}}


def _widened(comparison: Comparison) -> dict[str, Any]:
    """The ranges that searches have moved, where they have."""
    found = [widening.to_dict() | {"study": widening.study + 1} for widening in comparison.widenings]
    return {"widened": found} if found else {}


def _warm_start(results: Results) -> dict[str, Any]:
    """What the searches knew before they began, if anything."""
    imported = results.plan.imported
    if imported is None:
        return {}
    trials = {name: len(imported.of(name)) for name in results.plan.methods}
    return {
        "warm_start": {
            "from": imported.source,
            "studies": imported.studies,
            "trials": trials,
            "gradient_evaluations": dict(imported.spent),
        }
    }


def _tuning_effort(results: Results, row: Row) -> dict[str, Any]:
    """How easily the method was tuned, where there are enough studies to say so."""
    found = tuning_effort(results, row)
    if found is None:
        return {}
    mean, low, high = found
    return {"tuning_effort": {"trials": mean, "low": low, "high": high}}


def _final_values(comparison: Comparison, values: Callable[[str], Any]) -> dict[str, Any]:
    """The same of the metric that is compared, where it is not the loss."""
    metric = comparison.metric
    if metric.is_loss:
        return {}
    return {"final_values": {name: values(name) for name in (metric.name, metric.on_test)}}


def _final(runs: Sequence[TrialRecord], name: str) -> dict[str, float]:
    """A value of the last report by the number of its seed; empty where it was not measured."""
    return {str(run.number): run.final(name) for run in runs if run.reports[-1].get(name) is not None}


def _by_study(runs: Sequence[TrialRecord], name: str) -> list[dict[str, float]]:
    """The same for each study."""
    studies = sorted({run.study for run in runs})
    return [_final([run for run in runs if run.study == study], name) for study in studies]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _mean_std(value: tuple[float, float]) -> dict[str, float]:
    return {"mean": value[0], "std": value[1]}


def _by_clock(found: Mapping[str, SpeedUp]) -> dict[str, Any]:
    return {clock: _speed_up(found[clock]) for clock in CLOCKS if clock in found}


def _speed_up(found: SpeedUp) -> dict[str, Any]:
    return {
        **_ratio(found.ratio),
        "low": _ratio(found.low),
        "high": _ratio(found.high),
        "units": found.units,
        "p_faster": found.p_faster,
        "p_slower": found.p_slower,
    }


def _ratio(ratio: Ratio) -> dict[str, Any]:
    return {"value": ratio.value, "censored": CENSORED[ratio.censored]}


def _difference(found: Difference | None) -> dict[str, Any] | None:
    return (
        {"value": found.value, "low": found.low, "high": found.high, "units": found.units} if found else None
    )


def _expected_best(results: Results, row: Row) -> dict[str, Any] | None:
    metric = results.plan.space.metric
    costs = trial_costs(row.search, metric)
    if not len(costs):
        return None
    draws = np.random.default_rng(derive_seed(results.plan.seed, "expected best", row.method))
    ends, n = expected_best_interval(costs, draws), counts(len(costs)).tolist()
    mean, low, high = (metric.cost(values).tolist() for values in (expected_best(costs), *ends))
    return {"n": n, "mean": mean, "low": min(low, high), "high": max(low, high)}


def reproduce(results: Results) -> str:
    """The command that runs this sweep again."""
    plan, what, inherited = results.plan, results.plan.task, {}
    if is_of_no_file(what):
        what = f"train.py:{what.partition(':')[2]}"
    if plan.preset is not None:
        scale = split_scale(plan.task)[1]
        what = f"--preset {plan.preset}" + (f" --scale {scale}" if scale else "")
        inherited = {"precision": load_preset(plan.preset).precision, "share_prefix": None}
    words = ["ire sweep", what]
    for name, option in PLANNED.items():
        value = getattr(plan, name)
        default = inherited.get(name, option.default)
        if option.repeated == "always" or (option.repeated != "never" and value != default):
            words.append(option.words(value))
    if plan.preset is None and plan.space.source != f"{split_scale(plan.task)[0]}.toml":
        words.append("--space FILE  # as printed in sweep.toml")
        if is_of_no_file(plan.task):
            words[-1] += "; train.py must hold the function, which no file held"
    return " ".join(words)


def versions(results: Results) -> dict[str, str]:
    """The versions with which the plan was written: at the start, or when it was last extended."""
    import tomllib

    return tomllib.loads((results.folder / "sweep.toml").read_text(encoding="utf-8"))["versions"]
