"""Whether the masks of a method mean something: a warning if they are random, or ties of zero curvature."""

from ire.sweeps.findings.comparison import Comparison

LOW_OVERLAP = 0.1
"""Agreement of successive masks, on a scale from 0 (random) to 1 (equal), below which a mask is mostly noise."""
TIED = 0.5
"""Share of the boosted coordinates that zero curvatures may make up before the choice counts as arbitrary."""


def mask_findings(comparison: Comparison) -> list[str]:
    """The methods whose last masks are not meaningful."""
    sentences: list[str] = []
    for row in comparison.rows:
        overlap, zeros, flat = (
            row.metric(name) for name in ("mask_overlap", "zero_curvature", "flat_fraction")
        )
        if overlap and overlap[0] < LOW_OVERLAP:
            sentences.append(
                f"The masks of {row.method} are mostly noise: at the end, successive masks agree hardly more than "
                f"random ones do ({overlap[0]:.2f}, where 0 is chance and 1 is equal)."
            )
        if zeros and flat and zeros[0] > TIED * flat[0]:
            sentences.append(
                f"The masks of {row.method} are partly arbitrary: at the end, {zeros[0]:.0%} of the curvatures are "
                f"exactly zero, and {flat[0]:.0%} of the coordinates are boosted. Coordinates without a gradient, such "
                "as those of unused words, can be left out by name or by group with kappa = 0."
            )
    return sentences
