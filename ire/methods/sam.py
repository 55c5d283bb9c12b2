"""SAM around a base optimizer (Foret et al. 2021), named by the prefix `sam-`."""

from ire.methods.part import Part
from ire.methods.setting import Setting

SAM = Part(
    name="sam",
    words="SAM",
    settings={
        "rho": Setting(doc="SAM's radius", default=0.05, low=0, low_open=True),
        "adaptive": Setting(doc="ASAM: scale the ascent by |w|", default=False, type=bool),
    },
)
