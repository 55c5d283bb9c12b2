"""A data set by name: where its store lies, what a task is told if it is missing, how it is prepared."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from ire.invalid_input import InvalidInput
from trainables.data.folder import data_folder
from trainables.data.store import INDEX, Store, open_store

Say = Callable[[str], None]


class DataSet(ABC):
    """One data set; several tasks may use it. Stateless: it lies under `data_folder()` / `name`."""

    name: str
    accepts: str
    """What `--from` takes, for messages."""

    @property
    def folder(self) -> Path:
        return data_folder() / self.name

    def open(self, *, task: str) -> Store:
        """The prepared data; raises `InvalidInput` with the command that prepares it for `task`."""
        folder = self.folder
        return open_store(
            folder, remedy=f"run `ire data prepare {task} --dir {folder.parent}` (offline: add --from FOLDER)"
        )

    @property
    def is_prepared(self) -> bool:
        """Whether a complete store lies there."""
        return (self.folder / INDEX).is_file()

    def prepare(
        self, source: Path | None, downloads: Path, say: Say, *, tokenizer: str | None = None
    ) -> Store:
        """Make the store from `source`, or from what can be downloaded; raises `InvalidInput`."""
        if tokenizer is not None:
            raise InvalidInput(f"--tokenizer {tokenizer!r}: {self.name} is no text")
        if source is None:
            say(f"downloading {self.name} into {downloads}")
            downloads.mkdir(parents=True, exist_ok=True)
            source = self.download(downloads, say)
        return self.convert(source, say)

    @abstractmethod
    def convert(self, source: Path, say: Say) -> Store:
        """Make the store out of what lies in `source`; raises `InvalidInput` if that is not the data set."""

    def download(self, into: Path, say: Say) -> Path:
        """Fetch the original data below `into` and return what `convert` takes; raises `InvalidInput` offline."""
        raise NotImplementedError
