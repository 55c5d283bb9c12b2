"""Real training, killed with SIGKILL at random moments and resumed, against the undisturbed sweep: bit for bit."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
from inline_sweep import run
from trial_rows import rows


@pytest.fixture(scope="module")
def processes():
    """Starts processes in which everything is imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["ire.sweeps.search.protocol", "trainables.training.loop", "trainables.tasks.digits"]
    )
    return context


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, processes):
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    process = processes.Process(target=run, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == 0
    return rows(folder), time.monotonic() - began


def killed_and_resumed(processes, folder: Path, *, kills: int, seconds: float, seed: int) -> int:
    """Kill the sweep `kills` times, at moments that leave it time to get on; returns how often it was alive to be."""
    draws = random.Random(seed)
    hits = 0
    for _ in range(kills):
        process = processes.Process(target=run, args=(folder,))
        process.start()
        process.join(draws.uniform(0.1, 2.5 * seconds / kills + 0.5))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            hits += 1
        process.join()
    process = processes.Process(target=run, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == 0
    return hits


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, 20])
def test_killed_at_random_moments_it_equals_the_undisturbed_sweep(processes, undisturbed, tmp_path, kills):
    whole, seconds = undisturbed
    hits = killed_and_resumed(processes, tmp_path, kills=kills, seconds=seconds, seed=kills)
    assert hits >= kills // 2
    assert rows(tmp_path) == whole
    assert len({row[3] for row in whole}) > 1, "trials finished, and trials were pruned"
