"""A package that registers an optimizer and a task appears by name once it is installed."""

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


def ire(installed: Path, *arguments: str) -> str:
    """What `ire` prints in a process that sees the package."""
    code = "from ire.sweeps.command import main; main()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)]), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
        cwd=installed,
    )
    return done.stdout + done.stderr


def test_an_installed_optimizer_and_task_are_listed_by_name(installed):
    methods, tasks = ire(installed, "methods"), ire(installed, "tasks")
    assert " signum " in methods and "ire_plugin" in methods
    assert " parity " in tasks and "parity of eight bits" in tasks


def test_an_installed_optimizer_trains_an_installed_task_with_ire_around_it(installed):
    assert "finished" in ire(installed, "train", "parity", "signum-ire", "--set", "lr=0.01")


def test_the_space_of_an_installed_task_shows_what_is_searched(installed):
    shown = ire(installed, "spaces", "parity")
    assert "linear [0.5, 0.99]" in shown
    assert "log [0.0001, 0.01]" in shown


def test_without_the_package_its_names_are_unknown(tmp_path):
    assert "unknown method 'signum'" in ire(tmp_path, "methods", "signum")
    assert "unknown task 'parity'" in ire(tmp_path, "spaces", "parity")
