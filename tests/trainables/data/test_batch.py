"""Batches of any shape are cut, split and moved as one."""

from collections import UserDict, namedtuple

import numpy as np
import pytest
import torch

from ire.invalid_input import InvalidInput
from trainables.data.batch import chunk, cut, equal, examples, moved, split

Pair = namedtuple("Pair", ["inputs", "targets"])
ROWS = torch.arange(12).view(6, 2)


@pytest.mark.parametrize(
    ("batch", "half"),
    [
        (ROWS, ROWS[:3]),
        ((ROWS, ROWS + 1), (ROWS[:3], ROWS[:3] + 1)),
        ({"a": {"b": ROWS}, "c": [ROWS, ROWS]}, {"a": {"b": ROWS[:3]}, "c": [ROWS[:3]] * 2}),
        (Pair(ROWS, ROWS), Pair(ROWS[:3], ROWS[:3])),
        ((ROWS, list("abcdef"), "all", 7, None), (ROWS[:3], list("abc"), "all", 7, None)),
        ((ROWS, torch.tensor(0.5), np.arange(6)), (ROWS[:3], torch.tensor(0.5), np.arange(3))),
    ],
)
def test_a_cut_takes_the_same_examples_of_every_part(batch, half):
    assert examples(batch) == 6
    assert equal(cut(batch, 0, 3), half)
    assert type(cut(batch, 0, 3)) is type(batch)
    assert [examples(part) for part in split(batch, 4)] == [4, 2]
    assert [examples(part) for part in chunk(batch, 4)] == [len(part) for part in ROWS.chunk(4)]


def test_a_mapping_with_methods_stays_one():
    batch = UserDict(x=ROWS)
    assert isinstance(cut(batch, 0, 2), UserDict)
    assert len(batch["x"]) == 6, "the batch itself is not changed"


def test_numbers_of_numpy_become_tensors_on_the_device():
    found = moved({"x": np.ones((2, 3), np.float32), "names": ["a", "b"]}, "cpu")
    assert torch.equal(found["x"], torch.ones(2, 3))
    assert found["names"] == ["a", "b"]


def test_a_batch_without_tensors_is_refused():
    with pytest.raises(InvalidInput, match="a batch is a dict without tensors"):
        examples({"names": ["a"]})
