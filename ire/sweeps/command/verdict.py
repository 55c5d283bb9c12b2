"""`ire verdict`: reads the curves of runs that another scheduler trained, and prints a verdict on them."""

import inspect
from pathlib import Path
from typing import Annotated

import typer

from ire.sweeps.command.flags import names
from ire.sweeps.command.status import console
from ire.sweeps.findings.curves.columns import ROLES

Files = Annotated[
    list[Path],
    typer.Argument(
        help="CSV (.csv, .csv.xz, ...), JSON or Parquet files with one row per report, or folders of TensorBoard "
        "event files",
        show_default=False,
    ),
]


def verdict(
    files: Files,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="comma-separated arms that the others must beat; default: the arm named 'baseline'"
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="column or tag of the compared metric, if it is not the validation loss; needs --mode"
        ),
    ] = None,
    mode: Annotated[str | None, typer.Option(help="min or max: which value of --metric is better")] = None,
    clock: Annotated[
        str | None,
        typer.Option(
            help="unit of speed: step or gradient_evaluations; default: the latter if the table has it"
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="folder that the report is written to")] = Path("report"),
    **columns: str | None,
) -> None:
    """Judge runs of your own scheduler: find from their curves which arm (variant) is faster than the baseline.

    The report also lists the conditions of a fair comparison that curves alone cannot show.
    """
    from ire.sweeps.experiments.verdict import verdict as judged  # slow to load: pandas
    from ire.sweeps.report.curves.sentences import curves_findings, curves_headline
    from ire.sweeps.report.curves.tables import curves_tables
    from ire.sweeps.report.formats.terminal import as_terminal, fitted

    found = judged(files, baseline=names(baseline or ""), metric=metric, mode=mode, clock=clock, **columns)
    page = found.report(output)
    screen = console()
    for table in curves_tables(found.comparison):
        screen.print(as_terminal(fitted(table, screen.width)))
    for text in (curves_headline(found.comparison), *curves_findings(found.comparison)):
        screen.print(text, soft_wrap=True, highlight=False)
    screen.print(f"report       {page.resolve()}", soft_wrap=True, highlight=False)


def _columns() -> list[inspect.Parameter]:
    """A flag for every role of a column."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(
            name,
            keyword,
            default=None,
            annotation=Annotated[str | None, typer.Option(help=f"column with {role.help}")],
        )
        for name, role in ROLES.items()
    ]


_own = [
    p for p in inspect.signature(verdict).parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD
]
verdict.__signature__ = inspect.Signature([*_own, *_columns()])
