"""Independent random streams from one seed: every draw names what it is for, and none depends on another."""

import hashlib
import random
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive_seed(*parts: object) -> int:
    """A 63-bit seed that is a pure function of `parts`, the same on every machine and Python."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_step(seed: int, device: "torch.device") -> None:
    """Seed every global generator of the processor and the accelerator in use, also those that only optimizers use.

    PSGD draws from numpy's. `torch.manual_seed` would also seed accelerators that were never used, and record the call
    for each, which takes half a millisecond.
    """
    import torch  # plans and reports also derive seeds, and need no torch

    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType] - torch's type is incomplete
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)
    elif device.type != "cpu":
        torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]


def generator(*parts: object, device: "torch.device | str" = "cpu") -> "torch.Generator":
    """A separate generator for one purpose: `generator(seed, "labels", step)`."""
    import torch  # as above

    return torch.Generator(device).manual_seed(derive_seed(*parts))
