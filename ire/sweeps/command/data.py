"""`ire data`: prepare, verify, show and list the data sets that tasks need."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Prepare, verify, show and list the data of tasks.", no_args_is_help=True)

Dir = Annotated[
    Path | None, typer.Option("--dir", help="where data lies (also IRE_DATA; ~/.cache/ire/data otherwise)")
]


@app.command()
def prepare(
    task: str,
    into: Dir = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="what you already have, a folder or archive; downloaded otherwise"),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="texts: a name on Hugging Face (gpt2), a tokenizer.json, or bpe:SIZE to learn one"),
    ] = None,
    glob: Annotated[
        str | None, typer.Option(help="texts: which files of the folder are read, as '**/*.py'")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="take the place of data that is there")] = False,
) -> None:
    """Download the data of TASK, or take it --from a folder, and write what the task reads."""
    from trainables.prepare import prepare

    prepare(task, into=into, source=source, tokenizer=tokenizer, glob=glob, replace=replace, say=typer.echo)


@app.command()
def verify(task: str, into: Dir = None) -> None:
    """Compare the checksums of the data of TASK."""
    from trainables.data.folder import data_in
    from trainables.prepare import data_of

    with data_in(into):
        store = data_of(task).open(task=task)
        store.verify()
        typer.echo(f"{store.folder} is intact: {store.identity}")


@app.command()
def show(
    task: str,
    into: Dir = None,
    sheet: Annotated[
        Path | None, typer.Option(help="where the sheet of images goes; TASK-data.png here otherwise")
    ] = None,
) -> None:
    """Show what TASK trains on: counts, examples, normalisation, speed and the checksums that trials record."""
    from trainables.data.folder import data_in
    from trainables.show import show

    with data_in(into):
        show(task, sheet=sheet, say=typer.echo)


@app.command("list")
def list_data(into: Dir = None) -> None:
    """List the tasks that need data, and whether it is there."""
    from trainables.data.folder import data_in
    from trainables.task import load_task, task_names

    with data_in(into):
        for name in task_names():
            data = load_task(name).data
            if data is not None:
                typer.echo(f"{name:28} {data.name:12} {data.folder if data.is_prepared else 'missing'}")
