"""The versions, code and machine of a run, recorded whenever a sweep is started or resumed."""

import hashlib
import importlib.util
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ire.trial.script import is_script
from trainables.functions.in_process import is_of_no_file, source_checksum

LIBRARIES = ("torch", "ray", "optuna", "numpy")
OURS = ("ire", "trainables", "search_spaces")


def versions(task: str, import_path: Sequence[str] = (), known: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python, the main libraries and ire, and a checksum of our code, which identifies unreleased states.

    For a task from outside the package (`package.module:Class`) also a checksum of its module. For a training function
    also checksums, by name, of its file, of every file imported from its folder or package, and of the files in `known`
    from an earlier run, which may not be imported yet.
    """
    found = {"python": platform.python_version(), "ire": _version("ire"), "code": code_checksum()}
    checksum = task_checksum(task)
    found |= {"task": checksum} if checksum else {}
    if is_script(task) or task.partition(":")[0] in sys.modules:
        from trainables.functions.function import source_versions  # imports torch, which reports do not need

        found |= source_versions(task, import_path, known)
    return found | {name: _version(name) for name in LIBRARIES}


def machine() -> dict[str, Any]:
    """The machine that runs the sweep's driver."""
    import torch  # slow to load, and reports do without

    from trainables.training.hardware import hardware

    cpu = hardware(torch.device("cpu"))
    return {"host": platform.node(), "cpu": cpu, "cpus": os.cpu_count(), "system": platform.platform()}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The changes between two `versions`, each as `torch 2.14.0 -> 2.15.0`."""
    return [
        f"{name} {before[name]} -> {now[name]}"
        for name in now
        if name in before and before[name] != now[name]
    ]


@cache
def code_checksum() -> str:
    """A checksum of our packages' source, twelve hexadecimal digits."""
    digest = hashlib.sha256()
    for package in OURS:
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.submodule_search_locations, package
        folder = spec.submodule_search_locations[0]
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in (".py", ".toml"):
                digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def task_checksum(task: str) -> str | None:
    """The checksum of the module of a task from outside the package; None for our tasks, and without a file here."""
    if is_of_no_file(task):
        return source_checksum(task)
    module, colon, _ = task.partition(":")
    if not colon or is_script(task):
        return None
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # its package is missing, or has no specification
        return None
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()[:12]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
