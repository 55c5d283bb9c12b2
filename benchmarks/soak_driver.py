"""The driver that `soak.py` disturbs: the real driver, with simulated or real trials and a fault at a random moment."""

import contextlib
import errno
import math
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import ire.storage.storage as storage
import ire.sweeps.records.records as records
from ire.methods.method import parse_method
from ire.sweeps.plan.plan import Plan
from ire.sweeps.ray.tune_run import TuneRun
from ire.sweeps.records.experiment_home import FolderHome
from ire.sweeps.records.records import TrialRecord
from ire.sweeps.search.protocol import Protocol
from ire.trial.message import Message, Trouble
from search_spaces import find_space

IN_THE_DRIVER = (
    *("killed between two events", "killed in a write", "stopped", "terminated"),
    *("disk full", "storage away", "storage answers wrongly", "clock jumps"),
    *("workers lost", "actor lost"),
)
"""Faults of the process that drives a sweep, at a random one of its writes."""

WRITES = 100
"""A fault occurs at one of this many first writes of a run."""


def simulated_plan() -> Plan:
    """Two methods and some fifteen trials: finished ones, pruned ones and one that diverges."""
    return Plan(
        name="soak",
        task="digits",
        methods=("sgd", "sgd-ire"),
        trials=8,
        confirm_seeds=1,
        seed=0,
        max_failures=1000,
        space=find_space("digits"),
    )


def simulated_run(folder: Path, faults: Sequence[str], seed: int, *, leaves: bool = True) -> None:
    """Start or resume the sweep in `folder` with simulated trials; the process exits with 1 if that fails."""
    plan, draws = simulated_plan(), random.Random(seed)
    path = folder / "sweep.toml"
    if not path.exists():
        path.write_text(plan.to_toml())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tune = None
    with contextlib.suppress(KeyboardInterrupt), disturbed(faults, draws):
        protocol = Protocol(plan, folder)
        protocol.records.run(versions={}, identity={})
        tune = TuneRun(protocol, FolderHome(folder), slots=lambda: 1, watchers=[])
        for trial in protocol.settled:
            tune._ended(trial)
        _train(tune, faults, draws)
    if leaves:
        os._exit(0 if tune and tune.protocol.is_over and not tune.cannot_go_on else 1)


def _train(tune: TuneRun, faults: Sequence[str], draws: random.Random) -> None:
    """Simulate the cluster: hand out trials and deliver their messages."""
    coming = {draws.randrange(1, WRITES): fault for fault in faults}
    count = 0
    while not tune.protocol.is_over and not tune.cannot_go_on:
        job = tune.next_job()
        if not isinstance(job, dict):
            return
        trial = tune.protocol.records.trials[job["job"]["spec"]["name"]]
        begin = draws.randrange(trial.step + 1)  # the step of its last checkpoint
        for report in _reports(trial):
            if report["step"] <= begin:
                continue
            count += 1
            if coming.get(count) == "workers lost":
                tune.message(trial.name, Message(trouble=Trouble(kind="workers lost", cause="killed")))
            if coming.get(count) == "actor lost":
                tune.lost(trial.name, "its process is gone")
                break
            if (
                not tune.message(trial.name, Message(reports=(report,), flat_fractions=({},)))
                or tune.cannot_go_on
            ):
                break


def _reports(trial: TrialRecord) -> Iterator[dict[str, Any]]:
    """A loss that falls to a floor, which rises with the distance of lr from 0.05; a large lr diverges."""
    spec, method = trial.spec, parse_method(trial.method)
    lr = spec.settings["lr"]
    floor = 0.05 + 0.1 * abs(math.log10(lr / 0.05)) + 1e-3 * (spec.seed % 97) / 97
    for step in filter(spec.reports_at, range(1, spec.horizon + 1)):
        diverged = lr > 0.6 and step > spec.horizon / 3
        loss = floor + 2 * math.exp(-step / 40)
        yield {
            "step": step,
            "gradient_evaluations": method.gradient_evaluations(spec.settings, spec.horizon, steps=step),
            "seconds": step / 100,
            "train_loss": loss,
            "val_loss": None if diverged else loss,
            "steps_per_second": 100.0,
            "diverged": diverged,
            **({"test_loss": 1.1 * loss} if spec.test and step == spec.horizon else {}),
        }
        if diverged:
            return


@contextlib.contextmanager
def disturbed(faults: Sequence[str], draws: random.Random) -> Iterator[None]:
    """A context in which each of `faults` happens at a random write of the records."""
    append, now, pause = records.append_line, records._now, storage.time.sleep
    coming = [(draws.randrange(1, WRITES), FAULTS[fault]) for fault in faults if fault in FAULTS]
    count = 0

    def disturbed_append(path: Path, line: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        for at, act in coming:
            if count >= at:
                act(path, line, append, draws, count - at)
        append(path, line)

    records.append_line = disturbed_append
    storage.time.sleep = lambda seconds: pause(min(seconds, 0.001))
    try:
        yield
    finally:
        records.append_line, records._now, storage.time.sleep = append, now, pause


Append = Callable[[Path, dict[str, Any]], None]


def _killed(path: Path, line: dict, append: Append, draws: random.Random, since: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed_in_a_write(path: Path, line: dict, append: Append, draws: random.Random, since: int) -> None:
    _half(path, line, append, draws)
    _killed(path, line, append, draws, since)


def _half(path: Path, line: dict, append: Append, draws: random.Random) -> None:
    before = path.stat().st_size if path.exists() else 0
    append(path, line)
    os.truncate(path, draws.randrange(before, path.stat().st_size))


def _stopped(path: Path, line: dict, append: Append, draws: random.Random, since: int) -> None:
    if since == 0:
        os.kill(os.getpid(), signal.SIGSTOP)


def _terminated(path: Path, line: dict, append: Append, draws: random.Random, since: int) -> None:
    if since == 0:
        os.kill(os.getpid(), signal.SIGTERM)


def _full(path: Path, line: dict, append: Append, draws: random.Random, since: int) -> None:
    if since == 0:
        _half(path, line, append, draws)
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def _away(path: Path, line: dict, append: Append, draws: random.Random, since: int) -> None:
    if since < 5:
        raise OSError(errno.EIO, "Input/output error", str(path))


def _wrong_answer(path: Path, line: dict, append: Append, draws: random.Random, since: int) -> None:
    """A write that succeeds while the storage reports that it failed."""
    if since == 0:
        append(path, line)
        raise OSError(errno.EIO, "Input/output error", str(path))


def _clock(path: Path, line: dict, append: Append, draws: random.Random, since: int) -> None:
    if since == 0:
        jump, now = timedelta(seconds=draws.uniform(-1e6, 1e6)), records._now
        records._now = lambda: (records.datetime.fromisoformat(now()) + jump).isoformat()


FAULTS = {
    "killed between two events": _killed,
    "killed in a write": _killed_in_a_write,
    "stopped": _stopped,
    "terminated": _terminated,
    "disk full": _full,
    "storage away": _away,
    "storage answers wrongly": _wrong_answer,
    "clock jumps": _clock,
}


def with_faults(faults: Sequence[str], seed: int, command: list[str]) -> None:
    """Run an `ire` command in this process, with faults of its driver."""
    from ire.sweeps.command import main

    sys.argv = ["ire", *command]
    with disturbed(faults, random.Random(seed)):
        main()
