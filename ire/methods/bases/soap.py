"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024)."""

from ire.methods.part import Base
from ire.methods.setting import count, decay_rate, positive

BASE = Base(
    name="soap",
    words="SOAP",
    constructor="pytorch_optimizer:SOAP",
    arguments={"betas": ("beta1", "beta2")},
    settings={
        "beta1": decay_rate("decay of the first moment", 0.95),
        "beta2": decay_rate("decay of the second moment", 0.95),
        "shampoo_beta": decay_rate("decay of the preconditioner", 0.95),
        "precondition_frequency": count("steps between two eigenbases", 10),
        "max_precondition_dim": count("dimensions above it have no preconditioner", 10000),
        "eps": positive("added to the root of the second moment", 1e-8),
    },
    searched={"lr": {"log": [3e-4, 3e-2], "published": 3e-3}},
    source="Vyas et al. 2024 (arXiv 2409.11321), the default of their code",
    state_tensors=6,  # for a square matrix: two moments, two preconditioners and their two bases
    hues=("#7FB069", "#3F7D20"),
)
