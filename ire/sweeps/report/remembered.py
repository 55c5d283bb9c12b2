"""What `ire status` and `ire list` show of an experiment, kept beside its report: shown again without computing it.

It counts only as long as the records, the plan and this package are those that it was made from.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ire.sweeps.findings.results import Results
from ire.sweeps.records.records import RUNNING
from ire.sweeps.report.conduct_tables import faults
from ire.sweeps.report.control_tables import controls
from ire.sweeps.report.further_findings import further_findings
from ire.sweeps.report.headline_sentence import headline
from ire.sweeps.report.search_tables import searches
from ire.sweeps.report.table import Table
from ire.sweeps.report.verdict_tables import result_table

FILE = "status.json"
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is shown of the results of a sweep."""

    headline: str
    task: str
    methods: list[str]
    complete: bool
    elapsed_seconds: float
    tables: list[Table]
    findings: list[str]


def shown(results: Results) -> Shown:
    """The same, computed."""
    found = (result_table(results), controls(results), searches(results), faults(results))
    running = any(trial.status == RUNNING for trial in results.records.trials.values())
    return Shown(
        headline=headline(results),
        task=results.plan.task,
        methods=list(results.plan.methods),
        complete=results.is_complete and not running,
        elapsed_seconds=results.elapsed_seconds,
        tables=[table for table in found if table.lines],
        findings=further_findings(results),
    )


def remember(results: Results, folder: Path) -> None:
    """Keep it in `folder`, the experiment's own report."""
    told = {"schema": SCHEMA, "of": _made_from(results.folder)} | asdict(shown(results))
    (folder / FILE).write_text(json.dumps(told) + "\n", encoding="utf-8")


def remembered(folder: Path) -> Shown | None:
    """What was kept of the experiment in `folder`; None if nothing was, or the experiment has changed since."""
    try:
        told = json.loads((folder / "report" / FILE).read_text(encoding="utf-8"))
        if told.pop("schema") != SCHEMA or told.pop("of") != _made_from(folder):
            return None
        tables = [Table(**_texts(table)) for table in told.pop("tables")]
        return Shown(tables=tables, **told)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _texts(table: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": str(table["title"]),
        "heads": [str(head) for head in table["heads"]],
        "lines": [[str(cell) for cell in line] for line in table["lines"]],
    }


def _made_from(folder: Path) -> str:
    return hashlib.sha256(repr(list(_parts(folder))).encode()).hexdigest()


def _parts(folder: Path) -> Iterator[Any]:
    """Records only grow; the plan is written anew."""
    yield sys.modules["ire"].__version__  # the package lies above this room
    yield (folder / "sweep.toml").read_bytes()
    for name in ("results.jsonl", "trials.jsonl"):
        path = folder / name
        yield path.stat().st_size if path.exists() else None
