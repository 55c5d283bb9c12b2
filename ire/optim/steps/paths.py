"""Chooses the path of a step: the cheapest that is correct for this base now."""

from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from ire.optim.steps.inside import Inside, inner_of
from ire.optim.steps.measured import Measured
from ire.optim.steps.native import Native
from ire.optim.steps.rebuilt import Rebuilt
from ire.optim.steps.rules import Rule, rule_of
from ire.optim.steps.schedule_free import ScheduleFree, is_schedule_free
from ire.optim.steps.triton_step import TritonStep
from ire.optim.tensors.shards import local
from ire.optim.tensors.tiles import has_triton

Path = Native | Rebuilt | Measured | TritonStep | Inside | ScheduleFree


class Paths:
    """Chooses at each step, since options, hooks and schedulers may be added later.

    Where the base is torch's AdamW, Adam or SGD with plain options, and its `step` has no hooks and is not
    patched: `TritonStep` on a GPU, compiled or not, if no parameter is spread over workers; `Native` on the CPU,
    and compiled on any device (cache blocks gain nothing on other accelerators). `Rebuilt` for the same
    optimizers otherwise, if the gradient is still there after their step; not on a GPU, where it is many launches.
    `Inside` and `ScheduleFree` for bases that keep a sequence of weights beside the parameters. `Measured` for
    everything else.
    """

    def __init__(self, base: Optimizer, *, compile: bool, boost_weight_decay: bool) -> None:
        rule = rule_of(base)
        self._rule = rule
        self._compiled = compile
        self._measured = Measured(compile=compile)
        self._beside: Inside | ScheduleFree | None = None
        inner = inner_of(base)
        if inner is not None:
            paths = Paths(inner, compile=compile, boost_weight_decay=boost_weight_decay)
            self._beside = Inside(paths.best)
        elif is_schedule_free(base):
            self._beside = ScheduleFree()
        if rule is not None:
            self._native = Native(rule, compile=compile, boost_weight_decay=boost_weight_decay)
            self._triton = TritonStep(rule, boost_weight_decay=boost_weight_decay)
            self._rebuilt = Rebuilt(rule, compile=compile, boost_weight_decay=boost_weight_decay)

    def best(self, base: Optimizer) -> Path:
        """The path for the next step of `base`."""
        if self._beside is not None:
            return self._beside
        rule = self._rule
        if rule is None or rule_of(base) is not rule:
            return self._measured
        own_step_matters = (
            "step" in base.__dict__ or base._optimizer_step_pre_hooks or base._optimizer_step_post_hooks  # pyright: ignore[reportPrivateUsage] - no public ones
        )
        if self._on_gpu(base) and has_triton():
            return self._measured if own_step_matters else self._triton
        on_cpu = all(local(p).device.type == "cpu" for group in base.param_groups for p in group["params"])
        if own_step_matters or not (on_cpu or self._compiled):
            return self._rebuilt if _keep_gradients(rule, base) else self._measured
        return self._native

    def _on_gpu(self, base: Optimizer) -> bool:
        first = next((p for group in base.param_groups for p in group["params"]), None)
        return first is not None and not isinstance(first, DTensor) and first.device.type == "cuda"


def _keep_gradients(rule: Rule, base: Optimizer) -> bool:
    return all(rule.keeps_gradients(group) for group in base.param_groups)
