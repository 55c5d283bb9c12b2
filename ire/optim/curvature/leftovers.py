"""Watches the backward pass of `sampled_nll`, to know which gradients existed before it.

A backward pass writes into every parameter that its loss depends on. `IRE` clears its own parameters; those of a
second optimizer on the same model would keep the curvature's gradient and add the training gradient to it, so their
gradients are restored. Gradients in the optimizer's own parameters mean that the training backward came first:
the mask would rank a sum, and the training gradients would be lost.
"""

import functools
import weakref
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from ire.optim.curvature.gradients import hold_something

_OWNERS: "weakref.WeakSet[Owner]" = weakref.WeakSet()
_ANNOUNCES = ContextVar("announces", default=True)


class Owner:
    """An optimizer that needs curvature gradients, and records the gradients before a pass."""

    def _keep_books(self) -> None:
        self._leftovers = Leftovers()
        _OWNERS.add(self)

    def _wanted(self) -> tuple[set[Tensor], bool]:
        """The parameters whose curvature gradients it uses, and whether it will use them now; a pass may be early."""
        raise NotImplementedError

    def _give_back(self) -> None:
        """Restore the gradients that other optimizers' parameters had before the pass."""
        done = self._leftovers.put_back()
        for owner in _OWNERS:
            owner._leftovers.forget(done)


@contextmanager
def unannounced() -> Generator[None, None, None]:
    """Losses made inside write to no `grad`: a measurement with `torch.autograd.grad` is not a curvature pass."""
    token = _ANNOUNCES.set(False)
    try:
        yield
    finally:
        _ANNOUNCES.reset(token)


def announced(loss: Tensor) -> Tensor:
    """`loss`, whose backward first records the gradients that it would change."""
    if torch.compiler.is_compiling() or loss.grad_fn is None or not len(_OWNERS) or not _ANNOUNCES.get():
        return loss
    leaves = [weakref.ref(leaf) for leaf in _leaves(loss.grad_fn)]

    def note(_: Tensor) -> None:
        alive = [leaf for leaf in (reference() for reference in leaves) if leaf is not None]
        wanted = {owner: owner._wanted() for owner in list(_OWNERS)}  # pyright: ignore[reportPrivateUsage] - of this file
        used = set[Tensor]().union(*(wants for wants, is_due in wanted.values() if is_due))
        for owner, (wants, _is_due) in wanted.items():
            own = wants.intersection(alive)
            if own:
                others = [leaf for leaf in alive if leaf not in wants | used]
                owner._leftovers.note(others, own)  # pyright: ignore[reportPrivateUsage]

    # It holds no part of the graph, which would then never be freed.
    loss.register_hook(note)  # pyright: ignore[reportUnknownMemberType] - torch's type is incomplete
    return loss


def _leaves(root: torch.autograd.graph.Node) -> Iterable[Tensor]:
    """The leaves of a graph, those of modules under a re-entrant checkpoint included; FSDP's are not found."""
    seen, todo = {root}, [root]
    while todo:
        node = todo.pop()
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            yield leaf
        yield from _checkpointed(getattr(node, "run_function", None))
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                todo.append(following)


def _checkpointed(function: Any) -> Iterable[Tensor]:
    """The parameters of a function that `torch.utils.checkpoint` runs again in the backward pass."""
    while isinstance(function, functools.partial):
        function = function.func
    module = getattr(function, "__self__", function)
    return module.parameters() if isinstance(module, nn.Module) else ()


class Leftovers:
    """The gradients before a curvature pass, which may have several parts."""

    def __init__(self) -> None:
        self._before: dict[Tensor, Tensor | None] = {}
        self._has_begun = False
        self._is_late = False  # whether the optimizer's own parameters held gradients when the pass began

    def note(self, others: Iterable[Tensor], own: Iterable[Tensor]) -> None:
        """A part of the pass begins; gradients of `others` that an earlier part recorded stay as recorded."""
        held = hold_something(own)
        self._is_late = held and (self._is_late or not self._has_begun)
        self._has_begun = True
        for p in others:
            if p not in self._before:
                self._before[p] = None if p.grad is None else p.grad.detach().clone()

    def check_in_time(self) -> None:
        """Check that the curvature backward came before the training backward.

        Raises:
            ValueError: the optimizer's own parameters held gradients when it began.
        """
        if self._is_late:
            raise ValueError(
                "the parameters already had gradients when the curvature backward began: the mask would rank their "
                "sum, and the training gradients would be lost. Run the curvature backward and update_mask() before "
                "the training backward, or use update_mask(loss). If parameters had gradients before they were added "
                "to the optimizer, clear them with model.zero_grad()"
            )

    def put_back(self) -> list[Tensor]:
        """Restore the gradients of the others and end the pass; returns their parameters."""
        found = self._before
        self._end()
        for p, before in found.items():
            if before is not None and p.grad is not None:
                p.grad.copy_(before)  # in place: it may be a view of a bucket
            else:
                p.grad = before
        return list(found)

    def forget(self, parameters: Iterable[Tensor] | None = None) -> None:
        """Drop the recorded gradients of these parameters, or all of them, which ends the pass."""
        if parameters is None:
            self._end()
        else:
            for p in parameters:
                self._before.pop(p, None)

    def _end(self) -> None:
        self._before, self._has_begun, self._is_late = {}, False, False
