"""Do the intervals contain the truth as often as they say, and how often is a method wrongly called faster?

    python benchmarks/calibration.py [--comparisons 2000]

Each question over 3, 5 and 10 seeds. A method against itself: runs drawn from a bank of real ones
(`tests/sweeps/data/bank.json`, made by `tests/sweeps/make_bank.py`), the truth is 1. Synthetic final losses of a known
speed-up, in steps, and on a wall clock whose steps vary from run to run. A family of methods none of which is faster:
how often Holm's verdict calls any of them so. And how often it calls one slower that equals all of the baselines, the
best of which is chosen by the runs that it is compared with.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW
from ire.sweeps.findings.statistics.speedup import Ends, speed_ups
from ire.sweeps.findings.statistics.verdict import FASTER, MARGIN, SLOWER, SpeedUp, verdicts

BANK = Path(__file__).parents[1] / "tests" / "sweeps" / "data" / "bank.json"
SEEDS = (3, 5, 10)
FACTORS = (0.5, 0.7071, 1.0, 1.4142, 2.0)
LONG = (*FACTORS, 2.8284, 4.0, 5.6569, 8.0)
"""A curve that a speed-up of 5 does not leave, as `--curve-horizons` can ask for."""
TRUTHS = (
    (1.0, FACTORS),
    (1.1, FACTORS),
    (1.5, FACTORS),
    (2.0, FACTORS),
    (2.0, LONG),
    (5.0, FACTORS),
    (5.0, LONG),
)
FLOOR = 0.02
"""Loss that no horizon gets below, of the synthetic baseline."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What many comparisons with one truth came to."""

    coverage: float
    called_faster: float
    mean: float
    """Mean of the estimates, bounds taken as values."""
    censored: float


def ends(losses: np.ndarray, seconds: np.ndarray | None = None) -> Ends:
    """Final losses (n,) as runs that all cost the same, unless their `seconds` a step (n,) are given."""
    seconds = np.full(len(losses), 0.01) if seconds is None else seconds
    return Ends(losses=dict(enumerate(losses)), step_seconds=dict(enumerate(seconds)), gradients_per_step=1.0)


def itself(seeds: int, comparisons: int, draws: np.random.Generator) -> Iterator[SpeedUp]:
    """A method against itself: the baseline's runs and the method's are different runs of the bank."""
    bank = json.loads(BANK.read_text())
    losses, factors = np.array(bank["final_losses"]), bank["factors"]
    for _ in range(comparisons):
        picked = draws.permutation(len(losses))
        curve = {factor: ends(losses[picked[:seeds], i]) for i, factor in enumerate(factors)}
        method = ends(losses[picked[seeds : 2 * seeds], factors.index(1.0)])
        yield speed_ups(curve, method, draws)[0]["step"]


def synthetic_loss(horizon: float) -> float:
    """The synthetic baseline's final loss: a power law of the horizon above a floor."""
    return FLOOR + 0.08 * horizon**-0.8


def synthetic(
    truth: float, factors: tuple[float, ...], seeds: int, comparisons: int, draws: np.random.Generator
) -> Iterator[SpeedUp]:
    """A method that is `truth` times as fast: skewed noise of some 5 %, half of it shared by the runs of a seed."""
    for _ in range(comparisons):
        shared = _noise(seeds, draws)
        curve = {f: ends(synthetic_loss(f) * (1 + shared + _noise(seeds, draws))) for f in factors}
        method = ends(synthetic_loss(truth) * (1 + shared + _noise(seeds, draws)))
        yield speed_ups(curve, method, draws)[0]["step"]


def timed(
    truth: float, spread: float, seeds: int, comparisons: int, draws: np.random.Generator
) -> Iterator[SpeedUp]:
    """The same on the wall clock: equal losses, steps that are `truth` times as short and vary by `spread`."""
    for _ in range(comparisons):

        def seconds() -> np.ndarray:
            return 0.01 * np.exp(spread * draws.standard_normal(seeds))

        shared = _noise(seeds, draws)
        curve = {f: ends(synthetic_loss(f) * (1 + shared + _noise(seeds, draws)), seconds()) for f in FACTORS}
        method = ends(synthetic_loss(1.0) * (1 + shared + _noise(seeds, draws)), seconds() / truth)
        yield speed_ups(curve, method, draws)[0]["wall"]


def called_slower(
    baselines: int, methods: int, seeds: int, comparisons: int, draws: np.random.Generator
) -> float:
    """Share of sweeps in which any method is called slower than the best baseline, although all are equal."""
    called = []
    for _ in range(comparisons):
        shared = _noise(seeds, draws)
        runs = [synthetic_loss(1.0) * (1 + shared + _noise(seeds, draws)) for _ in range(baselines + methods)]
        best = min(range(baselines), key=lambda i: runs[i].mean())
        curve = {f: ends(synthetic_loss(f) * (1 + shared + _noise(seeds, draws))) for f in FACTORS}
        curve[1.0] = ends(runs[best])
        found = {
            str(i): speed_ups(curve, ends(losses), draws)[0]["step"]
            for i, losses in enumerate(runs)
            if i != best
        }
        called.append(SLOWER in verdicts(found, baselines).values())
    return float(np.mean(called))


def _noise(seeds: int, draws: np.random.Generator) -> np.ndarray:
    return 0.025 * (draws.gamma(4.0, 0.5, seeds) - 2.0)


def outcome(truth: float, found: list[SpeedUp]) -> Outcome:
    """How the comparisons did; a bound covers everything beyond it."""
    covered = [
        (s.low.censored == BELOW or s.low.value <= truth * (1 + 1e-9))
        and (s.high.censored == ABOVE or s.high.value >= truth * (1 - 1e-9))
        for s in found
    ]
    return Outcome(
        coverage=float(np.mean(covered)),
        called_faster=float(np.mean([verdicts({"m": s})["m"] == FASTER for s in found])),
        mean=float(np.mean([s.ratio.value for s in found])),
        censored=float(np.mean([s.ratio.censored != 0 for s in found])),
    )


def family(size: int, seeds: int, comparisons: int, draws: np.random.Generator) -> float:
    """Share of sweeps of `size` methods, none faster, in which any is called so."""
    streams = [list(itself(seeds, comparisons, draws)) for _ in range(size)]
    called = [
        FASTER in verdicts({str(i): s for i, s in enumerate(of_one)}).values()
        for of_one in zip(*streams, strict=True)
    ]
    return float(np.mean(called))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--comparisons", type=int, default=1000)
    count = parser.parse_args().comparisons
    draws = np.random.default_rng(0)
    print(f"{count} comparisons each; 95 % intervals\n")
    print("truth           seeds  coverage  called faster  mean estimate  censored")
    for seeds in SEEDS:
        _line("1 (real runs)", seeds, outcome(1.0, list(itself(seeds, count, draws))))
    for truth, factors in TRUTHS:
        for seeds in SEEDS:
            found = outcome(truth, list(synthetic(truth, factors, seeds, count, draws)))
            _line(f"{truth:g}, curve to {factors[-1]:g}", seeds, found)
    for spread in (0.05, 0.15):
        for seeds in SEEDS:
            found = outcome(MARGIN, list(timed(MARGIN, spread, seeds, count, draws)))
            _line(f"{MARGIN:g}, times ±{spread:.0%}", seeds, found)
    print("\nany of five equal methods called faster (real runs, Holm)")
    for seeds in SEEDS:
        print(f"{seeds:>20}  {family(5, seeds, count, draws):.3f}")
    print("\nany of three methods called slower than the best of three baselines, all six equal")
    for seeds in SEEDS:
        print(f"{seeds:>20}  {called_slower(3, 3, seeds, count, draws):.3f}")


def _line(name: str, seeds: int, found: Outcome) -> None:
    print(
        f"{name:<17} {seeds:>3}  {found.coverage:>8.3f}  {found.called_faster:>13.3f}  {found.mean:>13.3f}"
        f"  {found.censored:>8.3f}"
    )


if __name__ == "__main__":
    main()
