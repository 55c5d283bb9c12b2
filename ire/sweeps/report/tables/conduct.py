"""The tables of how the sweep was run: the clauses of its fairness contract, and its faults."""

from ire.sweeps.findings.results import Results
from ire.sweeps.records.records import FAILED
from ire.sweeps.report.tables.table import Table, gist


def contract(results: Results) -> Table:
    """The fairness contract, clause by clause."""
    words = {True: "kept", False: "BROKEN", None: "not yet"}
    return Table(
        title="Fairness contract",
        heads=["clause", "kept", ""],
        lines=[[c.name, c.word or words[c.kept], c.text] for c in results.comparison.contract],
    )


def faults(results: Results) -> Table:
    """What went wrong with trials and was not caused by their settings: dead workers, hangs, exceptions."""
    lines: list[list[str]] = []
    for trial in results.records.trials.values():
        for fault in trial.faults:
            lines.append([trial.name, fault.kind, gist(fault.cause), trial.status])
        if trial.status == FAILED:
            lines.append([trial.name, "given up", gist(trial.error or ""), trial.status])
    return Table(title="Faults", heads=["trial", "event", "cause", "status"], lines=lines)
