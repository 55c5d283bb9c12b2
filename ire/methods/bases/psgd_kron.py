"""PSGD with Kronecker-factored preconditioners (Li 2018, 2022)."""

from ire.methods.part import Base
from ire.methods.setting import Setting, count, decay_rate

BASE = Base(
    name="psgd-kron",
    words="PSGD, Kronecker-factored",
    constructor="pytorch_optimizer:Kron",
    arguments={"pre_conditioner_update_probability": "update_probability"},
    settings={
        "momentum": decay_rate("decay of the momentum", 0.9),
        "update_probability": Setting(
            doc="share of the steps that update the preconditioner",
            default=0.05,
            low=0,
            high=1,
            low_open=True,
        ),
        "max_size_triangular": count("dimensions above it have a diagonal preconditioner", 8192),
    },
    searched={"lr": {"log": [1e-4, 1e-2], "published": 1e-3}},
    source="the default of pytorch_optimizer",
    state_tensors=3,  # for a square matrix: the momentum and two triangular factors
    hues=("#A1887F", "#5D4037"),
)
