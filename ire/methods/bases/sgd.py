"""SGD with momentum."""

from ire.methods.part import Base
from ire.methods.setting import Setting

BASE = Base(
    name="sgd",
    words="SGD with momentum",
    constructor="torch.optim:SGD",
    fixed={"fused": True},
    settings={
        "momentum": Setting(doc="heavy-ball momentum", default=0.9, low=0, high=1, high_open=True),
    },
    options={"nesterov": Setting(doc="Nesterov's momentum; left out, false", type=bool)},
    state_tensors=1,
    hues=("#56B4E9", "#0072B2"),
    sam_hues=("#6CC7A6", "#00734F"),
)
