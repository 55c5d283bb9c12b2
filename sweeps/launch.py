"""Start a sweep, or go on with one: check everything, connect to Ray, run the protocol, report."""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from search_spaces import find_space
from sweeps.cluster import capacity, connected, joins_a_cluster, this_machine
from sweeps.contract import broken_before
from sweeps.experiment import Experiment, open_experiment
from sweeps.plan import CURVE, Plan, read_plan
from sweeps.splits import check_micro_batches
from trainables.data.folder import data_in, given_data_folder
from trainables.invalid_input import InvalidInput
from trainables.task import load_task, search_for_modules

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def sweep(
    task: str,
    *,
    methods: Sequence[str] | None = None,
    trials: int | None = None,
    confirm_seeds: int | None = None,
    candidates: int | None = None,
    curve: bool | Sequence[float] = True,
    curve_lr: Sequence[float] = (),
    controls: bool = False,
    seed: int = 0,
    name: str | None = None,
    storage: str | Path = "experiments",
    address: str | None = None,
    workers: int = 1,
    cpus_per_worker: int = 1,
    gpus_per_worker: float = 0.0,
    max_concurrent: int | None = None,
    max_failures: int = 2,
    checkpoint_seconds: float = 60.0,
    external: str | None = None,
    data_dir: str | Path | None = None,
    precision: str = "fp32",
    compile: bool = False,
    micro_batches: int = 1,
    schedule: str | None = None,
    space: str | Path | None = None,
    console: Console | None = None,
) -> Experiment:
    """Tune every method with the same budget, confirm the winners on fresh seeds, and report.

    `task` is a name (`ire tasks`) or `package.module:Class`; `methods` and numbers left out come from its search
    space, a TOML file that `space` may name. After the search so many `candidates` of each run against each other, the
    winners run on `confirm_seeds`, and the best baseline at the horizons of its `curve`, in multiples of the
    task's (true: from 1/2 to 2), at each with the learning rate times `curve_lr`, too. With `controls` IRE's
    winners run with what makes them IRE taken away. The experiment goes to `storage`/`name`, which must not exist.
    `data_dir` is where the data sets lie on every machine, `IRE_DATA` or a folder in the user's cache otherwise.
    `precision` (fp32, bf16), `compile`, `micro_batches` and `schedule` are those of every trial.
    `external` names the trial, as EXPERIMENT/TRIAL, whose gradient norms external grafting takes.
    `workers` train one trial together, each with so many CPUs and GPUs. Raises `InvalidInput` before anything
    is started or written. After an interrupt the returned experiment is incomplete; `resume` goes on.
    """
    found = find_space(task, space)
    plan = Plan(
        name=name or f"{re.sub(r'[^A-Za-z0-9]+', '-', task)}-{datetime.now():%Y%m%d-%H%M%S}",
        task=task,
        methods=tuple(found.methods if methods is None else methods),
        trials=found.search.trials if trials is None else trials,
        confirm_seeds=found.confirm_seeds if confirm_seeds is None else confirm_seeds,
        candidates=found.candidates if candidates is None else candidates,
        curve=tuple(CURVE if curve is True else curve or ()),
        curve_lr=tuple(curve_lr),
        controls=controls,
        seed=seed,
        workers=workers,
        cpus_per_worker=cpus_per_worker,
        gpus_per_worker=gpus_per_worker,
        max_concurrent=max_concurrent,
        max_failures=max_failures,
        checkpoint_seconds=checkpoint_seconds,
        external=_absolute(external),
        import_path=(os.getcwd(),) if ":" in task else (),
        data_dir=given_data_folder(data_dir),
        precision=precision,
        compile=compile,
        micro_batches=micro_batches,
        schedule=schedule,
        space=found,
    )
    plan.check()
    console = console or Console()
    for clause in broken_before(plan):
        console.print(f"its report will say: not comparable, {clause.text}", soft_wrap=True, highlight=False)
    folder = _new_folder(storage, plan.name)
    loaded = load_task(task)
    batch = loaded.batch_size
    if batch % (workers * max(1, micro_batches)):
        parts = f"--workers {workers}" + (f" x --micro-batches {micro_batches}" if micro_batches > 1 else "")
        raise InvalidInput(f"{parts}: must divide the batch of {task}, {batch} examples")
    check_micro_batches(found, plan.methods, batch_size=batch, workers=workers)
    if not address:  # a cluster's workers may have data that this machine has not
        with data_in(plan.data_dir):
            loaded.check_data()
    if not joins_a_cluster(address):
        capacity(plan, this_machine())  # what cannot fit is refused before Ray starts
    return _run(plan, folder, is_new=True, address=address, console=console)


def resume(folder: str | Path, *, address: str | None = None, console: Console | None = None) -> Experiment:
    """Go on with an interrupted sweep from its records; a finished one is only reported again."""
    folder = Path(folder).resolve()
    plan = read_plan(folder)
    search_for_modules(plan.import_path)
    load_task(plan.task)
    return _run(plan, folder, is_new=False, address=address, console=console or Console())


def _run(plan: Plan, folder: Path, *, is_new: bool, address: str | None, console: Console) -> Experiment:
    from sweeps.progress import Progress
    from sweeps.protocol import Protocol
    from sweeps.tensorboard import TensorBoard
    from sweeps.tuning import TuneRun

    with contextlib.ExitStack() as stack:
        protocol = None
        if not is_new:
            stack.enter_context(_locked(folder))
            protocol = Protocol(plan, folder)
        if protocol is None or not protocol.is_over:
            room = capacity(plan, stack.enter_context(connected(address)))
            stack.enter_context(_terminate_like_interrupt())  # after Ray, which has a handler of its own
            if is_new:
                folder.mkdir(parents=True)
                (folder / "sweep.toml").write_text(plan.to_toml(), encoding="utf-8")
                stack.enter_context(_locked(folder))
                protocol = Protocol(plan, folder)
            screen = stack.enter_context(_ray_output(folder, console))
            screen.print(f"{plan.name}: {room.arithmetic}", soft_wrap=True, highlight=False)
            watchers = [TensorBoard(folder), Progress(screen)]
            with contextlib.suppress(KeyboardInterrupt):
                try:
                    for watcher in watchers:
                        watcher.opened(protocol)
                    TuneRun(protocol, folder, slots=room.slots, watchers=watchers).run()
                finally:
                    for watcher in watchers:
                        watcher.closed()
                    shutil.rmtree(folder / "gangs", ignore_errors=True)
    experiment = open_experiment(folder)
    experiment.report()
    return experiment


def _absolute(location: str | None) -> str | None:
    """A path that means the same from everywhere; a URI as it is."""
    return location if location is None or "://" in location else str(Path(location).resolve())


def _new_folder(storage: str | Path, name: str) -> Path:
    if "://" in str(storage):
        raise InvalidInput(
            f"--storage {str(storage)!r}: must be a folder of this machine or a shared file system"
        )
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"--name {name!r}: must be 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit"
        )
    folder = (Path(storage) / name).resolve()
    if folder.exists():
        raise InvalidInput(
            f"experiment {str(folder)!r} exists: choose another --name, or `ire resume {folder}`"
        )
    parent = next(path for path in folder.parents if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise InvalidInput(
            f"--storage {str(storage)!r}: {str(parent)!r} is not a folder that can be written to"
        )
    return folder


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which dies with its owner; a second process is refused."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidInput(
                f"{str(folder)!r} is in use by another process; `ire status` may look at it"
            ) from None
        yield


@contextlib.contextmanager
def _ray_output(folder: Path, console: Console) -> Iterator[Console]:
    """Send what Ray prints to `ray.log` in the folder; the yielded console goes on writing where `console` did."""
    with (folder / "ray.log").open("a", buffering=1) as log:
        screen = Console(
            file=console.file,
            force_terminal=console.is_terminal,
            width=console.width if console.is_terminal else 160,
        )
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            yield screen


@contextlib.contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """Let SIGTERM end a sweep in order, as SIGINT does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
