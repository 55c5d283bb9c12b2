"""The source of a script and of the modules it imports from its folder, as data that is equal on every node.

A worker imports these texts instead of the files in the folder. So editing a script during a sweep changes none of its
trials, and nodes that cannot access the folder can train. `__file__` stays the path on the machine that started the
sweep.
"""

import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Modules of one folder; `texts` are by relative path, with forward slashes."""

    folder: str
    texts: Mapping[str, str]

    def checksums(self) -> dict[str, str]:
        """A checksum of each file, twelve hexadecimal digits, by relative path."""
        return {
            name: hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
            for name, text in sorted(self.texts.items())
        }


def loaded_from(folder: str | Path, *, package: str | None = None) -> Sources:
    """The modules of this process that were imported from `folder`, with the imported text or that on disk.

    A module counts if its name is its path below the folder, which excludes a virtual environment in the folder. With
    `package`, only that package and its modules count.
    """
    folder = Path(folder).resolve()
    texts: dict[str, str] = {}
    inside = os.path.normcase(os.path.join(folder, ""))
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or not str(file).endswith(".py") or (package and name.partition(".")[0] != package):
            continue
        # There are thousands of modules, and comparing paths is slow.
        if not os.path.normcase(os.path.normpath(file)).startswith(inside):
            continue
        below = Path(*name.split("."))
        if Path(file) not in (folder / below.with_suffix(".py"), folder / below / "__init__.py"):
            continue
        text = _text(module)
        if text is not None:
            texts[Path(file).relative_to(folder).as_posix()] = text
    return Sources(folder=str(folder), texts=texts)


def _text(module: ModuleType) -> str | None:
    loader = getattr(module.__spec__, "loader", None)
    if isinstance(loader, _Loader):
        return loader.text
    try:
        return Path(str(module.__file__)).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None


class Finder(importlib.abc.MetaPathFinder):
    """Imports the modules of `Sources` before any folder is searched."""

    def __init__(self, sources: Sources) -> None:
        self._modules: dict[str, tuple[str, str]] = {}
        for name, text in sources.texts.items():
            path = Path(name)
            parts = path.parent.parts if path.name == "__init__.py" else path.with_suffix("").parts
            self._modules[".".join(parts)] = os.path.join(sources.folder, name), text

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._modules:
            return None
        file, text = self._modules[fullname]
        places = [os.path.dirname(file)] if os.path.basename(file) == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, file, loader=_Loader(fullname, file, text), submodule_search_locations=places
        )


class _Loader(importlib.abc.SourceLoader):
    """Loads a module from its source text."""

    def __init__(self, name: str, file: str, text: str) -> None:
        self._file, self.text = file, text

    def get_filename(self, fullname: str) -> str:
        return self._file

    def exec_module(self, module: ModuleType) -> None:
        lines = self.text.splitlines(keepends=True)
        linecache.cache[self._file] = (
            len(self.text),
            None,
            lines,
            self._file,
        )  # tracebacks show this text, not what the file contains by then
        super().exec_module(module)

    def get_data(self, path: str) -> bytes:
        if path != self._file:
            raise OSError(path)
        return self.text.encode("utf-8", "surrogateescape")


def install(sources: Sources) -> None:
    """Import these modules from now on; modules that have been imported already stay unchanged."""
    sys.meta_path.insert(0, Finder(sources))


def is_at_hand(module: str) -> bool:
    """Whether a module of that name has been passed to `install`."""
    return any(isinstance(finder, Finder) and finder.find_spec(module) for finder in sys.meta_path)
