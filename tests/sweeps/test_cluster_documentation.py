"""docs/cluster.md: its manifest is one, and its commands exist."""

import re
import subprocess
from pathlib import Path

import click
import pytest
import typer
import yaml

from ire.sweeps.command.app import app

DOCS = Path(__file__).parents[2] / "docs"


def test_the_manifest_is_a_ray_job_whose_entrypoint_is_a_command_of_ours():
    (job,) = yaml.safe_load_all((DOCS / "kuberay" / "sweep.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    check(job["spec"]["entrypoint"])
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        assert {"image", "resources"} <= set(container)
        volumes = {volume["name"] for volume in group["template"]["spec"].get("volumes", [])}
        assert {mount["name"] for mount in container.get("volumeMounts", [])} == volumes


def commands() -> list[str]:
    return re.findall(r"\bire (?:sweep|resume) [^\n`#\";]+", (DOCS / "cluster.md").read_text())


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_page_is_understood(command):
    check(command)


def check(command: str) -> None:
    """Parse a command line without running it."""
    name, *arguments = command.split()[1:]
    group = typer.main.get_command(app)
    context = click.Context(group)
    group.get_command(context, name).make_context(name, arguments, resilient_parsing=False)


def test_the_slurm_script_is_valid_bash():
    script = re.search(r"    #!/bin/bash\n(?:    .*\n)+", (DOCS / "cluster.md").read_text())[0]
    text = "\n".join(line.removeprefix("    ") for line in script.splitlines())
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
