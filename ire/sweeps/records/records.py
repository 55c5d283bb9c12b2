"""The truth about a sweep: two append-only files of JSON lines, and the one way to read them.

`trials.jsonl` has a line when a trial starts and one when it ends, `results.jsonl` a line per report. Nothing else
is needed to resume a sweep. Before an event is acted upon it is on the disk, after the reports that came before it.
To report one `results.jsonl` suffices: a trial's first line there also says what the trial is, its last how it ended.
A line that was torn by a kill is dropped, a report that is sent twice is kept once.
"""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from ire.invalid_input import InvalidInput
from ire.storage.storage import patiently
from ire.sweeps.records import mending
from ire.sweeps.records.event_check import (
    CONFIRM,
    CONTROL,
    CURVE,
    DIVERGED,
    FAILED,
    FINISHED,
    PRUNED,
    RUNNING,
    SEARCH,
    SELECT,
    STAGES,
    TIMING,
    NoEvent,
    check_event,
    check_result,
    refused,
)
from ire.sweeps.records.lines import append_line, numbered_lines, read_lines
from ire.trial.report import RESULT_KEYS, Report
from ire.trial.spec import TrialSpec

__all__ = [
    "CONFIRM",
    "CONTROL",
    "CURVE",
    "DIVERGED",
    "FAILED",
    "FINISHED",
    "PRUNED",
    "RUNNING",
    "SEARCH",
    "SELECT",
    "STAGES",
    "TIMING",
    "Event",
    "Fault",
    "Records",
    "TrialRecord",
    "append_line",
    "read_lines",
    "read_records",
]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault of a trial that its settings did not cause."""

    kind: str
    """`workers lost`, `hang`, `actor lost`, `storage`."""
    cause: str
    time: datetime


@dataclass
class TrialRecord:
    """The state of one trial."""

    spec: TrialSpec
    stage: str
    number: int
    """Counts from 0: in the search the trials of a method, later the seeds of what is run again."""
    arm: str = ""
    """The method of the sweep for which it runs; its own one, unless it is a control of another."""
    origin: int | None = None
    """After the search: the number of the search trial that its settings come from."""
    variant: str = ""
    """What differs from that trial: a point of the curve (`x2`, `x2-lr0.5`), or the name of a control."""
    status: str = RUNNING
    error: str | None = None
    reports: list[Report] = field(default_factory=list)
    """One a step, in rising steps."""
    started: datetime | None = None
    ended: datetime | None = None
    faults: list["Fault"] = field(default_factory=list)
    """Its faults, survived or not."""
    widened: dict[str, Any] | None = None
    """Ranges of its study that were moved right before it started (`ire.sweeps.search.widening`)."""
    prefix: int = 0
    """Gradient evaluations, counted as its own, that another trial has spent for it (`trainables.training.prefix`)."""

    def __post_init__(self) -> None:
        self.arm = self.arm or self.spec.method

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def method(self) -> str:
        return self.spec.method

    @property
    def study(self) -> int:
        """The number of its study, counted from 0."""
        return self.spec.study

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

    def final(self, name: str) -> Any:
        """A value of the last report, of which there must be one."""
        return self.reports[-1][name]

    def is_new(self, report: Report) -> bool:
        """Whether the report's step is not known already."""
        return not self.reports or report["step"] > self.step

    def add(self, report: Report) -> bool:
        """Keep a report; False if its step is known already."""
        if not self.is_new(report):
            return False
        self.reports.append(report)
        return True

    def forget_reports(self) -> None:
        """Keep only the last report of a trial that has ended, and what is asked of it: long sweeps have millions."""
        self.best_val_loss  # noqa: B018 - computed now, or never
        self.middle  # noqa: B018
        del self.reports[:-1]

    @cached_property
    def best_val_loss(self) -> float | None:
        """The lowest validation loss of a trial that has ended."""
        return min((r["val_loss"] for r in self.reports if r["val_loss"] is not None), default=None)

    @cached_property
    def middle(self) -> Report | None:
        """The report nearest to the half of the steps of a trial that has ended; None before the first."""
        return min(self.reports, key=lambda report: abs(report["step"] - self.step / 2), default=None)

    def identity(self) -> dict[str, Any]:
        """What the trial is, as JSON can hold it; `from_identity` reads it."""
        return {
            "stage": self.stage,
            "number": self.number,
            "arm": self.arm,
            "origin": self.origin,
            "variant": self.variant,
            **({"widened": self.widened} if self.widened else {}),
            "spec": self.spec.to_dict(),
        }

    @classmethod
    def from_identity(cls, fields: dict[str, Any], time: str) -> "TrialRecord":
        """The trial of that identity, started at `time` (ISO 8601); `InvalidInput` for a newer version's spec."""
        try:
            spec = TrialSpec.from_dict(fields["spec"])
        except (TypeError, KeyError, ValueError) as error:
            raise InvalidInput(
                f"this version of ire cannot read the specification of {fields['spec']['name']} ({error}): a newer one "
                "has written it, or it was damaged"
            ) from error
        return cls(
            spec=spec,
            stage=fields["stage"],
            number=fields["number"],
            arm=fields.get("arm", ""),
            origin=fields.get("origin"),
            variant=fields.get("variant", ""),
            widened=fields.get("widened"),
            started=datetime.fromisoformat(time),
        )


@dataclass(frozen=True)
class Event:
    """One line of the records: a trial started, reported, or ended."""

    kind: str
    trial: TrialRecord
    report: Report | None = None
    status: str | None = None
    error: str | None = None


class Records:
    """The records of one experiment folder, appended to and read back."""

    def __init__(self, folder: Path, *, publish: Callable[[], None] = lambda: None) -> None:
        """`publish` is called after every event, before it is acted upon: where the folder mirrors another place."""
        self.publish = publish
        self._trials_file = folder / "trials.jsonl"
        self._results_file = folder / "results.jsonl"
        self._results = self._durable_results = 0
        self.trials: dict[str, TrialRecord] = {}
        """By name, in the order in which they started."""
        self.runs: list[dict[str, Any]] = []
        """One for each time that the sweep was started or resumed: `time`, `versions` and what the plan was."""
        self.mended: list[str] = []
        """Messages for the user about lost parts of the records."""

    def replay(
        self, *, mend: bool = False, check: Callable[["Records"], None] = lambda _: None
    ) -> Iterator[Event]:
        """Read the folder: every event in the order in which it happened, applied to `trials` as it is yielded.

        Lines of `trials.jsonl` say after how many lines of `results.jsonl` they were written. Where there is no
        `trials.jsonl`, only trials with a line in `results.jsonl` are known. An end whose last report was
        lost with the power has not happened: the trial runs, and will end again.

        `check` may look at `runs` before anything else happens, and raise.
        The owner of the lock may `mend` what one file lacks and the other one tells (`ire.sweeps.records.mending`).
        Raises `InvalidInput` for a line that is no event, and for records that are lost.
        """
        events = self._read(self._trials_file, check_event)  # first: a sweep may be writing both
        results = self._read(self._results_file, check_result)
        folder = self._trials_file.parent
        mending.check_not_lost(events, results, folder)
        self.runs = [line for line in events if line["event"] == "run"]
        check(self)
        if mend:
            lacking = mending.mend(events, results, folder)
            self.mended = mending.words(lacking, events, results, folder)
            events += lacking
        if not events:
            yield from self._replay_results(results, alone=True)
            return
        for line, count in zip(events, _still_there(events, len(results)), strict=True):
            yield from self._replay_results(results[self._results : count])
            if line["event"] == "start":
                yield self._started(TrialRecord.from_identity(line, line["time"]))
            elif line["event"] == "fault":
                self._befell(self._known(line), line)
            elif line["event"] == "end" and count == line["results"]:
                trial = self._known(line)
                if (
                    trial.status == RUNNING
                ):  # and not one that ran again because its last report had been lost
                    yield self._ended(trial, line)
        yield from self._replay_results(results[self._results :])

    def _read(self, path: Path, check: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
        lines = []
        for number, line in numbered_lines(path):
            try:
                check(line)
            except NoEvent as error:
                raise refused(path, number, error) from error
            lines.append(line)
        return lines

    def _known(self, line: dict[str, Any]) -> TrialRecord:
        if line["trial"] not in self.trials:
            raise InvalidInput(
                f"{self._trials_file}: an event of {line['trial']}, which has not started; put the file back from "
                "a copy"
            )
        return self.trials[line["trial"]]

    def _replay_results(self, lines: list[dict[str, Any]], *, alone: bool = False) -> Iterator[Event]:
        for line in lines:
            self._results += 1
            name = line["trial"]
            if alone and name not in self.trials and "start" in line:
                yield self._started(TrialRecord.from_identity(line["start"], line["start"]["time"]))
            trial = self.trials.get(name)
            if trial is None:  # it started while the files were read
                continue
            trial.prefix = line.get("start", {}).get("prefix", trial.prefix)
            report = cast(Report, {key: value for key, value in line.items() if key not in RESULT_KEYS})
            if report and trial.add(report):
                yield Event("report", trial, report=report)
            if alone and "status" in line:
                yield self._ended(trial, line)

    def _started(self, trial: TrialRecord) -> Event:
        if trial.name in self.trials:
            raise InvalidInput(
                f"{self._trials_file}: {trial.name} starts twice; put the file back from a copy"
            )
        self.trials[trial.name] = trial
        return Event("start", trial)

    def _ended(self, trial: TrialRecord, line: dict[str, Any]) -> Event:
        trial.status, trial.error = line["status"], line.get("error")
        trial.ended = datetime.fromisoformat(line["time"])
        return Event("end", trial, status=trial.status, error=trial.error)

    def _befell(self, trial: TrialRecord, line: dict[str, Any]) -> None:
        time = datetime.fromisoformat(line["time"])
        trial.faults.append(Fault(kind=line["kind"], cause=line["cause"], time=time))

    def run(self, **values: Any) -> None:
        """Record that the sweep is about to run, for the first time or again."""
        self.runs.append(self._append_event({"event": "run"} | values))

    def start(self, trial: TrialRecord) -> None:
        """Record that a trial is about to run."""
        spec = trial.spec
        told = {"method": trial.method, "seed": spec.seed, "settings": dict(spec.settings)}
        line = self._append_event({"event": "start", "trial": trial.name} | told | trial.identity())
        trial.started = datetime.fromisoformat(line["time"])
        self.trials[trial.name] = trial

    def report(self, trial: TrialRecord, report: Report, status: str | None = None) -> bool:
        """Record one report, and the `status` with which the trial ends at it; False if it is known already."""
        if not trial.is_new(report):
            return False
        self._append_result(trial, report | ({"status": status, "time": _now()} if status else {}))
        return trial.add(report)

    def fault(self, trial: TrialRecord, kind: str, cause: str) -> None:
        """Record a fault of a trial."""
        told = {"event": "fault", "trial": trial.name, "kind": kind, "cause": cause}
        self._befell(trial, self._append_event(told))

    def end(self, trial: TrialRecord, status: str, error: str | None = None) -> None:
        """Record how a trial ended."""
        if status == FAILED:  # no report says so
            self._append_result(trial, {"status": status, "error": error, "time": _now()})
        told = {
            "event": "end",
            "trial": trial.name,
            "status": status,
            "gradient_evaluations": trial.gradient_evaluations,
            "seconds": trial.seconds,
        }
        self._ended(trial, self._append_event(told | ({"error": error} if error else {})))

    def _append_result(self, trial: TrialRecord, line: dict[str, Any]) -> None:
        keys = {"trial": trial.name, "method": trial.method, "stage": trial.stage, "seed": trial.spec.seed}
        if not trial.reports:
            assert trial.started is not None
            keys["start"] = trial.identity() | {"time": trial.started.isoformat()}
            keys["start"] |= {"prefix": trial.prefix} if trial.prefix else {}
        patiently(lambda: append_line(self._results_file, keys | line))
        self._results += 1

    def _append_event(self, line: dict[str, Any]) -> dict[str, Any]:
        line = line | {"results": self._results, "time": _now()}
        if self._durable_results < self._results:
            _make_durable(self._results_file)
            self._durable_results = self._results
        patiently(lambda: append_line(self._trials_file, line))
        _make_durable(self._trials_file)
        self.publish()
        return line


def read_records(folder: Path) -> Records:
    """The records of a folder, for looking at."""
    records = Records(folder)
    for _ in records.replay():
        pass
    return records


def _still_there(events: list[dict[str, Any]], results: int) -> list[int]:
    """By event, how many of the results that it counts were not lost: a later one that counts fewer knows of a loss."""
    counts = []
    for line in reversed(events):
        results = min(results, line["results"])
        counts.append(results)
    return counts[::-1]


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _make_durable(path: Path) -> None:
    """Make what was appended survive a power cut; not tried again, since a second try may succeed with a loss."""
    with path.open("rb") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):  # a file system that cannot
                raise
