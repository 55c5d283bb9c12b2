"""A cluster of several Ray nodes on this machine: trials spread over them, a node comes and a node goes."""

import json
import subprocess
import sys
import time

import pytest
from ray.cluster_utils import Cluster
from small_space import space_text

from ire.sweeps.records.records import FINISHED, PRUNED, read_records

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def nodes():
    """Two nodes with one CPU each: the two workers of a trial cannot be on one."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    yield cluster, second
    cluster.shutdown()


SLOW_DIGITS = """
import time
from pathlib import Path
from trainables.tasks.digits import Digits

HELD_UP = Path(__file__).with_name("held-up")

class SlowDigits(Digits):
    name = "slow-digits"

    def train_batches(self, *, seed, start):
        for batch in super().train_batches(seed=seed, start=start):
            time.sleep(5 if HELD_UP.exists() else 0.05)
            yield batch
"""


def test_a_trial_spreads_over_nodes_and_survives_the_loss_of_one(nodes, tmp_path):
    cluster, second = nodes
    (tmp_path / "my_slow.py").write_text(SLOW_DIGITS)
    (tmp_path / "space.toml").write_text(space_text({"horizon": 96, "search": {"rungs": [48]}}))
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from ire.sweeps.command import main; main()"),
            *("sweep", "my_slow:SlowDigits", "--space", "space.toml", "--methods", "sgd"),
            *("--trials", "3", "--confirm-seeds", "1", "--studies", "1", "--workers", "2"),
            *("--storage", str(tmp_path), "--name", "spread", "--address", cluster.address),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 900

    def wait_for(count: int, words: str, name: str) -> None:
        file = tmp_path / "spread" / name
        while not (file.exists() and file.read_text().count(words) >= count):
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            time.sleep(0.05)

    wait_for(3, '"trial": "sgd-0001"', "results.jsonl")  # it has started
    (tmp_path / "held-up").touch()  # until its loss is known
    cluster.remove_node(second, allow_graceful=False)
    wait_for(1, '"event": "fault"', "trials.jsonl")
    (tmp_path / "held-up").unlink()
    cluster.add_node(num_cpus=1)
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    assert "2 nodes with 2 CPUs and 0 GPUs / (2 workers x 1 CPU a trial) = 1 at a time" in output
    records = read_records(tmp_path / "spread")
    trials = list(records.trials.values())
    assert {t.status for t in trials} <= {FINISHED, PRUNED}
    befell = [fault.kind for fault in records.trials["sgd-0001"].faults]
    assert 1 <= len(befell) <= 2, "the loss, and perhaps a new start before Ray knew of it"
    assert set(befell) <= {"workers lost", "actor lost"}
    for trial in trials:
        steps = [r["step"] for r in trial.reports]
        assert steps == list(range(8, 8 * len(steps) + 1, 8))
    told = json.loads((tmp_path / "spread" / "report" / "report.json").read_text())
    assert [fault["trial"] for fault in told["faults"]]
