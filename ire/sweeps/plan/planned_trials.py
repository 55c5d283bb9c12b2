"""The trials of a sweep: the specification of a trial in each stage, as the plan determines it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ire.sweeps.plan.budgeted import BudgetedPlan
from ire.sweeps.records.recorded_norms import recorded_norms
from ire.sweeps.records.records import SEARCH, SELECT
from ire.trial.seeds import derive_seed
from ire.trial.spec import TrialSpec


@dataclass(frozen=True, kw_only=True)
class PlannedTrials(BudgetedPlan):
    """A plan that specifies its trials; equal plans specify equal trials."""

    @property
    def study_number(self) -> int:
        """The number of the study that this plan describes, counted from 0."""
        return 0

    @property
    def prefix(self) -> str:
        """The prefix of the trial names of this study; empty in the first study."""
        return f"study{self.study_number + 1}-" if self.study_number else ""

    def shares_prefix(self, stage: str) -> bool:
        """Whether trials of that stage may share their first steps."""
        return self.share_prefix and (self.space.search.grid if stage in (SEARCH, SELECT) else self.controls)

    def search_trial(self, method: str, number: int, settings: dict[str, Any]) -> TrialSpec:
        """A search trial. Trials of equal number share their seed across methods; in a grid all trials share one."""
        return TrialSpec(
            task=self.task,
            method=method,
            settings=self.method(method).resolve(settings),
            seed=self._seed("search", 0 if self.space.search.grid else number),
            horizon=self.space.horizon,
            eval_interval=self.space.eval_interval,
            rungs=self.space.search.rungs,
            test=self.space.search.measured,
            flatness=self.space.flatness_batches if self.space.search.measured else 0,
            external_norms=self._norms if self._takes_norms(method) else (),
            **self._execution,
            name=f"{self.prefix}{self.method(method).slug}-{number:04d}",
        )

    def later_trial(
        self,
        name: str,
        method: str,
        number: int,
        settings: dict[str, Any],
        *,
        selects: bool,
        horizon_factor: float = 1.0,
        flatness: bool = False,
    ) -> TrialSpec:
        """A trial after the search, never pruned. Trials of equal number share their seed across stages and methods.

        A trial that `selects` uses a seed reserved for choosing between candidates, and never sees the test split.
        """
        return TrialSpec(
            task=self.task,
            method=method,
            settings=self.method(method).resolve(settings),
            seed=self._seed("select" if selects else "confirm", number),
            horizon=max(1, round(self.space.horizon * horizon_factor)),
            eval_interval=max(1, round(self.space.eval_interval * horizon_factor)),
            test=not selects,
            flatness=self.space.flatness_batches if flatness else 0,
            flatness_points=self.space.flatness_points if flatness and self.space.flatness_batches else 1,
            external_norms=self._norms if self._takes_norms(method) else (),
            **self._execution,
            name=self.prefix + name,
        )

    def probe_trials(self, *, steps: int, eval_interval: int) -> list[TrialSpec]:
        """Short trials of a training function before the sweep: its first arm three times, then every other arm once.

        The second trial repeats the first and also evaluates the test split, whose values are discarded; the third has
        another seed.
        """
        first, *others = self.methods
        tries = [
            (first, 0, False),
            (first, 0, True),
            (first, 1, False),
            *((name, 0, False) for name in others),
        ]
        return [
            TrialSpec(
                task=self.task,
                method=name,
                settings=self.method(name).resolve(self.space.published(self.method(name))),
                seed=self._seed("probe", seed),
                horizon=min(steps, self.space.horizon),
                eval_interval=min(eval_interval, self.space.eval_interval),
                test=test,
                **self._execution,
                name=f"{self.method(name).slug}-probe",
            )
            for name, seed, test in tries
        ]

    def timing_trial(self, name: str, method: str, settings: Mapping[str, Any], steps: int) -> TrialSpec:
        """One turn of the quiet pass: at most `steps` steps, over which the whole schedule runs."""
        steps = min(steps, self.space.horizon)
        return TrialSpec(
            task=self.task,
            method=method,
            settings=self.method(method).resolve(settings),
            seed=self._seed("timing", 0),
            horizon=steps,
            eval_interval=steps,
            timing=True,
            external_norms=self._norms if self._takes_norms(method) else (),
            **self._execution,
            name=self.prefix + name,
        )

    @property
    def _execution(self) -> dict[str, Any]:
        """Fields that are equal in all trials of the study."""
        return {
            "study": self.study_number,
            "threads": self.cpus_per_worker,
            "precision": self.precision,
            "compile": self.compile,
            "deterministic": self.deterministic,
            "micro_batches": self.micro_batches,
            "schedule": self.schedule or self.space.schedule,
            "data": self.data,
            "metric": self.space.metric.name,
            "batch_unit": self.space.batch_unit,
        }

    @cached_property
    def _norms(self) -> tuple[tuple[int, float], ...]:
        return () if self.external is None else recorded_norms(self.external)

    def _takes_norms(self, method: str) -> bool:
        return self.method(method).update == "external"

    def _seed(self, purpose: str, number: int) -> int:
        return derive_seed(self.seed, purpose, number) % 2**31
