"""The records of a sweep: two append-only files of JSON lines, and the only code that reads and writes them.

`trials.jsonl` has one line when a trial starts and one when it ends, `results.jsonl` one line per report. A resume
needs nothing else. An event is on disk before it takes effect, and after all previous reports. `results.jsonl` alone
suffices for a report: the first line of a trial there also describes the trial, the last one how it ended. A line torn
by a kill is dropped, and a report that is sent twice is kept once.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from ire.foreign_text import without_secrets
from ire.invalid_input import InvalidInput
from ire.storage.storage import patiently
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
from ire.sweeps.records.repair import append_missing, check_not_lost, repair_messages
from ire.sweeps.records.trial_record import Fault, TrialRecord
from ire.trial.report import NO_MASK, RESULT_KEYS, FlatFraction, Report

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
        """`publish` is called after every event and before it takes effect, for a folder that mirrors another place."""
        self.publish = publish
        self._trials_file = folder / "trials.jsonl"
        self._results_file = folder / "results.jsonl"
        self._results = self._durable_results = 0
        self.trials: dict[str, TrialRecord] = {}
        """The trials by name, in the order in which they started."""
        self.runs: list[dict[str, Any]] = []
        """One entry per start or resume of the sweep: `time`, `versions` and the plan at that time."""
        self.repaired: list[str] = []
        """Messages for the user about lost parts of the records."""

    def replay(
        self, *, repair: bool = False, check: Callable[["Records"], None] = lambda _: None
    ) -> Iterator[Event]:
        """Read the folder: yields every event in order, and applies it to `trials`.

        Lines of `trials.jsonl` state how many lines of `results.jsonl` precede them. Without `trials.jsonl`, only
        trials with a line in `results.jsonl` are known. An end whose last report was lost in a power cut is ignored:
        the trial counts as running, and will end again.

        `check` may inspect `runs` before any event, and raise. The owner of the lock may `repair` one file from the
        other. Raises `InvalidInput` for a line that is not an event, and for lost records.
        """
        events = self._read(self._trials_file, check_event)  # first: a sweep may be writing both
        results = self._read(self._results_file, check_result)
        folder = self._trials_file.parent
        check_not_lost(events, results, folder)
        self.runs = [line for line in events if line["event"] == "run"]
        check(self)
        if repair:
            lacking = append_missing(events, results, folder)
            self.repaired = repair_messages(lacking, events, results, folder)
            events += lacking
        if not events:
            yield from self._replay_results(results, alone=True)
            return
        for line, count in zip(events, _still_there(events, len(results)), strict=True):
            yield from self._replay_results(results[self._results : count])
            if line["event"] == "start":
                yield self._started(TrialRecord.from_identity(line, line["time"]))
            elif line["event"] == "fault":
                self._take_fault(self._known(line), line)
            elif line["event"] == "end" and count == line["results"]:
                trial = self._known(line)
                if trial.status == RUNNING:  # else it ran again because its last report was lost
                    yield self._ended(trial, line)
        yield from self._replay_results(results[self._results :])

    def _read(self, path: Path, check: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
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
                f"{self._trials_file}: an event of {line['trial']}, which has not started; restore the file from "
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
            if trial is None:  # started while the files were read
                continue
            trial.prefix = line.get("start", {}).get("prefix", trial.prefix)
            for tensor, fraction in line.get("flat_fractions", {}).items():
                trial.flat_fractions[tensor] = FlatFraction(*fraction)
            report = cast(Report, {key: value for key, value in line.items() if key not in RESULT_KEYS})
            if report and trial.add(report):
                yield Event("report", trial, report=report)
            if alone and "status" in line:
                yield self._ended(trial, line)

    def _started(self, trial: TrialRecord) -> Event:
        if trial.name in self.trials:
            raise InvalidInput(
                f"{self._trials_file}: {trial.name} starts twice; restore the file from a copy"
            )
        self.trials[trial.name] = trial
        return Event("start", trial)

    def _ended(self, trial: TrialRecord, line: dict[str, Any]) -> Event:
        trial.status, trial.error = line["status"], line.get("error")
        trial.ended = datetime.fromisoformat(line["time"])
        return Event("end", trial, status=trial.status, error=trial.error)

    def _take_fault(self, trial: TrialRecord, line: dict[str, Any]) -> None:
        time = datetime.fromisoformat(line["time"])
        trial.faults.append(Fault(kind=line["kind"], cause=line["cause"], time=time))

    def run(self, **values: Any) -> None:
        """Record a start or resume of the sweep."""
        self.runs.append(self._append_event({"event": "run"} | values))

    def start(self, trial: TrialRecord) -> None:
        """Record the start of a trial."""
        spec = trial.spec
        fields = {"method": trial.method, "seed": spec.seed, "settings": dict(spec.settings)}
        line = self._append_event({"event": "start", "trial": trial.name} | fields | trial.identity())
        trial.started = datetime.fromisoformat(line["time"])
        self.trials[trial.name] = trial

    def report(
        self,
        trial: TrialRecord,
        report: Report,
        status: str | None = None,
        flat_fractions: Mapping[str, FlatFraction] = NO_MASK,
    ) -> bool:
        """Record a report; False if it is known already.

        If the trial ends with it, also the `status`, and what IRE's mask holds of each tensor.
        """
        if not trial.is_new(report):
            return False
        end: dict[str, Any] = {"status": status, "time": _now()} if status else {}
        if status and flat_fractions:
            trial.flat_fractions = end["flat_fractions"] = dict(flat_fractions)
        self._append_result(trial, report | end)
        return trial.add(report)

    def fault(self, trial: TrialRecord, kind: str, cause: str) -> None:
        """Record a fault of a trial."""
        fields = {"event": "fault", "trial": trial.name, "kind": kind, "cause": without_secrets(cause)}
        self._take_fault(trial, self._append_event(fields))

    def end(self, trial: TrialRecord, status: str, error: str | None = None) -> None:
        """Record the end of a trial, without the passwords and keys in URIs of its error."""
        error = error and without_secrets(error)
        if status == FAILED:  # no report has it
            self._append_result(trial, {"status": status, "error": error, "time": _now()})
        fields = {
            "event": "end",
            "trial": trial.name,
            "status": status,
            "gradient_evaluations": trial.gradient_evaluations,
            "seconds": trial.seconds,
        }
        self._ended(trial, self._append_event(fields | ({"error": error} if error else {})))

    def _append_result(self, trial: TrialRecord, line: dict[str, Any]) -> None:
        keys: dict[str, Any] = {
            "trial": trial.name,
            "method": trial.method,
            "stage": trial.stage,
            "seed": trial.spec.seed,
        }
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
    """The records of a folder, for reading only."""
    records = Records(folder)
    for _ in records.replay():
        pass
    return records


def _still_there(events: list[dict[str, Any]], results: int) -> list[int]:
    """For each event, how many results before it still exist; a later event with a smaller count shows a loss."""
    counts: list[int] = []
    for line in reversed(events):
        results = min(results, line["results"])
        counts.append(results)
    return counts[::-1]


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _make_durable(path: Path) -> None:
    """Make appended lines survive a power cut. Not retried: a second fsync may succeed although data was lost."""
    with path.open("rb") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):  # a file system without fsync
                raise
