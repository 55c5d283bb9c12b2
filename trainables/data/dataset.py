"""A data set by name: the place of its store, the error if it is missing, its preparation."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from ire.invalid_input import InvalidInput
from trainables.data.folder import data_folder
from trainables.data.originals import Say, unpacked
from trainables.data.store import INDEX, Store, open_store


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the files of a text are read; other data sets take no such options."""

    tokenizer: str | None = None
    """`--tokenizer`; None means the data set's own."""
    glob: str | None = None
    """`--glob`: which files of a folder are read; None means all whose names look like those of texts."""


AS_USUAL = Reading()


class DataSet(ABC):
    """One data set; several tasks may use it. Stateless: its store is `data_folder()` / `name`."""

    name: str

    @property
    @abstractmethod
    def accepts(self) -> str:
        """What `--from` accepts, for messages."""

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
        """Whether the folder holds a complete store."""
        return (self.folder / INDEX).is_file()

    def verify(self, store: Store) -> None:
        """Check everything that the index of `store` says; raises `InvalidInput` naming the first file that differs."""
        store.verify()

    def prepare(
        self,
        source: Path | None,
        downloads: Path,
        say: Say,
        *,
        into: Path | None = None,
        how: Reading = AS_USUAL,
    ) -> Store:
        """Make the store from `source`, or from a download, in `into`; raises `InvalidInput`."""
        if source is not None:
            return self.convert(source, say, into=into, how=how)
        return self.fetch(downloads, say, into=into or self.folder, how=how)

    def fetch(self, downloads: Path, say: Say, *, into: Path, how: Reading) -> Store:
        """Make the store in `into` from what can be downloaded, and is kept below `downloads`."""
        self.check_options(how)
        return self.convert(self.download(downloads, say), say, into=into, how=how)

    def convert(self, source: Path, say: Say, *, into: Path | None = None, how: Reading = AS_USUAL) -> Store:
        """Make the store in the folder `into`, by default its own, from the folder or archive `source`.

        Raises `InvalidInput` for other data, or for options in `how` that the data set does not take.
        """
        self.check_options(how)
        into = into or self.folder
        with unpacked(source, into, say) as folder:
            return self.read(folder, say, into=into)

    def check_options(self, how: Reading) -> None:
        """Raise `InvalidInput` for options that only text data sets take."""
        for name, value in (("--tokenizer", how.tokenizer), ("--glob", how.glob)):
            if value is not None:
                raise InvalidInput(f"{name} {value!r}: {self.name} is not a text data set")

    @abstractmethod
    def read(self, folder: Path, say: Say, *, into: Path) -> Store:
        """Make the store in `into` from the files in `folder`; raises `InvalidInput` if they are another data set."""

    def download(self, into: Path, say: Say) -> Path:
        """Fetch the original data below `into` and return what `convert` takes; raises `InvalidInput` offline."""
        raise NotImplementedError
