"""The tables in which commands print lists: no cell is truncated, and names stay on one line."""

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.table import Table


def plain_table(*heads: str, title: str | None = None, least: Mapping[str, int] | None = None) -> Table:
    """An empty table with these columns. Long cells wrap, except in the first column.

    `least` gives minimum widths of columns, in characters.
    """
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=SIMPLE_HEAD)
    for number, head in enumerate(heads):
        table.add_column(head, overflow="fold", no_wrap=number == 0, min_width=(least or {}).get(head))
    return table
