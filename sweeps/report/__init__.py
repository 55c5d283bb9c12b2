"""The report of an experiment: one comparison, told as a page, as Markdown, as data and on the terminal."""

import json
from typing import TYPE_CHECKING

from sweeps.report.facts import as_json
from sweeps.report.markdown import as_markdown
from sweeps.report.palette import styles
from sweeps.report.terminal import terminal_findings, terminal_tables
from sweeps.report.words import headline

if TYPE_CHECKING:
    from pathlib import Path

    from sweeps.experiment import Experiment

__all__ = ["as_json", "as_markdown", "headline", "terminal_findings", "terminal_tables", "write_report"]


def write_report(experiment: "Experiment") -> "Path":
    """Write the report's files into `report/` of the folder, figures included; returns the page."""
    from sweeps.report.page import as_html
    from sweeps.report.run_pictures import run_pictures
    from sweeps.report.search_pictures import search_pictures

    folder = experiment.folder / "report"
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_text(json.dumps(as_json(experiment), indent=1, allow_nan=False) + "\n")
    (folder / "report.md").write_text(as_markdown(experiment), encoding="utf-8")
    looks = styles(experiment.plan.methods)
    pictures = [*run_pictures(experiment, looks), *search_pictures(experiment, looks)]
    for picture in pictures:
        for kind in ("svg", "png"):
            (folder / f"{picture.name}.{kind}").write_bytes(picture.whole(kind))
    page = folder / "report.html"
    page.write_text(as_html(experiment, pictures, looks), encoding="utf-8")
    return page
