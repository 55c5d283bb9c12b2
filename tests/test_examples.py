"""The examples run, and do what they say."""

import functools
import importlib
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ire.sweeps.command.app import app

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def in_their_folder(monkeypatch):
    """The examples can be imported, and the folder is left without a trace."""
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if (file := getattr(sys.modules[name], "__file__", None)) and Path(file).parent == EXAMPLES:
            del sys.modules[name]


def test_every_example_is_listed():
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for file in EXAMPLES.iterdir():
        assert file.name == "README.md" or file.is_dir() or f"`{file.name}`" in listed, file.name


def test_the_optimizer_learns_the_spirals():
    assert importlib.import_module("optimizer").main() > 0.9


def test_one_trial_without_ray_learns():
    assert importlib.import_module("trial_without_ray").final_loss("sgd", lr=0.05) < 1.0


@pytest.mark.parametrize(
    "arguments",
    [
        ("digits", "lion:Lion", "--set", "lr=0.001", "--horizon", "16"),
        ("two_moons:TwoMoons", "sgd-ire", "--horizon", "40"),
    ],
)
def test_a_class_of_ones_own_trains(arguments):
    done = CliRunner().invoke(app, ["train", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "finished" in done.output


@pytest.mark.parametrize(
    ("script", "arm", "package"),
    [
        ("own_loop", "mine", "torch"),
        ("own_huggingface", "muon", "accelerate"),
        ("own_lightning", "layer", "lightning"),
    ],
)
def test_a_training_function_runs_alone(script, arm, package):
    pytest.importorskip(package)
    command = ["train", f"{script}.py:train", arm, "--scale", "tiny", "--test"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if line.startswith("step ")]
    assert [line.split()[1] for line in lines] == ["4", "8", "10"]
    assert "test_loss" in lines[-1]
    assert "finished" in done.output


def test_a_training_function_is_swept(tmp_path):
    command = ["sweep", "own_loop.py:train", "--scale", "tiny", "--inline", "--studies", "1", "--trials", "2"]
    command += ["--candidates", "1", "--confirm-seeds", "2", "--no-curve", "--storage", str(tmp_path)]
    done = CliRunner().invoke(app, [*command, "--name", "own"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "seed" not in done.output.partition("own: ")[0]  # the probe finds nothing to say
    assert (tmp_path / "own" / "report" / "report.html").is_file()


def test_two_moons_is_learnt():
    from ire.sweeps.experiments.train_one import train_one

    reports = []
    train_one("two_moons:TwoMoons", "sgd-ire", {}, reports.append)
    assert reports[-1]["val_accuracy"] > 0.97


@pytest.mark.slow
def test_a_sweep_from_python_reports(tmp_path, monkeypatch):
    """In this process: tests/sweeps has sweeps from Python on Ray."""
    example = importlib.import_module("sweep_from_python")
    monkeypatch.setattr(example, "sweep", functools.partial(example.sweep, inline=True))
    assert example.main(tmp_path).is_complete
    assert list(tmp_path.glob("*/report/report.html"))
