"""The report's tables on a terminal or in a log: what `ire status` and the end of a sweep show."""

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from ire.foreign_text import in_one_line
from ire.sweeps.findings.results import Results
from ire.sweeps.report.further_findings import further_findings
from ire.sweeps.report.remembered import Shown, shown
from ire.sweeps.report.table import TEXT, Table

WIDE = 140
"""Columns of a terminal from which on every column of a table is shown."""
SMALL = 80
"""Columns of a terminal below which only those of a table are shown that say most."""
ESSENTIAL = ("method", "study", "verdict", "against", "winner", "control", "method lower?")
SPEED_UP = "speed-up"
WITHIN = "within 1 % after"
"""How many trials a search needed; where there is less room the head says `to 1 %` and the cells a number."""
MANY = 8
"""Columns from which on there is one space between them in place of two."""
NARROW = {
    "Controls": ("method", "control", "method's loss minus control's", "method lower?", "runs"),
    "Search": ("method", "study", "finished", "pruned", WITHIN, "winner"),
}
"""What is shown of a table, by how its title begins, where there is less room; the report has the rest."""


def terminal_tables(results: Results | Shown, width: int = 80) -> list[RichTable]:
    """Results, controls if there are any, the search, and faults if there were any, for a terminal of that `width`."""
    found = results if isinstance(results, Shown) else shown(results)
    return [as_terminal(table if width >= WIDE else narrowed(table, width)) for table in found.tables]


def narrowed(told: Table, width: int) -> Table:
    """The columns of a table that fit 80 characters, or 60 where there are fewer; baselines have a star."""
    known = next((heads for start, heads in NARROW.items() if told.title.startswith(start)), None)
    is_small = width < SMALL and (known is not None or any(head.endswith(SPEED_UP) for head in told.heads))
    at = [
        i
        for i, head in enumerate(told.heads)
        if (known is None or head in known) and (not is_small or head in ESSENTIAL or head.endswith(SPEED_UP))
    ]

    def head(name: str) -> str:
        if name == WITHIN:
            return "to 1 %"
        return SPEED_UP if is_small and name.endswith(SPEED_UP) else name

    def cell(name: str, text: str) -> str:
        return text.removesuffix(" trials").removesuffix(" trial") if name == WITHIN else text

    return Table(
        title=told.title,
        heads=[head(told.heads[i]) for i in at],
        lines=[
            [cell(told.heads[i], line[i]).replace(" (baseline)", " *") for i in at] for line in told.lines
        ],
    )


def as_terminal(told: Table) -> RichTable:
    """A table as `rich` prints it."""
    table = RichTable(
        title=told.title,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        collapse_padding=len(told.heads) > MANY,
        box=SIMPLE_HEAD,
    )
    for name in told.heads:
        table.add_column(
            name,
            justify="left" if name in TEXT else "right",
            overflow="fold",
            no_wrap=name in ("method", "control"),
        )
    for line in told.lines:
        table.add_row(*(Text(in_one_line(cell)) for cell in line))  # an error's brackets are no markup
    return table


def terminal_findings(results: Results) -> list[str]:
    """The sentences that stand below the tables."""
    return further_findings(results)
