"""The importance of settings: their share of the variance of final losses over the finished trials of one search.

Pruned trials are left out: their losses have another fidelity, and they are a biased sample.
"""

import warnings
from collections.abc import Sequence

from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import FINISHED, TrialRecord
from search_spaces import Fixed

MIN_TRIALS = 8
"""Minimum number of finished trials for an estimate."""
MAX_TRIALS = 400
"""Maximum number of trials used; with more the forest would take minutes for the same result."""


def importances(plan: Plan, method: str, trials: Sequence[TrialRecord]) -> dict[str, float] | None:
    """The importance of each searched setting by fANOVA (Hutter et al. 2014), with sum 1; None with too few trials."""
    finished = [trial for trial in trials if trial.status == FINISHED]
    if len(finished) < MIN_TRIALS:
        return None
    import optuna  # slow to load
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    from ire.sweeps.search.optuna_study import distribution

    arm, metric = plan.method(method), plan.space.metric
    dimensions = plan.space.dimensions(arm)
    distributions = {name: distribution(d) for name, d in dimensions.items() if not isinstance(d, Fixed)}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    finished.sort(key=lambda t: t.number)
    for trial in finished[:: -(-len(finished) // MAX_TRIALS)]:
        taking_part = plan.space.active(arm, trial.spec.settings)
        own = {name: found for name, found in distributions.items() if name in taking_part}
        study.add_trial(
            optuna.trial.create_trial(
                params={name: trial.spec.settings[name] for name in own},
                distributions=own,
                value=trial.final(metric.name),
            )
        )
    if len({trial.final(metric.name) for trial in finished}) == 1:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
