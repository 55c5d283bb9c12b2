"""Two workers have the same masks and parameters, those of one worker with the whole batch."""

import ast
import json
import os
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).with_name("two_workers.py")
TABLE = next(
    node.value
    for node in ast.parse(SCRIPT.read_text()).body
    if isinstance(node, ast.Assign) and node.targets[0].id == "CHECKS"
)
NAMES = [key.value for key in TABLE.keys]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """What the two workers say: all checks run in one pair of processes."""
    address = f"file://{tmp_path_factory.mktemp('workers') / 'meeting'}"
    root = str(SCRIPT.parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    workers = [
        subprocess.Popen(
            [sys.executable, SCRIPT, str(rank), address],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [worker.communicate(timeout=240) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert all(worker.returncode == 0 for worker in workers), said
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_on_two_workers(name, outcome):
    for rank, checks in enumerate(outcome):
        assert checks[name] is None, f"worker {rank}: {checks[name]}"
