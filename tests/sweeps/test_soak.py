"""Rounds of `benchmarks/soak.py`: the real driver around simulated trials, disturbed at random moments."""

import importlib.util
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
KINDS = ("killed in a write", "disk full", "storage away", "actor lost", "torn line", "doubled line")


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_disturbed_sweeps_equal_the_undisturbed_one(rounds, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    spec = importlib.util.spec_from_file_location("soak", BENCHMARKS / "soak.py")
    soak = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(soak)
    told = []
    assert soak.soak(rounds, say=told.append) == [], told
    assert told[0].startswith(f"{rounds} of {rounds} rounds without a difference, 17 trials each")
    if rounds > 1:
        assert all(f"{kind} " in told[1] for kind in KINDS), "something of every kind has happened"
