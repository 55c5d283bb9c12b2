"""Adafactor: second moments as an outer product (Shazeer and Stern 2018)."""

from ire.methods.part import Base
from ire.methods.setting import Setting, positive

BASE = Base(
    name="adafactor",
    words="Adafactor",
    constructor="torch.optim:Adafactor",
    arguments={"d": "update_clip"},
    settings={
        "beta2_decay": Setting(
            doc="power of the step in the decay of the second moment", default=-0.8, high=0
        ),
        "update_clip": positive("root mean square to which an update is clipped", 1.0),
    },
    searched={"lr": {"log": [1e-3, 0.1], "published": 1e-2}},
    source="torch's default",
    state_tensors=1,  # for a vector; for a matrix, one row and one column
    hues=("#90A4AE", "#455A64"),
)
