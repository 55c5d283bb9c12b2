"""Shows what a task's data looks like before a sweep: `ire data show TASK`."""

import itertools
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ire.optim.tensors.typed import numbers
from ire.plain_values import is_list, is_mapping, is_tuple
from ire.trial.scale import split_scale
from trainables.data.batch import Batch, examples
from trainables.data.originals import Say
from trainables.data.prefetch import close
from trainables.data.store import Store
from trainables.data.text.encoders import decoded
from trainables.data.text.split_names import SPLITS
from trainables.models.normalised import Normalised
from trainables.task import Task, load_task
from trainables.tasks.families.imagenet import ImageNetTask
from trainables.tasks.families.language import LanguageTask
from trainables.tasks.families.small_images import SmallImageTask

EXAMPLES = 5
"""Number of examples shown of each split."""
CHARACTERS = 160
"""Characters shown of each text."""
CLASSES = 20
"""Up to this many classes are listed one by one; otherwise only the smallest and the largest."""
SECONDS = 2.0
"""Seconds for which batches are read to measure their rate."""
ENLARGED = 96
"""Smallest side of an image in the sheet, in pixels."""


def show(name: str, *, sheet: Path | None = None, say: Say = print) -> None:
    """Describe the data of the task `name`; for images, also write `sheet` (NAME-data.png by default), a PNG.

    Its rows are augmented training images, the same images without augmentation, and validation and test images. Raises
    `InvalidInput` without the data.
    """
    task = load_task(name)
    task.check_data()
    say(f"{name}: {task.data_identity() or 'makes its own data, and no checksum of it is recorded'}")
    if task.data is not None:
        _tell_origin(task.data.open(task=task.name), say)
    if isinstance(task, SmallImageTask | ImageNetTask):
        _show_images(task, sheet or Path(f"{split_scale(name)[0].replace(':', '-')}-data.png"), say)
    elif isinstance(task, LanguageTask):
        _show_texts(task, say)
    else:
        _show_batches(task, say)
    _tell_speed(task, say)


def _tell_origin(store: Store, say: Say) -> None:
    say(f"in {store.folder}" + (f", made from {o['source']}" if (o := store.index.get("made_from")) else ""))
    for split, files in store.facts.get("files", {}).items():
        say(f"{split} comes from {', '.join(files[:3])}{' …' if len(files) > 3 else ''}")
    for split, share in store.facts.get("held_out", {}).items():
        say(f"{split} is {share:.2%} of the training text, held out")


# Images


def _show_images(task: SmallImageTask | ImageNetTask, sheet: Path, say: Say) -> None:
    names = task.data.open(task=task.name).facts["classes"]
    for split in SPLITS:
        labels = task.splits.labels[split][task.splits.rows[split]]
        counts = numbers(torch.bincount(labels, minlength=len(names)))
        say(f"{split}: {len(labels):,} images, {_per_class(names, counts)}")
    raw = next(iter(task.train_batches(seed=0, start=0)))
    augmented = _as_bytes(task.prepared(raw)[0])
    rows = [augmented, _as_bytes(raw[0])]
    for split in SPLITS[1:]:
        positions = torch.linspace(0, task.splits.size(split) - 1, EXAMPLES).long()
        rows.append(task.pictures(split, positions))
    _write_sheet([row[:EXAMPLES] for row in rows], sheet)
    say(f"{sheet}: {EXAMPLES} augmented training images, the originals, validation, test")
    normal = Normalised(nn.Identity(), **task.statistics)(augmented)
    mean, std = (getattr(normal, name)((0, 2, 3)).tolist() for name in ("mean", "std"))
    say(f"normalised by mean {_row(task.statistics['mean'])} and deviation {_row(task.statistics['std'])}")
    say(f"of a normalised training batch: mean {_row(mean)}, deviation {_row(std)}")


def _per_class(names: list[str], counts: list[int]) -> str:
    if len(names) <= CLASSES:
        return ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))
    low, high = (find(range(len(counts)), key=counts.__getitem__) for find in (min, max))
    return f"{len(names)} classes, from {counts[low]:,} ({names[low]}) to {counts[high]:,} ({names[high]})"


def _as_bytes(images: Tensor) -> Tensor:
    """Images (b, channels, h, w) as uint8."""
    return images if images.dtype == torch.uint8 else images.round().clamp(0, 255).to(torch.uint8)


def _write_sheet(rows: list[Tensor], path: Path) -> None:
    from PIL import Image  # here, to keep start-up light

    height, width = rows[0].shape[-2:]
    times = max(1, -(-ENLARGED // height))
    gap, across = 4, max(len(row) for row in rows)
    down, right = height * times + gap, width * times + gap
    canvas = np.full((down * len(rows) + gap, right * across + gap, 3), 255, np.uint8)
    for line, images in enumerate(rows):
        for column, image in enumerate(images):
            pixels = image.expand(3, -1, -1).permute(1, 2, 0).numpy()
            pixels = pixels.repeat(times, 0).repeat(times, 1)
            top, left = gap + line * down, gap + column * right
            canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    Image.fromarray(canvas).save(path, "PNG")


def _row(values: Iterable[float]) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in values) + ")"


# Texts


def _show_texts(task: LanguageTask, say: Say) -> None:
    facts = task.store.facts
    say(f"vocabulary {facts['vocabulary']:,} ({facts['tokenizer']}), windows of {task.context} tokens")
    for split in SPLITS:
        tokens = task.store.array(split)
        say(f"{split}: {len(tokens):,} tokens, {len(tokens) // task.context:,} windows")
        for start in np.linspace(0, max(0, len(tokens) - task.context), EXAMPLES).astype(int).tolist():
            part = tokens[start : start + task.context].tolist()
            text = decoded(part, task.store.folder)
            shown = " ".join(map(str, part[:20])) if text is None else text
            say(f"    {start:>12,}: {_one_line(shown)}")


def _one_line(text: str) -> str:
    """The beginning of a text, with line breaks and control characters made visible."""
    text = text[:CHARACTERS].replace("\n", "⏎")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


# Any task


def _show_batches(task: Task, say: Say) -> None:
    say(f"a training batch: {_shape(next(iter(task.train_batches(seed=0, start=0))))}")
    for split in SPLITS[1:]:
        batches = list(task.eval_batches(split))
        say(f"{split}: {sum(map(examples, batches)):,} examples, a batch: {_shape(batches[0])}")


def _shape(batch: Batch) -> str:
    if isinstance(batch, Tensor):
        return f"{str(batch.dtype).removeprefix('torch.')} {tuple(batch.shape)}"
    if is_mapping(batch):
        return "{" + ", ".join(f"{key}: {_shape(value)}" for key, value in batch.items()) + "}"
    if is_tuple(batch) or is_list(batch):
        return "(" + ", ".join(map(_shape, batch)) + ")"
    return type(batch).__name__


def _tell_speed(task: Task, say: Say, clock: Callable[[], float] = time.perf_counter) -> None:
    stream = iter(task.train_batches(seed=0, start=0))
    next(stream)
    begin, count = clock(), 0
    for batch in itertools.islice(stream, 1000):
        task.prepared(batch)
        count += 1
        if clock() - begin > SECONDS:
            break
    rate = count * task.batch_size / (clock() - begin)
    close(stream)
    tokens = f", {rate * task.context:,.0f} tokens a second" if isinstance(task, LanguageTask) else ""
    say(f"read, decoded and augmented on this CPU: {rate:,.0f} examples a second{tokens}")
