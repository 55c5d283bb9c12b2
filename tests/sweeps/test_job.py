"""A sweep as a Ray job: the cluster gets the command, the working directory and with it a task of one's own."""

import contextlib
import http.server
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import psutil
import pytest
from small_space import SHORT, space_text

from ire import open_experiment
from ire.sweeps.records.records import FINISHED

pytestmark = [pytest.mark.ray, pytest.mark.slow]

RAY = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
TASK = """
import os
import time
from trainables.tasks.digits import Digits

class MyDigits(Digits):
    name = "my-digits"

    def train_batches(self, *, seed, start):
        for batch in super().train_batches(seed=seed, start=start):
            time.sleep(float(os.environ.get("SECONDS_A_STEP", 0)))
            yield batch
"""


SLOWLY = {"SECONDS_A_STEP": "0.1"}
"""So that a sweep lasts longer than Ray's cleaner takes to look."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def takes_jobs(address: str, token: str) -> bool:
    request = urllib.request.Request(f"{address}/api/jobs/", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status == HTTPStatus.OK
    except OSError:  # it does not listen yet, or its part for jobs has not started
        return False


@pytest.fixture(scope="module")
def jobs():
    """The address at which a cluster of one node takes jobs, and what the environment must say for it."""
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    dashboard, folder = free_port(), tempfile.mkdtemp(prefix="ray-")  # short: sockets are below it
    ports = [
        f"--port={free_port()}",
        f"--dashboard-port={dashboard}",
        f"--dashboard-agent-listen-port={free_port()}",
    ]
    start = [
        "start",
        "--head",
        "--block",
        "--num-cpus=2",
        "--include-dashboard=true",
        f"--temp-dir={folder}",
        *ports,
    ]
    head = subprocess.Popen(
        [*RAY, *start],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{dashboard}"
    deadline = time.monotonic() + 300
    while not takes_jobs(address, environment["RAY_AUTH_TOKEN"]):
        assert head.poll() is None and time.monotonic() < deadline
        time.sleep(0.5)
    yield address, environment
    everything = [*psutil.Process(head.pid).children(recursive=True), head]
    for process in everything:  # an orderly end takes half a minute
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    head.wait()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def project(tmp_path):
    """A folder with a task and its space."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "my_task.py").write_text(TASK)
    (folder / "my_space.toml").write_text(space_text(SHORT))
    return folder


def sweep(storage: Path, name: str) -> list[str]:
    return [
        *(sys.executable, "-c", "from ire.sweeps.command import main; main()"),
        *("sweep", "my_task:MyDigits", "--space", "my_space.toml", "--methods", "sgd", "--trials", "2"),
        *("--studies", "1"),
        *("--confirm-seeds", "1", "--storage", str(storage), "--name", name, "--max-concurrent", "1"),
    ]


def run(command: list[str], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        command,
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_sweep_of_a_task_in_the_working_directory_runs_as_a_ray_job(jobs, project, tmp_path):
    address, environment = jobs
    submit = [*RAY, "job", "submit", "--address", address, "--working-dir", str(project), "--"]
    told = run([*submit, *sweep(tmp_path, "job")], environment, tmp_path)
    assert "job: 1 node with 2 CPUs" in told
    (row,) = open_experiment(tmp_path / "job").comparison.rows
    assert [run.status for run in row.runs] == [FINISHED]


@contextlib.contextmanager
def opened_once(begun: Callable[[], bool], address: str):
    """The address of a server that passes on what it is asked to another, but refuses before `begun`."""

    class PassOn(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if not begun():
                return self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
            with urllib.request.urlopen(
                urllib.request.Request(address + self.path, headers=self.headers)
            ) as answer:
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.end_headers()
                self.wfile.write(answer.read())

        def log_message(self, *told):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), PassOn) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_cluster_that_starts_beside_a_sweep_does_not_disturb_it(jobs, project, tmp_path):
    """Ray's own look for dead trainers would ask there, hear of none, and free what the living ones occupy."""
    address, environment = jobs
    results = tmp_path / "own" / "results.jsonl"
    with opened_once(lambda: results.exists() and results.stat().st_size > 0, address) as other:
        run(sweep(tmp_path, "own"), environment | {"RAY_API_SERVER_ADDRESS": other} | SLOWLY, project)
    trials = open_experiment(tmp_path / "own").records.trials.values()
    assert [trial.faults for trial in trials] == [[]] * len(trials)
