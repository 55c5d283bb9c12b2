"""Sophia-G: momentum clipped by a diagonal of sampled curvature (Liu et al. 2024)."""

from ire.methods.part import Base
from ire.methods.setting import count, decay_rate, positive

BASE = Base(
    name="sophia",
    words="Sophia-G",
    constructor="pytorch_optimizer:SophiaH",
    arguments={"betas": ("beta1", "beta2")},
    fixed={"p": 1.0, "update_period": 10**9},  # the diagonal comes from the training loop's curvature pass
    settings={
        "beta1": decay_rate("decay of the momentum", 0.96),
        "beta2": decay_rate("decay of the Hessian diagonal, per refresh", 0.99),
        "sophia_gamma": positive("scale of the diagonal, the paper's gamma", 0.0125),
        "curvature_interval": count("steps between two curvature passes, the paper's k", 10),
        "eps": positive("least value of the scaled diagonal", 1e-12),
    },
    curvature_interval="curvature_interval",
    curvature_scale="sophia_gamma",
    refuses={
        "sam": "its curvature would be measured at SAM's ascent point",
        "ire": "it has a curvature pass of its own and already scales every coordinate by it",
    },
    searched={"lr": {"log": [4e-4, 4e-2], "published": 4e-3}},
    source="Wen et al. 2025 (arXiv 2509.02046), 130M Llama on C4",
    state_tensors=3,
    hues=("#76D7C4", "#148F77"),
)
