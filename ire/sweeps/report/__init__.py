"""The report of an experiment: one comparison as a page, as Markdown, as data and on the terminal."""

from pathlib import Path

from ire.storage.whole_file import write_whole
from ire.sweeps.findings.results import Results
from ire.sweeps.report.facts.sweep import as_json
from ire.sweeps.report.formats.data import write_facts
from ire.sweeps.report.formats.markdown import as_markdown
from ire.sweeps.report.formats.terminal import terminal_tables
from ire.sweeps.report.sentences.headline import headline
from ire.sweeps.report.status.summary import store_summary

__all__ = ["as_json", "as_markdown", "headline", "terminal_tables", "write_report"]


def write_report(results: Results, folder: Path | None = None) -> Path:
    """Write the report's files into `folder`, `report/` of the experiment otherwise; returns the page."""
    from ire.sweeps.report.formats.page import as_html  # slow to load, and `ire status` does without
    from ire.sweeps.report.pictures import pictures_of

    own, folder = folder is None, folder or results.folder / "report"
    folder.mkdir(parents=True, exist_ok=True)
    write_facts(as_json(results), folder)
    write_whole(folder / "report.md", as_markdown(results))
    pictures = pictures_of(results)
    for picture in pictures:
        picture.write(folder)
    if own:
        store_summary(results, folder)
    page = folder / "report.html"
    write_whole(page, as_html(results, pictures))
    return page
