"""Does a sweep survive what happens in months? Small sweeps, something bad at random moments, and then a comparison.

Each round starts a sweep, disturbs it until it is over - resumed each time that it ends early - and compares its
records with the undisturbed sweep, loss by loss. Everything random comes from the seed of the round, so a round that
differs can be run again alone.

    python benchmarks/soak.py --rounds 100                   # simulated trials, real driver: seconds a round
    python benchmarks/soak.py --rounds 20 --real             # real training on Ray: minutes a round
    python benchmarks/soak.py --rounds 1 --seed 17           # round 17 of the first line again
"""

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from soak_driver import IN_THE_DRIVER, simulated_run, with_faults

from ire.sweeps.records.records import read_records

CLOCKS = ("seconds", "steps_per_second")
"""What differs between two runs on one machine, and nothing else may."""

MOST_RUNS = 40
"""Of one round: a sweep that needs more resumes makes no progress."""

SWEEP = (
    *("digits", "--methods", "sgd,sgd-ire", "--trials", "4", "--confirm-seeds", "1", "--no-curve"),
    *("--studies", "1"),
    *("--max-concurrent", "1", "--max-failures", "1000", "--name", "sweep"),
)
BETWEEN_RUNS = ("torn line", "doubled line", "events lost", "last events lost", "last reports lost")
"""What is done to the records while nobody writes them."""

ON_PROCESSES = {
    "driver killed": ("", signal.SIGKILL),
    "driver stopped": ("", signal.SIGSTOP),
    "driver terminated": ("", signal.SIGTERM),
    "raylet killed": ("raylet", signal.SIGKILL),
    "gcs killed": ("gcs_server", signal.SIGKILL),
    "worker killed": ("RayTrainWorker", signal.SIGKILL),
    "worker stopped": ("RayTrainWorker", signal.SIGSTOP),
    "trial actor killed": ("GangTrainable", signal.SIGKILL),
}
"""Which process of a real sweep gets which signal; one that was stopped goes on after some seconds."""


def rows(folder: Path) -> list[tuple[Any, ...]]:
    """What must be equal in two sweeps."""
    return [
        (
            trial.spec,
            trial.stage,
            trial.number,
            trial.status,
            [{k: v for k, v in report.items() if k not in CLOCKS} for report in trial.reports],
        )
        for trial in read_records(folder).trials.values()
    ]


def damage(folder: Path, what: str, draws: random.Random) -> None:
    """Do to the records what `what` says, as a power cut, a storage or a person would."""
    path = folder / ("trials.jsonl" if "event" in what else draws.choice(("trials.jsonl", "results.jsonl")))
    if what == "last reports lost":
        path = folder / "results.jsonl"
    if not path.exists() or b"\n" not in (content := path.read_bytes()):
        return
    lines = content.splitlines(keepends=True)
    if what == "torn line":
        whole = next(line for line in lines if line.endswith(b"\n"))
        path.write_bytes(b"".join(lines) + whole[: draws.randrange(1, len(whole))])
    elif what == "doubled line":
        at = draws.randrange(len(lines))
        path.write_bytes(b"".join(lines[: at + 1] + lines[at:]))
    elif what == "events lost" and (folder / "results.jsonl").exists():
        path.unlink()
    elif what.startswith("last ") and len(lines) > 1:
        path.write_bytes(b"".join(lines[: -draws.randrange(1, min(6, len(lines)))]))


def simulated_round(folder: Path, draws: random.Random, done: Counter[str]) -> None:
    """Disturb a sweep of simulated trials until it is over."""
    context = multiprocessing.get_context("fork")  # everything is imported already
    for _ in range(MOST_RUNS):
        faults = draws.choices(IN_THE_DRIVER, k=draws.randrange(1, 4))
        driver = context.Process(target=simulated_run, args=(folder, faults, draws.randrange(2**32)))
        driver.start()
        driver.join(0.05)
        while driver.is_alive():
            if psutil.pid_exists(driver.pid) and psutil.Process(driver.pid).status() == "stopped":
                os.kill(driver.pid, draws.choice((signal.SIGCONT, signal.SIGKILL)))
            driver.join(0.05)
        done.update(faults)
        if driver.exitcode == 0:
            return
        assert driver.exitcode in (-signal.SIGKILL, 1), f"the driver ended with {driver.exitcode}"
        if draws.random() < 0.5:
            what = draws.choice(BETWEEN_RUNS)
            damage(folder, what, draws)
            done[what] += 1
    raise AssertionError(f"not over after {MOST_RUNS} runs")


def real_round(folder: Path, draws: random.Random, done: Counter[str]) -> None:
    """Disturb a sweep on a Ray cluster of this machine until it is over."""
    for _ in range(MOST_RUNS):
        fault = draws.choice((*IN_THE_DRIVER, *ON_PROCESSES))
        inside = fault if fault in IN_THE_DRIVER else ""
        command = (
            ["resume", str(folder)]
            if (folder / "trials.jsonl").exists()
            else ["sweep", *SWEEP, "--storage", str(folder.parent)]
        )
        if command[0] == "sweep":
            shutil.rmtree(folder, ignore_errors=True)
        with (folder.parent / "log").open("a") as log:
            driver = subprocess.Popen(
                [
                    sys.executable,
                    __file__,
                    "--drive",
                    inside,
                    "--seed",
                    str(draws.randrange(2**32)),
                    *command,
                ],
                stdout=log,
                stderr=log,
            )
            if fault in ON_PROCESSES:
                _signal(driver, *ON_PROCESSES[fault], after=draws.uniform(5, 60))
            code = driver.wait(900)
        done[fault] += 1
        if code == 0:
            return
        if draws.random() < 0.3:
            what = draws.choice(BETWEEN_RUNS)
            damage(folder, what, draws)
            done[what] += 1
    raise AssertionError(f"not over after {MOST_RUNS} runs")


def _signal(driver: subprocess.Popen, name: str, number: int, *, after: float) -> None:
    """Send a signal to the driver, or to a process below it, `after` some seconds."""
    try:
        driver.wait(after)
        return
    except subprocess.TimeoutExpired:
        pass
    try:
        below = psutil.Process(driver.pid).children(recursive=True)
        found = (
            [p for p in below if name in " ".join(p.cmdline()[:1])] if name else [psutil.Process(driver.pid)]
        )
        for process in found[:1]:
            process.send_signal(number)
            if number == signal.SIGSTOP:
                time.sleep(5)
                process.send_signal(signal.SIGCONT)
    except psutil.NoSuchProcess:  # it has ended in the meantime
        return


def reference(work: Path, *, real: bool) -> list[tuple[Any, ...]]:
    """The records of the undisturbed sweep."""
    folder = work / "undisturbed" / "sweep"
    folder.parent.mkdir()
    if not real:
        folder.mkdir()
        simulated_run(folder, (), 0, leaves=False)
        return rows(folder)
    command = [
        sys.executable,
        __file__,
        "--drive",
        "",
        "sweep",
        *SWEEP,
        "--storage",
        str(folder.parent),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return rows(folder)


def soak(rounds: int, *, seed: int = 0, real: bool = False, say: Callable[[str], None] = print) -> list[int]:
    """Run so many rounds, from the one of `seed` on; returns the seeds of those that differed."""
    work, done, differ = Path(tempfile.mkdtemp(prefix="ire-soak-")), Counter(), []
    whole = reference(work, real=real)
    for number in range(seed, seed + rounds):
        folder = work / str(number) / "sweep"
        folder.mkdir(parents=True)
        try:
            (real_round if real else simulated_round)(folder, random.Random(number), done)
            found = rows(folder)
        except Exception as error:
            found, differs = [], f"round {number}: {type(error).__name__}: {error}"
        else:
            differs = f"round {number}: {_first_difference(whole, found)}" if found != whole else ""
        if differs:
            differ.append(number)
            say(f"{differs} (kept: {folder})")
        else:
            shutil.rmtree(folder.parent)
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(done.items()))
    say(f"{rounds - len(differ)} of {rounds} rounds without a difference, {len(whole)} trials each")
    say(f"what happened: {kinds}")
    if not differ:
        shutil.rmtree(work)
    return differ


def _first_difference(whole: list, found: list) -> str:
    for expected, seen in zip(whole, found, strict=False):
        if expected != seen:
            return f"{seen[0].name} differs: {seen[3]} with {len(seen[4])} reports, and not {expected[3]}"
    return f"{len(found)} trials, and not {len(whole)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--real", action="store_true", help="real training on Ray")
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    arguments, command = parser.parse_known_args()
    if arguments.drive is not None:
        with_faults(list(filter(None, [arguments.drive])), arguments.seed, command)
        return
    if command:
        parser.error(f"unknown: {' '.join(command)}")
    sys.exit(1 if soak(arguments.rounds, seed=arguments.seed, real=arguments.real) else 0)


if __name__ == "__main__":
    main()
