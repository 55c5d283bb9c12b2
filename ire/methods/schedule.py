"""The learning rate as a pure function of the step, so that a resumed trial has nothing to restore."""

import math
import re
from functools import lru_cache

from ire.invalid_input import InvalidInput

SHAPES = ("cosine", "linear", "constant", "wsd", "inverse-sqrt")
DECAY_SHARE = 0.2
"""Default share of the horizon over which `wsd` decays (Hägele et al. 2024)."""
PIECES = re.compile(r"pieces((?: [0-9.]+:[0-9.]+)+)")
STEPS = re.compile(r"steps((?: [0-9.]+)+) / ([0-9.]+)")
ALLOWED = (
    f"{', '.join(SHAPES)}, steps at shares of the horizon with a divisor, as in 'steps 0.2 0.5 0.8 / 5', or straight "
    "pieces through factors at shares of the horizon, as in 'pieces 0:1 0.8:1 1:0.1'"
)


def lr_factor(
    step: int,
    *,
    horizon: int,
    warmup_fraction: float,
    final_lr_fraction: float,
    schedule: str = "cosine",
    decay_share: float = DECAY_SHARE,
) -> float:
    """The learning rate of optimizer step `step` (0 is the first) as a share of its peak.

    Linear warm-up over `warmup_fraction` of the `horizon` (steps), with the first step above zero, then by `schedule`:

    - `cosine` (Wang et al. 2024, Appendix C) and `linear`: down to `final_lr_fraction` at the horizon;
    - `wsd`: constant, then linear to `final_lr_fraction` over the last `decay_share` of the horizon
      (warm-up, stable, decay: Hu et al. 2024, Hägele et al. 2024);
    - `inverse-sqrt`: √(warm-up / steps), never below `final_lr_fraction` (Vaswani et al. 2017);
    - `constant`;
    - `steps 0.2 0.5 0.8 / 5`: divided by 5 at 20, 50 and 80 % of the horizon (Appendix C.1.1);
    - `pieces 0:1 0.8:1 1:0.1`: straight lines through points (share of the horizon:share of the peak), constant before
      the first and after the last. A warm-up replaces its beginning.
    """
    warmup = round(warmup_fraction * horizon)
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    if schedule == "inverse-sqrt":
        return max(final_lr_fraction, math.sqrt(max(1, warmup) / (step + 1)))
    if schedule.startswith("pieces"):
        return _between(parse_pieces(schedule), step / horizon)
    if schedule not in SHAPES:
        shares, divisor = parse_steps(schedule)
        return divisor ** -sum(step >= round(share * horizon) for share in shares)
    begin = warmup
    if schedule == "wsd":
        begin = max(warmup, horizon - round(decay_share * horizon))
    progress = min(1.0, max(0.0, (step - begin) / max(1, horizon - begin)))
    shape = 0.5 * (1 + math.cos(math.pi * progress)) if schedule == "cosine" else 1 - progress
    return final_lr_fraction + (1 - final_lr_fraction) * shape


def check_schedule(schedule: str, *, where: str = "") -> str:
    """`schedule` itself; raises `InvalidInput` if it is not a schedule."""
    if schedule.startswith("pieces"):
        parse_pieces(schedule, where=where)
    elif schedule not in SHAPES:
        parse_steps(schedule, where=where)
    return schedule


def _between(points: tuple[tuple[float, float], ...], share: float) -> float:
    """The factor at a share of the horizon on the straight lines through `points`."""
    (before, low), *others = points
    if share <= before:
        return low
    for after, high in others:
        if share <= after:
            return low + (high - low) * (share - before) / (after - before)
        before, low = after, high
    return low


@lru_cache
def parse_pieces(schedule: str, where: str = "") -> tuple[tuple[float, float], ...]:
    """The points (share of the horizon, share of the peak) of a schedule in pieces; raises `InvalidInput`."""
    found = PIECES.fullmatch(schedule)
    try:
        points = tuple(
            (float(share), float(factor))
            for share, _, factor in (point.partition(":") for point in (found[1].split() if found else ()))
        )
    except ValueError:
        points = ()
    shares = [share for share, _ in points]
    if len(points) < 2 or shares != sorted(set(shares)) or not all(0 <= share <= 1 for share in shares):
        place = f" in {where}" if where else ""
        raise InvalidInput(
            f"schedule = {schedule!r}{place}: must be {ALLOWED}; at least two points, with rising shares in 0 to 1"
        )
    return points


@lru_cache
def parse_steps(schedule: str, where: str = "") -> tuple[tuple[float, ...], float]:
    """The shares of the horizon and the divisor of a schedule in steps; raises `InvalidInput`."""
    found = STEPS.fullmatch(schedule)
    try:
        shares = tuple(float(share) for share in found[1].split()) if found else ()
        divisor = float(found[2]) if found else 0.0
    except ValueError:
        shares, divisor = (), 0.0
    rising = list(shares) == sorted(set(shares)) and all(0 < share < 1 for share in shares)
    if not shares or not rising or divisor <= 0:
        place = f" in {where}" if where else ""
        raise InvalidInput(f"schedule = {schedule!r}{place}: must be {ALLOWED}; shares rise between 0 and 1")
    return shares, divisor
