"""What a run of a sweep was made with: versions, code and machine, recorded each time it is started or resumed."""

import hashlib
import importlib.util
import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "ray", "optuna", "numpy")
OURS = ("ire", "trainables", "search_spaces", "sweeps")


def versions() -> dict[str, str]:
    """Python, the main libraries, our own release, and a checksum of our code, which tells apart unreleased states."""
    found = {"python": platform.python_version(), "ire": _version("ire"), "code": code_checksum()}
    return found | {name: _version(name) for name in LIBRARIES}


def machine() -> dict[str, Any]:
    """The machine that drives the sweep."""
    import torch

    from trainables.hardware import hardware

    cpu = hardware(torch.device("cpu"))
    return {"host": platform.node(), "cpu": cpu, "cpus": os.cpu_count(), "system": platform.platform()}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What changed between two `versions`, each as `torch 2.14.0 -> 2.15.0`."""
    return [
        f"{name} {before[name]} -> {now[name]}"
        for name in now
        if name in before and before[name] != now[name]
    ]


@cache
def code_checksum() -> str:
    """Twelve hexadecimal digits that change with every change of our packages' source."""
    digest = hashlib.sha256()
    for package in OURS:
        (folder,) = importlib.util.find_spec(package).submodule_search_locations
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in (".py", ".toml"):
                digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
