"""A task whose resumed trials would see other batches is refused before anything of its sweep is started."""

import sys

import pytest
from small_space import SHORT, space_text

from ire import sweep
from ire.invalid_input import InvalidInput

TASK = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from trainables.task import Task


class Shuffled(Task):
    name, batch_size = "shuffled", 16

    def model(self):
        return nn.Linear(4, 2)

    def train_batches(self, *, seed, start):
        points = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
        while True:
            yield from DataLoader(TensorDataset(points, points.argmax(1) % 2), batch_size=16, shuffle=True)

    def eval_batches(self, split):
        points = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
        return [(points, points.argmax(1) % 2)]
"""


def test_a_range_of_fractions_for_a_whole_number_of_the_task_is_found_before_the_sweep(tmp_path):
    space = tmp_path / "space.toml"
    space.write_text(space_text({**SHORT, "task": {"batch_size": {"linear": [32, 64], "published": 64}}}))
    with pytest.raises(InvalidInput, match=r"batch_size = 32\.0: must be an integer.*search it with integer"):
        sweep("digits", space=space, methods=["sgd"], storage=tmp_path, name="none", inline=True)
    assert not (tmp_path / "none").exists()


def test_a_shuffled_loader_is_found_before_the_sweep_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "shuffled_task.py").write_text(TASK)
    (tmp_path / "space.toml").write_text(space_text(SHORT))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        InvalidInput, match=r"batch t to depend on `seed` and t alone.*trainables.data.stream.batches"
    ):
        sweep(
            "shuffled_task:Shuffled",
            space=tmp_path / "space.toml",
            methods=["sgd"],
            storage=tmp_path,
            name="none",
        )
    assert not (tmp_path / "none").exists()
    sys.modules.pop("shuffled_task")
