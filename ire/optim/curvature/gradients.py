"""Gradients for the curvature: those of a loss on a graph that training uses again, and none left over from a step."""

import weakref
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils.hooks import RemovableHandle

from ire.optim.tensors.shards import local


def has_gradient(p: Tensor) -> bool:
    return p.grad is not None


def gradients_of(loss: Tensor, parameters: Sequence[Tensor]) -> dict[Tensor, Tensor]:
    """∇loss by parameter, averaged over the workers of the default process group; the graph is kept.

    `loss.backward()` fails under `DistributedDataParallel`: of two backward passes only the first is reduced,
    without an error, so masks or even training gradients would differ between workers.
    Parameters that the loss does not depend on are left out; with several workers they count as zero.

    Raises:
        ValueError: the loss is not a scalar with a graph, or depends on none of the parameters; or parameters are
            spread over workers, so that their gradients exist only inside `backward()`.
    """
    is_tensor = isinstance(loss, Tensor)  # pyright: ignore[reportUnnecessaryIsInstance] - callers may have no types
    if not (is_tensor and loss.numel() == 1 and loss.requires_grad):
        form = f"a tensor of shape {tuple(loss.shape)}" if is_tensor else type(loss).__name__
        raise ValueError(
            f"update_mask(loss) needs a scalar loss with a graph, such as sampled_nll(model(inputs)), got {form}"
            + (" without a graph" if is_tensor and not loss.requires_grad else "")
        )
    wanted = [p for p in parameters if p.requires_grad]
    if any(isinstance(p, DTensor) for p in wanted):
        raise ValueError(
            "update_mask(loss) does not work with sharded parameters; run a separate curvature pass: "
            "sampled_nll(model(inputs)).backward() and update_mask()"
        )
    with torch.enable_grad():
        found = grad(loss, wanted, retain_graph=True) if wanted else ()
    workers = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    if workers == 1:
        if all(g is None for g in found):
            raise ValueError("update_mask(loss): the loss depends on none of the optimizer's parameters")
        return {p: g for p, g in zip(wanted, found, strict=True) if g is not None}
    # Fresh tensors: the gradients of two parameters that are added are one tensor, and other gradients may be expanded.
    gradients = [
        torch.zeros_like(p) if g is None else g / workers for p, g in zip(wanted, found, strict=True)
    ]
    del found
    for pending in [dist.all_reduce(g, async_op=True) for g in gradients]:
        pending.wait()
    return dict(zip(wanted, gradients, strict=True))


def grad(
    loss: Tensor, parameters: Sequence[Tensor], *, retain_graph: bool = False
) -> Sequence[Tensor | None]:
    """∇loss for each parameter, None where the loss does not depend on it; torch's stub leaves out the None."""
    return torch.autograd.grad(loss, parameters, retain_graph=retain_graph, allow_unused=True)


class Spent:
    """The gradients that a step has used, which must be cleared before the next curvature backward.

    A gradient counts as cleared once it was seen as None, replaced, or zero. Identity alone is not enough:
    `DistributedDataParallel` with `gradient_as_bucket_view`, and loops with static gradient buffers, attach the
    same tensor again. So with `watch` every parameter is also inspected when the curvature backward reaches it.
    """

    def __init__(self, parameters: Sequence[Tensor], *, watch: bool) -> None:
        gradients = [None if (g := p.grad) is None else weakref.ref(g) for p in parameters]
        self._of_step = parameters, gradients
        self._found: dict[int, tuple[Tensor, weakref.ref[Tensor]]] | None = None
        watched = [p for p, *_ in self._left.values() if p.requires_grad] if watch else []
        # torch has the type of register_hook in part
        self._hooks: list[RemovableHandle] = [p.register_hook(self._looks_at(p)) for p in watched]  # pyright: ignore[reportUnknownMemberType]

    @property
    def _left(self) -> dict[int, tuple[Tensor, weakref.ref[Tensor]]]:
        """(parameter, its gradient) by the parameter's id; built on first use."""
        if self._found is None:
            pairs = zip(*self._of_step, strict=True)
            self._found = {id(p): (p, gradient) for p, gradient in pairs if gradient is not None}
        return self._found

    def look(self) -> None:
        """Forget the gradients that were cleared since the step."""
        self._found = {key: entry for key, entry in self._left.items() if not _cleared(*entry)}

    def check_cleared(self, parameters: Iterable[Tensor]) -> None:
        """Check that no gradient of `parameters` is still that of the step, or was added to it.

        Raises:
            ValueError: a gradient is.
        """
        if any(
            p.grad is not None and id(p) in self._left and p.grad is self._left[id(p)][1]()
            for p in parameters
        ):
            raise ValueError(
                "the gradients still hold those of the last step: call optimizer.zero_grad() after step(), "
                "before the curvature backward, or the mask would rank their sum. If they were cleared in another way, "
                "use set_to_none=True, or ask optimizer.curvature_due afterwards"
            )

    def forget(self) -> None:
        """Forget all of them: everything was cleared."""
        self._found = {}
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _looks_at(self, p: Tensor) -> Callable[[Tensor], None]:
        """A hook for p, which runs before autograd adds to p.grad."""
        left = weakref.ref(self)

        def look(_: Tensor) -> None:
            spent = left()
            if spent is not None and id(p) in spent._left and _cleared(*spent._left[id(p)]):
                del spent._left[id(p)]

        return look


def _cleared(p: Tensor, gradient: weakref.ref[Tensor]) -> bool:
    """Whether p.grad is another tensor than after the step, or zero."""
    return p.grad is not gradient() or not hold_something([p])


def hold_something(parameters: Iterable[Tensor]) -> bool:
    """Whether any of the parameters has a gradient that is not zero everywhere; synchronises a GPU at most once."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flags = [(local(g) if g.layout == torch.strided else g._values()).any() for g in gradients]
    return bool(torch.stack([flag.to(flags[0].device) for flag in flags]).any()) if flags else False
