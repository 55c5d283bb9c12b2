"""The checks of `ire doctor`: versions, GPUs, NCCL, disk, token, shared storage, and what would fail in a sweep.

torch is imported when used.
"""

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from ire.invalid_input import InvalidInput
from ire.storage.storage import check_uri
from ire.sweeps.ray.cluster import check_shared, connected, nodes, this_machine, token_in_use

LIBRARIES = ("ire", "torch", "triton", "ray", "optuna", "numpy")
LITTLE = 5 * 2**30
"""Bytes of free disk space below which a sweep is likely to fill the disk."""
MOSTLY_FREE = 0.9
"""Share of a GPU's memory; if less is free, other processes use it."""
LITTLE_SHARED_MEMORY = 2**30
"""Bytes of free /dev/shm below which Ray stores shared objects on disk."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check."""

    about: str
    text: str
    fails: str | None = None
    """What would fail, and the remedy; None if nothing would."""


def findings(
    *, storage: str | Path, data_dir: Path, address: str | None = None, workers: int = 1
) -> Iterator[Finding]:
    """The results of all checks, one after another; leaves nothing behind. Several `workers` also communicate once."""
    yield versions()
    yield gpus()
    yield nccl()
    yield compilers()
    yield (disk("experiments", Path(storage)) if "://" not in str(storage) else store(str(storage)))
    yield disk("data", data_dir)
    yield disk("temporary files", Path(tempfile.gettempdir()))
    yield shared_memory()
    yield token()
    if workers > 1:
        yield group(workers)
    if address or os.environ.get("RAY_ADDRESS"):
        yield cluster(address, storage)


def store(location: str) -> Finding:
    fails = None
    try:
        check_uri(location)
    except InvalidInput as error:
        fails = str(error)
    return Finding(about="experiments", text=f"{location}, an object store", fails=fails)


def versions() -> Finding:
    found = [f"Python {platform.python_version()}"]
    lacking: list[str] = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lacking.append(name)
    needed = [name for name in ("ray", "optuna") if name in lacking]
    fails = f"no {' and no '.join(needed)}: pip install 'ire[sweep]'" if needed else None
    return Finding(about="versions", text=", ".join(found), fails=fails)


def gpus() -> Finding:
    import torch

    if torch.cuda.is_available():
        found = [_gpu(number) for number in range(torch.cuda.device_count())]
        return Finding(
            about="GPUs",
            text=f"{', '.join(text for text, _ in found)}; CUDA {torch.version.cuda}",
            fails="; ".join(fails for _, fails in found if fails) or None,
        )
    if shutil.which("nvidia-smi") is None:
        return Finding(about="GPUs", text="none: trials run on the CPU")
    build = f"torch {torch.__version__} is built " + (
        f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    )
    return Finding(
        about="GPUs",
        text="a driver is installed, but torch sees no GPU",
        fails=f"trials would run on the CPU: {build}; install a build that fits the driver (pytorch.org), and check "
        f"CUDA_VISIBLE_DEVICES ({os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')})",
    )


def _gpu(number: int) -> tuple[str, str | None]:
    """A GPU's name and memory, and what is wrong with it: one kernel is run there."""
    import torch

    from trainables.training.placement import why_unusable

    cuda = cast(Any, torch.cuda)
    device = cuda.get_device_properties(number)
    text = f"{device.name} {device.total_memory / 2**30:.0f} GiB"
    if why := why_unusable(f"cuda:{number}"):
        return text, f"GPU {number} cannot be used ({why}); `nvidia-smi` shows who uses it, and in which mode"
    free, total = cuda.mem_get_info(number)
    return f"{text}, {free / 2**30:.0f} free" if free < MOSTLY_FREE * total else text, None


def nccl() -> Finding:
    import torch

    if not torch.distributed.is_available():
        return Finding(
            about="NCCL", text="none", fails="--workers 2 or more: this torch has no torch.distributed"
        )
    if not torch.distributed.is_nccl_available():
        there = torch.cuda.is_available()
        fails = "--workers 2 or more on GPUs: this torch has no NCCL" if there else None
        return Finding(about="NCCL", text="not in this torch; workers on CPUs use gloo", fails=fails)
    from torch.cuda import nccl as library

    version = ".".join(map(str, library.version()))
    return Finding(about="NCCL", text=f"{version}; it refuses two workers on one GPU")


def compilers() -> Finding:
    """Whether code can be compiled for the CPU; takes some seconds. A sweep without --compile needs no compiler."""
    from ire.optim.steps.kernels import kernels
    from trainables.training.compiling import check_compiling

    step = "one pass over memory" if kernels() else "several passes, as no C compiler built its kernel"
    try:
        check_compiling()
        text = "--compile works"
    except InvalidInput as error:
        text = str(error)
    return Finding(about="compilers", text=f"{text}; IRE's step on a CPU: {step}")


def disk(about: str, folder: Path) -> Finding:
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.exists(path))
    free = shutil.disk_usage(there).free
    fails = None
    if not os.access(there, os.W_OK):
        fails = f"{there} cannot be written to"
    elif free < LITTLE:
        fails = f"less than {LITTLE / 2**30:.0f} GiB are free at {there}"
    return Finding(about=about, text=f"{folder.absolute()}, {free / 2**30:,.0f} GiB free", fails=fails)


def shared_memory() -> Finding:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Finding(about="shared memory", text="no /dev/shm on this system")
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB free in /dev/shm"
    if free < LITTLE_SHARED_MEMORY:
        text += ": Ray uses the slower disk instead; give the container more, as in docker run --shm-size=8g"
    return Finding(about="shared memory", text=text)


def token() -> Finding:
    """The check of Ray's authentication token, which is never shown."""
    file = os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token")
    mode = os.environ.get("RAY_AUTH_MODE", "not set")
    where = (
        "in RAY_AUTH_TOKEN"
        if os.environ.get("RAY_AUTH_TOKEN")
        else f"in {file}"
        if os.path.isfile(file)
        else "none"
    )
    fails = None
    if mode == "token" and where == "none":
        fails = "RAY_AUTH_MODE=token without a token: `ray get-auth-token --generate`, or copy the cluster's"
    elif mode == "disabled" and where != "none":
        fails = "a cluster that requires a token cannot be joined: unset RAY_AUTH_MODE"
    return Finding(about="token", text=f"{where}; RAY_AUTH_MODE {mode}", fails=fails)


def group(workers: int) -> Finding:
    from ire.sweeps.ray.group_check import check_group

    (machine,) = this_machine()
    outcome = check_group(workers, int(machine.gpus))
    about = f"{workers} workers"
    if outcome.error is None:
        few = f" (on the CPU: {machine.gpus:g} GPUs are too few)" if outcome.backend == "gloo" else ""
        return Finding(about=about, text=f"communicate by {outcome.backend}{few}")
    return Finding(
        about=about, text=f"cannot train together by {outcome.backend}", fails=f"--workers: {outcome.error}"
    )


def cluster(address: str | None, storage: str | Path) -> Finding:
    def look() -> str:
        with connected(address):
            found = nodes()
            check_shared(storage if "://" in str(storage) else Path(storage).absolute())
        text = f"{len(found)} nodes, {sum(n.cpus for n in found):g} CPUs, {sum(n.gpus for n in found):g} GPUs"
        return f"{text}; joined with {token_in_use()}; all nodes see {storage}"

    return _tried("cluster", look)


def _tried(about: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(about=about, text=look())
    except InvalidInput as error:
        return Finding(about=about, text="does not work", fails=str(error))
