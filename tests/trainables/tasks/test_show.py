"""`ire data show`: what a person sees is what a trial trains on."""

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from ire.invalid_input import InvalidInput
from ire.sweeps.command.app import app
from trainables.task import load_task
from trainables.task_data.show import show


def shown(name, **options):
    said = []
    show(name, say=said.append, **options)
    return "\n".join(said)


def test_images_are_counted_and_drawn(small_data, tmp_path):
    text = shown("cifar10-resnet56@tiny", sheet=tmp_path / "sheet.png")
    task = load_task("cifar10-resnet56@tiny")
    assert task.data_identity() in text
    sizes = {split: len(rows) for split, rows in task.splits.rows.items()}
    for split in ("train", "validation", "test"):
        assert f"{split}: {sizes[split]:,} images, class 0 " in text
    with Image.open(tmp_path / "sheet.png") as opened:
        sheet = np.asarray(opened)
    assert sheet.shape == (4 * 100 + 4, 5 * 100 + 4, 3)
    first = task.splits.batch("test", torch.arange(1))[0][0, :, 0, 0]
    assert sheet[4 + 300, 4].tolist() == first.tolist()


def test_photographs_have_more_classes_than_a_line_holds_and_are_drawn_as_they_are_decoded(
    small_data, tmp_path
):
    text = shown("imagenet-resnet50@tiny", sheet=tmp_path / "sheet.png")
    assert "normalised by mean (0.485, 0.456, 0.406)" in text
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_texts_are_decoded(small_data):
    text = shown("minipile-llama119m@tiny")
    assert "(bpe:300), windows of 64 tokens" in text
    assert text.count(" sees the ") + text.count(" finds the ") + text.count(" follows the ") > 15
    assert "train comes from train.txt" in text
    assert "tokens a second" in text
    assert "<eos> the" in shown("wikitext2@tiny")


def test_any_other_task_shows_the_shape_of_its_batches():
    text = shown("digits")
    assert "a training batch: (float32 (64, 1, 8, 8), int64 (64,))" in text
    assert "validation: 360 examples" in text


def test_without_its_data_a_task_says_how_to_prepare_it(tmp_path, monkeypatch):
    monkeypatch.setenv("IRE_DATA", str(tmp_path))
    with pytest.raises(InvalidInput, match="ire data prepare wikitext2"):
        shown("wikitext2")


def test_the_command_takes_the_folder_and_the_sheet(small_data, tmp_path, monkeypatch):
    monkeypatch.delenv("IRE_DATA")
    arguments = [
        "data",
        "show",
        "fashion-mnist@tiny",
        "--dir",
        str(small_data),
        "--sheet",
        str(tmp_path / "s.png"),
    ]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "fashion-mnist sha256" in result.output
    assert (tmp_path / "s.png").is_file()
