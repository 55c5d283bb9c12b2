"""AdamW with Nesterov momentum (Dozat 2016), weight decay decoupled."""

from ire.methods.part import Base
from ire.methods.setting import Setting, decay_rate, positive

BASE = Base(
    name="nadamw",
    words="NAdamW",
    constructor="torch.optim:NAdam",
    arguments={"betas": ("beta1", "beta2")},
    fixed={"decoupled_weight_decay": True},
    settings={
        "beta1": decay_rate("decay of the first moment", 0.9),
        "beta2": decay_rate("decay of the second moment", 0.999),
        "eps": positive("added to the root of the second moment", 1e-8),
        "momentum_decay": Setting(doc="how the momentum warms up", default=4e-3, low=0),
    },
    searched={"lr": {"log": [3e-4, 3e-2], "published": 2e-3}},
    source="torch's default",
    state_tensors=2,
    hues=("#C9A227", "#8A6D00"),
)
