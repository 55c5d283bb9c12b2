"""Fashion-MNIST: the files are read as they are published, and a small network learns the real images."""

import gzip

import numpy as np
import pytest
from small_data import write_fashion

from ire.invalid_input import InvalidInput
from trainables.data.images import fashion_mnist
from trainables.data.images.fashion_mnist import DEBIAN, FashionMnist
from trainables.task import load_task
from trainables.task_data.prepare import prepare
from trainables.training.loop import FINISHED, train

needs_the_package = pytest.mark.skipif(
    not DEBIAN.is_dir(), reason="the real images are not here: apt install dataset-fashion-mnist"
)


def quiet(_):
    pass


def test_pixels_and_labels_are_those_of_the_files(tmp_path, data):
    write_fashion(tmp_path / "original", train=40, test=10)
    for path in (tmp_path / "original").iterdir():  # unpacked does, too
        if "t10k" in path.name:
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
    store = FashionMnist().convert(tmp_path / "original", quiet)
    images, labels = store.array("train-images"), store.array("train-labels")
    assert images.shape == (40, 1, 28, 28)
    assert np.array_equal(images[:, 0, 0, 0] // 25, labels)
    assert len(store.array("test-labels")) == 10


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def of_labels(path):
    path.write_bytes(path.with_name("train-labels-idx1-ubyte.gz").read_bytes())


def emptied(path):
    path.write_bytes(gzip.compress(np.array([2051, 0, 28, 28], ">i4").tobytes()))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "truncated"),
        (of_labels, "begins with 2049, must begin with 2051"),
        (emptied, r"says that its shape is \[0, 28, 28\]"),
    ],
)
def test_a_damaged_file_is_named(damage, message, tmp_path, data):
    write_fashion(tmp_path / "original", train=40, test=10)
    damage(tmp_path / "original" / "train-images-idx3-ubyte.gz")
    with pytest.raises(InvalidInput, match=rf"train-images-idx3-ubyte\.gz: .*{message}"):
        prepare("fashion-mnist", source=tmp_path / "original", say=quiet)
    assert not list(data.glob("*"))


def test_without_package_and_network_both_are_named(data, monkeypatch, tmp_path):
    def unreachable(*_):
        raise OSError("no route to host")

    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "none")
    monkeypatch.setattr("torchvision.datasets.utils.download_url", unreachable)
    with pytest.raises(
        InvalidInput, match=r"no route to host.*apt install dataset-fashion-mnist.*--from FOLDER"
    ):
        prepare("fashion-mnist", say=quiet)


@needs_the_package
def test_the_real_images_are_known_by_their_checksum_and_learnt(data, make_spec):
    prepare("fashion-mnist", say=quiet)
    store = FashionMnist().open(task="fashion-mnist")
    assert store.identity == "fashion-mnist sha256 912c8156dc72baa2"
    assert np.bincount(store.array("train-labels")).tolist() == [6000] * 10
    counts, grey = np.bincount(store.array("train-images").ravel(), minlength=256), np.arange(256) / 255
    mean = np.average(grey, weights=counts)
    deviation = np.average((grey - mean) ** 2, weights=counts) ** 0.5
    statistics = load_task("fashion-mnist").statistics
    assert (mean, deviation) == pytest.approx((statistics["mean"][0], statistics["std"][0]), abs=1e-4)
    reports = []
    settings = {"lr": 0.1, "weight_decay": 5e-4}
    spec = make_spec("sgd", task="fashion-mnist@tiny", settings=settings, horizon=90, eval_interval=90)
    assert train(spec, lambda values, _: reports.append(values) or True) == FINISHED
    assert reports[-1]["val_accuracy"] > 0.7
