"""Figure 1 and Table 7 of Wang et al. 2024 on the two-dimensional example, which `ire toy` draws and checks.

matplotlib is imported when used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, takewhile
from pathlib import Path

from ire.invalid_input import InvalidInput
from ire.toy.problem import START, climb, descend, effective_rate, loss, measured_rate

RUNS = ((1.0, 0.0), (2.0, 0.0), (1.0, 90.0), (1.0, 900.0), (1.0, 9000.0))
"""(η, κ) of the figure's runs; κ = 0 is gradient descent, and η = 2 diverges."""
STEPS = 100
TOLERANCE = 0.25
"""Relative excess of a measured rate over the predicted one that is allowed: the law is exact for η, ρ → 0."""

WANDER = 0.15
"""Relative difference in width to a run without IRE that is allowed: widths are means over about 100 samples."""
SEEDS = 10
"""Number of seeds for the random directions of average SAM."""


@dataclass(frozen=True, kw_only=True)
class Law:
    """The effective rate along the minima for one κ, predicted and measured."""

    average: bool
    eta: float
    rho: float
    kappa: float
    predicted: float
    measured: float
    acceleration: float
    """Measured rate divided by that without IRE; the law predicts 1 + κ."""
    width: float
    """Distance of the run from the minima, divided by that without IRE: 1 if stability is unchanged."""

    @property
    def holds(self) -> bool:
        near = 1 <= self.measured / self.predicted <= 1 + TOLERANCE
        return near and abs(self.acceleration / (1 + self.kappa) - 1) < 0.05 and abs(self.width - 1) < WANDER

    def cells(self) -> list[str]:
        """The cells of its row in the table."""
        kind = "average" if self.average else "standard"
        numbers = (self.eta, self.rho, self.kappa, self.predicted, self.measured)
        ratio = f"{self.measured / self.predicted:.2f}"
        return [kind, *(f"{number:.4g}" for number in numbers), ratio, f"{self.acceleration:.2f}x"]


@cache
def laws(sizes: Sequence[float] = (0.1, 0.05)) -> tuple[Law, ...]:
    """Standard and average SAM at η = ρ = each of `sizes`, with κ from 0 up to the bound 1/ρ (Theorems 5.5, 5.6)."""
    found: list[Law] = []
    for average in (False, True):
        for size in sizes:
            base = measured_rate(size, size, 0.0, average=average)
            quiet = _width(size, 0.0, average=average)
            for kappa in (0.0, 0.5 / size, 1 / size):
                rate = measured_rate(size, size, kappa, average=average)
                law = Law(
                    average=average,
                    eta=size,
                    rho=size,
                    kappa=kappa,
                    predicted=effective_rate(size, size, kappa, average=average),
                    measured=rate,
                    acceleration=rate / base,
                    width=_width(size, kappa, average=average) / quiet,
                )
                found.append(law)
    return tuple(found)


def _width(size: float, kappa: float, *, average: bool) -> float:
    """The root mean square of v while u goes from 1 to 1/2, at η = ρ = `size`."""
    squares: list[float] = []
    for seed in range(SEEDS if average else 1):
        points = climb(size, size, kappa, average=average, start=(1.0, size * size), seed=seed)
        squares += [at.v**2 for at in takewhile(lambda at: at.u > 0.5, points)]
    return (sum(squares) / len(squares)) ** 0.5


def draw_figure(folder: Path) -> Path:
    """Draw Fig. 1, the runs in the plane and their losses; returns the file."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"--out {str(folder)!r}: cannot be created ({error})") from error
    figure, (plane, losses) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for eta, kappa in RUNS:
        path = list(islice(descend(eta, kappa), STEPS + 1))
        name = f"η = {eta:g}" + (f", κ = {kappa:g}" if kappa else "")
        shown = [at for at in path if abs(at.u) < 2 and abs(at.v) < 0.1]
        plane.plot([at.v for at in shown], [at.u for at in shown], marker=".", label=name)
        losses.semilogy([max(loss(at), 1e-16) for at in path if abs(at.u) < 1e6], label=name)
    plane.plot([START[1]], [START[0]], "k*", markersize=10)
    plane.axvline(0, color="0.7", zorder=0)
    plane.set(xlabel="v (sharp direction)", ylabel="u (along the minima; 0 is flattest)", xlim=(-0.05, 0.05))
    losses.set(xlabel="steps", ylabel="loss", ylim=(1e-14, 1e2))
    losses.legend()
    path = folder / "toy.svg"
    figure.savefig(path)  # pyright: ignore[reportUnknownMemberType] - matplotlib has it in part
    pyplot.close(figure)
    return path
