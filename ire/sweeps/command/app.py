"""The `ire` command: a thin layer over the packages, which import Ray and torch only when they are needed."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ire.invalid_input import InvalidInput
from ire.sweeps.command import data as data_command
from ire.sweeps.watch.console import plain_console

app = typer.Typer(
    help="Sweeps that settle optimizer claims: IRE against tuned baselines, with equal budgets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(data_command.app, name="data")

Folder = Annotated[
    str, typer.Argument(help="an experiment's folder, or its URI in an object store", show_default=False)
]
SpaceFile = Annotated[Path | None, typer.Option("--space", help="a space file of your own (TOML)")]
Scale = Annotated[str | None, typer.Option(help="tiny: the scaled-down twin, same as TASK@tiny")]
DataDir = Annotated[
    Path | None, typer.Option(help="where data lies (also IRE_DATA; ~/.cache/ire/data otherwise)")
]
External = Annotated[
    str | None, typer.Option(help="EXPERIMENT/TRIAL whose gradient norms external grafting takes")
]
Precision = Annotated[str, typer.Option(help="fp32, tf32 or bf16")]
Compile = Annotated[bool, typer.Option("--compile", help="compile the model and IRE's step")]
MicroBatches = Annotated[int, typer.Option(help="parts of a worker's share of a batch (accumulation)")]
Schedule = Annotated[
    str | None,
    typer.Option(help="cosine, linear, constant, or as in 'steps 0.2 0.5 0.8 / 5'; the task's otherwise"),
]
Address = Annotated[str | None, typer.Option(help="join this Ray cluster (also RAY_ADDRESS)")]


@app.command()
def tasks() -> None:
    """List the tasks."""
    from search_spaces import find_space, space_names

    table = Table("task", "steps", "what it is")
    for name in space_names():
        space = find_space(name)
        table.add_row(name, str(space.horizon), space.description)
    _console().print(table)
    _console().print("your own: package.module:Class, with its space file beside it or by --space")


@app.command()
def presets() -> None:
    """List the experiments of the paper that can be repeated."""
    from ire.sweeps.plan.preset import load_preset, preset_names

    table = Table("preset", "what it is", "task", "methods")
    for preset in map(load_preset, preset_names()):
        table.add_row(preset.name, preset.title, preset.task, ", ".join(preset.methods))
    _console().print(table)


@app.command()
def methods() -> None:
    """List the methods."""
    from ire.methods.ire import CONTROLS
    from ire.methods.method import all_methods
    from ire.methods.shared import SHARED

    shared = SHARED.settings
    table = Table("method", "what it is", "settings of its own")
    for method in all_methods().values():
        if method.control is None:
            own = [name for name in method.settings if name not in shared]
            table.add_row(method.name, method.description, ", ".join(own))
    console = _console()
    console.print(table)
    console.print(f"every method: {', '.join(shared)}", soft_wrap=True)
    console.print("behind any -ire, a control:")
    for name, what in CONTROLS.items():
        console.print(f"  -{name}  {what}", soft_wrap=True)


@app.command()
def spaces(task: str, scale: Scale = None, space: SpaceFile = None) -> None:
    """Show what is searched for each method of a TASK."""
    from ire.methods.method import parse_method
    from ire.trial.scale import scaled
    from search_spaces import find_space

    task = scaled(task, scale)
    found = find_space(task, space)
    console = _console()
    search = found.search
    console.print(f"{task}: {found.description}")
    console.print(
        f"horizon {found.horizon} steps, report every {found.eval_interval}; search: at most {search.trials} trials "
        f"and {search.trials * search.budget_per_trial * found.horizon:g} gradient evaluations a method, "
        f"rungs at {list(search.rungs)}, one in {search.reduction_factor} goes on; "
        f"confirm: {found.confirm_seeds} seeds",
        soft_wrap=True,
        highlight=False,
    )
    for name in found.methods:
        table = Table("setting", "searched", "published", title=name, title_justify="left")
        for setting, dimension in found.dimensions(parse_method(name)).items():
            table.add_row(setting, str(dimension), str(dimension.published))
        console.print(table)


@app.command()
def toy(
    out: Annotated[Path, typer.Option(help="the folder where the figure goes")] = Path("."),
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
def train(
    task: str,
    method: str,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="a setting, as in --set lr=0.1; published ones otherwise"),
    ] = None,
    seed: int = 0,
    horizon: Annotated[int | None, typer.Option(help="optimizer steps; the task's otherwise")] = None,
    threads: int = 1,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, ...; a GPU if there is one otherwise")
    ] = None,
    precision: Precision = "fp32",
    compile: Compile = False,
    micro_batches: MicroBatches = 1,
    schedule: Schedule = None,
    test: Annotated[bool, typer.Option(help="evaluate the test split at the end")] = False,
    checkpoint: Annotated[
        Path | None, typer.Option(help="a folder: save there each minute and at the end; continue from there")
    ] = None,
    external: External = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the reports as JSON lines")] = False,
    scale: Scale = None,
    data_dir: DataDir = None,
    space: SpaceFile = None,
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
        precision=precision,
        compile=compile,
        schedule=schedule,
        micro_batches=micro_batches,
        test=test,
        checkpoint=checkpoint,
        external=external,
        data_dir=data_dir,
        space=space,
    )
    if not as_json:
        console.print(status)


@app.command()
def sweep(
    task: Annotated[str | None, typer.Argument(help="`ire tasks` lists them", show_default=False)] = None,
    preset: Annotated[
        str | None, typer.Option(help="repeat an experiment of the paper: `ire presets`")
    ] = None,
    methods: Annotated[str | None, typer.Option(help="comma-separated; the space's otherwise")] = None,
    trials: Annotated[int | None, typer.Option(help="cap on search trials of each method")] = None,
    confirm_seeds: Annotated[int | None, typer.Option(help="fresh seeds for each winner")] = None,
    candidates: Annotated[
        int | None, typer.Option(help="best trials of each method that run again before one is chosen")
    ] = None,
    curve: Annotated[
        bool, typer.Option(help="run the best baseline at other horizons: what speed-ups are read from")
    ] = True,
    curve_horizons: Annotated[
        str | None, typer.Option(help="these horizons instead, in multiples of the task's: 0.5,2,4")
    ] = None,
    curve_lr: Annotated[
        str | None, typer.Option(help="at each of them try the learning rate times these, too: 0.5,2")
    ] = None,
    controls: Annotated[
        bool, typer.Option("--controls", help="run IRE's winners with what makes them IRE taken away")
    ] = False,
    share_prefix: Annotated[
        bool | None,
        typer.Option(
            help="train the steps before IRE once for trials that share them; the preset's otherwise"
        ),
    ] = None,
    seed: int = 0,
    name: Annotated[str | None, typer.Option(help="of the experiment; task and time otherwise")] = None,
    storage: Annotated[
        str, typer.Option(help="where experiments go: a folder, or s3://bucket/prefix")
    ] = "experiments",
    address: Address = None,
    workers: Annotated[int, typer.Option(help="workers of one trial")] = 1,
    cpus_per_worker: int = 1,
    gpus_per_worker: float = 0.0,
    max_concurrent: Annotated[int | None, typer.Option(help="cap on trials at a time")] = None,
    max_failures: Annotated[int, typer.Option(help="restarts of a trial that died or hung")] = 2,
    hang_seconds: Annotated[float, typer.Option(help="silence that counts as a hang, at least")] = 600.0,
    precision: Annotated[
        str | None, typer.Option(help="fp32, tf32 or bf16; the preset's otherwise, else fp32")
    ] = None,
    compile: Compile = False,
    micro_batches: MicroBatches = 1,
    schedule: Schedule = None,
    scale: Scale = None,
    data_dir: DataDir = None,
    external: External = None,
    space: SpaceFile = None,
) -> None:
    """Tune every method on TASK with equal budgets, confirm the winners, and report."""
    from ire.sweeps.experiments.launch import sweep as run

    experiment = run(
        task,
        preset=preset,
        scale=scale,
        methods=_names(methods),
        trials=trials,
        confirm_seeds=confirm_seeds,
        candidates=candidates,
        curve=_numbers("--curve-horizons", curve_horizons) if curve_horizons is not None else curve,
        curve_lr=_numbers("--curve-lr", curve_lr or ""),
        controls=controls,
        share_prefix=share_prefix,
        seed=seed,
        name=name,
        storage=storage,
        address=address,
        workers=workers,
        cpus_per_worker=cpus_per_worker,
        gpus_per_worker=gpus_per_worker,
        max_concurrent=max_concurrent,
        max_failures=max_failures,
        data_dir=data_dir,
        precision=precision,
        compile=compile,
        micro_batches=micro_batches,
        schedule=schedule,
        external=external,
        hang_seconds=hang_seconds,
        space=space,
        console=_console(),
    )
    _finish(experiment)


@app.command()
def resume(
    folder: Folder,
    trials: Annotated[int | None, typer.Option(help="raise each method's cap and budget to this")] = None,
    methods: Annotated[str | None, typer.Option(help="comma-separated methods to add")] = None,
    confirm_seeds: Annotated[int | None, typer.Option(help="raise the winners' fresh seeds to this")] = None,
    curve: Annotated[bool, typer.Option("--curve", help="add the baseline curve")] = False,
    curve_horizons: Annotated[str | None, typer.Option(help="add these horizons to it: 0.5,2,4")] = None,
    controls: Annotated[bool, typer.Option("--controls", help="add IRE's controls")] = False,
    max_concurrent: Annotated[int | None, typer.Option(help="cap on trials at a time from now on")] = None,
    max_failures: Annotated[int | None, typer.Option(help="restarts of a trial from now on")] = None,
    hang_seconds: Annotated[float | None, typer.Option(help="silence that counts as a hang")] = None,
    address: Address = None,
) -> None:
    """Go on with a sweep that was interrupted, or give one more trials or methods."""
    from ire.sweeps.experiments.launch import resume as run

    experiment = run(
        folder,
        trials=trials,
        methods=_names(methods),
        confirm_seeds=confirm_seeds,
        curve=_numbers("--curve-horizons", curve_horizons) if curve_horizons is not None else curve,
        controls=controls,
        max_concurrent=max_concurrent,
        max_failures=max_failures,
        hang_seconds=hang_seconds,
        address=address,
        console=_console(),
    )
    _finish(experiment)


@app.command()
def status(folder: Folder) -> None:
    """Show the table of a sweep that runs, was interrupted or is over."""
    from ire.sweeps.experiments.experiment import open_experiment

    _show(open_experiment(folder))


@app.command()
def report(
    folders: Annotated[
        list[str], typer.Argument(help="experiments' folders, or their URIs", show_default=False)
    ],
    output: Annotated[Path, typer.Option(help="where the report of several folders goes")] = Path("report"),
) -> None:
    """Write the report of a sweep again and show its table; of several, one that compares them."""
    from ire.sweeps.experiments.experiment import open_experiment

    experiments = [open_experiment(folder) for folder in folders]
    if len(experiments) > 1:
        _report_several(experiments, output)
        return
    experiments[0].report()
    _show(experiments[0])


def _report_several(experiments: list, output: Path) -> None:
    from ire.sweeps.findings.pooling import Several
    from ire.sweeps.report.pooled_report import several_headline, several_tables, write_several
    from ire.sweeps.report.terminal import as_terminal

    console, several = _console(), Several(experiments)
    several.check()
    page = write_several(several, output)
    for table in several_tables(several):
        console.print(as_terminal(table))
    console.print(several_headline(several), soft_wrap=True, highlight=False)
    console.print(f"report       {page.resolve()}", soft_wrap=True, highlight=False)


@app.command()
def export(
    folder: Folder,
    output: Annotated[Path | None, typer.Option(help="where to; `export` in the folder otherwise")] = None,
) -> None:
    """Write all trials and all curves of a sweep as tidy CSV and Parquet."""
    from ire.sweeps.experiments.experiment import open_experiment
    from ire.sweeps.experiments.export import export as write

    experiment = open_experiment(folder)
    for path in write(experiment, output or experiment.folder / "export"):
        place = str(path) if output else experiment.home.below("export", path.name)
        _console().print(place, soft_wrap=True, highlight=False)
    experiment.home.publish_outputs()


@app.command()
def tensorboard(folder: Folder, port: int = 6006) -> None:
    """Open the curves and the HParams tab of a sweep in TensorBoard."""
    import subprocess

    from ire.sweeps.experiments.experiment import open_experiment

    experiment = open_experiment(folder)
    experiment.home.fetch("trials")
    logs = experiment.folder / "trials"
    module = [sys.executable, "-m", "tensorboard.main"]
    sys.exit(subprocess.run([*module, "--logdir", str(logs), "--port", str(port)], check=False).returncode)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _finish(experiment) -> None:
    _show(experiment)
    if experiment.broken_off:
        _console().print(experiment.broken_off, style="bold red", soft_wrap=True, highlight=False)
        _console().print(
            f"when that is mended, go on with: ire resume {experiment.home.argument}",
            soft_wrap=True,
            highlight=False,
        )
        sys.exit(1)
    if not experiment.is_complete:
        _console().print(
            f"interrupted; go on with: ire resume {experiment.home.argument}", soft_wrap=True, highlight=False
        )
        sys.exit(130)
    lost = [row.method for row in experiment.comparison.rows if row.winner is None]
    if lost:
        _console().print(f"no trial of {', '.join(lost)} has finished: see {experiment.folder}/trials.jsonl")
        sys.exit(1)


def _show(experiment) -> None:
    from ire.sweeps.report import terminal_findings, terminal_tables

    console = _console()
    for table in terminal_tables(experiment):
        console.print(table)
    for finding in terminal_findings(experiment):
        console.print(finding, soft_wrap=True, highlight=False)
    minutes, seconds = divmod(round(experiment.elapsed_seconds), 60)
    for line in (
        f"wall-clock   {minutes}:{seconds:02d} from the first trial's start to the last one's end",
        f"experiment   {experiment.location} ({experiment.disk_use})",
        f"report       {experiment.home.below('report', 'report.html')}",
        f"TensorBoard  ire tensorboard {experiment.home.argument}",
    ):
        console.print(line, soft_wrap=True, highlight=False)


def _report_line(report: dict) -> str:
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


def _assignments(pairs: list[str]) -> dict[str, float | int | bool]:
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
            raise InvalidInput(f"--set {pair!r}: {text!r} is neither a number nor true or false") from None
    return settings


def _numbers(option: str, text: str) -> list[float]:
    """`0.5, 2` as numbers; raises `InvalidInput`."""
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InvalidInput(
            f"{option} {text!r}: must be numbers with commas between them, as in 0.5,2"
        ) from None


def _console() -> Console:
    console = plain_console()
    return console if console.is_terminal else plain_console(width=200)
