"""The thin Optuna searcher of one method: what to try next, and what became of it.

Ray's own OptunaSearch tells Optuna that pruned trials are complete and leaves diverged ones running for ever
(ray#5459, and NaN in `tell`). Here a finished trial is COMPLETE, a pruned one PRUNED with its values at the
rungs, a diverged one PRUNED without any, which TPE ranks behind every other (FAIL it would ignore and walk
into the same corner again), and a failed one FAIL. The true status is the user attribute `status`.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from search_spaces import Choice, Dimension, Fixed, Interval
from sweeps.records import DIVERGED, FINISHED, PRUNED, TrialRecord
from trainables.seeds import derive_seed

STATES = {FINISHED: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, DIVERGED: TrialState.PRUNED}


def fresh_storage(path: Path) -> BaseStorage:
    """An empty Optuna journal at `path`, in place of an older one: the records rebuild it."""
    path.unlink(missing_ok=True)
    return JournalStorage(JournalFileBackend(str(path)))


class MethodStudy:
    """Suggests settings for the trials of one method.

    A suggestion depends only on (seed, method, trial number, the trials so far): the sampler is made anew from
    these for each, so there is no generator state to lose.
    """

    def __init__(
        self,
        method: str,
        dimensions: Mapping[str, Dimension],
        *,
        storage: BaseStorage,
        sweep: str,
        seed: int,
        startup_trials: int,
        rungs: tuple[int, ...] = (),
    ) -> None:
        self._method, self._seed, self._startup_trials, self._rungs = method, seed, startup_trials, rungs
        self._fixed = {name: d.published for name, d in dimensions.items() if isinstance(d, Fixed)}
        self._published = {name: d.published for name, d in dimensions.items() if name not in self._fixed}
        self._distributions = {name: distribution(dimensions[name]) for name in self._published}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            study_name=f"{sweep}/{method}", storage=storage, sampler=self._sampler(0), direction="minimize"
        )

    def suggest(self, number: int) -> dict[str, Any]:
        """The settings of trial `number`, which must be the next; the published ones for trial 0."""
        if number == 0:
            self._study.enqueue_trial(self._published)
        self._study.sampler = self._sampler(number)
        trial = self._study.ask(self._distributions)
        assert trial.number == number
        return self._fixed | trial.params

    def restore(self, number: int, settings: Mapping[str, Any]) -> None:
        """Put a trial that was suggested earlier back into the study, as running."""
        params = {name: settings[name] for name in self._distributions}
        self._study.add_trial(
            create_trial(state=TrialState.RUNNING, params=params, distributions=self._distributions)
        )
        assert len(self._study.get_trials(deepcopy=False)) == number + 1

    def tell(self, record: TrialRecord) -> None:
        """What became of a trial."""
        frozen = self._study.get_trials(deepcopy=False)[record.number]
        trial = optuna.trial.Trial(self._study, frozen._trial_id)
        trial.set_user_attr("trial", record.name)
        trial.set_user_attr("status", record.status)
        if record.status in (FINISHED, PRUNED):
            for report in record.reports:
                if report["step"] in self._rungs or report is record.reports[-1]:
                    trial.report(report["val_loss"], report["step"])
        value = record.val_loss if record.status == FINISHED else None
        self._study.tell(record.number, value, state=STATES.get(record.status, TrialState.FAIL))

    def _sampler(self, number: int) -> TPESampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(
                seed=derive_seed(self._seed, self._method, number) % 2**32,
                n_startup_trials=self._startup_trials,
                multivariate=True,
                constant_liar=True,
            )


def distribution(dimension: Dimension) -> BaseDistribution:
    """What Optuna calls a dimension that is searched."""
    match dimension:
        case Interval(integer=True):
            return IntDistribution(int(dimension.low), int(dimension.high))
        case Interval():
            return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
        case Choice():
            return CategoricalDistribution(dimension.values)
    raise TypeError(f"{dimension} is not searched")
