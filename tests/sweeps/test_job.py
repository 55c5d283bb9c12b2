"""A sweep as a Ray job: the cluster gets the command, the working directory and with it a task of one's own."""

import os
import socket
import subprocess
import sys

import pytest
from ray.cluster_utils import Cluster

from search_spaces import find_space
from sweeps import open_experiment
from sweeps.records import FINISHED

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TASK = """
from trainables.tasks.digits import Digits

class MyDigits(Digits):
    name = "my-digits"
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def jobs():
    """The address at which a cluster of one node takes jobs."""
    port = free_port()
    ports = {"dashboard_port": port, "dashboard_agent_listen_port": free_port()}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": True, **ports}
    )
    yield f"http://127.0.0.1:{port}"
    cluster.shutdown()


def test_a_sweep_of_a_task_in_the_working_directory_runs_as_a_ray_job(jobs, tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "my_task.py").write_text(TASK)
    text = find_space("digits").text.replace("horizon = 240", "horizon = 48").replace("[120, 176]", "[24]")
    (folder / "my_space.toml").write_text(text)
    sweep = [
        *(sys.executable, "-c", "from sweeps.command import main; main()"),
        *("sweep", "my_task:MyDigits", "--space", "my_space.toml", "--methods", "sgd", "--trials", "2"),
        *("--confirm-seeds", "1", "--storage", str(tmp_path), "--name", "job", "--max-concurrent", "1"),
    ]
    submit = ["job", "submit", "--address", jobs, "--working-dir", str(folder), "--", *sweep]
    done = subprocess.run(
        [sys.executable, "-c", "from ray.scripts.scripts import main; main()", *submit],
        env=os.environ | {"RAY_AUTH_MODE": "token"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert "job: 1 node with 2 CPUs" in done.stdout
    (row,) = open_experiment(tmp_path / "job").comparison.rows
    assert [run.status for run in row.confirmed] == [FINISHED]
