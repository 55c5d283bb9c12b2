"""The report for a pull request."""

from typing import TYPE_CHECKING

from sweeps.report.facts import reproduce, versions
from sweeps.report.tables import tables
from sweeps.report.words import NOTES, further_findings, headline

if TYPE_CHECKING:
    from sweeps.experiment import Experiment


def as_markdown(experiment: "Experiment") -> str:
    """Verdict, tables, definitions, and how to run it again."""
    parts = [f"**{headline(experiment)}**", ""]
    parts += [line for finding in further_findings(experiment) for line in (finding, "")]
    for index, table in enumerate(tables(experiment)):
        if index:
            parts += [f"**{table.title}**", ""]
        lines = (table.heads, ["---"] * len(table.heads), *table.lines)
        parts += [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines] + [""]
    told = ", ".join(f"{name} {version}" for name, version in versions(experiment).items())
    parts += [f"    {reproduce(experiment)}", "", f"Run with {told}.", ""]
    return "\n".join([*parts, *(f"{note}\n" for note in NOTES)])
