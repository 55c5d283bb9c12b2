"""Disturbs small sweeps at random moments, with the faults of months of operation, and compares their records.

Each round starts a sweep, disturbs it until it is complete (resuming it whenever it ends early), and compares its
records with those of the undisturbed sweep, loss by loss. The round's seed decides every random draw, so a round that
differs can be repeated alone.

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
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from soak_driver import IN_THE_DRIVER, simulated_run
from soak_real import real_round, real_sweep
from soak_records import BETWEEN_RUNS, MOST_RUNS, damage, rows


def simulated_round(folder: Path, draws: random.Random, done: Counter[str]) -> None:
    """Disturb a sweep of simulated trials until it is complete."""
    folder.mkdir(exist_ok=True)
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


def reference(work: Path, *, real: bool) -> list[tuple[Any, ...]]:
    """The records of the undisturbed sweep."""
    folder = work / "undisturbed" / "sweep"
    folder.parent.mkdir()
    if real:
        real_sweep(folder)
    else:
        folder.mkdir()
        simulated_run(folder, (), 0, leaves=False)
    return rows(folder)


def soak(rounds: int, *, seed: int = 0, real: bool = False, say: Callable[[str], None] = print) -> list[int]:
    """Run `rounds` rounds from seed `seed` on; return the seeds of those that differed."""
    work, done, differ = Path(tempfile.mkdtemp(prefix="ire-soak-")), Counter(), []
    whole = reference(work, real=real)
    for number in range(seed, seed + rounds):
        folder, before, began = work / str(number) / "sweep", done.copy(), time.monotonic()
        folder.parent.mkdir()
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
        if real:
            say(f"round {number}, {time.monotonic() - began:.0f} s: {_counts(done - before)}")
    say(f"{rounds - len(differ)} of {rounds} rounds without a difference, {len(whole)} trials each")
    say(f"what happened: {_counts(done)}")
    if not differ:
        shutil.rmtree(work)
    return differ


def _counts(done: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(done.items()))


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
    arguments = parser.parse_args()
    sys.exit(1 if soak(arguments.rounds, seed=arguments.seed, real=arguments.real) else 0)


if __name__ == "__main__":
    main()
