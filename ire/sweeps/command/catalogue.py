"""`ire tasks`, `presets`, `methods`, `spaces` and `toy`: what a sweep can use, and the example behind IRE.

What is slow to load is imported when used.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ire.entry_points import TASKS, registered
from ire.invalid_input import InvalidInput
from ire.sweeps.command.flags import with_flags
from ire.sweeps.command.plain_table import plain_table
from ire.sweeps.command.status import console
from ire.sweeps.plan.options import OPTIONS
from ire.trial.scale import scaled

Task = Annotated[
    str,
    typer.Argument(
        help="a task of `ire tasks`, or your own: train.py:train, module:Class", show_default=False
    ),
]


def tasks() -> None:
    """List the tasks that can be trained."""
    from search_spaces import find_space, space_names

    table = plain_table("task", "steps", "what it is")
    for name in (*space_names(), *(name for name in registered(TASKS) if name not in space_names())):
        space = find_space(name)
        table.add_row(name, str(space.horizon), space.description)
    console().print(table)
    console().print(
        "your own task: train.py:train or package.module:Class, with a space file beside it or given by --space"
    )


def presets() -> None:
    """List the published experiments that `ire sweep --preset NAME` repeats."""
    from ire.sweeps.plan.preset import load_preset, preset_names

    screen = console()
    for preset in map(load_preset, preset_names()):
        screen.print(preset.name, style="bold", highlight=False)
        screen.print(f"    {preset.title}", highlight=False, markup=False, soft_wrap=True)
        screen.print(
            f"    {preset.task}: {', '.join(preset.methods)}", highlight=False, markup=False, soft_wrap=True
        )


def methods(
    name: Annotated[
        str | None, typer.Argument(help="a method, or an optimizer as module:Class", show_default=False)
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="also show the method's ranges and parameter groups on this task")
    ] = None,
) -> None:
    """List the methods, or show one: its settings, where they come from, and what is searched."""
    from ire.sweeps.command.methods import listing, one

    if name is None and task is not None:
        raise InvalidInput(f"--task {task}: also name a method, as in `ire methods adamw --task {task}`")
    width = console().width
    for line in listing(width) if name is None else one(name, task, width=width):
        console().print(line, soft_wrap=isinstance(line, str), highlight=False)


@with_flags({name: OPTIONS[name] for name in ("scale", "space")})
def spaces(task: Task, *, scale: str | None, space: str | None) -> None:
    """Show what a sweep of TASK searches for each method, and with which budget."""
    from search_spaces import Fixed, find_space

    task = scaled(task, scale)
    found = find_space(task, space)
    screen = console()
    search = found.search
    screen.print(f"{task}: {found.description}" if found.description else task)
    screen.print(
        f"horizon {found.horizon} steps, report every {found.eval_interval}; search: at most {search.trials} trials "
        f"and {search.trials * search.budget_per_trial * found.horizon:g} gradient evaluations per method, "
        f"pruning at steps {list(search.rungs)}, where one trial in {search.reduction_factor} continues; "
        f"confirm: {found.confirm_seeds} seed{'s' * (found.confirm_seeds != 1)}",
        soft_wrap=True,
        highlight=False,
    )
    if not found.metric.is_loss:
        screen.print(
            f"compared metric: {found.metric.name}, {found.metric.better} is better", highlight=False
        )
    for name in found.methods:
        table = plain_table("setting", "searched", "published", title=name)
        method = found.method(name)
        for setting, dimension in found.dimensions(method).items():
            table.add_row(setting, str(dimension), str(dimension.published))
        screen.print(table)
        for number, point in enumerate(found.points(method)[1:], start=1):
            varied = {
                key for key, dimension in found.dimensions(method).items() if not isinstance(dimension, Fixed)
            }
            values = ", ".join(f"{key} {value}" for key, value in point.items() if key in varied)
            screen.print(f"trial {number} runs a known point: {values}", soft_wrap=True, highlight=False)
        if not found.is_searched(method):
            screen.print("not searched: runs once, then on the confirm seeds", highlight=False)
        said = found.searched_by_default(method)
        if said:
            screen.print(said, soft_wrap=True, highlight=False)


def toy(
    out: Annotated[Path, typer.Option(help="folder that the figure is written to")] = Path("."),
) -> None:
    """Draw the IRE paper's two-dimensional example (Fig. 1) and check the effective rate of its Table 7."""
    from ire.toy.figure import draw_figure, laws

    table = plain_table("SAM", "eta", "rho", "kappa", "predicted rate", "measured", "ratio", "with IRE")
    for law in laws():
        table.add_row(*law.cells())
    console().print(table)
    kept = all(law.holds for law in laws())
    console().print(
        f"the rate grows as 1 + kappa, and the stable direction is unaffected: {'yes' if kept else 'NO'}"
    )
    console().print(f"figure: {draw_figure(out)}", soft_wrap=True, highlight=False)
    if not kept:
        sys.exit(1)
