"""`ire verdict`: curves of runs that another scheduler has run in, the verdict on them out."""

import inspect
from pathlib import Path
from typing import Annotated

import typer

from ire.sweeps.findings.curves.columns import ROLES
from ire.sweeps.watch.console import plain_console

Files = Annotated[
    list[Path],
    typer.Argument(help="CSV (.csv, .csv.xz, ...) or Parquet: one row a report", show_default=False),
]


def verdict(
    files: Files,
    baseline: Annotated[
        str | None, typer.Option(help="comma-separated arms: the yardstick; default: the arm 'baseline'")
    ] = None,
    clock: Annotated[
        str | None,
        typer.Option(help="step or gradient_evaluations; default: the latter where they are known"),
    ] = None,
    output: Annotated[Path, typer.Option(help="output folder of the report")] = Path("report"),
    **columns: str | None,
) -> None:
    """Judge training runs of your own scheduler from their curves: which arm is faster, and what cannot be told."""
    from ire.sweeps.command.flags import names
    from ire.sweeps.experiments.verdict import verdict as judged
    from ire.sweeps.report.curves_report import curves_findings, curves_headline, curves_tables
    from ire.sweeps.report.terminal import as_terminal

    found = judged(files, baseline=names(baseline or ""), clock=clock, **columns)
    page = found.report(output)
    console = plain_console()
    console = console if console.is_terminal else plain_console(width=200)
    for table in curves_tables(found.comparison):
        console.print(as_terminal(table))
    for text in (curves_headline(found.comparison), *curves_findings(found.comparison)):
        console.print(text, soft_wrap=True, highlight=False)
    console.print(f"report       {page.resolve()}", soft_wrap=True, highlight=False)


def _columns() -> list[inspect.Parameter]:
    """A flag for every role that a column may have."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(
            name,
            keyword,
            default=None,
            annotation=Annotated[str | None, typer.Option(help=f"column of {name}: {role.help}")],
        )
        for name, role in ROLES.items()
    ]


_own = [
    p for p in inspect.signature(verdict).parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD
]
verdict.__signature__ = inspect.Signature([*_own, *_columns()])  # type: ignore[attr-defined]
