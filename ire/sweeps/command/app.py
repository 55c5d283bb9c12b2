"""The subcommands of `ire`: a thin layer over the packages, which are imported when used."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ire.invalid_input import InvalidInput
from ire.sweeps.command import catalogue
from ire.sweeps.command import data as data_command
from ire.sweeps.command import doctor as doctor_command
from ire.sweeps.command import status as status_command
from ire.sweeps.command import verdict as verdict_command
from ire.sweeps.command.catalogue import Task
from ire.sweeps.command.commands import Commands, with_local_paths
from ire.sweeps.command.config import from_file, given, is_config
from ire.sweeps.command.flags import number, with_flags
from ire.sweeps.command.status import Folder, Trust, console, show
from ire.sweeps.plan.options import OPTIONS, RESUMED
from ire.trial.scale import scaled

if TYPE_CHECKING:
    from ire.sweeps.experiments.experiment import Experiment

app = typer.Typer(
    cls=Commands,
    help="Compare optimizers, or variants of your own training, with equally tuned baselines. "
    "A task is what is trained, a method is how (an optimizer, optionally with SAM or IRE around it), a trial is one "
    "training run, and a sweep tunes every method with the same budget and compares the winners.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


TRAINED = (
    *("precision", "compile", "deterministic", "micro_batches", "schedule", "external"),
    *("scale", "data_dir", "space"),
)
"""The options of a sweep that `ire train` also has."""


@app.callback(invoke_without_command=True)
def ire(
    version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False,
) -> None:
    if version:
        print(f"ire {sys.modules['ire'].__version__}")
        raise typer.Exit


@with_flags({name: OPTIONS[name] for name in TRAINED}, {"precision": "fp32"})
def train(
    task: Task,
    method: Annotated[str, typer.Argument(help="a method, as `ire methods` lists them", show_default=False)],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="a setting, as in --set lr=0.1; may be repeated; default: the published values"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="determines every random draw of the trial", **number(int))] = 0,
    horizon: Annotated[
        int | None, typer.Option(help="optimizer steps; default: the task's", **number(int))
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads", **number(int))] = 1,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; default: a GPU if there is one")] = None,
    test: Annotated[bool, typer.Option(help="evaluate the test split at the end")] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="checkpoint folder, written every minute and at the end; an existing one is resumed"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the reports as JSON lines")] = False,
    *,
    scale: str | None,
    **options: Any,
) -> None:
    """Run one trial, METHOD on TASK, in this process and without Ray."""
    from ire.sweeps.experiments.train_one import train_one

    screen = console()
    status = train_one(
        scaled(task, scale),
        method,
        _assignments(settings or []),
        lambda report: (
            print(json.dumps(report), flush=True) if as_json else screen.print(_report_line(report))
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
        screen.print(status)


@with_flags(OPTIONS)
def sweep(
    context: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(
            help="a task of `ire tasks`, your own as train.py:train or module:Class, or a file with these options, "
            "CONFIG.toml",
            show_default=False,
        ),
    ] = None,
    trust: Trust = False,
    **options: Any,
) -> None:
    """Tune every method on TASK with the same budget, run each winner again on fresh seeds, and report."""
    if task is not None and is_config(task):
        task, options = from_file(task, options, given(context, OPTIONS), trust=trust)
    screen = console()
    _loading(screen, options)
    from ire.sweeps.experiments.launch import sweep as run

    _finish(run(task, trust=trust, console=screen, **options), inline=options["inline"])


@with_flags(RESUMED, resume=True)
def resume(folder: Folder, trust: Trust = False, **options: Any) -> None:
    """Continue an interrupted sweep, or extend a finished one with trials, methods, studies or stages."""
    screen = console()
    _loading(screen, options)
    from ire.sweeps.experiments.launch import resume as run

    _finish(run(folder, trust=trust, console=screen, **options), inline=options["inline"])


def _loading(screen: Console, options: Mapping[str, Any]) -> None:
    """Print what is loading, before the slow imports."""
    what = "torch" if options["inline"] else "torch and Ray"
    screen.print(f"loading {what} ...", style="dim", highlight=False)


def report(
    folders: Annotated[
        list[str],
        typer.Argument(help="folders of experiments, or their URIs in an object store", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="output folder; default: `report` in the experiment, or ./report for several"),
    ] = None,
    trust: Trust = False,
) -> None:
    """Write the report of a sweep and print its tables; several sweeps are compared in one report."""
    from ire.sweeps.experiments.experiment import open_experiment

    experiments = [open_experiment(folder, trust=trust) for folder in folders]
    if len(experiments) > 1:
        _report_pooled(experiments, output or Path("report"))
        return
    page = experiments[0].report(output)
    show(experiments[0], page=page if output else None)


def _report_pooled(experiments: "list[Experiment]", output: Path) -> None:
    from ire.sweeps.findings.pooling import PooledSweeps
    from ire.sweeps.report.formats.terminal import as_terminal, fitted
    from ire.sweeps.report.pooled import pooled_headline, pooled_tables, write_pooled

    screen, sweeps = console(), PooledSweeps(experiments)
    sweeps.check()
    page = write_pooled(sweeps, output)
    for table in pooled_tables(sweeps):
        screen.print(as_terminal(fitted(table, screen.width)))
    screen.print(pooled_headline(sweeps), soft_wrap=True, highlight=False)
    screen.print(f"report       {page.resolve()}", soft_wrap=True, highlight=False)


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
        console().print(place, soft_wrap=True, highlight=False)
    if output is None:
        experiment.home.publish_outputs()


def tensorboard(
    context: typer.Context,
    folder: Folder,
    port: Annotated[int, typer.Option(help="port to listen on", **number(int))] = 6006,
    host: Annotated[
        str, typer.Option(help="address to listen on; 0.0.0.0 also serves other machines")
    ] = "localhost",
) -> None:
    """Serve the curves and the HParams tab of a sweep with TensorBoard, whose own options can be added."""
    from ire.sweeps.command.viewer import view
    from ire.sweeps.records.open_home import home_at

    sys.exit(view(home_at(folder), ["--host", host, "--port", str(port), *context.args]))


def _finish(experiment: "Experiment", *, inline: bool) -> None:
    show(experiment)
    go_on = f"continue with: ire resume {'--inline ' * inline}{experiment.home.argument}"
    if experiment.broken_off:
        console().print(experiment.broken_off, style="bold red", soft_wrap=True, highlight=False)
        console().print(
            f"fix this, then {go_on}",
            soft_wrap=True,
            highlight=False,
        )
        sys.exit(1)
    if not experiment.is_complete:
        console().print(
            f"interrupted; {go_on}",
            soft_wrap=True,
            highlight=False,
        )
        sys.exit(130)
    lost = [row.method for row in experiment.comparison.rows if row.winner is None]
    if lost:
        console().print(f"no trial of {', '.join(lost)} finished: see {experiment.folder}/trials.jsonl")
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
    settings: dict[str, Any] = {}
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


# In the order in which `ire --help` lists them.
for command in (sweep, resume, status_command.status):
    app.command()(with_local_paths(command))
app.command("list")(with_local_paths(status_command.listing))
for command in (report, export):
    app.command()(with_local_paths(command))
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(tensorboard)
for command in (
    train,
    verdict_command.verdict,
    catalogue.tasks,
    catalogue.methods,
    catalogue.spaces,
    catalogue.presets,
    doctor_command.doctor,
    catalogue.toy,
):
    app.command()(with_local_paths(command))
app.add_typer(data_command.app, name="data")
