"""AdamW without a schedule, evaluated at the average of its iterates (Defazio et al. 2024)."""

from ire.methods.part import Base
from ire.methods.setting import decay_rate, positive

BASE = Base(
    name="schedule-free",
    words="schedule-free AdamW",
    constructor="schedulefree:AdamWScheduleFree",
    arguments={"betas": ("beta1", "beta2")},
    settings={
        "beta1": decay_rate("share of the average in the point of the gradient", 0.9),
        "beta2": decay_rate("decay of the second moment", 0.999),
        "eps": positive("added to the root of the second moment", 1e-8),
    },
    schedules=("constant",),
    searched={"lr": {"log": [2.5e-4, 2.5e-2], "published": 2.5e-3}},
    source="Defazio et al. 2024 (arXiv 2405.15682), the default of their code",
    state_tensors=2,
    hues=("#8DA0CB", "#465A94"),
)
