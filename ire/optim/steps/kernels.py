"""Builds the boosted step on the CPU as one pass over memory, with the machine's C compiler, in under a second.

`torch.compile` does the same in up to a minute. Without either, a step runs torch's own kernels on cache blocks: five
passes, in the cache. The library is built once for a machine, in `$XDG_CACHE_HOME/ire` (`~/.cache/ire`), and later
processes load it from there. It is not built in the background: the path of a step must not depend on timing, or runs
could not be reproduced. `IRE_KERNELS=0` switches it off.
"""

import ctypes
import functools
import hashlib
import math
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from ire.optim.steps.adam import Adam
from ire.optim.steps.boost import Boost
from ire.optim.steps.sgd import SGD

SOURCE = Path(__file__).with_name("kernels.c")
FLAGS = (
    "-O3",
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fPIC",
    "-shared",
)
COMPILERS = ("cc", "gcc", "clang")
SECONDS = 60
"""Time limit of the compiler."""
LARGE = 1 << 18
"""Tensors with fewer elements are not worth several threads."""
_PLAIN = (Tensor, torch.nn.Parameter)
"""Exact types: a subclass need not own plain memory."""
NAMES = {torch.float32: "f32", torch.float64: "f64"}

_P, _D, _I = ctypes.c_void_p, ctypes.c_double, ctypes.c_int
SIGNATURES = {
    "adam": [ctypes.c_int64, *[_P] * 5, *[_D] * 8],
    "sgd": [ctypes.c_int64, *[_P] * 4, *[_D] * 4, _I, _D],
    "adam_boost": [ctypes.c_int64, *[_P] * 4, *[_D] * 3],
    "go_on": [ctypes.c_int64, *[_P] * 3, *[_D] * 2],
}

Address = int | None
Run = Callable[[int, Sequence[Address]], object]
"""Processes a number of elements at these addresses."""


def kernels() -> ctypes.CDLL | None:
    """The library, built if needed; None without a compiler, or if it is switched off."""
    return None if os.environ.get("IRE_KERNELS") == "0" else _library()


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(_compiled()))
    except (OSError, subprocess.SubprocessError):  # no compiler, no space, a folder that forbids execution
        return None
    for name, signature in SIGNATURES.items():
        for kind in NAMES.values():
            function = getattr(library, f"{kind}_{name}")
            function.argtypes, function.restype = signature, None
    return library


def _compiled() -> Path:
    """The library's file.

    Raises:
        OSError, subprocess.SubprocessError: the build fails.
    """
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", ""), *COMPILERS))), None)
    if compiler is None:
        raise FileNotFoundError("no C compiler")
    source = SOURCE.read_bytes()
    key = hashlib.sha256(b"\0".join([source, " ".join(FLAGS).encode(), compiler.encode(), _processor()]))
    folder = _folder()
    file = folder / f"step-{key.hexdigest()[:24]}.so"
    if not file.exists():
        descriptor, scratch = tempfile.mkstemp(suffix=".so", dir=folder)
        os.close(descriptor)
        try:
            command = [compiler, *FLAGS, str(SOURCE), "-o", scratch, "-lm"]
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
            os.replace(scratch, file)
        finally:
            Path(scratch).unlink(missing_ok=True)
    return file


def _processor() -> bytes:
    """The processor, on which the build depends: different machines may share a home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
        return b"".join(
            sorted({line for line in lines if line.startswith((b"flags", b"Features", b"model name"))})
        )
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.version()}".encode()


def _folder() -> Path:
    """A folder that only this user can write to, because its content is executed."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(cache) / "ire"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = folder.stat()
        private = not kept.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and kept.st_uid == os.getuid()
        if private and os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="ire-"))


class OnePass:
    """The whole step of `numbers` in one pass, for parameters of one dtype."""

    def __init__(self, library: ctypes.CDLL, numbers: Adam | SGD, dtype: torch.dtype) -> None:
        name = "adam" if isinstance(numbers, Adam) else "sgd"
        self._kernel = getattr(library, f"{NAMES[dtype]}_{name}")
        own = tuple(numbers)[:4] if isinstance(numbers, SGD) else tuple(numbers)
        self._numbers = [math.nan if value is None else float(value) for value in own]
        self._slots = 2
        if isinstance(numbers, SGD):
            self._numbers.append(int(numbers.nesterov))
            self._slots = 1

    def has_stepped(
        self, kappa: float, p: Tensor, g: Tensor, buffers: Sequence[Tensor], mask: Tensor | None
    ) -> bool:
        """Take the step if the kernel supports the tensors; else change nothing.

        The caller tells autograd that p and the buffers have changed (`increment_version`).
        """
        if not _fit(p, (g, *buffers), mask):
            return False
        missing = (None,) * (self._slots - len(buffers))
        numbers = (*self._numbers, kappa)
        _spread((p, g, *buffers, *missing, mask), lambda n, at: self._kernel(n, *at, *numbers))
        return True


def one_pass(numbers: Adam | SGD, dtype: torch.dtype) -> OnePass | None:
    """The kernel for these numbers, if there is one."""
    library = kernels()
    return None if library is None or dtype not in NAMES else OnePass(library, numbers, dtype)


def has_gone_on(p: Tensor, was: Tensor, mask: Tensor | None, boost: Boost) -> bool:
    """p ← p + κ n ⊙ (p − was) in one pass, if there is a kernel for such tensors; else change nothing."""
    library = kernels()
    if library is None or p.dtype not in NAMES or not _fit(p, (was,), mask):
        return False
    go_on = getattr(library, f"{NAMES[p.dtype]}_go_on")
    _spread((p, was, mask), lambda n, at: go_on(n, *at, boost.kappa, boost.plain_decay))
    torch.autograd.graph.increment_version(p)
    return True


def has_boosted(
    numbers: Adam | SGD, kappa: float, p: Tensor, buffers: Sequence[Tensor], mask: Tensor | None
) -> bool:
    """Boost the step of Adam that p has just taken, in one pass over its state, if there is a kernel for it."""
    library = kernels()
    if library is None or not isinstance(numbers, Adam) or p.dtype not in NAMES or not _fit(p, buffers, mask):
        return False
    size, pull = float(numbers.size), math.nan if numbers.pull is None else float(numbers.pull)
    scale = -size * kappa / (1 - size * pull if numbers.pull is not None else 1)  # see Adam.displacement
    boost = getattr(library, f"{NAMES[p.dtype]}_adam_boost")
    _spread((p, *buffers, mask), lambda n, at: boost(n, *at, float(numbers.eps), pull, scale))
    torch.autograd.graph.increment_version(p)
    return True


def _fit(p: Tensor, others: Sequence[Tensor], mask: Tensor | None) -> bool:
    """Ordinary memory on the CPU, of one dtype, size and order, without gaps."""
    dtype, number = p.dtype, p.numel()
    if not (p.is_cpu and p.is_contiguous() and type(p) in _PLAIN):
        return False
    for t in others:
        if not (
            t.dtype is dtype and t.numel() == number and t.is_cpu and t.is_contiguous() and type(t) in _PLAIN
        ):
            return False
    return mask is None or (
        mask.dtype is torch.uint8 and mask.numel() == number and mask.is_cpu and mask.is_contiguous()
    )


def _spread(tensors: Sequence[Tensor | None], run: Run) -> None:
    """Call `run` on all elements, with as many threads as torch uses."""
    first = tensors[0]
    assert first is not None
    number, starts = first.numel(), [None if t is None else t.data_ptr() for t in tensors]
    threads = torch.get_num_threads() if number >= LARGE else 1
    if threads == 1:
        run(number, starts)
        return
    sizes = [0 if t is None else t.element_size() for t in tensors]
    share = -(-number // (threads * 64)) * 64  # whole cache lines

    def part(begin: int) -> None:
        at = [
            None if start is None else start + begin * size for start, size in zip(starts, sizes, strict=True)
        ]
        run(min(share, number - begin), at)

    list(_pool(os.getpid(), threads).map(part, range(0, number, share)))  # ctypes lets other threads run


@functools.lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """By process, since threads do not survive a fork."""
    return ThreadPoolExecutor(threads, thread_name_prefix="ire-step")
