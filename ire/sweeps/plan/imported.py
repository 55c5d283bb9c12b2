"""Search trials of another experiment that a sweep starts from (`--warm-start`), as its `sweep.toml` holds them.

They are copied, so that the sweep can be resumed and reported without the other experiment.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ire.invalid_input import InvalidInput
from ire.trial.metric import Metric


@dataclass(frozen=True, kw_only=True)
class ImportedTrial:
    """One search trial of another experiment."""

    name: str
    """Its name in that experiment."""
    method: str
    settings: Mapping[str, Any]
    value: float | None
    """Its final metric; None if it diverged."""
    study: int = 0
    """The study of that experiment to which it belongs, counted from 0."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """The trials taken from another experiment."""

    source: str
    """The name of that experiment."""
    spent: Mapping[str, int]
    """Gradient evaluations of all its search trials, by method, including trials that were not taken."""
    trials: tuple[ImportedTrial, ...]

    @property
    def studies(self) -> int:
        """Number of studies they come from; 1 in older sweeps, which did not record it."""
        return 1 + max(trial.study for trial in self.trials)

    def of(self, method: str, study: int | None = None) -> list[ImportedTrial]:
        """The trials of one method; with `study`, only those from which that study of this sweep starts.

        These are the trials of the study with the same number there. If there are fewer, several studies share one.
        """
        there = None if study is None else study % self.studies
        return [t for t in self.trials if t.method == method and there in (None, t.study)]

    def best(self, method: str, metric: Metric, study: int) -> ImportedTrial | None:
        """The best finished trial from which `study` starts; None if none finished."""
        known = self.of(method, study)
        finished = [(metric.cost(t.value), number) for number, t in enumerate(known) if t.value is not None]
        return known[min(finished)[1]] if finished else None

    def to_dict(self) -> dict[str, Any]:
        """The table in `sweep.toml`."""
        trials = [
            {"name": t.name, "method": t.method, "settings": dict(t.settings)}
            | ({} if t.value is None else {"value": t.value})
            | ({"study": t.study} if t.study else {})
            for t in self.trials
        ]
        return {"source": self.source, "spent": dict(self.spent), "trials": trials}

    @classmethod
    def from_dict(cls, fields: Any, *, where: str) -> "Imported":
        """The inverse of `to_dict`; raises `InvalidInput` for anything else."""
        try:
            trials = tuple(
                ImportedTrial(
                    name=_of(str, t["name"]),
                    method=_of(str, t["method"]),
                    settings={
                        key: _of((bool, int, float, str), value) for key, value in t["settings"].items()
                    },
                    value=None if "value" not in t else float(_of((int, float), t["value"])),
                    study=_of(int, t.get("study", 0)),
                )
                for t in fields["trials"]
            )
            spent = {_of(str, name): _of(int, cost) for name, cost in fields["spent"].items()}
            return cls(source=_of(str, fields["source"]), spent=spent, trials=trials)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InvalidInput(f"{where}: not the trials of a warm start ({error!r})") from error


def _of(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(value)
    return value
