"""Restores the gradients that a curvature pass changes in parameters of other optimizers.

A backward pass writes into every parameter that its loss depends on. `IRE` clears its own parameters; those of a
second optimizer on the same model would keep the curvature's gradient and add the training gradient to it.
"""

import weakref
from collections.abc import Iterable

import torch
from torch import Tensor

_OWNERS: "weakref.WeakSet[Owner]" = weakref.WeakSet()


class Owner:
    """An optimizer that wants curvature gradients, and keeps the books about what else a pass writes to."""

    def _keep_books(self) -> None:
        self._leftovers = Leftovers()
        _OWNERS.add(self)

    def _wanted(self) -> set[Tensor]:
        """The parameters whose curvature gradients it is about to use; empty if none is due."""
        raise NotImplementedError

    def _give_back(self) -> None:
        """Give other optimizers' parameters the gradients that they had before the pass."""
        done = self._leftovers.put_back()
        for owner in _OWNERS:
            owner._leftovers.forget(done)


def announced(loss: Tensor) -> Tensor:
    """`loss`, whose backward first saves the gradients of other optimizers that it would change."""
    if torch.compiler.is_compiling() or loss.grad_fn is None or not len(_OWNERS):
        return loss
    leaves = [weakref.ref(leaf) for leaf in _leaves(loss.grad_fn)]

    def note(_: Tensor) -> None:
        alive = [leaf for leaf in (reference() for reference in leaves) if leaf is not None]
        wanted = {owner: owner._wanted() for owner in list(_OWNERS)}
        others = [leaf for leaf in alive if not any(leaf in wants for wants in wanted.values())]
        for owner, wants in wanted.items():
            if not wants.isdisjoint(alive):
                owner._leftovers.note(others)

    loss.register_hook(note)  # holds no part of the graph, which would then never be freed
    return loss


def _leaves(root: torch.autograd.graph.Node) -> Iterable[Tensor]:
    """The leaves of a graph; what a re-entrant checkpoint or FSDP keeps outside of it is not found."""
    seen, todo = {root}, [root]
    while todo:
        node = todo.pop()
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            yield leaf
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                todo.append(following)


class Leftovers:
    """The gradients that other optimizers' parameters had before a curvature pass."""

    def __init__(self) -> None:
        self._before: dict[Tensor, Tensor | None] = {}

    def note(self, parameters: Iterable[Tensor]) -> None:
        """Remember the gradients of `parameters`, unless an earlier part of this pass has."""
        for p in parameters:
            if p not in self._before:
                self._before[p] = None if p.grad is None else p.grad.detach().clone()

    def put_back(self) -> list[Tensor]:
        """Give these parameters the gradients that they had; returns the parameters."""
        found, self._before = self._before, {}
        for p, before in found.items():
            if before is not None and p.grad is not None:
                p.grad.copy_(before)  # in place: it may be a view of a bucket
            else:
                p.grad = before
        return list(found)

    def forget(self, parameters: Iterable[Tensor] | None = None) -> None:
        """Drop what is remembered, of all parameters or of these."""
        if parameters is None:
            self._before.clear()
        else:
            for p in parameters:
                self._before.pop(p, None)
