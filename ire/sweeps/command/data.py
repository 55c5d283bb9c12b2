"""`ire data`: prepare, verify, show and list the data sets that tasks need.

What is slow to load is imported when used.
"""

from pathlib import Path
from typing import Annotated

import typer

from ire.foreign_text import visible
from ire.sweeps.command.commands import with_local_paths

app = typer.Typer(help="Prepare, verify, show and list the data of tasks.", no_args_is_help=True)

Dir = Annotated[
    Path | None, typer.Option("--dir", help="data folder; default: IRE_DATA, else ~/.cache/ire/data")
]


def _say(text: str) -> None:
    """Print what may hold the names of others' files and classes."""
    typer.echo(visible(text))


@app.command()
@with_local_paths
def prepare(
    task: str,
    into: Dir = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="folder, archive or file with the data; default: download it"),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="texts: a tokenizer's name on Hugging Face, a tokenizer.json, or bpe:SIZE to train one; default: gpt2"
        ),
    ] = None,
    glob: Annotated[
        str | None, typer.Option(help="texts: pattern of the files to read, as in '**/*.py'")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="replace prepared data that came from another source")
    ] = False,
) -> None:
    """Download the data of TASK, or read it --from a folder or archive, and convert it to what the task reads."""
    from trainables.task_data.prepare import prepare

    prepare(task, into=into, source=source, tokenizer=tokenizer, glob=glob, replace=replace, say=_say)


@app.command()
@with_local_paths
def verify(task: str, into: Dir = None) -> None:
    """Check the prepared data of TASK against its checksums."""
    from trainables.data.folder import data_in
    from trainables.task_data.prepare import data_of

    with data_in(into):
        data = data_of(task)
        store = data.open(task=task)
        data.verify(store)
        _say(f"{store.folder} is intact: {store.identity}")


@app.command()
@with_local_paths
def show(
    task: str,
    into: Dir = None,
    sheet: Annotated[
        Path | None, typer.Option(help="file for the sheet of example images; default: ./TASK-data.png")
    ] = None,
) -> None:
    """Show the data of TASK: counts, examples, normalisation, loading speed, and the checksums that trials record."""
    from trainables.data.folder import data_in
    from trainables.task_data.show import show

    with data_in(into):
        show(task, sheet=sheet, say=_say)


@app.command("list")
@with_local_paths
def list_data(into: Dir = None) -> None:
    """List the tasks that need data, and where their data is or that it is missing."""
    from trainables.data.folder import data_in
    from trainables.task import load_task, task_names

    with data_in(into):
        for name in task_names():
            data = load_task(name).data
            if data is not None:
                _say(f"{name:24} {data.name:14} {data.folder if data.is_prepared else 'missing'}")
