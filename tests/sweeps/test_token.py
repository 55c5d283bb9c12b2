"""A cluster that asks for a token is joined with the one that is there, as the Slurm recipe starts it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
JOIN = """
import sys
from ire.sweeps.ray.cluster import connected, nodes
with connected(sys.argv[1]):
    print("nodes", len(nodes()))
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The environment of a user with a token of his own."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0123456789abcdef" * 4)


@pytest.fixture
def head(home):
    """`ray start --head`, which asks for the user's token; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="ray-")  # short: sockets are below it
    options = ["--node-ip-address=127.0.0.1", f"--port={port}", f"--temp-dir={folder}", "--num-cpus=1"]
    options += ["--include-dashboard=false", "--object-store-memory=80000000", "--disable-usage-stats"]
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("ray")), "start", "--head", *options, "--block"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ray runtime started" in line or time.monotonic() > deadline:
            break
    assert "Ray runtime started" in lines[-1], "".join(lines)
    yield f"127.0.0.1:{port}"
    os.killpg(process.pid, signal.SIGKILL)  # an orderly end takes half a minute
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def joined(address, **environment):
    done = subprocess.run(
        [sys.executable, "-c", JOIN, address],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.mark.ray
@pytest.mark.slow
def test_the_users_token_is_shown_and_another_one_is_refused_by_name(head):
    assert joined(head) == "nodes 1"
    refusal = joined(head, RAY_AUTH_TOKEN="f" * 64, RAY_AUTH_MODE="token")
    assert "the token in RAY_AUTH_TOKEN" in refusal and "ire doctor" in refusal


def test_the_slurm_recipe_gives_everybody_one_token_before_it_starts_ray():
    script = re.search(r"    #!/bin/bash\n(?:    .*\n)+", (DOCS / "cluster.md").read_text())[0]
    token = script.index("export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$(ray get-auth-token --generate)")
    assert token < script.index("ray start --head") < script.index("ray start --address")
