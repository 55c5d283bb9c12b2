"""`ire data prepare`: from the original files, here or downloaded, to what tasks read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ire.invalid_input import InvalidInput
from ire.storage.file_lock import try_lock
from trainables.data.dataset import DataSet, Say
from trainables.data.folder import data_folder, data_in
from trainables.data.store import Store
from trainables.data.text.encoders import is_called
from trainables.task import load_task


def prepare(
    task: str,
    *,
    into: Path | None = None,
    source: Path | None = None,
    tokenizer: str | None = None,
    say: Say = print,
) -> Path:
    """Prepare the data of `task` below `into` (the data folder by default) and return its folder.

    It comes from `source`, or is downloaded. A data set that is complete is verified and left alone, unless a `source`
    is given; one that is damaged is never replaced by what may be another. `tokenizer` is for texts: see
    `trainables.data.text.encoders`. Raises `InvalidInput`.
    """
    with data_in(into):
        data = data_of(task)
        if data.is_prepared and source is None:
            say(f"{data.folder} is complete; verifying its checksums")
            _check_tokenizer(_verified(data, task), tokenizer)
            return data.folder
        if source is not None and not source.exists():
            raise InvalidInput(f"--from {str(source)!r} does not exist; takes {data.accepts}")
        with _alone_in(data.folder):
            store = data.prepare(source, data_folder() / "downloads" / data.name, say, tokenizer=tokenizer)
        say(f"{data.name} is ready in {store.folder}")
        return store.folder


def _verified(data: DataSet, task: str) -> Store:
    try:
        store = data.open(task=task)
        store.verify()
    except InvalidInput as error:
        raise InvalidInput(
            f"{error}; if it was prepared --from a folder or with a --tokenizer give them again, else delete "
            f"{str(data.folder)!r} first"
        ) from error
    return store


def _check_tokenizer(store: Store, asked: str | None) -> None:
    """Raise `InvalidInput` if the tokens of the store are not those that `asked` would give."""
    made_by = store.facts.get("tokenizer")
    if asked is not None and not is_called(asked, made_by, store.folder):
        raise InvalidInput(
            f"--tokenizer {asked!r}: the data in {str(store.folder)!r} has {made_by or 'no tokens'}; "
            "choose another --dir, or delete that folder first"
        )


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / ".lock"
    with lock.open("a") as file:
        if not try_lock(file):
            raise InvalidInput(f"{str(folder)!r} is being prepared by another process: wait for it")
        try:
            yield
        finally:
            if list(folder.iterdir()) == [lock]:  # nothing came of it
                lock.unlink()
                folder.rmdir()


def data_of(task: str) -> DataSet:
    """The data set of `task`; raises `InvalidInput` if it needs none."""
    data = load_task(task).data
    if data is None:
        raise InvalidInput(f"{task} needs no data to be prepared")
    return data
