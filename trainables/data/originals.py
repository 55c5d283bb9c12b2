"""The source given with `--from`: a folder, or an archive that is unpacked while it is read.

Unpacked files are removed afterwards, and every error names the file that the user gave.
"""

import contextlib
import hashlib
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator
from pathlib import Path

from ire.invalid_input import InvalidInput
from trainables.data.untyped import pyarrow

Say = Callable[[str], None]
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.zst", ".zip")
POINTERS = {b"version https://git-lfs.github.com/spec/": "Git LFS", b"/annex/objects/": "git-annex"}
"""The first bytes of a small file that stands for a large one elsewhere."""
UNREADABLE = (
    OSError,
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    RuntimeError,
)


def check_no_pointer(path: Path) -> None:
    """Raise `InvalidInput`, with the command that fetches the file, if Git LFS left a pointer in its place."""
    try:
        with path.open("rb") as file:
            beginning = file.read(64)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error})") from error
    for mark, name in POINTERS.items():
        if beginning.startswith(mark):
            command = "git lfs pull" if name == "Git LFS" else f"git annex get {path.name}"
            raise InvalidInput(
                f"{path}: is a {name} pointer, not the file itself: run `{command}` where it was cloned"
            )


def is_archive(path: Path) -> bool:
    """Whether the name is that of a supported archive."""
    return path.name.lower().endswith(ARCHIVES)


def is_hidden(path: Path, root: Path) -> bool:
    """Whether part of the path below `root` is something that operating systems and editors leave behind."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(root).parts)


def files_below(root: Path) -> list[Path]:
    """All files of a folder except hidden ones, in order; for a file, the file alone."""
    if root.is_file():
        return [root]
    return sorted(path for path in root.rglob("*") if path.is_file() and not is_hidden(path, root))


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder except hidden ones, in order."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path, folder))


def fingerprint(source: Path) -> str:
    """A fingerprint of the names, sizes and times of the files of `source`, to recognise what was read before."""
    digest = hashlib.sha256(str(source.resolve()).encode())
    for path in files_below(source):
        status = path.stat()
        digest.update(f"{path.relative_to(source)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def unpacked(source: Path, scratch: Path, say: Say) -> Generator[Path, None, None]:
    """The folder `source`, or the content of the archive `source` unpacked below `scratch` and removed at the end.

    Raises `InvalidInput` for anything else, and for an archive that is damaged or would write elsewhere.
    """
    if source.is_dir():
        yield source
        return
    check_archive(source)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unpacked-", dir=scratch) as folder:
        say(f"unpacking {source.name}")
        unpack(source, Path(folder))
        try:
            yield Path(folder)
        except InvalidInput as error:  # the user knows this file by another name
            raise InvalidInput(str(error).replace(folder, str(source))) from error


def check_archive(source: Path) -> None:
    """Raise `InvalidInput` unless `source` has the name or the content of an archive."""
    check_no_pointer(source)
    if not is_archive(source) and not tarfile.is_tarfile(source) and not zipfile.is_zipfile(source):
        raise InvalidInput(f"{source}: neither a folder nor an archive ({', '.join(ARCHIVES)})")


class Refused(Exception):
    """A member of an archive that is not a plain file in its own folder."""


FILTERED: type[Exception] = getattr(tarfile, "FilterError", Refused)
"""What `tarfile` raises for such a member; Python before 3.11.4 has no filters."""


def _take_out(opened: tarfile.TarFile, into: Path) -> None:
    """Extract plain files and folders, and no path outside of `into`."""
    if hasattr(tarfile, "data_filter"):
        opened.extractall(into, filter="data")
        return
    for member in opened:  # Python before 3.11.4 has no filters
        is_within = (into / member.name).resolve().is_relative_to(into.resolve())
        if not is_within or not (member.isfile() or member.isdir()):
            raise Refused(f"{member.name!r}")
        opened.extract(member, into, set_attrs=False)


def unpack(archive: Path, into: Path) -> None:
    """Unpack a tar or zip file; raises `InvalidInput`, with its name, if it is damaged or would write elsewhere."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(into)
        elif archive.name.lower().endswith(".zst"):
            with (
                pyarrow().input_stream(str(archive), compression="zstd") as stream,
                tarfile.open(fileobj=stream, mode="r|") as opened,
            ):
                _take_out(opened, into)
        else:
            with tarfile.open(archive) as opened:
                _take_out(opened, into)
    except (Refused, FILTERED) as error:
        raise InvalidInput(
            f"{archive}: a member is refused: it is not a plain file in its own folder ({error}); nothing was unpacked"
        ) from error
    except UNREADABLE as error:
        raise InvalidInput(
            f"{archive}: truncated or damaged ({str(error) or type(error).__name__}); fetch it again"
        ) from error
