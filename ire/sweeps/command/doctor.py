"""`ire doctor`: checks what a sweep needs on this machine or cluster."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from ire.invalid_input import InvalidInput
from ire.sweeps.command.flags import number
from ire.sweeps.command.plain_table import plain_table
from ire.sweeps.command.status import console


def doctor(
    workers: Annotated[
        int, typer.Option(help="check that this many workers of one trial can communicate", **number(int))
    ] = 1,
    storage: Annotated[str, typer.Option(help="where experiments would be stored")] = "experiments",
    data_dir: Annotated[
        Path | None, typer.Option(help="data folder; default: IRE_DATA, else ~/.cache/ire/data")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="also check this Ray cluster; default: RAY_ADDRESS")
    ] = None,
) -> None:
    """Show versions, GPUs, NCCL, disk, cluster token and shared storage, and say what would fail."""
    from ire.sweeps.ray.doctor import findings  # slow to load: torch
    from trainables.data.folder import data_folder, data_in

    if workers < 1:
        raise InvalidInput(f"--workers {workers}: must be at least 1")
    screen = console()
    with data_in(data_dir):
        found = list(findings(storage=storage, data_dir=data_folder(), address=address, workers=workers))
    table = plain_table("what", "found")
    for finding in found:
        table.add_row(finding.about, Text(finding.text))
    screen.print(table)
    failing = [finding for finding in found if finding.fails]
    for finding in failing:
        screen.print(f"would fail: {finding.about}: {finding.fails}", soft_wrap=True, highlight=False)
    if failing:
        sys.exit(1)
    screen.print("all checks passed", highlight=False)
