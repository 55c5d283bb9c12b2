"""The truth about a sweep: two append-only files of JSON lines, and the one way to read them.

`trials.jsonl` has a line when a trial starts and one when it ends, `results.jsonl` a line per report. Nothing else
is needed to resume a sweep or to report it. A line that was torn by a kill is dropped, a report that is sent
twice is kept once.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainables.trial import TrialSpec

RUNNING, FINISHED, PRUNED, DIVERGED, FAILED = "running", "finished", "pruned", "diverged", "failed"
SEARCH, CONFIRM = "search", "confirm"


@dataclass
class TrialRecord:
    """What is known of one trial."""

    spec: TrialSpec
    stage: str
    number: int
    """Counts the trials of a method within a stage, from 0."""
    status: str = RUNNING
    error: str | None = None
    reports: list[dict[str, Any]] = field(default_factory=list)
    """One a step, in rising steps."""
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def method(self) -> str:
        return self.spec.method

    @property
    def step(self) -> int:
        """Optimizer steps reported so far."""
        return self.reports[-1]["step"] if self.reports else 0

    @property
    def gradient_evaluations(self) -> int:
        """Gradients of a full batch spent so far."""
        return self.reports[-1]["gradient_evaluations"] if self.reports else 0

    @property
    def seconds(self) -> float:
        """Training seconds so far."""
        return self.reports[-1]["seconds"] if self.reports else 0.0

    @property
    def val_loss(self) -> float | None:
        """The last validation loss; None before the first report and after divergence."""
        return self.reports[-1]["val_loss"] if self.reports else None

    def add(self, report: dict[str, Any]) -> bool:
        """Keep a report; False if its step is known already."""
        if self.reports and report["step"] <= self.step:
            return False
        self.reports.append(report)
        return True


@dataclass(frozen=True)
class Event:
    """One line of the records: a trial started, reported, or ended."""

    kind: str
    trial: TrialRecord
    report: dict[str, Any] | None = None
    status: str | None = None
    error: str | None = None


class Records:
    """The records of one experiment folder, appended to and read back."""

    def __init__(self, folder: Path) -> None:
        self._trials_file = folder / "trials.jsonl"
        self._results_file = folder / "results.jsonl"
        self._results = 0
        self.trials: dict[str, TrialRecord] = {}
        """By name, in the order in which they started."""

    def replay(self) -> Iterator[Event]:
        """Read the folder: every event in the order in which it happened, applied to `trials` as it is yielded.

        Lines of `trials.jsonl` say after how many lines of `results.jsonl` they were written.
        """
        events = list(read_lines(self._trials_file))  # first: a sweep may be writing both
        results = list(read_lines(self._results_file))
        for line in events:
            yield from self._replay_results(results[self._results : line["results"]])
            if line["event"] == "start":
                spec = TrialSpec.from_dict(line["spec"])
                trial = TrialRecord(spec=spec, stage=line["stage"], number=line["number"])
                trial.started = datetime.fromisoformat(line["time"])
                self.trials[trial.name] = trial
                yield Event("start", trial)
            else:
                trial = self.trials[line["trial"]]
                trial.status, trial.error = line["status"], line.get("error")
                trial.ended = datetime.fromisoformat(line["time"])
                yield Event("end", trial, status=trial.status, error=trial.error)
        yield from self._replay_results(results[self._results :])

    def _replay_results(self, lines: list[dict[str, Any]]) -> Iterator[Event]:
        for line in lines:
            self._results += 1
            trial = self.trials.get(line["trial"])
            if trial is None:  # it started while the files were read
                continue
            report = {key: value for key, value in line.items() if key not in RESULT_KEYS}
            if trial.add(report):
                yield Event("report", trial, report=report)

    def start(self, trial: TrialRecord) -> None:
        """Record that a trial is about to run."""
        self.trials[trial.name] = trial
        spec = trial.spec
        self._append_event(
            {
                "event": "start",
                "trial": trial.name,
                "method": trial.method,
                "stage": trial.stage,
                "number": trial.number,
                "seed": spec.seed,
                "settings": dict(spec.settings),
                "spec": spec.to_dict(),
            }
        )

    def report(self, trial: TrialRecord, report: dict[str, Any]) -> bool:
        """Record one report; False if it is known already."""
        if not trial.add(report):
            return False
        keys = {"trial": trial.name, "method": trial.method, "stage": trial.stage, "seed": trial.spec.seed}
        append_line(self._results_file, keys | report)
        self._results += 1
        return True

    def end(self, trial: TrialRecord, status: str, error: str | None = None) -> None:
        """Record how a trial ended."""
        trial.status, trial.error = status, error
        line = {
            "event": "end",
            "trial": trial.name,
            "status": status,
            "gradient_evaluations": trial.gradient_evaluations,
            "seconds": trial.seconds,
        }
        self._append_event(line | ({"error": error} if error else {}))

    def _append_event(self, line: dict[str, Any]) -> None:
        now = datetime.now(UTC)
        trial = self.trials[line["trial"]]
        if line["event"] == "start":
            trial.started = now
        else:
            trial.ended = now
        append_line(self._trials_file, line | {"results": self._results, "time": now.isoformat()})


RESULT_KEYS = ("trial", "method", "stage", "seed")
"""What `results.jsonl` repeats of the trial in every line."""


def read_records(folder: Path) -> Records:
    """The records of a folder, for looking at."""
    records = Records(folder)
    for _ in records.replay():
        pass
    return records


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Append one JSON line in a single write, after cutting off a torn one."""
    data = json.dumps(line, allow_nan=False).encode() + b"\n"
    with path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                _cut_torn_line(file, end)
        file.write(data)


def _cut_torn_line(file: Any, end: int) -> None:
    file.seek(0)
    file.truncate(file.read(end).rfind(b"\n") + 1)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete lines of a records file; none if it does not exist."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)
