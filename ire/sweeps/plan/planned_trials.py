"""The trials of a sweep: for each stage, the specification that follows from the plan."""

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
    """A plan that specifies its trials. Equal plans specify equal trials."""

    @property
    def study_number(self) -> int:
        """Which of the sweep's studies this is the plan of: see `study`."""
        return 0

    @property
    def prefix(self) -> str:
        """What the names of this study's trials begin with."""
        return f"study{self.study_number + 1}-" if self.study_number else ""

    def shares_prefix(self, stage: str) -> bool:
        """Whether a trial of that stage may find another one with its first steps."""
        return self.share_prefix and (self.space.search.grid if stage in (SEARCH, SELECT) else self.controls)

    def search_trial(self, method: str, number: int, settings: dict[str, Any]) -> TrialSpec:
        """A trial of the search. Trials of equal number share their seed, whatever the method; in a grid all do."""
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
        """A trial after the search, never pruned. Trials of equal number share their seed, whatever stage and method.

        A trial that `selects` has one of the seeds that are kept for choosing, and does not see the test split.
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
        """Short trials of a training function before the sweep: its first arm, again, with another seed; all others.

        The second one is also tested, and its values are thrown away.
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
        """A turn of the quiet pass: `steps` steps at most, with the whole schedule laid over them."""
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
        """What all trials of the sweep have in common of how they are run."""
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
