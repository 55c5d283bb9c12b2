"""How busy a GPU is, as its driver counts it: the share of time with a running kernel in the last second or less.

It calls NVIDIA's management library directly, since the packages around it are rarely installed.
"""

import ctypes
from functools import cache
from typing import Any, cast

import torch

LIBRARY = "libnvidia-ml.so.1"


class _Rates(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


def gpu_utilization(device: torch.device) -> dict[str, float]:
    """The GPU's share of busy time, over all processes, as a column of a report; empty if it is unknown."""
    library = _library() if device.type == "cuda" else None
    if library is None:
        return {}
    uuid = f"GPU-{cast(Any, torch.cuda).get_device_properties(device).uuid}".encode()
    handle, rates = ctypes.c_void_p(), _Rates()
    if library.nvmlDeviceGetHandleByUUID(uuid, ctypes.byref(handle)):
        return {}
    if library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(rates)):
        return {}
    return {"gpu_utilization": rates.gpu / 100}


@cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    return None if library.nvmlInit_v2() else library
