"""The workloads of Novack et al. 2023: their split, and the paper's own protocol by name."""

import numpy as np
import pytest

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from search_spaces import find_space
from trainables.task import load_task, task_names

FAMILY = ["cifar10-resnet18", "cifar100-resnet18", "cifar10-vgg11", "cifar10-vgg16", "cifar100-vgg16"]


def images(batches) -> np.ndarray:
    return np.concatenate([np.asarray(batch[0]) for batch in batches])


def test_the_family_is_there():
    assert set(FAMILY) <= set(task_names())


@pytest.mark.parametrize("name", [name for name in FAMILY if name.startswith("cifar10-")])
def test_the_original_protocol_exchanges_validation_and_test_and_nothing_else(name, small_data):
    ours, original = load_task(name), load_task(f"{name}@original")
    for mine, theirs in (("validation", "test"), ("test", "validation")):
        assert np.array_equal(images(ours.eval_batches(mine)), images(original.eval_batches(theirs)))
    assert np.array_equal(ours.splits.rows["train"], original.splits.rows["train"])
    assert ours.splits.size("train") == 4 * ours.splits.size("validation")
    assert original.batch_size == ours.batch_size
    method = parse_method("sgd-gn")
    assert find_space(f"{name}@original").dimensions(method) == find_space(name).dimensions(method)


@pytest.mark.parametrize("name", [name for name in FAMILY if name.startswith("cifar100-")])
def test_where_the_paper_selects_on_held_out_images_there_is_no_other_protocol(name):
    with pytest.raises(InvalidInput, match=r"unknown scale 'original'.*allowed: tiny"):
        load_task(f"{name}@original")


@pytest.mark.parametrize(
    ("task", "method", "published"),
    [
        (
            "cifar10-resnet18",
            "sgd-small",
            {"lr": 0.1, "micro_batch": 128, "momentum": 0.0, "weight_decay": 0.0},
        ),
        ("cifar10-resnet18", "sgd-large", {"lr": 0.1}),
        ("cifar10-resnet18", "sgd-gn", {"lr": 0.1, "lambda": 0.01}),
        ("cifar10-resnet18", "sgd-uj", {"lr": 0.1, "lambda": 0.001}),
        ("cifar10-resnet18", "sgd-ngd", {"lr": 0.2626}),
        ("cifar100-resnet18", "sgd-large", {"lr": 0.5}),
        ("cifar100-resnet18", "sgd-ft", {"lr": 0.1, "lambda": 0.01}),
        ("cifar100-resnet18", "sgd-aj", {"lr": 0.1, "lambda": 5e-5}),
        ("cifar100-resnet18", "sgd-ngd", {"lr": 0.3951}),
        ("cifar10-vgg11", "sgd-small", {"lr": 0.15, "micro_batch": 100}),
        ("cifar10-vgg11", "sgd-ft", {"lr": 0.01, "lambda": 0.5}),
        ("cifar10-vgg11", "sgd-aj", {"lr": 0.01, "lambda": 2e-5}),
        ("cifar10-vgg16", "sgd-large", {"lr": 0.1}),
        ("cifar10-vgg16", "sgd-external", {"lr": 0.05}),
        ("cifar100-vgg16", "sgd-graft", {"lr": 0.1}),
        ("cifar100-vgg16", "sgd-ngd", {"lr": 0.4322}),
    ],
)
def test_published_settings_are_the_papers(task, method, published):
    found = find_space(task).published(parse_method(method))
    assert {name: found[name] for name in published} == published
    assert found["warmup_fraction"] == 0.0
    assert found["final_lr_fraction"] == 1.0
