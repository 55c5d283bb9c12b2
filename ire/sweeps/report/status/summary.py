"""What `ire status` and `ire list` show of an experiment, stored beside its report so that it is not computed again.

It is valid only while the records, the plan and the version of this package are those that it was made from.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ire.storage.whole_file import write_whole
from ire.sweeps.findings.results import Results
from ire.sweeps.plan.plan import plan_text
from ire.sweeps.records.records import RUNNING
from ire.sweeps.report.sentences.further import further_findings
from ire.sweeps.report.sentences.headline import headline
from ire.sweeps.report.tables.conduct import faults
from ire.sweeps.report.tables.controls import controls
from ire.sweeps.report.tables.search import searches
from ire.sweeps.report.tables.table import Table
from ire.sweeps.report.tables.verdict import result_table

FILE = "status.json"
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The results of a sweep as `ire status` shows them."""

    headline: str
    task: str
    methods: list[str]
    complete: bool
    elapsed_seconds: float
    tables: list[Table]
    findings: list[str]


def summary_of(results: Results) -> Summary:
    """What is shown of these results, computed now."""
    found = (result_table(results), controls(results), searches(results), faults(results))
    running = any(trial.status == RUNNING for trial in results.records.trials.values())
    return Summary(
        headline=headline(results),
        task=results.plan.task,
        methods=list(results.plan.methods),
        complete=results.is_complete and not running,
        elapsed_seconds=results.elapsed_seconds,
        tables=[table for table in found if table.lines],
        findings=further_findings(results),
    )


def store_summary(results: Results, folder: Path) -> None:
    """Store what is shown in `folder`, the report of the experiment itself."""
    stored = {"schema": SCHEMA, "of": _made_from(results.folder, results.plan_text)} | asdict(
        summary_of(results)
    )
    write_whole(folder / FILE, json.dumps(stored) + "\n")


def stored_summary(folder: Path) -> Summary | None:
    """What was stored for the experiment in `folder`; None if nothing was, or the experiment has changed since."""
    try:
        stored = json.loads((folder / "report" / FILE).read_text(encoding="utf-8"))
        if stored.pop("schema") != SCHEMA or stored.pop("of") != _made_from(folder, plan_text(folder)):
            return None
        tables = [Table(**_texts(table)) for table in stored.pop("tables")]
        return Summary(tables=tables, **stored)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _texts(table: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": str(table["title"]),
        "heads": [str(head) for head in table["heads"]],
        "lines": [[str(cell) for cell in line] for line in table["lines"]],
    }


def _made_from(folder: Path, plan: str) -> str:
    return hashlib.sha256(repr(list(_parts(folder, plan))).encode()).hexdigest()


def _parts(folder: Path, plan: str) -> Iterator[Any]:
    """What the stored results depend on: records only grow, so their size is enough; the plan is rewritten."""
    yield sys.modules["ire"].__version__  # the package lies above this room
    yield plan.encode()
    for name in ("results.jsonl", "trials.jsonl"):
        path = folder / name
        yield path.stat().st_size if path.exists() else None
