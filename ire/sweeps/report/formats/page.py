"""The report as one self-contained page that opens offline: verdict first, then the evidence.

Its appearance is defined in `templates/`; every text is escaped (`ire.foreign_text`) where it is inserted. A page loads
nothing and runs no script but its own: its Content-Security-Policy makes the browser enforce this.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ire.foreign_text import in_html
from ire.methods.foreign import shortened
from ire.sweeps.findings.results import Results
from ire.sweeps.report.drawing.picture import Picture
from ire.sweeps.report.facts.reproduce import reproduce
from ire.sweeps.report.sentences.further import further_findings
from ire.sweeps.report.sentences.headline import headline_parts
from ire.sweeps.report.sentences.notes import notes
from ire.sweeps.report.tables import tables
from ire.sweeps.report.tables.search import all_trials
from ire.sweeps.report.tables.table import TEXT, Table

SCRIPT = ("scale.js", "plot.js", "hover.js", "sort.js", "start.js")
"""The parts of the page's script, in the order in which they are joined."""
TEMPLATES = PackageLoader("ire.sweeps.report.formats")


def as_html(results: Results, pictures: Sequence[Picture]) -> str:
    """The page of one sweep."""
    finding, *qualified = headline_parts(results)
    first, *others = tables(results)
    figures = {picture.name: picture for picture in pictures}

    def tables_of(start: str) -> list[Table]:
        return [table for table in others if table.title.startswith(start)]

    return rendered(
        "one_sweep",
        title=results.plan.name,
        headline=finding,
        qualified=qualified,
        findings=further_findings(results),
        first=first,
        tables_of=tables_of,
        pictures=figures,
        trials=all_trials(results),
        notes=notes(results.comparison),
        command=reproduce(results),
        versions=results.versions,
        plan=results.plan_text,
        rows=results.comparison.rows,
    )


def rendered(template: str, **content: Any) -> str:
    """The page that a template makes from `content`, whose keys are the template's variables."""
    script = _script()
    return (
        _environment()
        .get_template(f"{template}.html.jinja")
        .render(
            content,
            contents=[],  # filled by headings
            figures=[],  # filled by figures
            script=Markup(script),
            script_hash=Markup(base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()),
        )
        + "\n"
    )


@cache
def _script() -> str:
    return "".join(TEMPLATES.get_source(_environment(), name)[0] for name in SCRIPT)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=TEMPLATES,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_escaped,
    )
    environment.globals["text_columns"] = TEXT  # pyright: ignore[reportUnknownMemberType] - jinja2 has it in part
    environment.filters |= {  # pyright: ignore[reportUnknownMemberType]
        "live_json": _live_json,
        "repr": repr,
        "shortened": shortened,
        "slug": _slug,
        "with_code": _with_code,
    }
    return environment


def _escaped(value: object) -> Markup:
    return value if isinstance(value, Markup) else Markup(in_html(value))


def _slug(title: str) -> str:
    """The title as the name of an anchor."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _with_code(text: str) -> Markup:
    """The escaped text, with parts between backticks as code."""
    parts = in_html(text).split("`")
    return Markup("".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts)))


def _live_json(pictures: Sequence[Picture]) -> Markup:
    """The data that the script draws; no text in it can end the surrounding element."""
    text = json.dumps(
        [[panel.live() for panel in picture.panels] for picture in pictures], separators=(",", ":")
    )
    return Markup(text.replace("<", "\\u003c"))
