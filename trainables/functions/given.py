"""What the handle of a training function tells the function: its arm's settings, and how far the trial has come."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ire.invalid_input import InvalidInput, unknown
from ire.trial.report import Report
from ire.trial.spec import TrialSpec
from trainables.functions.progress import FunctionProgress


class MissingSetting(InvalidInput, KeyError):
    """A training function reads a setting that its arm does not have."""

    __str__ = Exception.__str__  # that of `KeyError` adds quotation marks


class _Settings(dict[str, Any]):
    """An arm's settings; one that is missing is named with those that there are."""

    def __init__(self, settings: Mapping[str, Any], arm: str) -> None:
        super().__init__(settings)
        self._arm = arm

    def __missing__(self, name: str) -> Any:
        error = unknown("setting", name, self, where=f"the arm {self._arm!r}")
        raise MissingSetting(f"{error}; add it to the arm's table, or read it with trial.settings.get")


class Given:
    """The properties of a trial that its training function reads."""

    def __init__(self, spec: TrialSpec) -> None:
        self.spec = spec
        self._progress = FunctionProgress(spec)

    @property
    def method(self) -> str:
        """The name of the arm, as in the space."""
        return self.spec.method

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting of the arm: the values suggested within its ranges, and those that the space fixes.

        A setting that the arm does not have raises `MissingSetting`, a `KeyError`; `settings.get` returns None.
        """
        return MappingProxyType(_Settings(self.spec.settings, self.spec.method))

    @property
    def seed(self) -> int:
        """Determines all randomness in the trial; trials of different arms with equal seeds are compared in pairs.

        The global generators of Python, numpy and torch are seeded with it before the function is called.
        """
        return self.spec.seed

    @property
    def study(self) -> int:
        """The number of the study, from 0. A script that splits off its validation data uses it to select the split."""
        return self.spec.study

    @property
    def horizon(self) -> int:
        """The number of optimizer steps of the trial; schedules span it."""
        return self.spec.horizon

    @property
    def first_step(self) -> int:
        """The number of steps already taken: 0, or that of the state in `saved`."""
        return self._progress.first_step

    @property
    def step(self) -> int:
        """The number of steps taken so far, as far as the trial knows."""
        return self._progress.step

    @property
    def reported(self) -> int:
        """The step of the last report; 0 before the first."""
        return self._progress.reported

    @property
    def reports(self) -> list[Report]:
        """All reports so far, including those before a resume."""
        return self._progress.reports
