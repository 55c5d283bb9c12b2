"""The prepared runs of the paper's tables are sweeps that could start."""

from pathlib import Path

import pytest
from simulated import make_plan

from search_spaces import find_space

RUNS = Path(__file__).parents[2] / "benchmarks" / "paper"


@pytest.mark.parametrize("scale", ["", "@tiny"])
@pytest.mark.parametrize(
    ("task", "file"),
    [("cifar10-resnet56", "cifar10-resnet56.toml"), ("wikitext103-llama60m", "llama60m.toml")],
)
def test_its_space_is_one_and_its_plan_is_allowed(task, file, scale):
    space = find_space(task + scale, RUNS / file)
    plan = make_plan(task=task + scale, space=space, methods=tuple(space.methods), trials=space.search.trials)
    plan.check()
    assert file in (RUNS / "README.md").read_text()
