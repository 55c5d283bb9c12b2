"""The loader for your own tasks: any data set of torch as batches whose order is a function of (seed, step).

    def train_batches(self, *, seed, start):
        return batches(self.dataset, batch_size=self.batch_size, seed=seed, start=start, workers=4)

Map-style data sets (a length, and an example for each index) can begin at any step. Iterable ones are read again up
to that step. Random numbers that a data set draws, from torch, numpy or `random`, are also a function of (seed, step),
with any number of workers; training's own random numbers are not touched.
"""

import itertools
import random
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Sampler,
    default_collate,  # pyright: ignore[reportUnknownVariableType] - torch's type is incomplete
)

from ire.invalid_input import InvalidInput
from ire.optim.tensors.typed import numbers
from ire.trial.seeds import derive_seed, generator
from trainables.data.batch import Batch

Collate = Callable[[list[Any]], Batch]


def batches(
    dataset: Any,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    workers: int = 0,
    shuffle: bool = True,
    buffer: int = 0,
    collate: Collate = default_collate,
    pin_memory: bool | None = None,
) -> Iterator[Batch]:
    """The endless stream of training batches from step `start` on; batch t is a function of `seed` and t.

    `workers` processes load ahead (one at most for an iterable data set, whose order would depend on their
    number); with `pin_memory`, the default where there is a GPU, batches are in pinned memory. Each epoch of a
    map-style data set has its own permutation, unless `shuffle` is off. An iterable one shuffles
    itself (`set_epoch` is called with the number of the epoch), or is shuffled within a `buffer` of that many
    examples. Examples that do not fill a batch are left out of the epoch. `collate` makes a batch from a list of
    examples. Raises `InvalidInput` for less data than one batch.
    """
    pinned = torch.cuda.is_available() if pin_memory is None else pin_memory
    if is_map_style(dataset):
        if buffer:
            raise InvalidInput(
                f"buffer = {buffer}: is for iterable data sets; this one is shuffled as a whole"
            )
        steps = _Steps(dataset, batch_size, seed, shuffle, collate)
        yield from _loader(steps, workers, pinned, sampler=_From(start))
    else:
        epochs = _Epochs(dataset, batch_size, seed, start, buffer, collate)
        yield from _loader(epochs, min(workers, 1), pinned)


def once(
    dataset: Any,
    *,
    batch_size: int,
    workers: int = 0,
    collate: Collate = default_collate,
    pin_memory: bool | None = None,
) -> Iterator[Batch]:
    """One ordered pass over a data set, for `eval_batches`; the last batch has the remainder. Always the same."""
    pinned = torch.cuda.is_available() if pin_memory is None else pin_memory
    if is_map_style(dataset):
        steps = _Steps(dataset, batch_size, 0, False, collate, keep_last=True)
        yield from _loader(steps, workers, pinned, sampler=range(-(-len(dataset) // batch_size)))
    else:
        epochs = _Epochs(dataset, batch_size, 0, 0, 0, collate, is_once=True)
        yield from _loader(epochs, min(workers, 1), pinned)


def is_map_style(dataset: object) -> bool:
    """Whether a data set has a length and examples by index; raises `InvalidInput` for anything but a data set."""
    kind = type(dataset)
    if (
        not issubclass(kind, IterableDataset)
        and hasattr(dataset, "__getitem__")
        and hasattr(dataset, "__len__")
    ):
        return True
    if hasattr(dataset, "__iter__"):
        return False
    raise InvalidInput(
        f"a {kind.__name__} is not a data set: it must have a length and examples by index, or be iterable"
    )


def _loader(dataset: Any, workers: int, pinned: bool, sampler: Any = None) -> Iterator[Batch]:
    loader = iter(
        DataLoader(
            dataset,
            batch_size=None,  # an item is a batch
            sampler=sampler,
            num_workers=workers,
            pin_memory=pinned and torch.cuda.is_available(),
            generator=torch.Generator(),  # otherwise it would draw from training's
        )
    )
    try:
        yield from loader
    finally:
        if workers:
            cast(Any, loader)._shutdown_workers()  # now, not when the garbage is collected


class _From(Sampler[int]):
    """The steps from `start` on."""

    def __init__(self, start: int) -> None:
        self._start = start

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self._start)


class _Steps(Dataset[Batch]):
    """A map-style data set whose item t is the batch of step t."""

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        seed: int,
        shuffle: bool,
        collate: Collate,
        *,
        keep_last: bool = False,
    ) -> None:
        self._dataset, self._batch_size, self._seed = dataset, batch_size, seed
        self._shuffle, self._collate = shuffle, collate
        self._order: tuple[int, torch.Tensor] | None = None
        self._steps = -(-len(dataset) // batch_size) if keep_last else len(dataset) // batch_size
        if self._steps == 0:
            raise InvalidInput(f"{len(dataset)} examples do not fill one batch of {batch_size}")

    def __getitem__(self, step: int) -> Batch:
        epoch, position = divmod(step, self._steps)
        first = position * self._batch_size
        picked = numbers(self._order_of(epoch)[first : first + self._batch_size])
        with _Draws(derive_seed(self._seed, "examples", step)).used():
            return self._collate(self._examples(picked))

    def _order_of(self, epoch: int) -> torch.Tensor:
        if self._order is None or self._order[0] != epoch:
            count = len(self._dataset)
            draws = generator(self._seed, "order", epoch)
            order = torch.randperm(count, generator=draws) if self._shuffle else torch.arange(count)
            self._order = epoch, order
        return self._order[1]

    def _examples(self, picked: list[int]) -> list[Any]:
        if hasattr(self._dataset, "__getitems__"):  # of `datasets`, all at once
            return self._dataset.__getitems__(picked)
        return [self._dataset[number] for number in picked]


class _Epochs(IterableDataset[Batch]):
    """The batches of an iterable data set, epoch after epoch, from step `start` on."""

    def __init__(
        self,
        dataset: Iterable[Any],
        batch_size: int,
        seed: int,
        start: int,
        buffer: int,
        collate: Collate,
        *,
        is_once: bool = False,
    ) -> None:
        self._dataset, self._batch_size, self._seed, self._start = dataset, batch_size, seed, start
        self._buffer, self._collate, self._is_once = buffer, collate, is_once

    def __iter__(self) -> Iterator[Batch]:
        epoch, skipped = self._first_epoch()
        while True:
            draws = _Draws(derive_seed(self._seed, "epoch", epoch))
            examples = _shuffled(
                self._epoch(epoch, draws), self._buffer, generator(self._seed, "buffer", epoch)
            )
            made = 0
            while len(rows := list(itertools.islice(examples, self._batch_size))) == self._batch_size or (
                self._is_once and rows
            ):
                made += 1
                if skipped:
                    skipped -= 1
                    continue
                with draws.used():
                    batch = self._collate(rows)
                yield batch
            if self._is_once:
                return
            if made == 0:
                raise InvalidInput(
                    f"epoch {epoch} has {len(rows)} examples, which do not fill one batch of {self._batch_size}"
                )
            epoch += 1

    def _first_epoch(self) -> tuple[int, int]:
        """The epoch that contains `start`, and the number of its earlier steps, which are read again."""
        try:
            steps = len(cast(Sized, self._dataset)) // self._batch_size
        except TypeError:
            return 0, self._start
        return divmod(self._start, steps) if steps else (0, self._start)

    def _epoch(self, epoch: int, draws: "_Draws") -> Iterator[Any]:
        with draws.used():
            if set_epoch := getattr(self._dataset, "set_epoch", None):
                set_epoch(epoch)
            examples = iter(self._dataset)
        while True:
            with draws.used():
                try:
                    example = next(examples)
                except StopIteration:
                    return
            yield example


def _shuffled(examples: Iterator[Any], size: int, draws: torch.Generator) -> Iterator[Any]:
    """The examples, each drawn from the next `size` ones; in order if `size` is 0."""
    if size <= 1:
        yield from examples
        return
    held = list(itertools.islice(examples, size))
    for example in examples:
        place = int(torch.randint(len(held), (), generator=draws))
        yield held[place]
        held[place] = example
    for place in numbers(torch.randperm(len(held), generator=draws)):
        yield held[place]


class _Draws:
    """Separate global random states for torch, numpy and `random`; their use leaves training's states unchanged."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._state: tuple[Any, ...] | None = None

    @contextmanager
    def used(self) -> Generator[None, None, None]:
        others = _state()
        if self._state is None:
            torch.default_generator.manual_seed(self._seed)
            np.random.seed(self._seed % (1 << 32))
            random.seed(self._seed)
        else:
            _restore(self._state)
        try:
            yield
        finally:
            self._state = _state()
            _restore(others)


def _state() -> tuple[Any, ...]:
    return torch.default_generator.get_state(), np.random.get_state(), random.getstate()


def _restore(state: tuple[Any, ...]) -> None:
    torch.default_generator.set_state(state[0])
    np.random.set_state(state[1])
    random.setstate(state[2])
