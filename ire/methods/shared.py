"""The settings that every method has: learning rate and its schedule, weight decay, clipping."""

from ire.methods.part import Part
from ire.methods.setting import Setting

SHARED = Part(
    name="shared",
    words="every method",
    settings={
        "lr": Setting(doc="peak learning rate", low=0, low_open=True),
        "weight_decay": Setting(doc="weight decay of the base optimizer", default=0.0, low=0),
        "warmup_fraction": Setting(doc="linear warm-up, share of the horizon", default=0.05, low=0, high=1),
        "final_lr_fraction": Setting(
            doc="learning rate at the end of the cosine, share of the peak", default=0.0, low=0, high=1
        ),
        "clip_norm": Setting(
            doc="clip the training gradient to this global norm, 0 is off", default=0.0, low=0
        ),
    },
)
