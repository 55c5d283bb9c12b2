"""`ire status` and `ire list`: a sweep's progress and results, shown without torch and in less than a second.

What is slow to load is imported when used.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ire.sweeps.watch.console import plain_console

if TYPE_CHECKING:
    from ire.sweeps.experiments.experiment import Experiment
    from ire.sweeps.records.experiment_home import ExperimentHome
    from ire.sweeps.report.status.summary import Summary

WATCH_SECONDS = 2.0
"""Seconds between two updates of `--watch`."""

Folder = Annotated[
    str, typer.Argument(help="an experiment's folder, or its URI in an object store", show_default=False)
]
Trust = Annotated[
    bool, typer.Option("--trust", help="run the modules that the folder names; the decision is remembered")
]


def status(
    folder: Folder,
    watch: Annotated[
        bool, typer.Option("--watch", help="update every 2 seconds until the sweep ends")
    ] = False,
    trust: Trust = False,
) -> None:
    """Show the state and the results of a running, interrupted or finished sweep."""
    screen = console()
    if not watch:
        _print(screen, _looked(folder, trust, screen.width)[0])
        return
    with Live(console=screen, auto_refresh=False, transient=True) as live:
        found, is_running = _looked(folder, trust, screen.width)
        while is_running:
            if screen.is_terminal:
                live.update(Group(*found), refresh=True)
            else:
                _print(screen, found)
            time.sleep(WATCH_SECONDS)
            found, is_running = _looked(folder, trust, screen.width)
    _print(screen, found)


def listing(
    folder: Annotated[Path, typer.Argument(help="folder that holds the experiments")] = Path("experiments"),
    page: Annotated[
        bool, typer.Option("--page", help="also write index.html, with links to the reports, into the folder")
    ] = False,
) -> None:
    """List the experiments in a folder with their states and verdicts."""
    from ire.sweeps.report.formats.terminal import as_terminal
    from ire.sweeps.report.status.experiment_list import list_experiments

    screen, found = console(), list_experiments(folder)
    screen.print(as_terminal(found.table))
    for line in found.verdicts:
        screen.print(line, soft_wrap=True, highlight=False)
    if page:
        from ire.sweeps.report.formats.index import write_index  # imports jinja, which a list does not need

        screen.print(f"page         {write_index(found, folder).resolve()}", soft_wrap=True, highlight=False)


def show(experiment: "Experiment", *, page: Path | None = None) -> None:
    """Print the results of an experiment and the location of its files."""
    from ire.sweeps.report.status.summary import summary_of

    screen = console()
    _print(screen, _results(experiment.home, summary_of(experiment), screen.width, page=page))


def console() -> Console:
    """The console; 200 columns wide if the output is not a terminal."""
    found = plain_console()
    return found if found.is_terminal else plain_console(width=200)


def _print(screen: Console, parts: list[RenderableType]) -> None:
    """Print lines unbroken: the terminal wraps them, so paths and commands can be copied."""
    for part in parts:
        screen.print(part, soft_wrap=isinstance(part, Text), highlight=False)


def _looked(folder: str, trust: bool, width: int) -> tuple[list[RenderableType], bool]:
    """The output for an experiment as it is now, and whether its sweep still runs."""
    from ire.sweeps.experiments.experiment import open_experiment
    from ire.sweeps.records.open_home import home_at
    from ire.sweeps.report.formats.terminal import as_terminal
    from ire.sweeps.report.status.state import RUNS, state_of
    from ire.sweeps.report.status.summary import stored_summary, summary_of

    home = home_at(folder)
    known = stored_summary(home.folder)
    if known is not None and known.complete:
        return _results(home, known, width), False
    experiment = open_experiment(home, trust=trust)
    state = state_of(experiment)
    parts: list[RenderableType] = [Text(state.sentence)]
    if state.stages is not None:
        parts += [as_terminal(state.stages)]
    if state.running:
        parts += [Text(f"{'running now' if state.word == RUNS else 'unfinished':13}{state.running}")]
    return [*parts, *_results(home, summary_of(experiment), width)], state.word == RUNS


def _results(
    home: "ExperimentHome", found: "Summary", width: int, *, page: Path | None = None
) -> list[RenderableType]:
    from ire.storage.sizes import megabytes
    from ire.storage.storage import open_storage
    from ire.sweeps.report.formats.terminal import terminal_tables

    minutes, seconds = divmod(round(found.elapsed_seconds), 60)
    report = page.resolve() if page else home.below("report", "report.html")
    is_there = page is not None or home.is_mirrored or Path(report).exists()
    return [
        *terminal_tables(found, width),
        *map(Text, found.findings),
        Text(
            f"wall-clock   {minutes}:{seconds:02d} from the start of the first trial to the end of the last"
        ),
        Text(f"experiment   {home.location} ({megabytes(open_storage(home.location).size())})"),
        Text(f"report       {report}" if is_there else f"report       ire report {home.argument}"),
        Text(f"TensorBoard  ire tensorboard {home.argument}"),
    ]
