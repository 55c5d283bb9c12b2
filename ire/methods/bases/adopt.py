"""ADOPT: Adam that normalises by the previous second moment (Taniguchi et al. 2024)."""

from ire.methods.part import Base
from ire.methods.setting import decay_rate, positive

BASE = Base(
    name="adopt",
    words="ADOPT",
    constructor="pytorch_optimizer:ADOPT",
    arguments={"betas": ("beta1", "beta2")},
    fixed={"weight_decouple": True},
    settings={
        "beta1": decay_rate("decay of the first moment", 0.9),
        "beta2": decay_rate("decay of the second moment", 0.9999),
        "eps": positive("least root of the second moment", 1e-6),
    },
    searched={"lr": {"log": [1e-4, 1e-2], "published": 1e-3}},
    source="Taniguchi et al. 2024 (arXiv 2411.02853), the default of their code",
    state_tensors=2,
    hues=("#F5B041", "#B9770E"),
)
