"""Where the trials of a sweep train: on Ray, or one after another in this process.

What only one of the two needs is imported when used.
"""

import contextlib
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from ire.invalid_input import InvalidInput
from ire.sweeps.experiments.preflight import probe_here
from ire.sweeps.plan.plan import Plan
from ire.sweeps.ray.cluster import (
    Capacity,
    capacity,
    check_gpus,
    check_shared,
    connected,
    gpus_by_default,
    joins_a_cluster,
    nodes,
    this_machine,
)
from ire.sweeps.ray.local_cluster import leave_if_stuck
from ire.sweeps.records.experiment_home import ExperimentHome
from ire.sweeps.running.run import Run
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.watch.console import plain_console
from ire.sweeps.watch.output import Output
from ire.sweeps.watch.watcher import Watcher
from trainables.functions.function import TrainingFunction, load_workload
from trainables.functions.probe import Probed


class OnRay:
    """The cluster at `address` (or RAY_ADDRESS), else one on this machine that the sweep starts and ends."""

    is_this_process = False
    command = "ire resume"
    """The command that continues a sweep here."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._check_lives: Callable[[], None] = lambda: None

    @property
    def has_other_data(self) -> bool:
        """Whether trials may find data that this machine lacks."""
        return joins_a_cluster(self._address)

    @property
    def opening(self) -> str:
        """A line to show while it opens."""
        if joins_a_cluster(self._address):
            return "joining the Ray cluster ..."
        return "starting Ray on this machine ..."

    def data_identity(self, plan: Plan) -> str | None:
        """Identity of the data on all machines, while the place is open; raises `InvalidInput` if they differ."""
        from ire.sweeps.ray.data_on_nodes import data_on_nodes

        return data_on_nodes(plan)

    def gpus_by_default(self) -> float:
        """GPUs per worker if the option is not given."""
        return gpus_by_default(self._address)

    def check(self, plan: Plan) -> None:
        """Raise `InvalidInput` for a plan that cannot run here, as far as is known before anything starts."""
        check_gpus(plan)
        if not joins_a_cluster(self._address):
            capacity(plan, this_machine())

    @contextlib.contextmanager
    def opened(
        self, plan: Plan, home: ExperimentHome, lost: Callable[[str], None]
    ) -> Generator[Capacity, None, None]:
        """The open place with its capacity; calls `lost` with the reason if the process must end with the cluster."""
        from trainables.gang.ray_internals import check_train

        check_train()
        with contextlib.ExitStack() as stack:
            if not joins_a_cluster(self._address):
                self._check_lives = stack.enter_context(leave_if_stuck(lost))
            stack.enter_context(connected(self._address))
            slots = capacity(plan, nodes())
            check_shared(home.location)
            yield slots

    def output(self, home: ExperimentHome, console: Console) -> contextlib.AbstractContextManager[Console]:
        """The console to use during the run."""
        return _ray_output(home.folder, console)

    def lacking(self) -> Sequence[str]:
        """Features of Ray that are unavailable here, one line each."""
        from trainables.gang.ray_internals import lacking

        return lacking()

    def probe(self, plan: Plan) -> Probed:
        """Probe the plan's training function where a worker would run, while the place is open."""
        from ire.sweeps.ray.remote_probe import probe_on_ray

        return probe_on_ray(plan)

    def run(self, plan: Plan, protocol: Protocol, home: ExperimentHome, watchers: Sequence[Watcher]) -> Run:
        """The run of the protocol, while the place is open."""
        from ire.sweeps.ray.tune_run import TuneRun

        return TuneRun(protocol, home, slots=partial(_slots, plan, self._check_lives), watchers=watchers)


class InThisProcess:
    """One trial at a time in this process, without importing Ray. Its members have the meaning of those in `OnRay`."""

    is_this_process = True
    has_other_data = False
    opening = ""
    command = "ire resume --inline"

    def data_identity(self, plan: Plan) -> str | None:
        return plan.data

    def gpus_by_default(self) -> float:
        return 1.0 if this_machine()[0].gpus else 0.0

    def check(self, plan: Plan) -> None:
        from ire.sweeps.running.inline import check_inline

        check_inline(plan)

    def opened(
        self, plan: Plan, home: ExperimentHome, lost: Callable[[str], None]
    ) -> contextlib.AbstractContextManager[Capacity]:
        self.check(plan)
        return contextlib.nullcontext(
            Capacity(slots=1, arithmetic="one trial at a time, in this process (--inline)")
        )

    def output(self, home: ExperimentHome, console: Console) -> contextlib.AbstractContextManager[Console]:
        return contextlib.nullcontext(console)

    def lacking(self) -> Sequence[str]:
        return ()

    def probe(self, plan: Plan) -> Probed:
        function = load_workload(plan.task, plan.import_path)
        assert isinstance(function, TrainingFunction)
        return probe_here(plan, function, device="cuda" if plan.gpus_per_worker else "cpu")

    def run(self, plan: Plan, protocol: Protocol, home: ExperimentHome, watchers: Sequence[Watcher]) -> Run:
        from ire.sweeps.running.inline import InlineRun

        return InlineRun(protocol, home, watchers=watchers)


Place = OnRay | InThisProcess


def place(*, inline: bool, address: str | None) -> Place:
    """The place where a call with these options trains; raises `InvalidInput` if they exclude each other."""
    if inline and address:
        raise InvalidInput(f"--inline --address {address}: give only one of them; --inline uses no cluster")
    return InThisProcess() if inline else OnRay(address)


def _slots(plan: Plan, check_lives: Callable[[], None]) -> int:
    """How many trials the cluster can run now, after freeing the resources of dead gangs; 0 with too few nodes.

    `check_lives` raises `ClusterLost` if a cluster started here is dead, since no other node can join it.
    """
    from trainables.gang.trainable import remove_abandoned_placement_groups

    check_lives()
    remove_abandoned_placement_groups()
    try:
        return capacity(plan, nodes()).slots
    except InvalidInput:
        return 0


@contextlib.contextmanager
def _ray_output(folder: Path, console: Console) -> Generator[Console, None, None]:
    """Redirect the output of Ray to `ray.log` in the folder; the yielded console writes where `console` did."""
    path = folder / "ray.log"
    if path.is_symlink():  # a stranger's may lead anywhere
        path.unlink()
    with path.open("a", buffering=1, errors="backslashreplace") as file:
        log = Output(file, waits=True)  # a full disk must not end the sweep here
        screen = plain_console(
            file=console.file,
            waits=False,
            force_terminal=console.is_terminal,
            width=console.width if console.is_terminal else 160,
        )
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            yield screen
