"""CIFAR on disk and in memory: every format gives the same store, nothing leaks between splits."""

import contextlib
import pickle
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from small_data import write_cifar

from ire.invalid_input import InvalidInput
from trainables.data.images.cifar import Cifar
from trainables.data.images.image_batches import hold_out
from trainables.data.store import write_store
from trainables.task import load_task
from trainables.task_data.prepare import prepare
from trainables.tasks.families.label_smoothing import entropy, smoothed_cross_entropy


def quiet(_):
    pass


@pytest.mark.parametrize("classes", [10, 100])
def test_every_format_gives_the_same_images(classes, tmp_path, data):
    batches = tmp_path / "batches"
    write_cifar(batches, classes, train=200, test=100)
    cifar = Cifar(classes)
    stores = [cifar.convert(batches, quiet)]
    arrays = {name: np.array(stores[0].array(name)) for name in stores[0].index["arrays"]}
    assert arrays["train-images"].shape == (200, 3, 32, 32)
    with tarfile.open(tmp_path / "archive.tar.gz", "w:gz") as archive:
        archive.add(batches, f"cifar-{classes}-batches-py" if classes == 10 else "cifar-100-python")
    again = cifar.convert(tmp_path / "archive.tar.gz", quiet)
    assert all(np.array_equal(again.array(name), arrays[name]) for name in arrays)
    for split in ("train", "test"):
        for row, (image, label) in enumerate(
            zip(arrays[f"{split}-images"], arrays[f"{split}-labels"], strict=True)
        ):
            place = tmp_path / "images" / split / f"class {label:03d}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(place / f"{row:04d}.png")
    folders = cifar.convert(tmp_path / "images", quiet)
    for split in ("train", "test"):
        order = np.argsort(arrays[f"{split}-labels"], kind="stable")
        assert np.array_equal(folders.array(f"{split}-labels"), arrays[f"{split}-labels"][order])
        assert np.array_equal(folders.array(f"{split}-images"), arrays[f"{split}-images"][order])


def test_a_pickle_that_is_more_than_arrays_is_refused(tmp_path, data):
    class Program:
        def __reduce__(self):
            return print, ("run",)

    write_cifar(tmp_path / "batches", 10, train=50, test=10)
    (tmp_path / "batches" / "test_batch").write_bytes(pickle.dumps({b"data": Program()}, protocol=2))
    with pytest.raises(
        InvalidInput, match=r"test_batch: not a CIFAR batch .*print is not part of a CIFAR batch"
    ):
        Cifar(10).convert(tmp_path / "batches", quiet)
    assert not Cifar(10).is_prepared


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("empty", "no cifar10 there; takes the Python or binary batches"),
        ("nowhere", "does not exist"),
        ("of100", "no cifar10"),
    ],
)
def test_what_is_not_the_data_set_is_refused(source, message, tmp_path, data):
    (tmp_path / "empty").mkdir()
    write_cifar(tmp_path / "of100", 100, train=100, test=100)
    with pytest.raises(InvalidInput, match=message):
        prepare("cifar10-resnet56", source=tmp_path / source, say=quiet)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({b"labels": [0] * 239}, r"data_batch_2: pixels of shape \(240, 3072\) .*, labels of shape \(239,\)"),
        ({b"data": np.full((240, 3072), 0.5)}, r"data_batch_2: pixels of shape .* type float64"),
        ({b"labels": [-1] * 240}, "numbered from -1 to 9; cifar10 has 10 classes"),
        ({b"labels": ["cat"] * 240}, "data_batch_2: not a batch of CIFAR"),
    ],
)
def test_a_batch_that_would_move_the_labels_of_the_next_is_refused(change, message, tmp_path, data):
    write_cifar(tmp_path / "cifar", 10)
    path = tmp_path / "cifar" / "data_batch_2"
    path.write_bytes(pickle.dumps(pickle.loads(path.read_bytes()) | change, protocol=2))
    with pytest.raises(InvalidInput, match=message):
        prepare("cifar10-resnet56", source=tmp_path / "cifar", say=lambda _: None)


def test_a_damaged_pickle_is_named(tmp_path, data):
    write_cifar(tmp_path / "cifar", 10, train=10, test=10)
    path = tmp_path / "cifar" / "batches.meta"
    whole = path.read_bytes()
    damaged = {whole[:length] for length in range(1, len(whole) - 1)} | {
        whole.replace(b"class 3", b"class\xff3")
    }
    damaged |= {whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :] for at in range(30)}
    for content in damaged:
        path.write_bytes(content)
        with contextlib.suppress(InvalidInput):
            prepare(
                "cifar10-resnet56",
                source=tmp_path / "cifar",
                into=tmp_path / "out",
                replace=True,
                say=lambda _: None,
            )


def test_missing_data_is_told_with_the_command_to_run(data):
    for task in ("cifar10-resnet56", "cifar10-resnet56@tiny"):
        with pytest.raises(InvalidInput, match=f"ire data prepare cifar10-resnet56 --dir {data}") as caught:
            load_task(task).check_data()
        assert "\n" not in str(caught.value)


def test_damage_is_found(tmp_path, data):
    write_cifar(tmp_path / "batches", 10, train=50, test=10)
    prepare("cifar10-resnet56", source=tmp_path / "batches", say=quiet)
    prepare("cifar10-resnet56", say=quiet)  # verifies
    file = data / "cifar10" / "train-images.bin"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InvalidInput, match=r"train-images\.bin is damaged"):
        load_task("cifar10-resnet56").data.open(task="cifar10-resnet56").verify()
    file.write_bytes(content[:-1])
    with pytest.raises(InvalidInput, match="is missing or does not have"):
        load_task("cifar10-resnet56").check_data()


def test_validation_is_held_out_of_train_and_the_test_images_are_nobody_elses(tmp_path):
    images, labels = np.arange(100), np.arange(100) % 10
    train = {"train-images": images, "train-labels": labels}
    store = write_store(tmp_path, train | {"test-images": images[:20] + 1000, "test-labels": labels[:20]})
    splits = hold_out(store, "images", fraction=0.3, seed="x")
    seen = {
        name: set(splits.batch(name, torch.arange(splits.size(name)))[0].tolist()) for name in splits.rows
    }
    assert seen["train"] | seen["validation"] == set(range(100))
    assert not seen["train"] & seen["validation"]
    assert len(seen["validation"]) == 30
    assert seen["test"] == set(range(1000, 1020))
    less = hold_out(store, "images", fraction=0.3, seed="x", limit=35)
    assert {name: less.size(name) for name in less.rows} == {"train": 35, "validation": 15, "test": 10}
    assert set(less.rows["train"]) <= set(splits.rows["train"])


def test_smoothed_targets_are_met_at_a_loss_of_zero():
    smoothing, classes = 0.1, 10
    targets = torch.arange(10)
    goal = torch.full((10, classes), smoothing / classes) + (1 - smoothing) * torch.eye(classes)
    assert smoothed_cross_entropy(goal.log(), targets, smoothing).item() == pytest.approx(0, abs=1e-6)
    assert entropy(0.0, 10) == 0
    logits = torch.randn(10, classes, requires_grad=True)
    smoothed_cross_entropy(logits, targets, smoothing).backward()
    (plain,) = torch.autograd.grad(
        torch.nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing), logits
    )
    assert torch.allclose(logits.grad, plain)
