"""Small data sets in the formats of the real ones, for tests: written as their authors publish them."""

import gzip
import json
import pickle
from pathlib import Path

import numpy as np


def write_cifar(folder: Path, classes: int, *, train: int = 1200, test: int = 200) -> None:
    """The python batches of CIFAR-10 or -100: noise, with a colour for each class, so that it can be learnt."""
    draws = np.random.default_rng(classes)
    folder.mkdir(parents=True)
    colours = draws.integers(40, 216, (classes, 3, 1, 1))

    def batch(count: int) -> tuple[np.ndarray, list[int]]:
        labels = draws.permutation(np.arange(count) % classes)
        pixels = colours[labels] + draws.integers(-40, 40, (count, 3, 32, 32))
        return pixels.clip(0, 255).astype(np.uint8).reshape(count, -1), labels.tolist()

    names = [f"class {n}".encode() for n in range(classes)]
    if classes == 10:
        parts = {f"data_batch_{n}": batch(train // 5) for n in range(1, 6)} | {"test_batch": batch(test)}
        key, meta = b"labels", ("batches.meta", {b"label_names": names})
    else:
        parts = {"train": batch(train), "test": batch(test)}
        key, meta = b"fine_labels", ("meta", {b"fine_label_names": names})
    for name, (data, labels) in parts.items():
        (folder / name).write_bytes(pickle.dumps({b"data": data, key: labels}, protocol=2))
    (folder / meta[0]).write_bytes(pickle.dumps(meta[1], protocol=2))


def write_fashion(folder: Path, *, train: int = 1200, test: int = 200) -> None:
    """The IDX files of Fashion-MNIST: noise, of another grey for each class."""
    draws = np.random.default_rng(11)
    folder.mkdir(parents=True)
    for name, count in (("train", train), ("t10k", test)):
        labels = draws.permutation(np.arange(count) % 10).astype(np.uint8)
        pixels = 25 * labels[:, None, None] + draws.integers(0, 25, (count, 28, 28))
        for kind, magic, values in (
            ("images-idx3", 2051, pixels.astype(np.uint8)),
            ("labels-idx1", 2049, labels),
        ):
            header = np.array([magic, *values.shape], ">i4").tobytes()
            (folder / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + values.tobytes()))


def write_image_folder(folder: Path, *, classes: int = 6, train: int = 60, test: int = 10) -> None:
    """ImageNet's layout: JPEGs of various sizes, a colour for each class."""
    from PIL import Image

    draws = np.random.default_rng(7)
    for split, count in (("train", train), ("val", test)):
        for label in range(classes):
            place = folder / split / f"n{label:08d}"
            place.mkdir(parents=True)
            colour = 255 * np.array([label & 1, label >> 1 & 1, label >> 2 & 1])
            for row in range(count):
                size = draws.integers(36, 60, 2)
                pixels = (colour // 2 + 60 + draws.integers(-50, 50, (*size, 3))).clip(0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{row}.JPEG")


def write_text(folder: Path, *, wikitext: bool = False, sentences: int = 4000) -> None:
    """A text of a small grammar in three splits: `wiki.train.tokens` and so on, or `train.txt` and so on."""
    draws = np.random.default_rng(3)
    folder.mkdir(parents=True)
    names = [f"{noun}{n}" for noun in ("cat", "tree", "river", "stone") for n in range(12)]
    verbs = ["sees", "finds", "leaves", "follows"]
    for split, word, count in (("train", "train", sentences), ("valid", "valid", 600), ("test", "test", 600)):
        lines = [
            f" the {names[a]} {verbs[v]} the {names[(a + v) % len(names)]} . "
            for a, v in draws.integers(0, (len(names), len(verbs)), (count, 2))
        ]
        name = f"wiki.{word}.tokens" if wikitext else f"{split}.txt"
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_instructions(path: Path, *, count: int = 300) -> None:
    """Stanford Alpaca's `alpaca_data.json`: sums as instructions, half of them with an input."""
    draws = np.random.default_rng(5)
    rows = []
    for n, (a, b) in enumerate(draws.integers(0, 10, (count, 2)).tolist()):
        question = (
            {"instruction": "Add.", "input": f"{a} {b}"}
            if n % 2
            else {"instruction": f"{a}+{b}?", "input": ""}
        )
        rows.append(question | {"output": f"It is {a + b}."})
    path.write_text(json.dumps(rows), encoding="utf-8")


def prepare_all(folder: Path) -> None:
    """Write small originals of every data set below `folder` and prepare them there, as a user would."""
    from trainables.task_data.prepare import prepare

    originals = folder / "originals"
    write_cifar(originals / "cifar10", 10)
    write_cifar(originals / "cifar100", 100)
    write_fashion(originals / "fashion-mnist")
    write_instructions(originals / "alpaca_data.json")
    write_image_folder(originals / "imagenet")
    write_text(originals / "wikitext2", wikitext=True)
    for name in ("wikitext103", "minipile", "openwebtext"):
        write_text(originals / name)
    for task, name in (
        ("cifar10-resnet56", "cifar10"),
        ("cifar100-resnet56", "cifar100"),
        ("fashion-mnist", "fashion-mnist"),
        ("imagenet-resnet50", "imagenet"),
        ("wikitext2", "wikitext2"),
        ("alpaca-lora", "alpaca_data.json"),
        ("wikitext103-llama60m", "wikitext103"),
        ("minipile-llama119m", "minipile"),
        ("openwebtext-llama229m", "openwebtext"),
    ):
        tokenizer = "bpe:300" if "llama" in task or "lora" in task else None
        prepare(task, into=folder, source=originals / name, tokenizer=tokenizer, say=lambda _: None)
