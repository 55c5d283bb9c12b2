"""IRE around any other method (Wang et al. 2024), named by the suffix `-ire`, and its controls, by further suffixes."""

from ire.methods.part import Part
from ire.methods.setting import Setting

IRE = Part(
    name="ire",
    words="IRE",
    settings={
        "kappa": Setting(doc="IRE's boost of flat coordinates", low=0),
        "gamma": Setting(doc="IRE's flat fraction of all coordinates", low=0, high=1, low_open=True),
        "start_fraction": Setting(
            doc="IRE's latest start, share of the horizon", default=0.1, low=0, high=1, high_open=True
        ),
        "start_loss": Setting(
            doc="IRE starts earlier once the training loss is this low; 0 is off", default=0.0, low=0
        ),
        "kappa_follows_lr": Setting(
            doc="kappa times lr / peak lr, instead of a constant", default=False, type=bool
        ),
        "interval": Setting(doc="steps between two masks, the paper's K", default=10, type=int, low=1),
    },
)
CONTROLS = {
    "random": "random mask of the same size",
    "sharpest": "the mask inverted: boosts exactly what IRE leaves alone",
    "all": "gamma = 1 with kappa: a larger step everywhere",
    "mean": "gamma = 1 with kappa x gamma: IRE's mean boost, everywhere",
}
"""What each control removes from IRE, to test whether the curvature matters."""
UNMASKED = ("all", "mean")
"""Controls without a mask."""
