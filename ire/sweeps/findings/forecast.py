"""Estimates before the confirm runs what a sweep will be able to show, from the spread of values in its search.

The standard error of a method's speed-up over a baseline is the standard error of the difference of their final costs,
divided by the slope of cost over log horizon. The former comes from the search: the spread of its best cost when its
trials are resampled. The latter is the slope of the baseline's best run in its second half, although a run with its own
complete schedule would end lower. docs/report.md has the accuracy of the estimate in simulated sweeps.
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
"""Minimum number of ended trials from which a spread is estimated."""


def forecast(plan: Plan, study: Mapping[str, Ledger]) -> dict[str, float]:
    """The smallest true speed-up in steps that is found with a power of 80 %, by challenger; infinity for none.

    `study` has the ledgers of a study whose searches are over. Empty with fewer studies than a verdict needs, without a
    baseline, or if too few trials have ended.
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
    found: dict[str, float] = {}
    for ledger in challengers:
        own = _spread(plan, ledger)
        if own is not None:
            error = math.hypot(own, spread) / slope / math.sqrt(studies)
            found[ledger.method.name] = least_detectable(error, studies, TAIL / plan.looks / len(challengers))
    return found


def _spread(plan: Plan, ledger: Ledger) -> float | None:
    """The standard deviation of a search's best cost, by resampling its trials; None with too few trials."""
    costs = trial_costs(ledger.search, plan.space.metric)
    if not plan.space.is_searched(ledger.method):
        return 0.0
    if len(costs) < MIN_TRIALS:
        return None
    draws = np.random.default_rng(derive_seed(plan.seed, "forecast", ledger.method.name))
    picked = draws.integers(len(costs), size=(RESAMPLES, len(costs)))
    return float(costs[picked].min(axis=1).std())


def _slope(ledger: Ledger, metric: Metric) -> float | None:
    """The decrease in cost per e-fold of steps in the second half of the best run; None if the cost does not fall."""
    end, middle = ledger.candidates[0].reports[-1], ledger.candidates[0].middle
    assert middle is not None
    first, last = (metric.cost(report[metric.name]) for report in (middle, end))
    if middle["step"] >= end["step"] or first <= last:
        return None
    return (first - last) / math.log(end["step"] / middle["step"])


def forecast_words(found: Mapping[str, float], studies: int) -> str:
    """The line before the confirm stage; empty without a forecast."""
    if not found:
        return ""
    least = {
        name: f"{value:.2f}" if value < LARGEST else f"more than {LARGEST}" for name, value in found.items()
    }
    parts = ", ".join(f"{shortened(name)} {value}" for name, value in least.items())
    return (
        f"forecast before the confirm runs, from the spread of the search: with {studies} studies, {POWER:.0%} of such "
        f"sweeps find true speed-ups in steps of at least about: {parts} (a rough estimate)"
    )
