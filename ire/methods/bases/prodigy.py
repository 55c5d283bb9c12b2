"""Prodigy: AdamW that estimates its own learning rate (Mishchenko and Defazio 2023)."""

from ire.methods.part import Base
from ire.methods.setting import decay_rate, positive

BASE = Base(
    name="prodigy",
    words="Prodigy",
    constructor="pytorch_optimizer:Prodigy",
    arguments={"betas": ("beta1", "beta2")},
    fixed={"safeguard_warmup": True},
    settings={
        "beta1": decay_rate("decay of the first moment", 0.9),
        "beta2": decay_rate("decay of the second moment", 0.999),
        "d_coef": positive("factor of the estimated rate", 1.0),
        "d0": positive("first estimate of the rate", 1e-6),
        "eps": positive("added to the root of the second moment", 1e-8),
    },
    searched={"lr": {"log": [0.1, 10.0], "published": 1.0}},
    source="Mishchenko and Defazio 2023 (arXiv 2306.06101): lr stays 1",
    state_tensors=4,
    hues=("#AED581", "#558B2F"),
)
