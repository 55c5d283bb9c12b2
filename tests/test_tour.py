"""The tour shows what it says: its optimizer, its commands and its verdict are those of the recorded sweep."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import typer

from ire.sweeps.command.app import app
from ire.sweeps.report.sentences.further import further_findings
from ire.sweeps.report.sentences.headline import headline

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "tour.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pictures():
    spec = importlib.util.spec_from_file_location("tour_pictures", DOCS / "tour" / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def experiment(pictures):
    with pictures.experiment() as experiment:
        experiment.comparison  # noqa: B018 - read while the folder is there
        yield experiment


def test_the_optimizer_is_that_of_the_file():
    code = (DOCS / "tour" / "mine.py").read_text().rstrip()
    assert "\n".join(f"    {line}" if line else "" for line in code.split("\n")) in TEXT


def test_the_verdict_is_that_of_the_recorded_sweep(experiment):
    assert experiment.is_complete
    shown = " ".join(TEXT.split())
    assert headline(experiment) in shown
    for finding in further_findings(experiment)[:2]:
        assert finding in shown
    row = experiment.comparison.row("mine:Signed")
    assert str(row.speed_ups[experiment.comparison.clock]) in shown


def test_every_command_is_one_with_options_that_there_are():
    commands = typer.main.get_command(app).commands
    lines = [line.strip().partition("#")[0] for line in TEXT.splitlines() if line.startswith("    ire ")]
    lines += re.findall(r"`(ire [^`]+)`", TEXT)
    assert len(lines) > 10
    for line in lines:
        name, *words = shlex.split(line.replace("...", ""))[1:]
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_every_picture_is_there_and_made_by_the_build(pictures):
    shown = set(re.findall(r"\(tour/(\w+)\.png\)", TEXT))
    made = set(re.findall(r'yield "(\w+)"', (DOCS / "tour" / "pictures.py").read_text()))
    assert shown == made == {path.stem for path in (DOCS / "tour").glob("*.png")}
