"""ImageNet's pipeline: windows are what their draws say, mixing stays within pairs, threads change nothing."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from ire.invalid_input import InvalidInput
from trainables.data.images.imagenet import middle, random_window
from trainables.data.images.mix_up import mix_pairs, mixing_shares
from trainables.data.prefetch import ahead, mapped
from trainables.task import load_task
from trainables.task_data.prepare import prepare


@pytest.fixture
def gradient(tmp_path):
    """An image of 80x60 pixels whose red grows with the column and whose green with the row."""
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[:, :, 0], pixels[:, :, 1] = np.arange(80), np.arange(60)[:, None]
    Image.fromarray(pixels).save(tmp_path / "gradient.png")
    return tmp_path / "gradient.png"


def test_the_whole_image_and_its_mirror(gradient):
    whole = np.array([1.0, np.log(80 / 60 / 0.75) / np.log(16 / 9), 0.5, 0.5, 0.9])
    image = random_window(gradient, whole, 40)
    assert image.shape == (3, 40, 40)
    assert torch.equal(image.flip(2), random_window(gradient, np.r_[whole[:4], 0.1], 40))
    assert abs(int(image[0, 0, 0]) - 0) <= 1
    assert abs(int(image[0, 0, -1]) - 79) <= 1
    assert abs(int(image[1, -1, 0]) - 59) <= 1


def test_a_small_window_lies_where_the_draws_say(gradient):
    corner = random_window(gradient, np.array([0.0, 0.5, 0.999, 0.999, 0.9]), 16)
    assert corner[0].min() >= 79 - 22
    assert corner[1].min() >= 59 - 22


def test_evaluation_sees_the_middle(gradient):
    image = middle(gradient, 32)
    assert image.shape == (3, 32, 32)
    assert image[0].float().mean().item() == pytest.approx(39.5, abs=1.5)
    assert image[1].float().mean().item() == pytest.approx(29.5, abs=1.5)


def test_pairs_are_mixed_with_each_other_and_workers_agree():
    images, labels = torch.arange(8.0).view(8, 1, 1, 1), torch.arange(8)
    share = mixing_shares(8, 0.5, "seed", 1)
    assert torch.equal(share[::2], share[1::2])
    assert torch.equal(share, mixing_shares(8, 0.5, "seed", 1))
    mixed, partners, _ = mix_pairs(images, labels, share)
    assert partners.tolist() == [1, 0, 3, 2, 5, 4, 7, 6]
    assert torch.allclose(mixed.flatten(), share * labels + (1 - share) * partners)
    halves = [mix_pairs(images[part], labels[part], share[part])[0] for part in (slice(0, 4), slice(4, 8))]
    assert torch.equal(torch.cat(halves), mixed)


def test_the_loss_of_a_mixture_is_the_mixture_of_losses(small_data):
    task = load_task("imagenet-vit-s@tiny")
    batch = task.prepared(next(task.train_batches(seed=0, start=0)))
    outputs = torch.randn(len(batch[1]), 6)
    _, labels, partners, share = batch
    goal = share[:, None] * torch.eye(6)[labels] + (1 - share[:, None]) * torch.eye(6)[partners]
    expected = -(goal * outputs.log_softmax(-1)).sum(-1).mean()
    assert task.loss(outputs, batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_items_come_in_order_and_errors_where_they_happen():
    assert list(mapped(lambda n: n * n, iter(range(50)), threads=4, depth=7)) == [n * n for n in range(50)]
    assert list(ahead(iter(range(50)), 3)) == list(range(50))
    stream = ahead((1 // n for n in (1, 0)), 2)
    assert next(stream) == 1
    with pytest.raises(ZeroDivisionError):
        next(stream)
    endless = ahead(itertools.count(), 2)
    assert next(endless) == 0
    endless.close()


def test_a_folder_of_another_layout_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="has no train/ and val/"):
        prepare("imagenet-resnet50", into=tmp_path, source=tmp_path, say=lambda _: None)
    with pytest.raises(InvalidInput, match=r"cannot be downloaded without its licence.*--from FOLDER"):
        prepare("imagenet-resnet50", into=tmp_path, say=lambda _: None)
