"""The experiments of a folder: when each began, how far it has come, and its headline."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ire.invalid_input import InvalidInput
from ire.sweeps.findings.results import Results
from ire.sweeps.records.open_home import home_at
from ire.sweeps.report.sentences.headline import headline
from ire.sweeps.report.status.state import FINISHED, state_of
from ire.sweeps.report.status.summary import stored_summary
from ire.sweeps.report.tables.table import Table

UNREADABLE = "cannot be read"


@dataclass(frozen=True, kw_only=True)
class ExperimentList:
    """The experiments of a folder, newest first."""

    names: list[str]
    started: list[str]
    """When the folder was made, to the minute."""
    tasks: list[str]
    methods: list[str]
    states: list[str]
    headlines: list[str]

    @property
    def table(self) -> Table:
        """Every column but the headlines, which are long."""
        lines = [list(line) for line in zip(self.names, self.started, self.tasks, self.states, strict=True)]
        return Table(title="Experiments", heads=["experiment", "started", "task", "status"], lines=lines)

    @property
    def verdicts(self) -> list[str]:
        """The headline of each experiment that has one."""
        return [
            f"{name}: {sentence}"
            for name, sentence in zip(self.names, self.headlines, strict=True)
            if sentence
        ]


def list_experiments(folder: Path) -> ExperimentList:
    """The experiments in `folder`; raises `InvalidInput` if there are none."""
    found = sorted(_experiments(folder), key=lambda path: _begun(path), reverse=True)
    if not found:
        raise InvalidInput(
            f"{str(folder)!r} holds no experiments: name a folder that contains experiment folders"
        )
    read = [_read(path) for path in found]
    return ExperimentList(
        names=[path.name for path in found],
        started=[_begun(path).strftime("%Y-%m-%d %H:%M") for path in found],
        tasks=[task for task, *_ in read],
        methods=[methods for _, methods, *_ in read],
        states=[state for _, _, state, _ in read],
        headlines=[sentence for *_, sentence in read],
    )


def _experiments(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if _may_be_one(path))


def _may_be_one(path: Path) -> bool:
    """Whether it is an experiment, or a folder into which this user may not look."""
    return os.path.isfile(path / "sweep.toml") or (path.is_dir() and not os.access(path, os.X_OK))


def _begun(path: Path) -> datetime:
    """When the sweep began: its records are as old as it is, its plan may have been rewritten later."""
    files = [file for file in (path / "trials.jsonl", path / "sweep.toml") if os.path.exists(file)]
    found = [file.stat() for file in files or [path]]
    return datetime.fromtimestamp(min(getattr(file, "st_birthtime", file.st_mtime) for file in found))


def _read(path: Path) -> tuple[str, str, str, str]:
    """Task, methods, state and headline; no user's module is imported."""
    known = stored_summary(path)
    if known is not None and known.complete:
        return known.task, ", ".join(known.methods), FINISHED, known.headline
    try:
        home = home_at(path)
        results = Results.opened(home)
        state = state_of(results)
        methods = ", ".join(results.plan.methods)
        return results.plan.task, methods, state.word, headline(results) if state.word == FINISHED else ""
    except (InvalidInput, OSError) as error:
        return "-", "-", UNREADABLE, str(error)
