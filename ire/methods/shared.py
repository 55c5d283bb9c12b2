"""The settings that every method has: learning rate and its schedule, weight decay, clipping."""

from ire.methods.part import Part
from ire.methods.schedule import DECAY_SHARE, SHAPES, check_schedule
from ire.methods.setting import Setting

DECAYS = ("all", "matrices")

SHARED = Part(
    name="shared",
    words="every method",
    settings={
        "lr": Setting(doc="peak learning rate", low=0, low_open=True),
        "weight_decay": Setting(doc="weight decay of the base optimizer", default=0.0, low=0),
        "warmup_fraction": Setting(doc="linear warm-up, share of the horizon", default=0.05, low=0, high=1),
        "final_lr_fraction": Setting(
            doc="learning rate at the end of the schedule, share of the peak", default=0.0, low=0, high=1
        ),
        "clip_norm": Setting(
            doc="clip the training gradient to this global norm; 0 is off", default=0.0, low=0
        ),
    },
    options={
        "schedule": Setting(
            doc="shape of the learning rate, or 'steps 0.2 0.5 / 5' or 'pieces 0:1 0.8:1 1:0'; left out, the sweep's",
            type=str,
            choices=SHAPES,
            read=check_schedule,
        ),
        "decay_share": Setting(
            doc=f"share of the horizon over which wsd decays; left out, {DECAY_SHARE:g}",
            low=0,
            high=1,
            low_open=True,
        ),
        "decay": Setting(
            doc="what weight decay acts on: all, or only tensors of two or more dimensions; left out, all",
            type=str,
            choices=DECAYS,
        ),
    },
)
