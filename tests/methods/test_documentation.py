"""The example of `docs/methods.md` runs exactly as printed, and the page names what there is."""

import re
import shlex
import sys
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ire.methods.foreign import ABOUT
from ire.methods.registry import bases
from ire.methods.shared import SHARED
from ire.sweeps.command.app import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")


def block(after: str) -> str:
    """The indented block that follows a line of the page."""
    lines = PAGE.partition(f"\n{after}\n\n")[2].splitlines()
    end = next(i for i, line in enumerate(lines) if line and not line.startswith("    "))
    return textwrap.dedent("\n".join(lines[:end])).strip() + "\n"


def test_the_example_is_no_longer_than_its_title_says():
    assert len([line for line in block("`my_lab.py`:").splitlines() if line]) <= 15


def test_the_example_runs_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "my_lab.py").write_text(block("`my_lab.py`:"))
    commands = block("In its folder:").splitlines()
    assert len(commands) == 3
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert "momentum" in done.output or "finished" in done.output
    sys.modules.pop("my_lab", None)


@pytest.mark.parametrize("name", bases())
def test_every_base_is_in_the_table_with_its_bytes(name):
    row = next(
        line for line in PAGE.splitlines() if line.startswith("| `") and f"`{name}`" in line.split("|")[1]
    )
    names = re.findall(r"`([\w-]+)`", row.split("|")[1])
    sizes = re.findall(r"\d+", row.split("|")[3])
    assert int(sizes[names.index(name)]) == 4 * bases()[name].state_tensors
    assert row.split("|")[2].strip() == bases()[name].package


def test_every_key_and_option_is_described():
    for name in (*ABOUT, *SHARED.settings, *SHARED.options):
        assert f"`{name}`" in PAGE, name


def test_the_printed_entry_points_are_those_of_the_example():
    project = (ROOT / "examples" / "plugin" / "pyproject.toml").read_text(encoding="utf-8")
    printed = block(next(line for line in PAGE.splitlines() if line.startswith("`examples/plugin` is a")))
    for line in filter(None, printed.splitlines()):
        assert line in project
