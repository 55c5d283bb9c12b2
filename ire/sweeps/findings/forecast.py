"""What a sweep will be able to show, guessed before anything is confirmed: from the spread that its search has seen.

The standard error of a method's speed-up over a baseline is that of the difference of their final costs, over the
slope of cost in log horizon. The former is taken from the search: how far the best of as many trials would be off if
the trials had been drawn again. The latter is that of the baseline's best run in its second half, where a run with a
schedule of its own would end lower. How close the guess comes in simulated sweeps stands in docs/report.md.
"""

import math
from collections.abc import Mapping

import numpy as np

from ire.methods.foreign import shortened
from ire.sweeps.findings.power import POWER, least_detectable
from ire.sweeps.findings.statistics.tuning_gain import trial_costs
from ire.sweeps.findings.statistics.verdict import TAIL
from ire.sweeps.plan.options import MIN_STUDIES
from ire.sweeps.plan.plan import Plan
from ire.sweeps.search.ledger import Ledger
from ire.trial.metric import Metric
from ire.trial.seeds import derive_seed

RESAMPLES = 2000
LARGEST = 100
MIN_TRIALS = 4
"""Fewer ended trials than this say nothing about a spread."""


def forecast(plan: Plan, study: Mapping[str, Ledger]) -> dict[str, float]:
    """By challenger: the smallest true speed-up that is found with a power of 80 %, in steps; infinity for none.

    `study` holds the ledgers of a study whose searches are over. Empty for fewer studies than a verdict takes, without
    a baseline, or where too few trials have ended.
    """
    metric = plan.space.metric
    studies = max(plan.studies, plan.until_decided or 0)
    baselines = [ledger for ledger in study.values() if ledger.is_baseline and ledger.candidates]
    challengers = [ledger for ledger in study.values() if not ledger.is_baseline and ledger.candidates]
    if studies < MIN_STUDIES or not baselines or not challengers or not plan.confirm_seeds or not plan.curve:
        return {}
    best = min(baselines, key=lambda ledger: metric.cost(ledger.candidates[0].final(metric.name)))
    slope, spread = _slope(best, metric), _spread(plan, best)
    if slope is None or spread is None:
        return {}
    found = {}
    for ledger in challengers:
        own = _spread(plan, ledger)
        if own is not None:
            error = math.hypot(own, spread) / slope / math.sqrt(studies)
            found[ledger.method.name] = least_detectable(error, studies, TAIL / plan.looks / len(challengers))
    return found


def _spread(plan: Plan, ledger: Ledger) -> float | None:
    """How far the best cost of a search is off, as a standard deviation: by drawing its trials again."""
    costs = trial_costs(ledger.search, plan.space.metric)
    if not plan.space.is_searched(ledger.method):
        return 0.0
    if len(costs) < MIN_TRIALS:
        return None
    draws = np.random.default_rng(derive_seed(plan.seed, "forecast", ledger.method.name))
    picked = draws.integers(len(costs), size=(RESAMPLES, len(costs)))
    return float(costs[picked].min(axis=1).std())


def _slope(ledger: Ledger, metric: Metric) -> float | None:
    """By how much the cost of the best run falls as its steps grow e-fold, over its second half; None if it rises."""
    end, middle = ledger.candidates[0].reports[-1], ledger.candidates[0].middle
    assert middle is not None
    first, last = (metric.cost(report[metric.name]) for report in (middle, end))
    if middle["step"] >= end["step"] or first <= last:
        return None
    return (first - last) / math.log(end["step"] / middle["step"])


def forecast_words(found: Mapping[str, float], studies: int) -> str:
    """The line before the confirm stage; empty if there is nothing to say."""
    if not found:
        return ""
    least = {
        name: f"{value:.2f}" if value < LARGEST else f"more than {LARGEST}" for name, value in found.items()
    }
    parts = ", ".join(f"{shortened(name)} {value}" for name, value in least.items())
    return (
        f"before anything is confirmed: by the spread of the search, {studies} studies find a true speed-up in steps "
        f"from about these on, in {POWER:.0%} of such sweeps: {parts} (a rough guess)"
    )
