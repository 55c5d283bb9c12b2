"""The report for a pull request."""

from ire.sweeps.findings.results import Results
from ire.sweeps.report.facts import reproduce, versions
from ire.sweeps.report.tables import tables
from ire.sweeps.report.words import NOTES, further_findings, headline


def as_markdown(results: Results) -> str:
    """Verdict, tables, definitions, and how to run it again."""
    parts = [f"**{headline(results)}**", ""]
    parts += [line for finding in further_findings(results) for line in (finding, "")]
    for index, table in enumerate(tables(results)):
        if index:
            parts += [f"**{table.title}**", ""]
        lines = (table.heads, ["---"] * len(table.heads), *table.lines)
        parts += [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines] + [""]
    told = ", ".join(f"{name} {version}" for name, version in versions(results).items())
    parts += [f"    {reproduce(results)}", "", f"Run with {told}.", ""]
    return "\n".join([*parts, *(f"{note}\n" for note in NOTES)])
