"""The report as Markdown, for a pull request."""

from ire.foreign_text import in_markdown, in_one_line
from ire.sweeps.findings.results import Results
from ire.sweeps.report.facts.reproduce import reproduce
from ire.sweeps.report.sentences.further import further_findings
from ire.sweeps.report.sentences.headline import headline
from ire.sweeps.report.sentences.notes import notes
from ire.sweeps.report.tables import tables
from ire.sweeps.report.tables.table import Table


def as_markdown(results: Results) -> str:
    """Verdict, tables, definitions, and how to run it again."""
    parts = [f"**{in_markdown(headline(results))}**", ""]
    parts += [line for finding in further_findings(results) for line in (in_markdown(finding), "")]
    for index, table in enumerate(tables(results)):
        if index:
            parts += [f"**{in_markdown(table.title)}**", ""]
        parts += [*markdown_table(table), ""]
    known = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    parts += [f"    {in_one_line(reproduce(results))}", "", f"Run with {in_markdown(known)}.", ""]
    return "\n".join([*parts, *(f"{note}\n" for note in notes(results.comparison))])


def markdown_table(table: Table) -> list[str]:
    """The lines of a table; its cells are escaped, so none can break out of the table."""
    lines = (table.heads, ["---"] * len(table.heads), *table.lines)
    return [f"| {' | '.join(map(in_markdown, line))} |" for line in lines]
