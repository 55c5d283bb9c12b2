"""One conformance test over every task, and what is special about each."""

import inspect
import itertools

import pytest
import torch
from sklearn.datasets import load_digits

from ire.invalid_input import InvalidInput
from trainables.models.wide_resnet import WideResNet
from trainables.task import load_task, task_names
from trainables.tasks.digits import bundled
from trainables.tasks.families.from_table import tables
from trainables.tasks.stdlib_lm import CONTEXT

NAMES = [f"{name}@tiny" if load_task(name).tiny else name for name in task_names()]


@pytest.fixture(params=NAMES)
def loaded(request, small_data):
    """Every task, or its scaled-down twin where it has one."""
    return load_task(request.param)


def test_the_embedded_tasks_are_found():
    assert {"digits", "stdlib-lm"} <= set(task_names())


def test_batches_depend_on_seed_and_step_alone(loaded):
    stream = list(itertools.islice(loaded.train_batches(seed=3, start=0), 40))
    for start in (0, 1, 17, 39):
        again = next(loaded.train_batches(seed=3, start=start))
        assert all(torch.equal(a, b) for a, b in zip(stream[start], again, strict=True))
    other = next(loaded.train_batches(seed=4, start=0))
    assert not torch.equal(stream[0][0], other[0])


def test_every_batch_has_the_batch_size(loaded):
    for batch in itertools.islice(loaded.train_batches(seed=0, start=0), 20):
        assert all(len(part) == loaded.batch_size for part in batch)


def test_an_untrained_model_is_as_good_as_guessing_and_the_metrics_add_up(loaded):
    torch.manual_seed(0)
    model = loaded.model()  # in training mode: an untrained batch norm has no statistics
    with torch.no_grad():
        for split in ("validation", "test"):
            batches = list(loaded.eval_batches(split))
            sums = [loaded.metric_sums(loaded.outputs(model, batch), batch) for batch in batches]
            count = sum(s["count"] for s in sums)
            outputs = loaded.outputs(model, batches[0])
            guess = torch.log(torch.tensor(float(outputs.shape[-1])))
            assert sum(s["loss"] for s in sums) / count == pytest.approx(guess.item(), rel=0.3)
            loaded.label_smoothing = 0.0
            mean = loaded.loss(outputs, batches[0])
            assert mean.item() == pytest.approx(mean_of_metric(loaded, outputs, batches[0]), rel=1e-5)


def mean_of_metric(task, outputs, batch) -> float:
    """The metric's mean; for alpaca-lora, whose loss gives every answer the same weight, the mean over its answers."""
    parts = [(outputs, batch)]
    if task.name.startswith("alpaca"):
        parts = [(outputs[i : i + 1], tuple(part[i : i + 1] for part in batch)) for i in range(len(outputs))]
    sums = [task.metric_sums(*part) for part in parts]
    return sum((s["loss"] / max(1, s["count"])).item() for s in sums) / len(sums)


def test_the_digits_are_those_that_scikit_learn_loads():
    images, labels = bundled()
    assert images.dtype == torch.float64 and labels.dtype == torch.int64
    assert torch.equal(images, torch.from_numpy(load_digits().images))
    assert torch.equal(labels, torch.from_numpy(load_digits().target))


def test_the_splits_of_digits_are_disjoint_and_whole():
    splits = load_task("digits").splits
    assert {name: len(labels) for name, (_, labels) in splits.items()} == {
        "train": 1077,
        "validation": 360,
        "test": 360,
    }
    whole = torch.from_numpy(load_digits().images).float().unsqueeze(1) / 8 - 1
    rebuilt = torch.cat([images for images, _ in splits.values()])
    as_set = lambda images: sorted(map(tuple, images.flatten(1).tolist()))  # noqa: E731
    assert as_set(whole) == as_set(rebuilt)  # a multiset: nothing is lost, nothing stands in two splits


def test_the_splits_of_stdlib_lm_share_no_file():
    splits = load_task("stdlib-lm").splits
    sizes = {name: len(text) for name, text in splits.items()}
    assert sizes["train"] > 1_000_000
    assert min(sizes.values()) > 50 * CONTEXT
    validation, test = (bytes(splits[name].numpy()) for name in ("validation", "test"))
    train = bytes(splits["train"].numpy())
    for other in (validation, test):
        middle = other[len(other) // 2 : len(other) // 2 + 400]
        assert middle not in train


def test_targets_are_the_next_bytes():
    inputs, targets = next(load_task("stdlib-lm").train_batches(seed=0, start=0))
    assert torch.equal(inputs[:, 1:], targets[:, :-1])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digit", "unknown task 'digit': did you mean 'digits'"),
        ("no_such_module:Task", "cannot import 'no_such_module'"),
        ("trainables.tasks.digits:Digit", "unknown task class 'Digit'.*did you mean 'Digits'"),
        ("trainables.tasks.digits:SIZES", "unknown task class 'SIZES'"),
    ],
)
def test_an_unknown_task_is_told_what_there_is(name, message):
    with pytest.raises(InvalidInput, match=message):
        load_task(name)


def test_every_number_of_the_table_of_tasks_is_declared_by_its_family_and_its_twin_changes_the_network():
    for name, table in tables().items():
        task = load_task(name)
        declared = {
            key for base in type(task).__mro__[1:] for key in (*vars(base), *inspect.get_annotations(base))
        }
        network = set(table.get("network", {})) - {"model"}
        assert set(table) - {"family", "network"} <= declared, name
        assert set(task.tiny) <= set(dir(task)), name
        assert set(table.get("tiny", {})) <= network, f"{name}: its twin has a network of its own numbers"
        assert load_task(f"{name}@tiny").name == name


def test_a_number_of_the_table_reaches_the_network():
    torch.manual_seed(0)
    built = load_task("cifar10-wrn16-8@tiny").model()
    torch.manual_seed(0)
    direct = WideResNet(depth=10, widening=1, classes=10)
    state = {name.removeprefix("network."): value for name, value in built.state_dict().items()}
    assert all(torch.equal(value, state[name]) for name, value in direct.state_dict().items())
