"""The report as one self-contained page that opens offline: verdict first, then the evidence.

How it looks stands in `templates/`; every text in it is made harmless (`ire.foreign_text`) where it is put in.
"""

import base64
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ire.foreign_text import in_html
from ire.sweeps.findings.results import Results
from ire.sweeps.report.facts import reproduce, versions
from ire.sweeps.report.pictures import Picture
from ire.sweeps.report.tables import TEXT, tables
from ire.sweeps.report.words import further_findings, headline, notes


def as_html(results: Results, pictures: Sequence[Picture]) -> str:
    """The whole page."""
    first, *others = tables(results)
    figures = {picture.name: picture for picture in pictures}
    return rendered(
        "one_sweep",
        title=results.plan.name,
        headline=headline(results),
        findings=further_findings(results),
        first=first,
        table_of=lambda start: next((table for table in others if table.title.startswith(start)), None),
        pictures=figures,
        notes=notes(results.comparison),
        command=reproduce(results),
        versions=versions(results),
        plan=(results.folder / "sweep.toml").read_text(encoding="utf-8"),
        rows=results.comparison.rows,
    )


def rendered(template: str, **content: Any) -> str:
    """The page that a template makes of what it names."""
    return _environment().get_template(f"{template}.html.jinja").render(content) + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ire.sweeps.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else Markup(in_html(value)),
    )
    environment.globals["text_columns"] = TEXT
    environment.filters |= {
        "base64": lambda text: base64.b64encode(text.encode()).decode(),
        "repr": repr,
        "with_code": _with_code,
    }
    return environment


def _with_code(text: str) -> Markup:
    """Escaped, with what stands between backticks as code."""
    parts = in_html(text).split("`")
    return Markup("".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts)))
