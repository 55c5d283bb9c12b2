"""MARS: Adam on a variance-reduced gradient (Yuan et al. 2024), for all parameters."""

from ire.methods.part import Base
from ire.methods.setting import Setting, decay_rate, positive

BASE = Base(
    name="mars",
    words="MARS-AdamW",
    constructor="pytorch_optimizer:MARS",
    arguments={"betas": ("beta1", "beta2"), "gamma": "mars_gamma"},
    fixed={"optimize_1d": True, "mars_type": "adamw"},
    settings={
        "beta1": decay_rate("decay of the first moment", 0.95),
        "beta2": decay_rate("decay of the second moment", 0.99),
        "mars_gamma": Setting(
            doc="strength of the variance reduction, the paper's gamma", default=0.025, low=0
        ),
        "eps": positive("added to the root of the second moment", 1e-8),
    },
    searched={"lr": {"log": [3e-4, 3e-2], "published": 3e-3}},
    source="Yuan et al. 2024 (arXiv 2411.10438), the default of their code",
    state_tensors=3,
    hues=("#D98880", "#922B21"),
)
