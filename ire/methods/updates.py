"""How a batch becomes a step, other than by its gradient: Novack et al. 2023. Defined for SGD."""

from ire.methods.part import Part, Update
from ire.methods.setting import Setting

MICRO = Part(
    name="micro",
    words="micro-batches",
    settings={"micro_batch": Setting(doc="examples of one micro-batch", default=128, type=int, low=1)},
)
"""Every update splits a batch into micro-batches."""


def _penalty(name: str, default: float, what: str) -> Update:
    return Update(
        name=name,
        words=f"large-batch SGD, the {what} of each micro-batch penalized",
        settings={"lambda": Setting(doc="weight of the penalty", default=default, low=0)},
        needs=("large",),
        is_penalty=True,
    )


_ALL = (
    Update(name="small", words="small-batch SGD: a step for each micro-batch"),
    Update(name="large", words="large-batch SGD: one step for the mean of all micro-batches"),
    _penalty("gn", 0.01, "gradient norm"),
    _penalty("ft", 0.01, "Fisher trace"),
    _penalty("aj", 0.001, "average Jacobian"),
    _penalty("uj", 0.001, "unit Jacobian"),
    Update(
        name="graft",
        words="iterative grafting: large-batch direction, gradient norm of one of its micro-batches",
        settings={
            "denoise": Setting(
                doc="use the mean of all micro-batches' norms instead of one of them",
                default=False,
                type=bool,
            )
        },
        needs=("large",),
        is_graft=True,
    ),
    Update(
        name="external",
        words="external grafting: large-batch direction, recorded gradient norms of another run",
        needs=("large",),
        is_graft=True,
    ),
    Update(
        name="ngd",
        words="normalized gradient descent: large-batch direction, length one",
        needs=("large",),
        is_graft=True,
    ),
)
UPDATES = {update.name: update for update in _ALL}
