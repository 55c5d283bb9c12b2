"""A method's optimizer for a user's loop, which sets its learning rate from the schedule before every step."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ire.invalid_input import InvalidInput
from ire.methods.composed import Method
from ire.methods.schedule import DECAY_SHARE, lr_factor
from ire.trial.spec import TrialSpec
from trainables.training.optimizers import build_optimizer, set_learning_rates


def scheduled_optimizer(
    method: Method,
    settings: Mapping[str, Any],
    model: nn.Module,
    spec: TrialSpec,
    *,
    step: Callable[[], int],
    stepped: Callable[[float], None],
) -> Optimizer:
    """The optimizer of `method` for `model`, with its learning rate set before every step, for step number `step()`.

    `stepped` is called after every step with the learning rate of the first group. Raises `InvalidInput` for a method
    that a user's loop cannot drive.
    """
    if method.update:
        raise InvalidInput(
            f"{method.name}: -{method.update} changes how a batch becomes a step, which a user's loop does itself; "
            "make it a Task (docs/tasks.md), or choose another method"
        )
    if settings.get("start_loss"):
        raise InvalidInput(
            f"start_loss = {settings['start_loss']}: only a Task's loop waits for a training loss; set start_fraction"
        )
    optimizer = build_optimizer(method, settings, model, horizon=spec.horizon, seed=spec.seed)

    def set_rates(*_: Any) -> None:
        factor = lr_factor(
            min(step(), spec.horizon - 1),
            horizon=spec.horizon,
            warmup_fraction=settings["warmup_fraction"],
            final_lr_fraction=settings["final_lr_fraction"],
            schedule=method.schedule(settings, spec.schedule),
            decay_share=settings.get("decay_share", DECAY_SHARE),
        )
        set_learning_rates(optimizer, method, settings, factor)

    def note(*_: Any) -> None:
        stepped(float(optimizer.param_groups[0]["lr"]))

    optimizer.register_step_pre_hook(set_rates)
    optimizer.register_step_post_hook(note)
    set_rates()
    return optimizer
