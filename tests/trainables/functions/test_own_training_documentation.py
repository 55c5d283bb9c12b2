"""The worked example of `docs/bring-your-own.md`, run exactly as printed."""

import re
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner

import trainables.functions.trial
from ire.sweeps.command.app import app
from trainables.functions.trial import Trial

PAGE = Path(__file__).parents[3] / "docs" / "bring-your-own.md"


def printed(start: str) -> str:
    """The first indented block after `start`."""
    block = re.search(r"\n((?:    .*\n|\n)+)", PAGE.read_text(encoding="utf-8").partition(start)[2])
    return textwrap.dedent(block[1]).strip() + "\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text(printed("What belongs to the sweep"))
    (tmp_path / "train.toml").write_text(printed("`train.toml` beside it"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    yield tmp_path
    __import__("sys").modules.pop("train", None)


def call(*command):
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_printed_loop_trains_and_learns(folder):
    lines = [
        line
        for line in call("train", "train.py:train", "mine", "--set", "lr=0.003", "--test").splitlines()
        if line.startswith("step ")
    ]
    assert len(lines) == 20
    value = {name: float(number) for name, number in zip(*[iter(lines[-1].split())] * 2, strict=True)}
    assert value["val_loss"] < 0.3
    assert value["test_loss"] < 0.3


def test_the_probe_finds_nothing_to_say_of_the_printed_loop(folder):
    space = (folder / "train.toml").read_text().replace("2000", "8").replace("100", "4", 1)
    (folder / "train.toml").write_text(space)
    told = call(
        *("sweep", "train.py:train", "--inline", "--studies", "1", "--trials", "2", "--candidates", "1"),
        *("--confirm-seeds", "1", "--no-curve", "--storage", str(folder), "--name", "own"),
    )
    assert "train.py:train: " not in told.partition("own: ")[0]  # what a probe finds begins so


def test_every_name_of_the_handle_is_there_and_every_public_one_is_told():
    table = PAGE.read_text(encoding="utf-8").partition("## The handle")[2].partition("## The probe")[0]
    named = set(re.findall(r"`trial\.(\w+)", table))
    ours = {
        "run",
        "alone",
        "spec",
        "step",
        "reported",
        "reports",
        "status",
        "overran",
        "can_test",
        "flat_fractions",
    }
    public = {name for name in dir(Trial) if not name.startswith("_")} | {"device", "rank", "world_size"}
    assert named == public - ours
    assert trainables.functions.trial.__doc__
