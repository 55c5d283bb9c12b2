"""What two sweeps are compared by, bit for bit: every trial with its reports, without the times of the machine."""

from pathlib import Path

from ire.sweeps.records.records import read_records

CLOCKS = ("seconds", "steps_per_second", "warmup_seconds", "optimizer_seconds")


def without_clocks(report: dict) -> dict:
    return {key: value for key, value in report.items() if key not in CLOCKS}


def rows(folder: Path) -> list:
    return [
        (t.spec, t.stage, t.number, t.status, [without_clocks(r) for r in t.reports])
        for t in read_records(folder).trials.values()
    ]
