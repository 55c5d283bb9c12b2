"""Lists optimizers that IRE cannot boost, and the nesting or optimizer that works instead.

IRE multiplies the displacement of a base's step. A base that keeps its own copy of the parameters returns to it or
recomputes them from it: the boost is lost, or its reversal is boosted in turn and grows without bound. If the
base steps another optimizer inside (Lookahead) or keeps the boosted sequence (schedule-free), IRE boosts that;
see `ire.optim.steps.paths`. The others are refused here by class name, subclasses included.
`tests/optim/test_slope.py` measures every optimizer of torch and pytorch_optimizer.
"""

from collections.abc import Iterator

from torch.optim import Optimizer

OWN_COPY = {
    "A2Grad": "use IRE(AdamW(...))",
    "AccSGD": "use IRE(SGD(..., momentum=0.9, nesterov=True))",
    "BSAM": "use IRE(SAM(AdamW(...)))",
    "DAdaptAdaGrad": "use IRE(Adagrad(...)), or IRE(DAdaptAdam(...))",
    "DAdaptSGD": "use IRE(SGD(...)), or IRE(DAdaptAdam(...))",
    "FTRL": "use IRE(Adagrad(...))",
    "HyperBallAdamW": "use IRE(AdamW(...))",
    "MADGRAD": "use IRE(Adagrad(...)) or IRE(AdamW(...))",
    "MirrorMADGRAD": "use IRE(Adagrad(...)) or IRE(AdamW(...))",
    "MSAMLaProp": "use IRE(LaProp(...))",
    "Nero": "use IRE(AdamW(...))",
    "Ranger": "use Lookahead(IRE(RAdam(...)))",
    "Ranger21": "use Lookahead(IRE(AdamW(...)))",
    "RangerQH": "use Lookahead(IRE(QHAdam(...)))",
    "RangerVA": "use Lookahead(IRE(RAdam(...)))",
    "SRMM": "use IRE(SGD(..., momentum=0.9))",
    "ScheduleFree": "use IRE(AdamWScheduleFree(...)) of the package schedulefree",
    "TRAC": "use TRAC(IRE(...))",
}
"""Class, or one of its bases -> what works instead. `ScheduleFree` is a base of heavyball's SFAdamW. Nero and
HyperBallAdamW rescale weights to a norm, which also undoes the boost."""

FAMILIES = ("A2Grad", "Ranger")
"""Names with which the names of other refused classes begin: A2GradUni, RangerAdaBelief."""

OWN_CLOSURE = {
    "AliG": "it computes its learning rate from the loss inside its step; use IRE(SGD(...))",
    "AdaLOMO": "it steps inside the backward pass; use IRE(Adafactor(...))",
    "LOMO": "it steps inside the backward pass; use IRE(SGD(...))",
}
OTHER_SAM = "it evaluates the closure by itself; use IRE(ire.SAM(base))"
"""For every other class with SAM in its name: GSAM, LookSAM, SAMWrapper."""

INNER = ("optimizer", "_base_optimizer", "base_optimizer", "optim", "base")
"""Attributes in which wrappers keep the optimizer that they step."""


def check_kind(base: Optimizer) -> None:
    """Check that a boost of this base's steps lasts; every optimizer that it wraps is checked too.

    Raises:
        ValueError: the boost would be undone or would grow, or the base evaluates its closure by itself.
    """
    for each in inside(base):
        names = [kind.__name__ for kind in type(each).__mro__]
        where = type(each).__name__ if each is base else f"{type(base).__name__} around {type(each).__name__}"
        kin = [family for name in names for family in FAMILIES if name.startswith(family)]
        refused = next((name for name in (*names, *kin) if name in OWN_COPY), None)
        if refused is not None:
            raise ValueError(
                f"IRE cannot be put around {where}, which keeps its own copy of the parameters and steps "
                f"back to it, so that a boost is undone or grows without bound; {OWN_COPY[refused]}"
            )
        if vars(each).get("master_weights"):  # as in Apex and Transformer Engine
            raise ValueError(
                f"IRE cannot be put around {where} with master_weights=True: every step rounds the parameters anew "
                "from a copy of them, which undoes the boost; use fp32 parameters with autocast"
            )
        refused = next((name for name in names if name in OWN_CLOSURE or "SAM" in name), None)
        if refused is not None and not type(each).__module__.startswith("ire."):
            raise ValueError(f"IRE cannot be put around {where}: {OWN_CLOSURE.get(refused, OTHER_SAM)}")
        if vars(each).get("_overlap_with_ddp"):
            raise ValueError(
                f"IRE cannot be put around {where} with overlap_with_ddp=True: it steps inside the backward pass; "
                "use overlap_with_ddp=False"
            )


def inside(optimizer: Optimizer) -> Iterator[Optimizer]:
    """This optimizer, and all that it wraps, from the outside in."""
    todo = [optimizer]
    seen: set[int] = set()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        held = [vars(each).get(name) for name in INNER] + list(vars(each).get("bases", ()))
        todo += [it for it in held if isinstance(it, Optimizer)]
