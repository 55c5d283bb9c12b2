"""AdamW with a learning rate for each block of the Transformer (Wang et al. 2025), to compare with IRE's mask."""

from ire.methods.part import Base
from ire.methods.setting import decay_rate, positive

BASE = Base(
    name="blockwise-adamw",
    words="AdamW with a learning rate per kind of block",
    constructor="torch.optim:AdamW",
    arguments={"betas": ("beta1", "beta2")},
    fixed={"fused": True},
    settings={
        "beta1": decay_rate("decay of the first moment", 0.9),
        "beta2": decay_rate("decay of the second moment", 0.999),
        "eps": positive("added to the root of the second moment", 1e-8),
        "norm_multiplier": positive("lr of norms, times lr", 1.0),
        "vo_multiplier": positive("lr of value and output projections, times lr", 4.0),
        "ffn_multiplier": positive("lr of feed-forward layers, times lr", 6.0),
        "qk_multiplier": positive("lr of query and key projections, times lr", 8.0),
        "emb_multiplier": positive("lr of embeddings, times lr", 10.0),
    },
    multipliers={
        "norm": "norm_multiplier",
        "vo": "vo_multiplier",
        "ffn": "ffn_multiplier",
        "qk": "qk_multiplier",
        "emb": "emb_multiplier",
    },
    searched={"lr": {"log": [3e-5, 3e-3], "published": 3e-4}},
    source="Wang et al. 2025 (arXiv 2502.19002): multipliers 1, 4, 6, 8, 10",
    state_tensors=2,
    hues=("#FFB74D", "#EF6C00"),
)
