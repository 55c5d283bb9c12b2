"""A training step never reads a number from the device: on a GPU it would wait there for all that was asked of it."""

import sys
from pathlib import Path

import pytest
import torch

from trainables.task import load_task
from trainables.training.training import Training

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
from gpu_measures import counted


@pytest.mark.parametrize("method", ["adamw", "sgd", "sam-sgd", "sgd-small", "sgd-graft", "sgd-gn"])
def test_a_step_between_reports_reads_nothing(make_spec, method):
    spec = make_spec(method, horizon=400, eval_interval=200, settings={"clip_norm": 1.0})
    training = Training(load_task("digits"), spec, device=torch.device("cpu"))
    training.advance()  # the first loss is the measure of a divergence
    found = counted(lambda: [training.advance() for _ in range(3)], torch.device("cpu"))
    assert not found.waits, found.places
    assert found.kernels > 10


def test_the_measure_sees_a_read():
    found = counted(lambda: torch.ones(3).sum().item(), torch.device("cpu"))
    assert found.waits.total() == 1 and "test_no_host_reads" in found.places
