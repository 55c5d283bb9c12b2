"""Compiles the modules of a trial so that two processes get the same program.

By default torch measures while compiling whether to pad a matrix product to a size that suits tensor cores. Of two runs
of nanoGPT's loop with a Llama of width 410 on one kind of GPU, one took 62 ms per step in 1,410 launches, the other
72 ms in 1,266, and padded products are summed in another order. Here products are always padded.
"""

from typing import cast

import torch
from torch import nn

from ire.invalid_input import InvalidInput


def compiled(module: nn.Module, device: torch.device) -> nn.Module:
    """`module` as a graph; a GPU's matrix products are always padded."""
    if device.type != "cuda":
        return cast(nn.Module, torch.compile(module))  # its stub promises a function
    return cast(nn.Module, torch.compile(module, options={"force_shape_pad": True}))


def check_compiling() -> None:
    """Compile a function of one line for the CPU, which takes some seconds.

    Raises:
        InvalidInput: `torch.compile` does not work on this machine, as without a C++ compiler.
    """
    try:
        torch.compile(_negative)(torch.zeros(2))
    except Exception as error:  # from any part of the compiler
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        told = next((line for line in lines if "error: " in line), lines[0])  # a compiler's own words
        raise InvalidInput(
            f"--compile: torch.compile does not work on this machine: {told}; "
            "install a C++ compiler and Python's headers (g++, python3-dev), or leave the option out"
        ) from error


def _negative(values: torch.Tensor) -> torch.Tensor:
    return -values
