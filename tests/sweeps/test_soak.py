"""Rounds of `benchmarks/soak.py`: the real driver around simulated trials, disturbed at random moments."""

import importlib.util
import re
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
KINDS = ("killed in a write", "disk full", "storage away", "actor lost", "torn line", "doubled line")


@pytest.fixture
def soak(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    spec = importlib.util.spec_from_file_location("soak", BENCHMARKS / "soak.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_disturbed_sweeps_equal_the_undisturbed_one(rounds, soak):
    told = []
    assert soak.soak(rounds, say=told.append) == [], told
    assert re.match(f"{rounds} of {rounds} rounds without a difference, [1-9][0-9]* trials each", told[0])
    if rounds > 1:
        assert all(f"{kind} " in told[1] for kind in KINDS), "something of every kind has happened"


def test_the_undisturbed_sweep_has_trials_of_every_kind(soak, tmp_path):
    trials = soak.reference(tmp_path, real=False)
    assert {stage for _, stage, *_ in trials} == {"search", "confirm"}
    assert {status for _, _, _, status, _ in trials} == {"finished", "pruned", "diverged"}


def test_a_round_that_differs_is_named_and_kept(soak, monkeypatch, tmp_path):
    whole, told = soak.rows, []
    monkeypatch.setattr(
        soak, "rows", lambda folder: whole(folder)[: -1 if folder.parent.name == "7" else None]
    )
    monkeypatch.setattr(soak.tempfile, "tempdir", str(tmp_path))
    assert soak.soak(1, seed=7, say=told.append) == [7]
    assert told[0].startswith("round 7: ") and "kept: " in told[0]
    assert told[1].startswith("0 of 1 rounds without a difference")
    assert list(tmp_path.glob("ire-soak-*/7/sweep/trials.jsonl"))
