"""Muon for hidden matrices (Jordan et al. 2024), AdamW for embeddings, heads, vectors and kernels."""

from ire.methods.bases import adamw
from ire.methods.part import Base
from ire.methods.rest import as_rest
from ire.methods.setting import Setting, count, decay_rate

REST = as_rest(adamw.BASE, lr=3e-3)

BASE = Base(
    name="muon",
    words="Muon for hidden matrices, AdamW for the rest",
    constructor="torch.optim:Muon",
    settings={
        "momentum": decay_rate("decay of the momentum", 0.95),
        "nesterov": Setting(doc="Nesterov's momentum", default=True, type=bool),
        "ns_steps": count("Newton-Schulz iterations", 5),
        "adjust_lr_fn": Setting(
            doc="how the rate depends on a matrix's shape",
            default="original",
            type=str,
            choices=("original", "match_rms_adamw"),
        ),
        **REST.settings,
    },
    takes=("matrices",),
    rest=REST,
    searched={
        "lr": {"log": [2e-3, 0.2], "published": 0.02},
        "rest_lr": {"log": [3e-4, 3e-2], "published": 3e-3},
    },
    source="github.com/karpathy/nanochat, scripts/base_train.py, for the matrices",
    state_tensors=2,
    hues=("#CE93D8", "#7B1FA2"),
)
