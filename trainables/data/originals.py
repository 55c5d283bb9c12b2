"""The source given with `--from`: a folder, or an archive that is unpacked while it is read.

Unpacked files are removed afterwards, and every error names the file that the user gave.
"""

import contextlib
import hashlib
import lzma
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator
from pathlib import Path
from tarfile import HeaderError, ReadError
from typing import Self

from ire.invalid_input import InvalidInput
from trainables.data.store import is_store
from trainables.data.untyped import pyarrow

Say = Callable[[str], None]
ARCHIVES = (
    *(".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.zst", ".tzst"),
    ".zip",
)
ZSTD = b"\x28\xb5\x2f\xfd"
"""The first bytes of a file that is compressed by zstd."""
ENCRYPTED = 1
"""The bit among the flags of a zip file's member."""
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


def is_of_the_system(error: BaseException) -> bool:
    """Whether an error is the system's, such as a full disk or a missing permission, and not damage of a file."""
    return isinstance(error, OSError) and error.errno is not None


def reason(error: BaseException) -> str:
    """What a library says of a damaged file, in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")


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


def is_hidden(path: Path) -> bool:
    """Whether a file or folder has the name of something that operating systems and editors leave behind."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def files_below(root: Path) -> list[Path]:
    """All files of a folder except hidden ones, in order; for a file, the file alone. Links are followed.

    The folders of prepared data below `root` are no originals, and are left out.
    Raises `InvalidInput` for a link to nothing, and `OSError` for a folder that cannot be read: no file is left out.
    """
    if root.is_file():
        return [root]
    base = Path(os.path.realpath(root))
    around = {str(root): {base}}
    found: list[Path] = []
    for folder, inner, names in os.walk(root, onerror=_raised, followlinks=True):
        for name in list(inner):
            path = Path(folder, name)
            place = Path(os.path.realpath(path))
            is_found_anyway = place.is_relative_to(base) and not _is_below_hidden(place, base)
            is_around = base.is_relative_to(place) or place in around[folder]
            if is_hidden(path) or is_store(path) or (path.is_symlink() and (is_found_anyway or is_around)):
                inner.remove(name)
            else:
                around[os.path.join(folder, name)] = {*around[folder], place}
        found += [
            path for path in (Path(folder, name) for name in names) if not is_hidden(path) and _is_there(path)
        ]
    return sorted(found)


def _is_there(path: Path) -> bool:
    """Whether a path is a file, not a pipe or a socket; raises `InvalidInput` for a link to nothing."""
    if path.is_file():
        return True
    if path.is_symlink() and not path.exists():
        raise InvalidInput(
            f"{path}: is a link to {os.readlink(path)!r}, which does not exist; fetch it (of git-annex: `git annex get "
            f"{path.name}`), or remove the link"
        )
    return False


def _is_below_hidden(path: Path, root: Path) -> bool:
    return any(is_hidden(Path(part)) for part in path.relative_to(root).parts)


def _raised(error: OSError) -> None:
    raise error


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder except hidden ones, in order."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path))


def fingerprint(source: Path) -> str:
    """A fingerprint of the names, sizes and times of the files of `source`, to recognise what was read before."""
    digest = hashlib.sha256(os.fsencode(source.resolve()))
    for path in files_below(source):
        status = path.stat()
        digest.update(os.fsencode(f"{path.relative_to(source)}\0{status.st_size}\0{status.st_mtime_ns}\n"))
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
    if not is_archive(source) and not _is_tar(source) and not zipfile.is_zipfile(source):
        raise InvalidInput(f"{source}: neither a folder nor an archive ({', '.join(ARCHIVES)})")


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except EOFError:  # compressed, and cut off in its first block
        return True


class Refused(Exception):
    """A member of an archive that is not a plain file in its own folder."""


FILTERED: type[Exception] = getattr(tarfile, "FilterError", Refused)
"""What `tarfile` raises for such a member; Python before 3.11.4 has no filters."""


class WholeMember(tarfile.TarInfo):
    """A member of a tar file that is read to its end: `tarfile` alone takes a lost or damaged header for the end."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            is_the_end = type(error).__name__ == "EOFHeaderError"  # which the stub of tarfile lacks
            if is_the_end:
                raise
            raise ReadError(f"{error}, where a member or the end must be") from error


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


def _unzip(opened: zipfile.ZipFile, into: Path) -> None:
    """The same of a zip file, whose links would become files that hold the name of another."""
    for member in opened.infolist():
        if member.flag_bits & ENCRYPTED:
            raise Refused(f"{member.filename!r} is encrypted: unpack the file with its password")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise Refused(f"{member.filename!r} is a link: unpack the file, and give its folder")
    opened.extractall(into)


def unpack(archive: Path, into: Path) -> None:
    """Unpack a tar or zip file; raises `InvalidInput`, with its name, if it is damaged or would write elsewhere.

    Its content says which kind it is. A tar file is looked for first, since its last member may be a zip file, which
    then also ends it.
    """
    try:
        with archive.open("rb") as file:
            is_zstd = file.read(len(ZSTD)) == ZSTD
        if is_zstd:
            with (
                pyarrow().input_stream(str(archive), compression="zstd") as stream,
                tarfile.open(fileobj=stream, mode="r|", tarinfo=WholeMember) as opened,
            ):
                _take_out(opened, into)
        elif _is_tar(archive) or not zipfile.is_zipfile(archive):
            with tarfile.open(archive, tarinfo=WholeMember) as opened:
                _take_out(opened, into)
        else:
            with zipfile.ZipFile(archive) as opened:
                _unzip(opened, into)
    except (Refused, FILTERED) as error:
        raise InvalidInput(
            f"{archive}: a member is refused: only plain files in their own folder are unpacked ({error}); nothing was "
            "unpacked"
        ) from error
    except UNREADABLE as error:
        if is_of_the_system(error):
            raise
        raise InvalidInput(f"{archive}: truncated or damaged ({reason(error)}); fetch it again") from error
