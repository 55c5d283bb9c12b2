"""AdamW that skips coordinates where step and gradient disagree (Liang et al. 2024)."""

from ire.methods.part import Base
from ire.methods.setting import decay_rate, positive

BASE = Base(
    name="cautious-adamw",
    words="cautious AdamW",
    constructor="pytorch_optimizer:AdEMAMix",
    # AdEMAMix without its slow momentum is AdamW and takes `cautious`; the slow momentum is stored but unused.
    arguments={"betas": ("beta1", "beta2", 0.0)},
    fixed={"weight_decouple": True, "alpha": 0.0, "cautious": True},
    settings={
        "beta1": decay_rate("decay of the first moment", 0.9),
        "beta2": decay_rate("decay of the second moment", 0.999),
        "eps": positive("added to the root of the second moment", 1e-8),
    },
    searched={"lr": {"log": [1e-4, 1e-2], "published": 1e-3}},
    source="the default of AdamW",
    state_tensors=3,
    hues=("#F1948A", "#CB4335"),
)
