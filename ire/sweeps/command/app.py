"""The `ire` command: a thin layer over the packages, which import Ray and torch only when they are needed."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ire.entry_points import TASKS, registered
from ire.invalid_input import InvalidInput
from ire.sweeps.command import data as data_command
from ire.sweeps.command import doctor as doctor_command
from ire.sweeps.command import looking
from ire.sweeps.command import verdict as verdict_command
from ire.sweeps.command.commands import Commands
from ire.sweeps.command.config import from_file, given, is_config
from ire.sweeps.command.flags import with_flags
from ire.sweeps.command.looking import Folder, Trust, show
from ire.sweeps.plan.options import OPTIONS, RESUMED

app = typer.Typer(
    cls=Commands,
    help="Sweeps that settle optimizer claims: IRE against tuned baselines, with equal budgets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.add_typer(data_command.app, name="data")
app.command()(doctor_command.doctor)
app.command()(verdict_command.verdict)

app.command()(looking.status)
app.command("list")(looking.listing)


@app.callback(invoke_without_command=True)
def ire(
    version: Annotated[bool, typer.Option("--version", help="print the version and end")] = False,
) -> None:
    if version:
        print(f"ire {sys.modules['ire'].__version__}")
        raise typer.Exit


def _some(*names: str) -> dict[str, Any]:
    return {name: OPTIONS[name] for name in names}


@app.command()
def tasks() -> None:
    """List the tasks."""
    from search_spaces import find_space, space_names

    table = Table("task", "steps", "what it is")
    for name in (*space_names(), *(name for name in registered(TASKS) if name not in space_names())):
        space = find_space(name)
        table.add_row(name, str(space.horizon), space.description)
    _console().print(table)
    _console().print(
        "your own: train.py:train or package.module:Class, with its space file beside it or given by --space"
    )


@app.command()
def presets() -> None:
    """List the papers' experiments that can be repeated."""
    from ire.sweeps.plan.preset import load_preset, preset_names

    table = Table("preset", "what it is", "task", "methods")
    for preset in map(load_preset, preset_names()):
        table.add_row(preset.name, preset.title, preset.task, ", ".join(preset.methods))
    _console().print(table)


@app.command()
def methods(
    name: Annotated[
        str | None, typer.Argument(help="one method, or module:Class", show_default=False)
    ] = None,
    task: Annotated[str | None, typer.Option(help="show its ranges and groups of parameters there")] = None,
) -> None:
    """List the methods, or show what is known of one: its settings, how they were found, what is searched."""
    from ire.sweeps.command.methods import listing, one

    if name is None and task is not None:
        raise InvalidInput(f"--task {task}: name a method, too, as in `ire methods adamw --task {task}`")
    for line in listing() if name is None else one(name, task):
        _console().print(line, soft_wrap=isinstance(line, str), highlight=False)


@app.command()
@with_flags(_some("scale", "space"))
def spaces(task: str, *, scale: str | None, space: str | None) -> None:
    """Show the search space of each method of TASK."""
    from ire.trial.scale import scaled
    from search_spaces import Fixed, find_space

    task = scaled(task, scale)
    found = find_space(task, space)
    console = _console()
    search = found.search
    console.print(f"{task}: {found.description}")
    console.print(
        f"horizon {found.horizon} steps, report every {found.eval_interval}; search: at most {search.trials} trials "
        f"and {search.trials * search.budget_per_trial * found.horizon:g} gradient evaluations a method, "
        f"rungs at {list(search.rungs)}, one trial in {search.reduction_factor} continues; "
        f"confirm: {found.confirm_seeds} seeds",
        soft_wrap=True,
        highlight=False,
    )
    if not found.metric.is_loss:
        console.print(
            f"what is compared: {found.metric.name}, {found.metric.better} is better", highlight=False
        )
    for name in found.methods:
        table = Table("setting", "searched", "published", title=name, title_justify="left")
        method = found.method(name)
        for setting, dimension in found.dimensions(method).items():
            table.add_row(setting, str(dimension), str(dimension.published))
        console.print(table)
        for number, point in enumerate(found.points(method)[1:], start=1):
            varied = {
                key for key, dimension in found.dimensions(method).items() if not isinstance(dimension, Fixed)
            }
            values = ", ".join(f"{key} {value}" for key, value in point.items() if key in varied)
            console.print(f"trial {number} is known to be good: {values}", soft_wrap=True, highlight=False)
        if not found.is_searched(method):
            console.print("not searched: run once, then on the confirm seeds", highlight=False)
        said = found.searched_by_default(method)
        if said:
            console.print(said, soft_wrap=True, highlight=False)


@app.command()
def toy(
    out: Annotated[Path, typer.Option(help="folder of the figure")] = Path("."),
) -> None:
    """Draw the two-dimensional example (Fig. 1) and check the law of its effective rate (Table 7)."""
    from ire.toy.figure import draw_figure, laws

    table = Table("SAM", "eta", "rho", "kappa", "predicted rate", "measured", "ratio", "with IRE")
    for law in laws():
        table.add_row(*law.cells())
    _console().print(table)
    kept = all(law.holds for law in laws())
    _console().print(
        f"the rate grows as 1 + kappa, and the stable direction is left alone: {'yes' if kept else 'NO'}"
    )
    _console().print(f"figure: {draw_figure(out)}", soft_wrap=True, highlight=False)
    if not kept:
        sys.exit(1)


@app.command()
@with_flags(
    _some(
        *(
            "precision",
            "compile",
            "deterministic",
            "micro_batches",
            "schedule",
            "external",
            "scale",
            "data_dir",
            "space",
        ),
    ),
    {"precision": "fp32"},
)
def train(
    task: str,
    method: str,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="a setting, as in --set lr=0.1; default: the published value"),
    ] = None,
    seed: int = 0,
    horizon: Annotated[int | None, typer.Option(help="optimizer steps; default: the task's")] = None,
    threads: int = 1,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; default: a GPU if there is one")] = None,
    test: Annotated[bool, typer.Option(help="evaluate the test split at the end")] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="checkpoint folder: written every minute and at the end; resumes from it"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the reports as JSON lines")] = False,
    *,
    scale: str | None,
    **options: Any,
) -> None:
    """Train one trial in this process, without Ray: METHOD on TASK."""
    from ire.sweeps.experiments.train_one import train_one
    from ire.trial.scale import scaled

    console = _console()
    status = train_one(
        scaled(task, scale),
        method,
        _assignments(settings or []),
        lambda report: (
            print(json.dumps(report), flush=True) if as_json else console.print(_report_line(report))
        ),
        seed=seed,
        horizon=horizon,
        threads=threads,
        device=device,
        test=test,
        checkpoint=checkpoint,
        **options,
    )
    if not as_json:
        console.print(status)


@app.command()
@with_flags(OPTIONS)
def sweep(
    context: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(
            help="`ire tasks` lists them; or a file with these options, CONFIG.toml", show_default=False
        ),
    ] = None,
    **options: Any,
) -> None:
    """Tune every method on TASK with equal budgets, confirm the winners, and report."""
    if task is not None and is_config(task):
        task, options = from_file(task, options, given(context, OPTIONS))
    console = _console()
    _loading(console, options)
    from ire.sweeps.experiments.launch import sweep as run

    _finish(run(task, console=console, **options), inline=options["inline"])


@app.command()
@with_flags(RESUMED, resume=True)
def resume(folder: Folder, trust: Trust = False, **options: Any) -> None:
    """Continue an interrupted sweep, or extend a finished one by trials, methods or stages."""
    console = _console()
    _loading(console, options)
    from ire.sweeps.experiments.launch import resume as run

    _finish(run(folder, trust=trust, console=console, **options), inline=options["inline"])


def _loading(console: Console, options: Mapping[str, Any]) -> None:
    """Said before anything slow is imported."""
    what = "torch" if options["inline"] else "torch and Ray"
    console.print(f"loading {what} ...", style="dim", highlight=False)


@app.command()
def report(
    folders: Annotated[
        list[str], typer.Argument(help="experiments' folders, or their URIs", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="output folder; default: `report` in the experiment, for several ./report"),
    ] = None,
    trust: Trust = False,
) -> None:
    """Write the report of a sweep again and show its table; several folders are compared in one report."""
    from ire.sweeps.experiments.experiment import open_experiment

    experiments = [open_experiment(folder, trust=trust) for folder in folders]
    if len(experiments) > 1:
        _report_pooled(experiments, output or Path("report"))
        return
    page = experiments[0].report(output)
    show(experiments[0], page=page if output else None)


def _report_pooled(experiments: list, output: Path) -> None:
    from ire.sweeps.findings.pooling import PooledSweeps
    from ire.sweeps.report.pooled_report import pooled_headline, pooled_tables, write_pooled
    from ire.sweeps.report.terminal import as_terminal

    console, sweeps = _console(), PooledSweeps(experiments)
    sweeps.check()
    page = write_pooled(sweeps, output)
    for table in pooled_tables(sweeps):
        console.print(as_terminal(table))
    console.print(pooled_headline(sweeps), soft_wrap=True, highlight=False)
    console.print(f"report       {page.resolve()}", soft_wrap=True, highlight=False)


@app.command()
def export(
    folder: Folder,
    output: Annotated[
        Path | None, typer.Option(help="output folder; default: `export` in the experiment")
    ] = None,
    trust: Trust = False,
) -> None:
    """Write all trials and all curves of a sweep as tidy CSV and Parquet."""
    from ire.sweeps.experiments.experiment import open_experiment
    from ire.sweeps.experiments.export import export as write

    experiment = open_experiment(folder, trust=trust)
    for path in write(experiment, output or experiment.folder / "export"):
        place = str(path) if output else experiment.home.below("export", path.name)
        _console().print(place, soft_wrap=True, highlight=False)
    if output is None:
        experiment.home.publish_outputs()


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def tensorboard(
    context: typer.Context,
    folder: Folder,
    port: int = 6006,
    host: Annotated[
        str, typer.Option(help="address to listen on; 0.0.0.0 also serves other machines")
    ] = "localhost",
) -> None:
    """Open the curves and the HParams tab of a sweep in TensorBoard; also takes TensorBoard's own options."""
    from ire.sweeps.command.viewer import view
    from ire.sweeps.records.experiment_home import home_at

    sys.exit(view(home_at(folder), ["--host", host, "--port", str(port), *context.args]))


def _finish(experiment, *, inline: bool) -> None:
    show(experiment)
    go_on = f"continue with: ire resume {'--inline ' * inline}{experiment.home.argument}"
    if experiment.broken_off:
        _console().print(experiment.broken_off, style="bold red", soft_wrap=True, highlight=False)
        _console().print(
            f"fix this, then {go_on}",
            soft_wrap=True,
            highlight=False,
        )
        sys.exit(1)
    if not experiment.is_complete:
        _console().print(
            f"interrupted; {go_on}",
            soft_wrap=True,
            highlight=False,
        )
        sys.exit(130)
    lost = [row.method for row in experiment.comparison.rows if row.winner is None]
    if lost:
        _console().print(f"no trial of {', '.join(lost)} has finished: see {experiment.folder}/trials.jsonl")
        sys.exit(1)


def _report_line(report: Mapping[str, Any]) -> str:
    shown = (
        "step",
        "gradient_evaluations",
        "seconds",
        "train_loss",
        "val_loss",
        "lr",
        "kappa",
        "flat_fraction",
    )
    names = [name for name in report if name in shown or name.startswith(("val_", "test_"))]
    return "  ".join(f"{name} {report[name]:.4g}" for name in names if report[name] is not None)


def _assignments(pairs: list[str]) -> dict[str, float | int | bool | str]:
    """`lr=0.1` and the like as a dictionary; raises `InvalidInput`."""
    settings = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidInput(f"--set {pair!r}: must be NAME=VALUE, as in --set lr=0.1")
        if name in settings:
            raise InvalidInput(f"--set {name} is given twice")
        try:
            settings[name] = json.loads(text.lower())
        except json.JSONDecodeError:
            settings[name] = text
    return settings


def _console() -> Console:
    return looking.console()
