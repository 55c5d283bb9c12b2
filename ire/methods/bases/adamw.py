"""AdamW (Loshchilov and Hutter 2019)."""

from ire.methods.part import Base
from ire.methods.setting import Setting

BASE = Base(
    name="adamw",
    words="AdamW",
    constructor="torch.optim:AdamW",
    arguments={"betas": ("beta1", "beta2")},
    fixed={"fused": True},
    settings={
        "beta1": Setting(doc="decay of the first moment", default=0.9, low=0, high=1, high_open=True),
        "beta2": Setting(doc="decay of the second moment", default=0.999, low=0, high=1, high_open=True),
        "eps": Setting(doc="added to the root of the second moment", default=1e-8, low=0, low_open=True),
    },
    options={"amsgrad": Setting(doc="the largest second moment so far; left out, false", type=bool)},
    state_tensors=2,
    hues=("#E69F00", "#C24E00"),
    sam_hues=("#DDA0C4", "#A0447C"),
)
