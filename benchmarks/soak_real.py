"""Rounds of `soak.py` on a real Ray cluster of this machine: signals to every kind of process, faults of the driver."""

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from soak_driver import FAULTS, with_faults
from soak_records import BETWEEN_RUNS, MOST_RUNS, damage

SWEEP = (
    *("digits", "--methods", "sgd,sgd-ire", "--trials", "4", "--confirm-seeds", "1", "--no-curve"),
    *("--studies", "1", "--max-concurrent", "1", "--max-failures", "1000"),
)

PROCESSES = {
    "raylet": "raylet/raylet",
    "gcs": "gcs_server",
    "worker": "ray::RayTrainWorker",
    "trial actor": "ray::ResourceTrainable",
}
"""How the command line of each kind of process below the driver begins or ends; see `below`."""

SIGNALS = {"killed": signal.SIGKILL, "terminated": signal.SIGTERM, "stopped": signal.SIGSTOP}

ON_PROCESSES = tuple(f"{kind} {what}" for kind in ("driver", *PROCESSES) for what in SIGNALS)
"""Signals to a process of a real sweep; a stopped process continues after some seconds."""

STOPPED_SECONDS = 5.0
EARLY = 0.2
"""Share of the signals that are sent while Ray starts, up to `START_SECONDS` after the driver."""
START_SECONDS = 30.0
TRAINING_SECONDS = 6.0
"""The others are sent within this many seconds after a run's first report; warm workers need 8 for all trials."""

HANG_SECONDS = 900.0
"""A run that takes longer counts as hung, which is a difference."""


def real_sweep(folder: Path) -> None:
    """The undisturbed sweep; raises `CalledProcessError` if it fails."""
    with (folder.parent / "log").open("a") as log:
        subprocess.run(_command(folder, "", 0), check=True, stdout=log, stderr=log)


def real_round(folder: Path, draws: random.Random, done: Counter[str]) -> None:
    """Disturb a sweep until it is complete."""
    for _ in range(MOST_RUNS):
        fault = draws.choice((*FAULTS, *ON_PROCESSES))
        if not (folder / "trials.jsonl").exists():
            shutil.rmtree(folder, ignore_errors=True)
        with (folder.parent / "log").open("a") as log:
            print(f"-- {fault}", file=log, flush=True)
            inside = fault if fault in FAULTS else ""
            driver = subprocess.Popen(
                _command(folder, inside, draws.randrange(2**32)), stdout=log, stderr=log
            )
            sent = False
            if fault in ON_PROCESSES:
                sent = _send(driver, *fault.rsplit(" ", 1), folder / "results.jsonl", draws)
            code = _ended(driver, draws)
        done[fault if inside or sent else "nothing, as it was over"] += 1
        if code == 0:
            return
        if draws.random() < 0.3:
            what = draws.choice(BETWEEN_RUNS)
            damage(folder, what, draws)
            done[what] += 1
    raise AssertionError(f"not over after {MOST_RUNS} runs")


def _command(folder: Path, fault: str, seed: int) -> list[str]:
    """Start the sweep in `folder`, or resume it, with `fault` in its driver."""
    if folder.exists():
        command = ["resume", str(folder)]
    else:
        command = ["sweep", *SWEEP, "--name", folder.name, "--storage", str(folder.parent)]
    return [sys.executable, __file__, fault, str(seed), *command]


def below(driver: int, kind: str) -> list[psutil.Process]:
    """The processes of one kind below a driver: Ray's own, found by program name; workers, found by process title."""
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            title = (process.cmdline() or [""])[0]
            if title.startswith(PROCESSES[kind]) or title.endswith(PROCESSES[kind]):
                found.append(process)
    return found


def _send(driver: subprocess.Popen, kind: str, what: str, results: Path, draws: random.Random) -> bool:
    """Send a signal to the driver or a process below it, at a random moment; False if the driver has ended before."""
    is_early, share = draws.random() < EARLY, draws.random()
    size, latest = _size(results), time.monotonic() + HANG_SECONDS
    while not is_early and driver.poll() is None and _size(results) <= size and time.monotonic() < latest:
        time.sleep(0.1)
    deadline = time.monotonic() + share * (START_SECONDS if is_early else TRAINING_SECONDS)
    while time.monotonic() < deadline:
        if driver.poll() is not None:
            return False
        time.sleep(0.1)
    while driver.poll() is None:
        try:
            if found := [psutil.Process(driver.pid)] if kind == "driver" else below(driver.pid, kind):
                found[0].send_signal(SIGNALS[what])
                # A driver is continued by the function that waits for it.
                if what == "stopped" and kind != "driver":
                    time.sleep(STOPPED_SECONDS)
                    found[0].send_signal(signal.SIGCONT)
                return True
        except psutil.NoSuchProcess:  # the process has ended in the meantime
            pass
        time.sleep(0.2)
    return False


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _ended(driver: subprocess.Popen, draws: random.Random) -> int:
    """Wait for the driver (a stopped one is continued or killed); raises `AssertionError` if it hangs."""
    deadline = time.monotonic() + HANG_SECONDS
    while (code := driver.poll()) is None:
        if time.monotonic() > deadline:
            driver.kill()
            raise AssertionError(f"a run hangs: not over after {HANG_SECONDS:.0f} s")
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(driver.pid).status() == psutil.STATUS_STOPPED:
                time.sleep(STOPPED_SECONDS)
                driver.send_signal(draws.choice((signal.SIGCONT, signal.SIGKILL)))
        time.sleep(0.2)
    return code


def main(arguments: Sequence[Any]) -> None:
    """The driver of one run: `ire` with a fault."""
    fault, seed, *command = arguments
    with_faults([fault] if fault else [], int(seed), list(command))


if __name__ == "__main__":
    main(sys.argv[1:])
