"""A package that registers an optimizer and a task appears by name once it is installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder into which pip has installed the example."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(ROOT / "examples" / "plugin", folder / "source")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(folder / "site"))
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True, timeout=120)
    return folder / "site"


CALLS = """
import json, sys
from typer.testing import CliRunner
from ire.sweeps.command.app import app
calls = [CliRunner().invoke(app, words) for words in json.loads(sys.argv[1])]
print(json.dumps([f"{call.output}{call.exception or ''}" for call in calls]))
"""


def ire(installed: Path, *commands: str) -> list[str]:
    """What each command prints in a process that sees the package."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)]), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-c", CALLS, json.dumps([command.split() for command in commands])],
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
        env=environment,
        cwd=installed,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def printed(installed):
    return ire(
        installed, "methods", "tasks", "train parity signum-ire --set lr=0.01 --horizon 50", "spaces parity"
    )


def test_an_installed_optimizer_and_task_are_listed_by_name(printed):
    methods, tasks, _, _ = printed
    assert " signum " in methods and "ire_plugin" in methods
    assert " parity " in tasks and "parity of eight bits" in tasks


def test_an_installed_optimizer_trains_an_installed_task_with_ire_around_it(printed):
    assert "finished" in printed[2]


def test_the_space_of_an_installed_task_shows_what_is_searched(printed):
    assert "linear [0.5, 0.99]" in printed[3]
    assert "log [0.0001, 0.01]" in printed[3]


def test_without_the_package_its_names_are_unknown(tmp_path):
    methods, spaces = ire(tmp_path, "methods signum", "spaces parity")
    assert "unknown method 'signum'" in methods
    assert "unknown task 'parity'" in spaces
