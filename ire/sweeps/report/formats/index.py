"""The index page of a folder of experiments, with links to their reports."""

import os
from pathlib import Path

from ire.invalid_input import writable
from ire.storage.whole_file import write_whole
from ire.sweeps.report.formats.page import rendered
from ire.sweeps.report.status.experiment_list import ExperimentList
from ire.sweeps.report.status.state import FINISHED, INTERRUPTED, RUNS


def write_index(found: ExperimentList, folder: Path) -> Path:
    """Write `index.html` into `folder`; returns its path."""
    page = folder / "index.html"
    lines = zip(
        found.names, found.started, found.tasks, found.methods, found.states, found.headlines, strict=True
    )
    with writable(folder):
        write_whole(
            page,
            rendered(
                "index",
                title=f"Experiments in {folder.resolve().name}",
                lines=list(lines),
                reports={
                    name for name in found.names if os.path.isfile(folder / name / "report" / "report.html")
                },
                counts={word: found.states.count(word) for word in (FINISHED, RUNS, INTERRUPTED)},
            ),
        )
    return page
