"""Commands and files printed in the documents are ones that there are."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

from ire.methods.method import parse_method
from ire.sweeps.command.app import app
from ire.sweeps.plan.config import read_config
from search_spaces import find_space
from trainables.task import load_task
from trainables.training.rehearsal import rehearse

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
COMMAND = re.compile(r"^    (?:\w+=\S+ )*(ire .*)$|`(ire [^`\n]+)`", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_printed_command_is_one_with_options_that_there_are(page):
    for found in COMMAND.finditer(page.read_text(encoding="utf-8")):
        line = (found[1] or found[2]).partition(" #")[0].partition("&&")[0].rstrip("\\")
        command, words = typer.main.get_command(app), shlex.split(line)[1:]
        while words and hasattr(command, "commands") and not words[0].startswith("-"):
            command, words = command.commands[words[0]], words[1:]
        known = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, line


def test_the_printed_sweep_in_a_file_can_be_run(tmp_path):
    text = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    printed = re.search(r"^    task = .*?\n(?!    )", text, re.MULTILINE | re.DOTALL)
    assert printed is not None
    (tmp_path / "mine-space.toml").write_text(find_space("digits").text)
    (tmp_path / "mine.toml").write_text(printed[0].replace("\n    ", "\n").strip())
    options = read_config(tmp_path / "mine.toml")
    assert set(options) == set(tomllib.loads((tmp_path / "mine.toml").read_text()))
    space = find_space(options["task"], options["space"])
    arms = {arm: arm.resolve(space.published(arm)) for arm in map(parse_method, options["methods"])}
    assert rehearse(load_task(options["task"]), arms, horizon=space.horizon).keys() == set(options["methods"])
