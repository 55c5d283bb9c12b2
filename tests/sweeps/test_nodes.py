"""A cluster of several Ray nodes on this machine: trials spread over them, a node comes and a node goes."""

import json
import subprocess
import sys
import time

import pytest
from ray.cluster_utils import Cluster

from search_spaces import find_space
from sweeps.records import FINISHED, PRUNED, read_records

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def nodes():
    """Two nodes with one CPU each: the two workers of a trial cannot be on one."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    yield cluster, second
    cluster.shutdown()


def test_a_trial_spreads_over_nodes_and_survives_the_loss_of_one(nodes, tmp_path):
    cluster, second = nodes
    text = find_space("digits").text.replace("horizon = 240", "horizon = 96").replace("[120, 176]", "[48]")
    (tmp_path / "space.toml").write_text(text)
    command = "from sweeps.command import main; main()"
    arguments = [
        "sweep",
        "digits",
        "--methods",
        "sgd",
        "--trials",
        "3",
        "--confirm-seeds",
        "1",
        "--workers",
        "2",
    ]
    places = ["--space", str(tmp_path / "space.toml"), "--storage", str(tmp_path), "--name", "spread"]
    process = subprocess.Popen(
        [sys.executable, "-c", command, *arguments, *places, "--address", cluster.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    results = tmp_path / "spread" / "results.jsonl"
    deadline = time.monotonic() + 180
    while not (results.exists() and len(results.read_text().splitlines()) > 4):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.1)
    cluster.add_node(num_cpus=1)
    cluster.remove_node(second, allow_graceful=False)
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    assert "2 nodes with 2 CPUs and 0 GPUs / (2 workers x 1 CPU a trial) = 1 at a time" in output
    records = read_records(tmp_path / "spread")
    trials = list(records.trials.values())
    assert {t.status for t in trials} <= {FINISHED, PRUNED}
    assert sum(len(t.faults) for t in trials) >= 1
    for trial in trials:
        steps = [r["step"] for r in trial.reports]
        assert steps == list(range(8, 8 * len(steps) + 1, 8))
    told = json.loads((tmp_path / "spread" / "report" / "report.json").read_text())
    assert [fault["trial"] for fault in told["faults"]]
