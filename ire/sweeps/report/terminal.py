"""The report's tables on a terminal or in a log: what `ire status` and the end of a sweep show."""

from rich.table import Table
from rich.text import Text

from ire.foreign_text import in_one_line
from ire.sweeps.findings.results import Results
from ire.sweeps.report import tables
from ire.sweeps.report.tables import controls, result_table, searches
from ire.sweeps.report.words import further_findings


def terminal_tables(results: Results) -> list[Table]:
    """Results, controls if there are any, the search, and faults if there were any."""
    found = (result_table(results), controls(results), searches(results), tables.faults(results))
    return [as_terminal(table) for table in found if table.lines]


def as_terminal(told: tables.Table) -> Table:
    """A table as `rich` prints it."""
    table = Table(title=told.title, title_justify="left", title_style="bold", pad_edge=False)
    for name in told.heads:
        table.add_column(
            name,
            justify="left" if name in tables.TEXT else "right",
            overflow="fold",
            no_wrap=name in ("method", "control"),
        )
    for line in told.lines:
        table.add_row(*(Text(in_one_line(cell)) for cell in line))  # an error's brackets are no markup
    return table


def terminal_findings(results: Results) -> list[str]:
    """The sentences that stand below the tables."""
    return further_findings(results)
