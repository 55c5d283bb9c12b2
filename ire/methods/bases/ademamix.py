"""AdEMAMix: Adam with a second, slow momentum (Pagliardini et al. 2024)."""

from ire.methods.part import Base
from ire.methods.setting import Setting, decay_rate, positive

BASE = Base(
    name="ademamix",
    words="AdEMAMix",
    constructor="pytorch_optimizer:AdEMAMix",
    arguments={"betas": ("beta1", "beta2", "beta3")},
    steps={"t_alpha_beta3": "slow_warmup_fraction"},
    fixed={"weight_decouple": True},
    settings={
        "beta1": decay_rate("decay of the fast momentum", 0.9),
        "beta2": decay_rate("decay of the second moment", 0.999),
        "beta3": decay_rate("decay of the slow momentum", 0.9999),
        "alpha": Setting(doc="weight of the slow momentum", default=8.0, low=0),
        "slow_warmup_fraction": Setting(
            doc="share of the horizon over which alpha and beta3 warm up; 0 is off",
            default=1.0,
            low=0,
            high=1,
        ),
        "eps": positive("added to the root of the second moment", 1e-8),
    },
    searched={"lr": {"log": [1e-4, 1e-2], "published": 1e-3}},
    source="github.com/epfml/llm-optimizer-benchmark, scripts/124m",
    state_tensors=3,
    hues=("#B39DDB", "#5E35B1"),
)
