"""The report as one self-contained page that opens offline: verdict first, then the evidence."""

import base64
from collections.abc import Mapping, Sequence

from ire.foreign_text import in_html
from ire.sweeps.findings.results import Results
from ire.sweeps.report.facts import reproduce, versions
from ire.sweeps.report.palette import Style
from ire.sweeps.report.pictures import Picture
from ire.sweeps.report.tables import TEXT, Table, tables
from ire.sweeps.report.words import further_findings, headline, notes

CSS = """
:root { --ink: #1d1d1f; --soft: #62626a; --line: #e2e2e6; --band: #f6f6f8 }
* { box-sizing: border-box }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; margin: 0 auto; max-width: 80rem;
  padding: 1.5rem 1.25rem 4rem; color: var(--ink); background: white }
h1 { font-size: 1.45rem; line-height: 1.3; margin: .2rem 0 .8rem; text-wrap: pretty; max-width: 60rem }
h2 { font-size: 1.1rem; margin: 2.4rem 0 .3rem; padding-top: .9rem; border-top: 1px solid var(--line) }
p { max-width: 48rem; margin: .35rem 0 } .soft { color: var(--soft); font-size: .9rem }
.wide { overflow-x: auto; margin: .6rem 0 } .panels { display: flex; flex-wrap: wrap; gap: .4rem 1rem }
.panels img { max-width: 100%; height: auto }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums }
th { font-weight: 600; vertical-align: bottom } thead th { border-bottom: 2px solid var(--line) }
th, td { padding: .32rem .7rem .32rem 0; text-align: right; vertical-align: top }
tbody tr + tr td { border-top: 1px solid var(--line) } td { white-space: nowrap }
.text { text-align: left } .long { white-space: normal; min-width: 10rem }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .88rem; margin: .5rem 0 }
.legend svg { vertical-align: middle; margin-right: .35rem }
pre { background: var(--band); padding: .9rem; overflow-x: auto; font-size: .8rem; border-radius: 4px }
details { margin: .6rem 0 } summary { cursor: pointer }
@media print { details { display: none } h2 { break-after: avoid } }
"""


def as_html(results: Results, pictures: Sequence[Picture], styles: Mapping[str, Style]) -> str:
    """The whole page."""
    first, *others = tables(results)
    by_title = {table.title: table for table in others}
    figures = {picture.name: picture for picture in pictures}
    plan = results.plan
    told = ", ".join(f"{name} {version}" for name, version in versions(results).items())
    sections = [
        f"<p class='soft'>{in_html(plan.name)}</p><h1>{in_html(headline(results))}</h1>",
        *(f"<p>{_prose(finding)}</p>" for finding in further_findings(results)),
        html_table(first),
        _pictures(figures, styles, "loss-curves", "baseline-curve"),
        _titled(by_title, "Beside the paper"),
        _titled(by_title, "Grid"),
        _titled(by_title, "Other ratios"),
        _titled(by_title, "Controls"),
        _titled(by_title, "Flatness"),
        _pictures(figures, styles, "flatness", "flatness-along"),
        _titled(by_title, "Fairness contract"),
        _titled(by_title, "Search"),
        _pictures(figures, styles, "tuning", "kappa-gamma", "importance", "slices", "parallel"),
        _titled(by_title, "Faults"),
        "<h2>What the numbers mean</h2>",
        *(f"<p class='soft'>{in_html(note)}</p>" for note in notes(results.comparison)),
        f"<h2>To run it again</h2><pre>{in_html(reproduce(results))}</pre>",
        f"<p class='soft'>Run with {in_html(told)}.</p>",
        "<details><summary>The whole sweep as data (sweep.toml)</summary>",
        f"<pre>{in_html(_plan_text(results))}</pre></details>",
        "<details><summary>The winners' settings</summary>",
        f"<pre>{in_html(_winners(results))}</pre></details>",
    ]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{in_html(plan.name)}</title><style>{CSS}</style></head><body>
{"".join(sections)}
</body></html>
"""


def _prose(text: str) -> str:
    """Escaped, with what stands between backticks as code."""
    parts = in_html(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def _plan_text(results: Results) -> str:
    return (results.folder / "sweep.toml").read_text(encoding="utf-8")


def _winners(results: Results) -> str:
    lines = []
    for row in results.comparison.rows:
        for winner in row.winners:
            lines.append(f"{row.method}, study {winner.study + 1}")
            lines += [f"    {name} = {value!r}" for name, value in winner.settings.items()]
    return "\n".join(lines)


def _titled(by_title: Mapping[str, Table], start: str) -> str:
    for title, table in by_title.items():
        if title.startswith(start):
            return f"<h2>{in_html(title)}</h2>{html_table(table)}"
    return ""


def html_table(table: Table) -> str:
    """A table that scrolls sideways where it is too wide."""
    last = len(table.heads) - 1

    def row(tag: str, line: Sequence[str]) -> str:
        cells = []
        for i, cell in enumerate(line):
            kinds = ["text"] if table.heads[i] in TEXT else []
            kinds += ["long"] if i == last and table.heads[i] in TEXT else []
            kind = f' class="{" ".join(kinds)}"' if kinds else ""
            cells.append(f"<{tag}{kind}>{in_html(cell)}</{tag}>")
        return f"<tr>{''.join(cells)}</tr>"

    body = "".join(row("td", line) for line in table.lines)
    return (
        f'<div class="wide"><table><thead>{row("th", table.heads)}</thead><tbody>{body}</tbody></table></div>'
    )


def _pictures(figures: Mapping[str, Picture], styles: Mapping[str, Style], *names: str) -> str:
    parts = []
    for name in names:
        picture = figures.get(name)
        if picture is None:
            continue
        images = "".join(
            f'<img alt="{in_html(picture.title)}" '
            f'src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}">'
            for svg in picture.svgs()
        )
        parts.append(
            f"<h2>{in_html(picture.title)}</h2><p class='soft'>{in_html(picture.caption)}</p>"
            f"{legend(picture.styles)}<div class='panels'>{images}</div>"
        )
    return "".join(parts)


def legend(styles: Mapping[str, Style]) -> str:
    """What each colour, line and marker stands for."""
    items = []
    for name, style in styles.items():
        dash = "" if style.line == "-" else ' stroke-dasharray="5 2"'
        shape = (
            '<circle cx="14" cy="7" r="3.6" fill="{0}"/>'
            if style.marker == "o"
            else '<path d="M14 2.6 L18.4 10.4 L9.6 10.4 Z" fill="{0}"/>'
        ).format(style.colour)
        items.append(
            f'<span><svg width="28" height="14"><path d="M0 7 H28" stroke="{style.colour}" stroke-width="2"{dash}/>'
            f"{shape}</svg>{in_html(name)}</span>"
        )
    return f"<div class='legend'>{''.join(items)}</div>" if items else ""
