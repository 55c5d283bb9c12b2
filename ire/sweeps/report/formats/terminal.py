"""The report's tables on a terminal or in a log: what `ire status` and the end of a sweep show."""

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from ire.foreign_text import in_one_line
from ire.sweeps.findings.results import Results
from ire.sweeps.report.status.summary import Summary, summary_of
from ire.sweeps.report.tables.table import TEXT, Table

WIDE = 140
"""Terminal width in characters from which every column of a table is shown."""
SMALL = 80
"""Terminal width in characters below which only the essential columns of a table are shown."""
ESSENTIAL = ("method", "study", "verdict", "against", "winner", "control", "method lower?")
SPEED_UP = "speed-up"
STAR = " *"
"""Marks a baseline on narrow terminals; a line below the table says so."""
WITHIN = "within 1 % after"
"""The number of trials a search needed; on narrow terminals its head is `to 1 %` and its cells are numbers."""
MANY = 8
"""From this number of columns, one space separates them instead of two."""
NARROW = {
    "Arms": ("method", "verdict", "against", "loss"),
    "Controls": ("method", "control", "method's loss minus control's", "method lower?", "runs"),
    "Search": ("method", "study", "finished", "pruned", WITHIN, "winner"),
}
"""The columns of a table, by the start of its title, on a narrow terminal; the report has all of them."""


def terminal_tables(results: Results | Summary, width: int = 80) -> list[Group]:
    """The tables of results, controls, search and faults that have lines, for a terminal of `width` characters."""
    found = results if isinstance(results, Summary) else summary_of(results)
    return [as_terminal(fitted(table, width)) for table in found.tables]


def fitted(table: Table, width: int) -> Table:
    """A table, on a narrow terminal without the columns that it has no room for."""
    return table if width >= WIDE else narrowed(table, width)


def narrowed(table: Table, width: int) -> Table:
    """The columns of a table that fit 80 characters, or 60 on a smaller terminal; a star marks baselines."""
    known = next((heads for start, heads in NARROW.items() if table.title.startswith(start)), None)
    is_small = width < SMALL and (known is not None or any(head.endswith(SPEED_UP) for head in table.heads))
    at = [
        i
        for i, head in enumerate(table.heads)
        if head.endswith(SPEED_UP)
        or ((known is None or head in known) and (not is_small or head in ESSENTIAL))
    ]

    def head(name: str) -> str:
        if name == WITHIN:
            return "to 1 %"
        return SPEED_UP if is_small and name.endswith(SPEED_UP) else name

    def cell(name: str, text: str) -> str:
        return text.removesuffix(" trials").removesuffix(" trial") if name == WITHIN else text

    return Table(
        title=table.title,
        heads=[head(table.heads[i]) for i in at],
        lines=[
            [cell(table.heads[i], line[i]).replace(" (baseline)", STAR) for i in at] for line in table.lines
        ],
    )


def as_terminal(table: Table) -> Group:
    """A table as `rich` prints it; its title may be a sentence, and is as wide as the terminal, not as the table."""
    screen = RichTable(
        pad_edge=False,
        collapse_padding=len(table.heads) > MANY,
        box=SIMPLE_HEAD,
    )
    for name in table.heads:
        screen.add_column(
            name,
            justify="left" if name in TEXT else "right",
            overflow="fold",
            no_wrap=name in ("method", "control"),
        )
    for line in table.lines:
        screen.add_row(*(Text(in_one_line(cell)) for cell in line))  # brackets in an error are not markup
    if any(line[0].endswith(STAR) for line in table.lines):
        screen.caption, screen.caption_justify = "* baseline", "left"
    return Group(*[Text(table.title, style="bold")] * bool(table.title), screen)
