"""`ire doctor`: what a sweep would find on this machine or cluster."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ire.sweeps.watch.console import plain_console


def doctor(
    workers: Annotated[
        int, typer.Option(min=1, help="let so many workers meet and add up, as those of one trial do")
    ] = 1,
    storage: Annotated[str, typer.Option(help="where experiments would go")] = "experiments",
    data_dir: Annotated[Path | None, typer.Option(help="where data lies")] = None,
    address: Annotated[
        str | None, typer.Option(help="look at this Ray cluster, too (also RAY_ADDRESS)")
    ] = None,
) -> None:
    """Print versions, GPUs, NCCL, disk, token and shared storage, and what would fail."""
    from ire.sweeps.ray.doctor import findings
    from trainables.data.folder import data_folder, data_in

    console = plain_console()
    with data_in(data_dir):
        found = list(findings(storage=storage, data_dir=data_folder(), address=address, workers=workers))
    table = Table("what", "found")
    for finding in found:
        table.add_row(finding.about, Text(finding.text))
    console.print(table)
    failing = [finding for finding in found if finding.fails]
    for finding in failing:
        console.print(f"would fail: {finding.about}: {finding.fails}", soft_wrap=True, highlight=False)
    if failing:
        sys.exit(1)
    console.print("nothing that was looked at would fail", highlight=False)
