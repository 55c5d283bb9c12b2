"""The tables of lists that commands print: no cell is cut off, and names stay whole."""

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.table import Table


def plain_table(*heads: str, title: str | None = None, least: Mapping[str, int] | None = None) -> Table:
    """An empty table. Cells that are too long go on in the next line, but for the first column's.

    `least` has the columns that need so many characters.
    """
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=SIMPLE_HEAD)
    for number, head in enumerate(heads):
        table.add_column(head, overflow="fold", no_wrap=number == 0, min_width=(least or {}).get(head))
    return table
