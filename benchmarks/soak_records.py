"""How `soak.py` damages the records of a sweep between runs, and which parts of them it compares."""

import random
from pathlib import Path
from typing import Any

from ire.sweeps.records.records import read_records

CLOCKS = ("seconds", "steps_per_second", "optimizer_seconds")
"""The only fields that may differ between two runs on one machine."""

MOST_RUNS = 40
"""The maximum in one round: a sweep that needs more resumes makes no progress."""

BETWEEN_RUNS = ("torn line", "doubled line", "events lost", "last events lost", "last reports lost")
"""Damage to the records while nobody writes them."""


def rows(folder: Path) -> list[tuple[Any, ...]]:
    """The parts that must be equal in two sweeps: every trial and its reports, without times."""
    return [
        (
            trial.spec,
            trial.stage,
            trial.number,
            trial.status,
            [{k: v for k, v in report.items() if k not in CLOCKS} for report in trial.reports],
        )
        for trial in read_records(folder).trials.values()
    ]


def damage(folder: Path, what: str, draws: random.Random) -> None:
    """Damage the records as `what` says, like a power cut, a storage or a person."""
    path = folder / ("trials.jsonl" if "event" in what else draws.choice(("trials.jsonl", "results.jsonl")))
    if what == "last reports lost":
        path = folder / "results.jsonl"
    if not path.exists() or b"\n" not in (content := path.read_bytes()):
        return
    lines = content.splitlines(keepends=True)
    if what == "torn line":
        whole = next(line for line in lines if line.endswith(b"\n"))
        path.write_bytes(b"".join(lines) + whole[: draws.randrange(1, len(whole))])
    elif what == "doubled line":
        at = draws.randrange(len(lines))
        path.write_bytes(b"".join(lines[: at + 1] + lines[at:]))
    elif what == "events lost" and (folder / "results.jsonl").exists():
        path.unlink()
    elif what.startswith("last ") and len(lines) > 1:
        path.write_bytes(b"".join(lines[: -draws.randrange(1, min(6, len(lines)))]))
