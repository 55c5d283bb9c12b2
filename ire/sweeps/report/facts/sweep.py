"""One sweep as plain data, as `report.json` holds it."""

from dataclasses import asdict

from ire.sweeps.findings.calibration import calibration_of
from ire.sweeps.findings.clause import Clause
from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.findings.function_contract import is_function
from ire.sweeps.findings.paper import beside_the_paper
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.statistics.verdict import MARGIN
from ire.sweeps.report.facts.method import by_seed, final_values, method_facts
from ire.sweeps.report.facts.reproduce import reproduce
from ire.sweeps.report.facts.schema import (
    SCHEMA,
    ClauseFacts,
    ObjectiveFacts,
    ReportFacts,
    WarmStartFacts,
    WidenedFacts,
)
from ire.sweeps.report.sentences.further import further_findings
from ire.sweeps.report.sentences.headline import headline
from ire.sweeps.report.sentences.search import shared
from ire.sweeps.report.tables.table import gist


def as_json(results: Results) -> ReportFacts:
    """The comparison as plain data. It holds no time of creation, so equal folders give equal reports."""
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
        "versions": results.versions,
        "baseline_curve": [
            {
                "study": point.study + 1,
                "baseline": point.baseline,
                "factor": point.factor,
                "horizon": point.runs[0].spec.horizon,
                "lr": point.runs[0].spec.settings.get("lr"),
                "final_val_losses": {str(run.number): run.val_loss for run in point.runs},
                "final_test_losses": by_seed(point.runs, "test_loss"),
                **final_values(comparison, lambda name, runs=point.runs: by_seed(runs, name)),
            }
            for point in comparison.curve
        ],
        "contract": [_clause(clause) for clause in comparison.contract],
        "paper": [asdict(beside) | {"difference": beside.difference} for beside in beside_the_paper(results)],
        "faults": [
            {"trial": trial.name, "kind": fault.kind, "cause": gist(fault.cause), "status": trial.status}
            for trial in results.records.trials.values()
            for fault in trial.faults
        ],
        "methods": [method_facts(results, row) for row in comparison.rows],
    }


def _clause(clause: Clause) -> ClauseFacts:
    found: ClauseFacts = {"clause": clause.name, "kept": clause.kept, "text": clause.text}
    return {**found, "word": clause.word} if clause.word else found


def _objective(comparison: Comparison) -> ObjectiveFacts:
    """The metric that is compared; empty for the loss."""
    metric = comparison.metric
    return {} if metric.is_loss else {"objective": {"metric": metric.name, "mode": metric.mode}}


def _widened(comparison: Comparison) -> WidenedFacts:
    """The ranges that were widened; empty if none was."""
    found = [widening.to_dict() | {"study": widening.study + 1} for widening in comparison.widenings]
    return {"widened": found} if found else {}


def _warm_start(results: Results) -> WarmStartFacts:
    """The trials that the searches started from; empty without a warm start."""
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
