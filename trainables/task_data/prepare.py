"""`ire data prepare`: converts the original files, local or downloaded, to the form that tasks read.

A store is made in a separate folder and moved into place when it is complete, so a folder always holds the whole data
of one source.
"""

import contextlib
import shutil
from collections.abc import Generator
from pathlib import Path

from ire.invalid_input import InvalidInput, expanded
from ire.storage.file_lock import try_lock
from trainables.data.dataset import DataSet, Reading
from trainables.data.folder import data_folder, data_in
from trainables.data.originals import Say, fingerprint
from trainables.data.store import Store, note_origin, open_store
from trainables.data.text.encoders import is_called
from trainables.data.text.token_writer import PROGRESS
from trainables.task import load_task


def prepare(
    task: str,
    *,
    into: Path | None = None,
    source: Path | None = None,
    tokenizer: str | None = None,
    glob: str | None = None,
    replace: bool = False,
    say: Say = print,
) -> Path:
    """Prepare the data of `task` below `into` (the data folder by default) and return its folder.

    The data comes from `source`, or is downloaded. A complete data set is verified and left unchanged: other data
    replaces it only with `replace`. A damaged one is repaired from the source it was made from. `tokenizer` and
    `glob`, which selects files of a folder, are for texts: see `trainables.data.text`. Raises `InvalidInput`.
    """
    with data_in(into):
        data = data_of(task)
        source = source and expanded(source)
        if source is not None and not source.exists():
            raise InvalidInput(f"--from {str(source)!r} does not exist; takes {data.accepts}")
        if source is not None and not (source.is_file() or source.is_dir()):
            raise InvalidInput(f"--from {str(source)!r}: neither a file nor a folder; takes {data.accepts}")
        if source is not None and source.resolve().is_relative_to(data.folder.resolve()):
            raise InvalidInput(
                f"--from {str(source)!r}: lies in the prepared data, {str(data.folder)!r}, which it would replace; "
                "move it elsewhere, or choose another --dir"
            )
        how = Reading(tokenizer=tokenizer, glob=glob)
        with _alone(data):
            _recover(data)
            if data.is_prepared and not replace:
                if source is None:
                    say(f"{data.folder} is complete; verifying its checksums")
                    _check_tokenizer(_verified(data, task), tokenizer)
                    return data.folder
                if _holds(data, task, source, how):
                    say(
                        f"{data.folder} is complete and was made from the same files; its checksums are correct"
                    )
                    return data.folder
            _make(data, task, source, how, replace=replace, say=say)
        store = data.open(task=task)
        say(f"{data.name} is ready in {store.folder}: {store.identity}")
        return store.folder


def _make(data: DataSet, task: str, source: Path | None, how: Reading, *, replace: bool, say: Say) -> None:
    """Make the store beside its final place, then move it there."""
    new = _beside(data, "new")
    is_begun = (new / PROGRESS).is_file()  # of a text, which continues where it was stopped
    if not is_begun:
        shutil.rmtree(new, ignore_errors=True)
    for left in new.glob("unpacked-*"):  # left by a process that was killed
        shutil.rmtree(left)
    try:
        downloads = data_folder() / "downloads" / data.name
        store = data.prepare(source, downloads, say, into=new, how=how)
        if data.is_prepared and not replace:
            _check_repaired(data, store)
        if source is not None:
            note_origin(store, source=str(source.resolve()), fingerprint=_fingerprint(source, how.glob))
    except BaseException as error:
        can_continue = is_begun if isinstance(error, InvalidInput) else (new / PROGRESS).is_file()
        if not can_continue:
            shutil.rmtree(new, ignore_errors=True)
        if isinstance(error, OSError) and error.filename is None:  # as with a full disk
            error.filename = str(data.folder)
        raise
    place, old = data.folder.resolve(), _beside(data, "old")
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _beside(data: DataSet, what: str) -> Path:
    place = data.folder.resolve()
    return place.with_name(f".{place.name}.{what}")


def _recover(data: DataSet) -> None:
    """Undo a replacement that was interrupted between its two renames, and end one that was interrupted after them."""
    place, old = data.folder.resolve(), _beside(data, "old")
    if old.exists() and not place.exists():
        old.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _fingerprint(source: Path, glob: str | None) -> str:
    return f"{fingerprint(source)}{'' if glob is None else f' {glob}'}"


def _holds(data: DataSet, task: str, source: Path, how: Reading) -> bool:
    """Whether the store is intact and made from `source`; False if it is damaged; `InvalidInput` for other data."""
    try:
        store = data.open(task=task)
        data.verify(store)
    except InvalidInput:
        return False
    origin = store.index.get("made_from", {})
    if origin.get("fingerprint") == _fingerprint(source, how.glob):
        _check_tokenizer(store, how.tokenizer)
        return True
    of = f", made from {origin['source']!r}" if origin else ""
    raise InvalidInput(
        f"{str(data.folder)!r} already holds {store.identity}{of}: to replace it with {str(source)!r} add "
        "--replace (trials on the old data can then not continue), or choose another --dir"
    )


def _check_repaired(data: DataSet, made: Store) -> None:
    """Raise `InvalidInput` if the store made in place of a damaged one does not hold the same data."""
    try:
        before = open_store(data.folder, remedy="", check_sizes=False).index["arrays"]
    except InvalidInput:
        return  # its index cannot be read either
    if before != made.index["arrays"]:
        raise InvalidInput(
            f"the data in {str(data.folder)!r} is damaged, and the source is not the data it was made from; add "
            "--replace to use it anyway"
        )


def _verified(data: DataSet, task: str) -> Store:
    try:
        store = data.open(task=task)
        data.verify(store)
    except InvalidInput as error:
        raise InvalidInput(
            f"{error}; if it was prepared with --from or --tokenizer, give them again, otherwise delete "
            f"{str(data.folder)!r} first"
        ) from error
    return store


def _check_tokenizer(store: Store, asked: str | None) -> None:
    """Raise `InvalidInput` if the tokenizer `asked` would not give the tokens of the store."""
    made_by = store.facts.get("tokenizer")
    if asked is not None and not is_called(asked, made_by, store.folder):
        raise InvalidInput(
            f"--tokenizer {asked!r}: the data in {str(store.folder)!r} has {made_by or 'no tokens'}; "
            "choose another --dir, or add --replace"
        )


@contextlib.contextmanager
def _alone(data: DataSet) -> Generator[None, None, None]:
    """Hold the lock of a data set; raises `InvalidInput` if another process prepares it."""
    path = _beside(data, "lock")
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = try_lock(path)
    if lock is None:
        raise InvalidInput(f"{str(data.folder)!r} is being prepared by another process: wait for it")
    try:
        with lock:
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # Windows does not delete open files
                    path.unlink()
    finally:
        for folder in made:  # the preparation failed
            with contextlib.suppress(OSError):
                folder.rmdir()


def data_of(task: str) -> DataSet:
    """The data set of `task`; raises `InvalidInput` if it needs none."""
    data = load_task(task).data
    if data is None:
        raise InvalidInput(f"{task} needs no data to be prepared")
    return data
