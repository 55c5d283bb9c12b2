"""The scaled-down twin of every task goes through everything that the task itself would."""

import dataclasses

import pytest
import torch

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from ire.trial.scale import scaled
from ire.trial.spec import TrialSpec
from search_spaces import find_space
from trainables.task import load_task, task_names
from trainables.training.loop import FINISHED, STOPPED, train

TWINS = [f"{name}@tiny" for name in task_names() if load_task(name).tiny]
ONE_OF_A_FAMILY = ["cifar10-resnet56@tiny", "imagenet-vit-s@tiny", "wikitext2@tiny"]
OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in TWINS if name not in ONE_OF_A_FAMILY]
CLOCKS = ("seconds", "steps_per_second")


def spec_of(task: str, method: str, **settings) -> TrialSpec:
    space, arm = find_space(task), parse_method(method)
    chosen = (
        space.published(arm)
        | {"start_fraction": 0.5, "interval": 3, "warmup_fraction": 0.0, "start_loss": 0.0}
        | settings
    )
    return TrialSpec(
        task=task,
        method=method,
        settings=arm.resolve({name: value for name, value in chosen.items() if name in arm.settings}),
        seed=3,
        horizon=12,
        eval_interval=6,
    )


def curve(spec, **options):
    reports = []
    status = train(
        spec, lambda r, _: reports.append({k: v for k, v in r.items() if k not in CLOCKS}) or True, **options
    )
    return status, reports


def ire_method(task: str) -> str:
    return next(name for name in find_space(task).methods if name.endswith("-ire"))


@pytest.mark.parametrize("task", ONE_OF_A_FAMILY + OTHERS)
def test_a_twin_learns_masks_and_resumes(task, small_data, tmp_path):
    spec = spec_of(task, ire_method(task))
    status, reports = curve(spec)
    assert status == FINISHED
    assert reports[1]["train_loss"] < reports[0]["train_loss"]
    assert [r["kappa"] for r in reports] == [0.0, spec.settings["kappa"]]
    assert reports[1]["flat_fraction"] == pytest.approx(spec.settings["gamma"], abs=1e-3)
    assert reports[1]["skipped_refreshes"] == 0
    gradients = parse_method(spec.method).gradients_per_step(spec.settings)
    assert reports[1]["gradient_evaluations"] == 12 * gradients + 2  # masks at steps 6 and 9
    path = tmp_path / "trial.pt"
    assert train(spec, lambda r, _: r["step"] < 6, checkpoint=path, checkpoint_seconds=0) == STOPPED
    assert curve(spec, checkpoint=path) == (status, reports)


@pytest.mark.parametrize("task", TWINS)
def test_a_twin_is_the_same_class_with_other_numbers(task):
    full = load_task(task.partition("@")[0])
    twin = load_task(task)
    assert type(twin) is type(full)
    assert {name for name in vars(twin)} <= set(twin.tiny)


@pytest.mark.parametrize("task", TWINS)
def test_a_twins_space_differs_from_its_tasks_in_nothing_but_size_and_rates(task):
    full, twin = find_space(task.partition("@")[0]), find_space(task)
    assert twin.horizon < full.horizon
    assert twin.methods == full.methods
    for name in full.methods:
        method = parse_method(name)
        assert set(full.dimensions(method)) == set(twin.dimensions(method))
        for space in (full, twin):
            space.check_rungs(method)
            method.resolve(space.published(method))


def test_a_task_without_a_twin_says_so():
    for name in (scaled("digits", "tiny"), scaled("cifar10-resnet56", "small")):
        with pytest.raises(InvalidInput, match="unknown scale"):
            load_task(name)
        with pytest.raises(InvalidInput, match="unknown scale"):
            find_space(name)


def test_the_scale_is_part_of_the_trials_identity(small_data, tmp_path):
    spec = spec_of("cifar10-resnet56@tiny", "sgd")
    path = tmp_path / "trial.pt"
    train(spec, lambda r, _: False, checkpoint=path, checkpoint_seconds=0)
    other = dataclasses.replace(spec, task="cifar10-resnet56")
    with pytest.raises(InvalidInput, match="belongs to another trial"):
        train(other, lambda r, _: True, task=load_task(spec.task), checkpoint=path)


@pytest.mark.parametrize("task", [task for task in TWINS if task.startswith("cifar")])
def test_training_images_are_bytes_on_the_way_and_augmented(task, small_data):
    twin = load_task(task)
    batch = next(twin.train_batches(seed=0, start=5))
    images, labels = twin.prepared(batch)
    assert images.dtype == batch[0].dtype == torch.uint8
    assert torch.equal(labels, batch[1])
    assert not torch.equal(images, batch[0])
