"""Lion: the sign of an interpolated momentum (Chen et al. 2023)."""

from ire.methods.part import Base
from ire.methods.setting import decay_rate

BASE = Base(
    name="lion",
    words="Lion",
    constructor="pytorch_optimizer:Lion",
    arguments={"betas": ("beta1", "beta2")},
    settings={
        "beta1": decay_rate("share of the momentum in the step", 0.9),
        "beta2": decay_rate("decay of the momentum", 0.99),
    },
    searched={"lr": {"log": [1e-5, 1e-2], "published": 1e-4}},
    source="Chen et al. 2023 (arXiv 2302.06675), the default of their code",
    state_tensors=1,
    hues=("#E07B91", "#A8324C"),
)
