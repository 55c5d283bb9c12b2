"""Writes the files of a verdict on curves from another scheduler: page, Markdown, data and figures."""

from pathlib import Path

from ire.foreign_text import in_markdown
from ire.storage.whole_file import write_whole
from ire.sweeps.findings.curves.comparison import CurvesComparison
from ire.sweeps.report.curves.facts import curves_json
from ire.sweeps.report.curves.pictures import curves_pictures
from ire.sweeps.report.curves.sentences import curves_findings, curves_headline, curves_note
from ire.sweeps.report.curves.tables import curves_tables
from ire.sweeps.report.formats.data import write_facts
from ire.sweeps.report.formats.markdown import markdown_table
from ire.sweeps.report.formats.page import rendered


def write_curves_report(comparison: CurvesComparison, folder: Path) -> Path:
    """Write `report.html`, `report.md`, `report.json` and the figure into `folder`; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    headline, findings, tables = (
        curves_headline(comparison),
        curves_findings(comparison),
        curves_tables(comparison),
    )
    write_facts(curves_json(comparison), folder)
    parts = [f"**{in_markdown(headline)}**", ""]
    parts += [line for finding in findings for line in (in_markdown(finding), "")]
    for table in tables:
        parts += [f"**{in_markdown(table.title)}**", "", *markdown_table(table), ""]
    write_whole(folder / "report.md", "\n".join([*parts, curves_note(comparison), ""]))
    pictures = curves_pictures(comparison)
    for picture in pictures:
        picture.write(folder)
    page = folder / "report.html"
    write_whole(
        page,
        rendered(
            "curves",
            title="Verdict on curves",
            headline=headline,
            findings=findings,
            tables=tables,
            pictures=pictures,
            note=curves_note(comparison),
        ),
    )
    return page
