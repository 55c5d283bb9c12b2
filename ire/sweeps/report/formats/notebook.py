"""Results as a piece of HTML for a notebook: the verdict, a table, and the path of the report."""

from pathlib import Path

from ire.foreign_text import in_html
from ire.sweeps.report.tables.table import TEXT, Table


def as_fragment(headline: str, table: Table, page: Path | None = None) -> str:
    """The verdict above a table; every text in it is escaped."""
    heads = "".join(f"<th>{in_html(head)}</th>" for head in table.heads)
    aligned = ["left" if head in TEXT else "right" for head in table.heads]
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align:{side}">{in_html(cell)}</td>'
            for side, cell in zip(aligned, line, strict=True)
        )
        + "</tr>"
        for line in table.lines
    )
    place = f"<p>report: <code>{in_html(str(page))}</code></p>" if page and page.is_file() else ""
    return (
        f"<p><b>{in_html(headline)}</b></p><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        f"{place}"
    )
