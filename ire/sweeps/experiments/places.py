"""Where the trials of a sweep are trained: on Ray, or one after another in this process."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from ire.invalid_input import InvalidInput
from ire.sweeps.experiments.preflight import probe_here
from ire.sweeps.plan.plan import Plan
from ire.sweeps.ray.cluster import (
    Capacity,
    capacity,
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
    """The cluster at `address` (or RAY_ADDRESS), else one of this machine, which is started and ended again."""

    is_this_process = False
    command = "ire resume"
    """What continues a sweep here."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._check_lives: Callable[[], None] = lambda: None

    @property
    def has_other_data(self) -> bool:
        """Whether trials may find data that this machine has not."""
        return joins_a_cluster(self._address)

    @property
    def opening(self) -> str:
        """What is waited for while it opens."""
        if joins_a_cluster(self._address):
            return "joining the Ray cluster ..."
        return "starting Ray on this machine ..."

    def data_identity(self, plan: Plan) -> str | None:
        """What all machines hold, while the place is open; raises `InvalidInput` if they hold different data."""
        from ire.sweeps.ray.data_on_nodes import data_on_nodes  # start-up stays light

        return data_on_nodes(plan)

    def gpus_by_default(self) -> float:
        """GPUs of a worker where nothing is said."""
        return gpus_by_default(self._address)

    def check(self, plan: Plan) -> None:
        """Raise `InvalidInput` for a plan that cannot run here, as far as is known before anything is started."""
        if not joins_a_cluster(self._address):
            capacity(plan, this_machine())

    @contextlib.contextmanager
    def opened(self, plan: Plan, home: ExperimentHome, lost: Callable[[str], None]) -> Iterator[Capacity]:
        """The place while it is in use; `lost` is called with the reason if the process must end with it."""
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
        """A console for the time of the run."""
        return _ray_output(home.folder, console)

    def lacking(self) -> Sequence[str]:
        """What the sweep does without here, a line each."""
        from trainables.gang.ray_internals import lacking

        return lacking()

    def probe(self, plan: Plan) -> Probed:
        """Probe the plan's training function where a worker would run, while the place is open."""
        from ire.sweeps.ray.remote_probe import probe_on_ray

        return probe_on_ray(plan)

    def run(self, plan: Plan, protocol: Protocol, home: ExperimentHome, watchers: Sequence[Watcher]) -> Run:
        """What runs the protocol, while the place is open."""
        from ire.sweeps.ray.tune_run import TuneRun

        return TuneRun(protocol, home, slots=partial(_slots, plan, self._check_lives), watchers=watchers)


class InThisProcess:
    """One trial at a time in this process; Ray is not imported. Each name means what it means in `OnRay`."""

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
    """Where a call with these options trains."""
    if inline and address:
        raise InvalidInput(f"--inline --address {address}: give one of them; --inline does without a cluster")
    return InThisProcess() if inline else OnRay(address)


def _slots(plan: Plan, check_lives: Callable[[], None]) -> int:
    """How many trials the cluster holds now, freed of what the dead left; 0 while too few nodes are there.

    `check_lives` raises `ClusterLost` for a cluster that was started here and is dead: no other node can come.
    """
    from trainables.gang.trainable import remove_abandoned_placement_groups

    check_lives()
    remove_abandoned_placement_groups()
    try:
        return capacity(plan, nodes()).slots
    except InvalidInput:
        return 0


@contextlib.contextmanager
def _ray_output(folder: Path, console: Console) -> Iterator[Console]:
    """Send what Ray prints to `ray.log` in the folder; the yielded console goes on writing where `console` did."""
    with (folder / "ray.log").open("a", buffering=1, errors="backslashreplace") as file:
        log = Output(file, waits=True)  # a disk that is full ends nothing here
        screen = plain_console(
            file=console.file,
            waits=False,
            force_terminal=console.is_terminal,
            width=console.width if console.is_terminal else 160,
        )
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            yield screen
