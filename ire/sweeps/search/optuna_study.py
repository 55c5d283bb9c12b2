"""A thin Optuna searcher for one method: suggests settings and records results.

Ray's own OptunaSearch tells Optuna that pruned trials are complete and leaves diverged ones running forever
(ray#5459, and NaN in `tell`). Here a finished trial is COMPLETE, a pruned one PRUNED with its values at the
rungs, a diverged one PRUNED without values, and a failed one FAIL. TPE ranks a PRUNED trial without values behind all
others, while it would ignore FAIL and suggest the same region again. The user attribute `status` is the true status.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from ire.sweeps.plan.imported import ImportedTrial
from ire.sweeps.records.records import DIVERGED, FINISHED, PRUNED, TrialRecord
from ire.trial.metric import LOSS, Metric
from ire.trial.seeds import derive_seed
from search_spaces import Choice, Dimension, Fixed, Interval
from search_spaces.conditions import active, in_order

DIRECTIONS = {"min": StudyDirection.MINIMIZE, "max": StudyDirection.MAXIMIZE}
STATES = {FINISHED: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, DIVERGED: TrialState.PRUNED}


def fresh_storage(path: Path) -> BaseStorage:
    """An empty Optuna journal at `path`, which replaces an older one; the records rebuild its content."""
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.lock").unlink(
        missing_ok=True
    )  # a killed dashboard's; others would wait for it
    return JournalStorage(_Journal(path))


class _Journal(JournalFileBackend):
    """Optuna's, without a lock and an `fsync` for each line: one process writes it, and the records rebuild it."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._path.open("ab") as file:
            file.write(lines.encode())


BEST, LATEST = 64, 192
"""The trials of a long search that the sampler sees: `BEST` holds TPE's good group, `LATEST` stands for the rest."""


class MethodStudy:
    """Suggests settings for the trials of one method.

    A suggestion depends only on (seed, method, trial number, the trials so far): each one creates a new sampler, so
    there is no generator state to lose. TPE's time grows with the number of trials it considers, so it considers a
    window: all trials until there are twice `BEST` + `LATEST` of them, then the `BEST` best and the `LATEST` latest.
    The journal in `storage` holds all trials, for people and their dashboards.
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
        points: Sequence[Mapping[str, Any]] = (),
        only_points: bool = False,
        metric: Metric = LOSS,
        sampler: str = "tpe",
        imported: Sequence[ImportedTrial] = (),
    ) -> None:
        """Trial number n is the nth of `points`, by default the published point; with `only_points` no others follow.

        Trials are ranked by `metric`, the validation loss by default; `sampler` is one of
        `search_spaces.search.SAMPLERS`. `imported` trials are known from the beginning.
        """
        published = {name: dimension.published for name, dimension in dimensions.items()}
        self._points, self._only_points = points or [published], only_points
        self._metric, self._sampling = metric, sampler
        self._is_conditional = any(dimension.when for dimension in dimensions.values())
        self._method, self._seed, self._startup_trials, self._rungs = method, seed, startup_trials, rungs
        self._set_dimensions(dimensions)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._journal = _Trials(storage, f"{sweep}/{method}", self._metric)
        self._window = _Trials(InMemoryStorage(), method, self._metric)
        for number, trial in enumerate(imported, start=1):
            for trials in (self._journal, self._window):
                trials.add(-number, self._ended(trial))

    def _set_dimensions(self, dimensions: Mapping[str, Dimension]) -> None:
        self._dimensions = dimensions
        self._fixed = {name: d.published for name, d in dimensions.items() if isinstance(d, Fixed)}
        self._distributions = {
            name: distribution(d) for name, d in dimensions.items() if name not in self._fixed
        }

    def widen(self, dimensions: Mapping[str, Dimension]) -> None:
        """Suggest from wider ranges from now on; previous trials count as drawn from them."""
        self._set_dimensions(dimensions)
        self._window = self._window.in_ranges(self._distributions)

    def suggest(self, number: int) -> dict[str, Any]:
        """The settings of trial `number`, which must be the next one: those of its point, or the sampler's."""
        self._slide_window()
        if number < len(self._points) or self._only_points:
            settings = self._taking_part(self._fixed | dict(self._points[number]))
            params = self._searched(settings)
            self._window.add(number, self._running(params))
        else:
            trial = self._window.study(self._sampler(number)).ask(
                {} if self._is_conditional else self._distributions
            )
            if self._is_conditional:
                self._suggest_in_order(trial)
            self._window.entered(number, trial._trial_id)  # pyright: ignore[reportPrivateUsage] - no public one
            params = trial.params
            settings = self._taking_part(self._fixed | params)
        self._journal.add(number, self._running(params))
        return settings

    def _suggest_in_order(self, trial: optuna.Trial) -> None:
        """Have the sampler suggest each setting whose condition holds for those before it."""
        known: dict[str, Any] = {}
        for name in in_order(self._dimensions, where=self._method):
            condition = self._dimensions[name].when
            if condition is None or condition.holds(known):
                known[name] = (
                    self._fixed[name]
                    if name in self._fixed
                    else _suggested(trial, name, self._distributions[name])
                )

    def _taking_part(self, settings: dict[str, Any]) -> dict[str, Any]:
        if not self._is_conditional:
            return settings
        names = active(self._dimensions, settings, where=self._method)
        return {name: value for name, value in settings.items() if name in names}

    def _searched(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The searched settings of a trial, without those whose condition does not hold (they have their default)."""
        known = {name: settings[name] for name in self._dimensions if name in settings}
        names = self._taking_part(known)
        return {name: known[name] for name in self._distributions if name in names}

    def restore(self, number: int, settings: Mapping[str, Any]) -> None:
        """Add a trial that was suggested before a resume, as running."""
        self._slide_window()
        params = self._searched(settings)
        self._window.add(number, self._running(params))
        self._journal.add(number, self._running(params))

    def tell(self, record: TrialRecord) -> None:
        """Record the outcome of a trial."""
        values: dict[int, Any] = {}
        if record.status in (FINISHED, PRUNED):
            for report in record.reports:
                if report["step"] in self._rungs or report is record.reports[-1]:
                    values[report["step"]] = report[self._metric.name]
        state = STATES.get(record.status, TrialState.FAIL)
        attributes = {"trial": record.name, "status": record.status}
        for trials in (self._journal, self._window):
            trials.end(record.number, state, values, attributes)

    def _running(self, params: Mapping[str, Any]) -> FrozenTrial:
        own = {name: self._distributions[name] for name in params}
        return create_trial(state=TrialState.RUNNING, params=dict(params), distributions=own)

    def _ended(self, trial: ImportedTrial) -> FrozenTrial:
        params = self._searched(trial.settings)
        return create_trial(
            state=TrialState.PRUNED if trial.value is None else TrialState.COMPLETE,
            value=trial.value,
            params=params,
            distributions={name: self._distributions[name] for name in params},
            user_attrs={"imported": trial.name},
        )

    def _slide_window(self) -> None:
        if len(self._window) >= 2 * (BEST + LATEST):
            self._window = self._window.best_and_latest()

    def _sampler(self, number: int) -> BaseSampler:
        seed = derive_seed(self._seed, self._method, number) % 2**32
        if self._sampling == "random":
            return RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(
                seed=seed,
                n_startup_trials=self._startup_trials,
                multivariate=True,
                group=self._is_conditional,  # settings that occur together are sampled jointly
                constant_liar=True,
            )


class _Trials:
    """The trials of one Optuna study, addressed by our own numbers."""

    def __init__(self, storage: BaseStorage, name: str, metric: Metric) -> None:
        self._storage, self._name, self._metric = storage, name, metric
        self._id = storage.create_new_study([DIRECTIONS[metric.mode]], name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.load_study(study_name=name, storage=storage).set_metric_names([metric.name])
        self._trials: dict[int, int] = {}  # trial ids, by number

    def __len__(self) -> int:
        return len(self._trials)

    def study(self, sampler: BaseSampler) -> optuna.Study:
        return optuna.load_study(study_name=self._name, storage=self._storage, sampler=sampler)

    def add(self, number: int, trial: FrozenTrial) -> None:
        self.entered(number, self._storage.create_new_trial(self._id, template_trial=trial))

    def entered(self, number: int, trial_id: int) -> None:
        self._trials[number] = trial_id

    def end(
        self, number: int, state: TrialState, values: Mapping[int, float], attributes: Mapping[str, Any]
    ) -> None:
        """End a trial; `values` are its intermediate values by step, the last of which is its final value."""
        trial = self._trials[number]
        for name, value in attributes.items():
            self._storage.set_trial_user_attr(trial, name, value)
        for step, value in values.items():
            self._storage.set_trial_intermediate_value(trial, step, value)
        value = [list(values.values())[-1]] if values else None
        self._storage.set_trial_state_values(trial, state, value)

    def in_ranges(self, distributions: Mapping[str, BaseDistribution]) -> "_Trials":
        """A copy in which every trial was drawn from these ranges; TPE ignores settings whose range has changed."""
        copy = _Trials(InMemoryStorage(), self._name, self._metric)
        for number, trial_id in self._trials.items():
            trial = self._storage.get_trial(trial_id)
            trial.distributions = {name: distributions[name] for name in trial.params}
            copy.add(number, trial)
        return copy

    def best_and_latest(self) -> "_Trials":
        """A copy with the running trials, the `BEST` best finished ones, and the `LATEST` latest ended ones."""
        trials = {number: self._storage.get_trial(trial) for number, trial in self._trials.items()}
        running = [number for number, trial in trials.items() if not trial.state.is_finished()]
        ended = [number for number in trials if number not in running]
        finished = [number for number in ended if trials[number].state == TrialState.COMPLETE]
        best = sorted(finished, key=lambda number: self._metric.cost(trials[number].value))[:BEST]
        copy = _Trials(InMemoryStorage(), self._name, self._metric)
        for number in sorted({*running, *best, *ended[-LATEST:]}):
            copy.add(number, trials[number])
        return copy


def _suggested(trial: optuna.Trial, name: str, found: BaseDistribution) -> Any:
    match found:
        case FloatDistribution():
            return trial.suggest_float(name, found.low, found.high, log=found.log)
        case IntDistribution():
            return trial.suggest_int(name, found.low, found.high, log=found.log)
        case CategoricalDistribution():
            return trial.suggest_categorical(name, found.choices)
        case _:
            raise TypeError(f"{found} is not a distribution of a search space")


def distribution(dimension: Dimension) -> BaseDistribution:
    """A searched dimension as an Optuna distribution."""
    match dimension:
        case Interval(integer=True):
            return IntDistribution(int(dimension.low), int(dimension.high))
        case Interval():
            return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
        case Choice():
            return CategoricalDistribution(dimension.values)
        case _:
            raise TypeError(f"{dimension} is not searched")
