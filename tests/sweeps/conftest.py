"""What the tests of sweeps share: their simulator, whatever way pytest imports them, and a local S3 server."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import BotoCoreError

from ire.sweeps.report.drawing.picture import Picture

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """Reports have the files of their figures, which take seconds to draw, empty but for those that a test is about."""
    mark, write = request.node.get_closest_marker("figures"), Picture.write

    def leave_others_empty(picture: Picture, folder: Path) -> None:
        if mark and picture.name in mark.args:
            return write(picture, folder)
        for kind in ("svg", "png"):
            (folder / f"{picture.name}.{kind}").touch()

    if not mark or mark.args:
        monkeypatch.setattr(Picture, "write", leave_others_empty)


@pytest.fixture(autouse=True)
def on_no_cluster(request, monkeypatch):
    """A test that uses no Ray is not on the cluster that earlier tests have joined in the same process."""
    ray = sys.modules.get("ray")
    if ray is not None and not request.node.get_closest_marker("ray") and ray.is_initialized():
        monkeypatch.setattr(ray, "is_initialized", lambda: False)


@pytest.fixture(scope="session")
def s3():
    """The URI of an empty bucket of a local server that speaks S3, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = "import sys; from moto.server import main; main(sys.argv[1:])"
    server = subprocess.Popen(
        [sys.executable, "-c", command, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    endpoint = f"http://127.0.0.1:{port}"
    given = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    _make_bucket(endpoint)
    yield f"s3://bucket/sweeps?endpoint_override={endpoint}&scheme=http&region=us-east-1"
    server.kill()
    server.wait()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


def _make_bucket(endpoint: str) -> None:
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    deadline = time.monotonic() + 60
    while True:
        try:
            client.create_bucket(Bucket="bucket")
            return
        except BotoCoreError:  # it is not up yet
            assert time.monotonic() < deadline
            time.sleep(0.2)
