"""The questions of `calibration.py`: response surfaces, methods of known speed, and one line per question."""

from dataclasses import dataclass

import numpy as np

from ire.sweeps.findings.calibration import FIVE, UNTIL_DECIDED, WARM, WIDENED
from ire.sweeps.findings.calibration import SAME as SAME_TWICE

FACTORS = (0.5, 0.7071, 1.0, 1.4142, 2.0)
LONGER = (*FACTORS, 2.8284)
"""Horizons of a curve that contains a true speed-up of 2."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """The expected final loss by settings and horizon, which a search minimises."""

    best_lr: float
    published_lr: float
    slope: float
    """Exponent of the horizon."""
    scale: float
    curvature: tuple[float, float, float]
    """Curvature along log lr, warm-up and log weight decay, of the loss or its logarithm."""
    noise: float
    """Standard deviation between seeds, in the loss or its logarithm."""
    is_relative: bool

    def loss(self, settings: np.ndarray, horizon: float) -> np.ndarray:
        """The expected loss at settings (..., 3): learning rate, warm-up, weight decay."""
        lr, warmup, decay = np.moveaxis(settings, -1, 0)
        at = np.stack([np.log10(lr / self.best_lr), warmup - 0.4, np.log10(decay / 3e-3)])
        excess = np.tensordot(np.array(self.curvature), at**2, axes=1)
        base = self.scale * horizon**-self.slope
        return base * np.exp(excess) if self.is_relative else base + excess

    def before(self, end: float, share: float) -> float:
        """The loss after a share of the steps of a run whose final loss is `end`."""
        return end * share**-self.slope

    def drawn(self, loss: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Final losses of runs with expected losses `loss`, for standard deviates `z`."""
        if self.is_relative:
            return loss * np.exp(self.noise * z - self.noise**2 / 2)
        return loss + self.noise * z


SURFACES = {
    "stdlib-lm": Surface(
        best_lr=5e-3,
        published_lr=3e-3,
        slope=0.19,
        scale=2.07,
        curvature=(0.5, 0.6, 0.01),
        noise=0.014,
        is_relative=False,
    ),
    "digits": Surface(
        best_lr=9e-3,
        published_lr=1e-3,
        slope=0.85,
        scale=0.10,
        curvature=(1.0, 0.8, 0.02),
        noise=0.11,
        is_relative=True,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method of a simulated sweep; the surface is the same for all."""

    is_baseline: bool = False
    speed: float = 1.0
    """Its true speed-up in steps over the first baseline."""
    lower: float = 1.0
    """Factor of its expected loss."""
    cost: float = 1.0
    """Gradients a step."""
    unused: bool = False
    """Whether it has three additional settings without effect; they do not matter to a random search."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One question, and what the answer should be."""

    name: str
    methods: tuple[Method, ...]
    truth: float = 1.0
    """The speed-up of the judged method, in gradient evaluations, over the hardest baseline."""
    tails: str = "normal"
    factors: tuple[float, ...] = FACTORS
    widens: bool = False
    """Whether the best learning rate lies above its range, which the search may move (`--widen`)."""
    is_warm: bool = False
    """Whether each study begins with the trials of a study of another experiment (`--warm-start`)."""
    until: int | None = None
    """The maximum number of studies of a sweep that continues until it is decided (`--until-decided`)."""
    own_seed: int | None = None
    """The seed of its draws; by default the length of its name."""

    @property
    def seed(self) -> int:
        return len(self.name) if self.own_seed is None else self.own_seed


BASE, SAME = Method(is_baseline=True), Method()
LINES = (
    Line(name=SAME_TWICE, methods=(BASE, SAME)),
    Line(name=FIVE, methods=(BASE, *(SAME,) * 5)),
    Line(
        name="an expensive baseline that ends 1 % lower",
        methods=(BASE, Method(is_baseline=True, lower=0.99, cost=2.0), SAME),
        own_seed=35,  # of its first name, under which it was measured
    ),
    Line(name="heavy tails", methods=(BASE, SAME), tails="heavy"),
    Line(name="twice the spread", methods=(BASE, SAME), tails="unequal"),
    Line(name="one run in ten bad", methods=(BASE, SAME), tails="bad"),
    Line(name=UNTIL_DECIDED, methods=(BASE, SAME), until=6),
    Line(name="true speed-up 1.1", methods=(BASE, Method(speed=1.1)), truth=1.1),
    Line(name="true speed-up 1.5", methods=(BASE, Method(speed=1.5)), truth=1.5),
    Line(name="true speed-up 1.2, --until-decided 6", methods=(BASE, Method(speed=1.2)), truth=1.2, until=6),
    Line(name="true speed-up 2", methods=(BASE, Method(speed=2.0)), truth=2.0, factors=LONGER),
)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The size of a study: search trials and candidates of each method, confirm seeds."""

    trials: int
    candidates: int
    seeds: int


OF_PROTOCOL = (
    LINES[0],
    Line(name="with three unused settings", methods=(BASE, Method(unused=True))),
    Line(name=WIDENED, methods=(BASE, SAME), widens=True),
    Line(name=WARM, methods=(BASE, SAME), is_warm=True),
    *(line for line in LINES if line.truth in (1.5, 2.0)),
)
"""The lines that the protocol searches."""


BUDGETS = {
    "stdlib-lm": Budget(trials=10, candidates=1, seeds=3),
    "digits": Budget(trials=20, candidates=3, seeds=6),
}


def deviates(tails: str, is_method: bool, shape: tuple[int, ...], draws: np.random.Generator) -> np.ndarray:
    """Standard deviates of runs: normal, or with the irregularities of real runs."""
    z = draws.standard_normal(shape)
    if tails == "heavy":
        return draws.standard_t(3, shape) / np.sqrt(3)
    if tails == "bad":
        return z + 4.0 * (draws.random(shape) < 0.1)
    return 2.0 * z if tails == "unequal" and is_method else z
