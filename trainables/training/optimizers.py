"""From a method's name and settings to the optimizer object it stands for."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ire.methods.composed import Method
from ire.optim import IRE, SAM


def build_optimizer(
    method: Method,
    settings: Mapping[str, Any],
    model: nn.Module,
    *,
    horizon: int,
    seed: int,
    optimizer_steps: int = 1,
    compile: bool = False,
) -> Optimizer:
    """The optimizer of `method` over the trainable parameters of `model`.

    `settings` are resolved ones (`Method.resolve`), `horizon` is in steps of the task, each of which is so many
    `optimizer_steps`; `seed` feeds the random mask of the control, `compile` compiles IRE's step. `model` may be
    wrapped in DistributedDataParallel.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = method.base.load()(parameters, **method.base.keywords(settings))
    if method.sam:
        optimizer = SAM(optimizer, settings["rho"], adaptive=settings["adaptive"], model=model)
    if method.ire:
        kappa, gamma = method.boost(settings)
        optimizer = IRE(
            optimizer,
            kappa=kappa,
            gamma=gamma,
            interval=settings["interval"] * optimizer_steps,
            start=method.start(settings, horizon) * optimizer_steps,
            curvature=method.control if method.control in ("random", "sharpest") else "sampled",
            seed=seed,
            lr_max=settings["lr"] if settings["kappa_follows_lr"] else None,
            compile=compile,
        )
    return optimizer
