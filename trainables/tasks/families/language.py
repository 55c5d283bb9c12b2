"""What every language-modelling task shares: tokens from memory maps, prepared while the device computes."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property

from torch import Tensor, nn

from trainables.data.prefetch import ahead
from trainables.data.store import Store
from trainables.data.text.token_data import TokenData
from trainables.data.text.windows import random_windows, spaced_windows
from trainables.task import Batch, Task

AHEAD = 4  # batches


class LanguageTask(Task):
    """Next-token prediction on random windows; the loss is in nats per token. The splits share no text."""

    context: int
    """Tokens in a window."""
    eval_windows = 640
    """The number of evenly spaced windows of the validation or test text that are evaluated."""
    eval_batch = 32

    @property
    @abstractmethod
    def data(self) -> TokenData: ...

    @abstractmethod
    def network(self, vocabulary: int) -> nn.Module:
        """Tokens (b, length) to logits (b, length, vocabulary or more), each predicted from the tokens up to it."""

    @cached_property
    def store(self) -> Store:
        return self.data.open(task=self.name)

    def model(self) -> nn.Module:
        return self.network(self.store.facts["vocabulary"])

    def train_batches(self, *, seed: int, start: int) -> Iterator[Batch]:
        stream = random_windows(
            self.store.array("train"),
            context=self.context,
            batch_size=self.batch_size,
            seed=seed,
            start=start,
        )
        return ahead(((window,) for window in stream), AHEAD)

    def prepared(self, batch: Batch) -> Batch:
        return shifted(batch[0])

    def eval_batches(self, split: str) -> Iterable[Batch]:
        stream = spaced_windows(
            self.store.array(split),
            context=self.context,
            count=self.eval_windows,
            batch_size=self.eval_batch,
        )
        return map(shifted, stream)


def shifted(window: Tensor) -> Batch:
    """Inputs and the targets that follow them, (b, context) int64 each, of windows (b, context + 1)."""
    window = window.long()
    return window[:, :-1], window[:, 1:]
