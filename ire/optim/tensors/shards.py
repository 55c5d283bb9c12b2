"""Parameters that are spread over workers (`DTensor`, as FSDP2 makes them), seen from one worker.

The boost is element-wise, so each worker works on its own part. Only ranking needs the others, and only
counts travel: a table per digit of the threshold, and the number of ties per parameter.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from ire.optim.tensors.typed import numbers


def local(tensor: Tensor) -> Tensor:
    """This worker's part, sharing memory; an ordinary tensor is its own part."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor, gathered from all workers that hold a part."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_number(p: Tensor) -> int:
    """The number, in its mesh, of the first worker that holds the same part of `p` as this one."""
    if not isinstance(p, DTensor):
        return 0
    # FSDP2 around tensor parallelism has its own type of placement, for which is_shard() is false.
    return _number(p.device_mesh, [not placement.is_replicate() for placement in p.placements])


def _number(mesh: DeviceMesh, axes: Sequence[bool]) -> int:
    """This worker's number in row-major order over the marked axes of the mesh."""
    number, places = 0, mesh.get_coordinate()
    assert places is not None  # it holds a part
    for size, place, looked_at in zip(mesh.shape, places, axes, strict=True):
        number = number * size + (place if looked_at else 0)
    return number


class Alone:
    """All coordinates are on this worker."""

    def counted(self, parameters: Sequence[Tensor]) -> list[bool]:
        """Which parameters' parts this worker counts, so that each coordinate is counted once."""
        return [True] * len(parameters)

    def total(self, counts: Tensor) -> Tensor:
        """The sum over all workers of a small integer table."""
        return counts

    def quotas(self, equal: Tensor, parameters: Sequence[Tensor], ties: int) -> list[int]:
        """How many ties each parameter's part takes on this worker; `equal` counts the ties it has."""
        before = equal.cumsum(0) - equal
        quota = torch.minimum((ties - before).clamp(min=0), equal)
        return numbers(quota)


class Spread:
    """Some parameters are spread over `mesh`; all others are the same on all of its workers."""

    def __init__(self, mesh: DeviceMesh) -> None:
        self.mesh = mesh

    def counted(self, parameters: Sequence[Tensor]) -> list[bool]:
        here = _number(self.mesh, [True] * self.mesh.ndim)
        return [part_number(p) == here for p in parameters]

    def total(self, counts: Tensor) -> Tensor:
        counts = counts.to(self.mesh.device_type)
        for axis in range(self.mesh.ndim):
            dist.all_reduce(counts, group=self.mesh.get_group(axis))
        return counts.cpu()

    def quotas(self, equal: Tensor, parameters: Sequence[Tensor], ties: int) -> list[int]:
        """Ties go to parameters in order, inside one to its parts in the order of the mesh."""
        table = torch.zeros(len(parameters), self.mesh.size(), dtype=torch.int64, device="cpu")
        counts: list[int] = numbers(equal)
        for row, (mine, count) in enumerate(zip(self.counted(parameters), counts, strict=True)):
            table[row, part_number(parameters[row])] = count if mine else 0
        table = self.total(table)
        before = (table.flatten().cumsum(0)).view_as(table) - table
        quota = torch.minimum((ties - before).clamp(min=0), table)
        return [int(quota[i, part_number(p)]) for i, p in enumerate(parameters)]


def workers_of(parameters: Sequence[Tensor]) -> Alone | Spread:
    """The workers that take part in ranking these parameters.

    Raises:
        ValueError: parameters are spread over different meshes, or are partial sums.
    """
    spread = [p for p in parameters if isinstance(p, DTensor)]
    if not spread:
        return Alone()
    mesh = spread[0].device_mesh
    if any(p.device_mesh != mesh for p in spread):
        raise ValueError(
            "IRE ranks parameters that are spread over one device mesh; put those of another mesh into a "
            "group with its own gamma"
        )
    if any(placement.is_partial() for p in spread for placement in p.placements):
        raise ValueError("IRE cannot rank partial DTensors; redistribute them first")
    return Spread(mesh)
