"""Finds a training function by its name: `train.py:train`, a script's path, or `my_pkg.train:train`, a module's name.

Such a name leads to code that will run. A script's folder becomes the first on the path, as when Python runs the
script, so that it can import the modules beside it.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ire.entry_points import TASKS, is_installed, registered
from ire.extras import extra_of
from ire.invalid_input import GUARD, OF_NO_OTHER, InvalidInput, exited, unknown
from ire.trial.scale import split_scale
from ire.trial.script import SUFFIX, is_script
from trainables.functions.in_process import held, is_of_no_file
from trainables.functions.sources import Sources, is_at_hand, loaded_from
from trainables.task import Task, load_task, search_for_modules, task_names

IMPORTING: list[str] = []
"""The names being imported at this moment; a script that starts a sweep on import would recurse forever."""


@dataclass(frozen=True, kw_only=True)
class TrainingFunction:
    """A function that trains one trial, its only argument."""

    name: str
    """The name that a sweep records: `train.py:train`, `my_pkg.train:train`."""
    call: Callable[[Any], Any]
    folder: str | None = None
    """The folder from which its module and those beside it are imported; None if the function has no file."""
    package: str | None = None
    """The package that contains it; None for a script, which owns all modules beside it."""

    @property
    def sources(self) -> Sources | None:
        """The source of all modules that have been imported from its folder so far."""
        return None if self.folder is None else loaded_from(self.folder, package=self.package)


def load_workload(task: str, import_path: Iterable[str] = ()) -> Task | TrainingFunction:
    """The task, or the training function, of that name; raises `InvalidInput`.

    A script is searched in `import_path`, then in the current folder, and its folder becomes the first on the path.
    """
    name, _ = split_scale(task)
    if is_of_no_file(name):
        return as_function(held(name), name=name)
    if ":" not in name or name in registered(TASKS) or name in task_names():
        return load_task(task)
    module_name, _, attribute = name.partition(":")
    if "" in module_name.split("."):  # `import_module` raises something else for each kind
        raise InvalidInput(
            f"task {name!r}: name a script or a module, as in train.py:train or my_pkg.train:train"
        )
    if module_name == "__main__":
        raise InvalidInput(f"task {name!r}: {OF_NO_OTHER.format(attribute)}")
    if is_script(name):
        folder = _folder_of(module_name, import_path, name)
        module_name = module_name.removesuffix(SUFFIX)
        _put_first(folder, module_name)
    else:
        search_for_modules([*import_path, os.getcwd()])
        folder = None
    IMPORTING.append(name)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        extra = extra_of(error.name or "") if isinstance(error, ModuleNotFoundError) else None
        remedy = f": pip install 'ire[{extra}]'" if extra else ""
        if folder is not None and "relative import" in str(error):
            package = Path(folder).name
            remedy = (
                f": start in the folder above, and name it by its module: {package}.{module_name}:{attribute}"
            )
        raise InvalidInput(f"task {name!r}: cannot import {module_name!r} ({error}){remedy}") from error
    except SystemExit as end:
        raise exited(f"task {name!r}: the import of {module_name!r}", end, remedy=GUARD) from end
    finally:
        IMPORTING.pop()
    found = getattr(module, attribute, None)
    if isinstance(found, type) and folder is not None:
        raise InvalidInput(
            f"task {name!r}: {attribute} is a class; start in the folder of the file, and name it by its module: "
            f"{module_name}:{attribute}"
        )
    if isinstance(found, type):
        return load_task(task)
    if not callable(found):
        own = {key: value for key, value in vars(module).items() if inspect.isfunction(value)}
        functions = [
            key for key, value in own.items() if value.__module__ == module.__name__ and key[0] != "_"
        ]
        raise unknown("training function or task class", attribute, functions, where=module_name)
    check_signature(found, name=name)
    if folder is not None:
        return TrainingFunction(name=name, call=found, folder=folder)
    package = module_name.partition(".")[0]
    return TrainingFunction(
        name=name, call=found, folder=_home(module_name, module.__file__), package=package
    )


def source_versions(task: str, import_path: Iterable[str], known: Iterable[str] = ()) -> dict[str, str]:
    """Checksums, by file, of the script of that name and of the files imported from its folder so far.

    For a function of an imported module, those of the files imported from its package. Imports nothing; files that
    cannot be found are left out, and other forms of tasks have no checksums. `known` are files that an earlier run
    recorded; trials may import some of them later, so they are read from disk.
    """
    if not is_script(task):
        module_name, _, attribute = split_scale(task)[0].partition(":")
        return _versions_of_package(module_name, attribute, known)
    file = split_scale(task)[0].partition(":")[0]
    folder = next((folder for folder in [*import_path, os.getcwd()] if (Path(folder) / file).is_file()), None)
    if folder is None:
        return {}
    found = loaded_from(folder)
    script = (Path(folder) / file).read_text(encoding="utf-8", errors="surrogateescape")
    return _checksums(folder, {file: script, **found.texts}, known)


def _checksums(folder: str, texts: Mapping[str, str], known: Iterable[str]) -> dict[str, str]:
    others = {
        name: (Path(folder) / name).read_text(encoding="utf-8", errors="surrogateescape")
        for name in known
        if name.endswith(SUFFIX) and name not in texts and _lies_in(folder, name)
    }
    return Sources(folder=folder, texts={**others, **texts}).checksums()


def _lies_in(folder: str, name: str) -> bool:
    """Whether the folder contains this file; the name comes from records, which may be another person's."""
    path = (Path(folder) / name).resolve()
    return path.is_file() and path.is_relative_to(Path(folder).resolve())


def _versions_of_package(module_name: str, attribute: str, known: Iterable[str]) -> dict[str, str]:
    module = sys.modules.get(module_name)
    found = getattr(module, attribute, None)
    if module is None or not callable(found) or isinstance(found, type):
        return {}
    folder = _home(module_name, module.__file__)
    if not folder:
        return {}
    return _checksums(folder, loaded_from(folder, package=module_name.partition(".")[0]).texts, known)


def check_signature(function: Callable[..., Any], *, name: str) -> None:
    """Raise `InvalidInput` unless `function` can be called with the trial alone, and runs when it is called."""
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidInput(f"{name}: a training function is an ordinary one, without `async` and `yield`")
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        shown = f"{name}{inspect.signature(function)}"
        raise InvalidInput(
            f"{shown}: a training function is called with one argument, the trial: def train(trial): ... ({error})"
        ) from error
    except ValueError:  # a function without a signature
        return


def _folder_of(file: str, import_path: Iterable[str], name: str) -> str:
    folders = [*import_path, os.getcwd()]
    for folder in folders:
        if (Path(folder) / file).is_file() or is_at_hand(file.removesuffix(SUFFIX)):
            return str(Path(folder).resolve())
    raise InvalidInput(
        f"task {name!r}: there is no {file!r} in {' or '.join(map(repr, dict.fromkeys(folders)))}; run the command in "
        "the folder of the script"
    )


def _put_first(folder: str, module: str) -> None:
    """Put the folder first on the path, as Python does for a script; forget modules that another script has imported.

    These are the script's own name from elsewhere, and users' modules with the names of those beside it.
    """
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)
    beside = {path.name.removesuffix(SUFFIX) for path in Path(folder).glob("*")} - {"__main__"}
    for name, known in list(sys.modules.items()):
        file = getattr(known, "__file__", None)
        top = name.partition(".")[0]
        if file is None or not (top in beside or is_at_hand(top)):  # a worker may not see the folder
            continue
        is_elsewhere = not Path(file).resolve().is_relative_to(folder)
        if is_elsewhere and (name == module or not is_installed(Path(file))):
            del sys.modules[name]


def _home(module: str, file: str | None) -> str | None:
    """The folder on the path from which a module of that name was imported."""
    if file is None:
        return None
    folder = Path(file).resolve().parent
    for _ in range(module.count(".") + (Path(file).name == "__init__.py")):
        folder = folder.parent
    return str(folder)


def as_function(function: Callable[[Any], Any], *, name: str | None = None) -> TrainingFunction:
    """A training function from a function object, such as a notebook's; a sweep records `name`."""
    check_signature(function, name=name or function.__name__)
    return TrainingFunction(name=name or function.__name__, call=function)
