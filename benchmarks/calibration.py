"""Measures how often verdicts are wrong: simulates whole sweeps, searches included, and judges them as real ones.

    python benchmarks/calibration.py [--sweeps 1000] [--protocol 200] [--surface digits] [--line warm] [--write]

A study is a search of every method on a response surface (fitted to this project's own results: `stdlib-lm`, whose
published settings cost 0.12 nats, and `digits`), the choice of a winner, its confirm runs, and the baselines' curves. A
sweep is three or five of them. Searches draw settings at random; `--protocol N` adds N sweeps a line that the protocol
itself searches (TPE, ASHA, selection seeds). `--write` saves the rows in `ire/sweeps/findings/calibration.toml`, from
which each report quotes the row that applies to its sweep.

faster, slower: the share of sweeps in which the method (any of them, where there are five) is called that. covers: the
share whose interval holds the truth. estimate: the geometric mean. could find: the median of the least speed-up that,
according to the reports, would have been found. forecast: the median of its forecast before the confirm stage.
"""

import argparse
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w

from ire.sweeps.findings import calibration
from ire.sweeps.findings.calibration import (
    AT_RANDOM,
    BY_PROTOCOL,
    FIVE,
    UNTIL_DECIDED,
    WARM,
    WIDENED,
    Calibration,
    calibrations,
)
from ire.sweeps.findings.calibration import SAME as SAME_TWICE
from ire.sweeps.findings.power import power
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW
from ire.sweeps.findings.statistics.speedup import speed_ups
from ire.sweeps.findings.statistics.verdict import FASTER, NOT_SHOWN, SLOWER, SpeedUp, judge

if TYPE_CHECKING:
    from ire.sweeps.plan.imported import Imported

TABLE = Path(calibration.__file__).with_name("calibration.toml")
FACTORS = (0.5, 0.7071, 1.0, 1.4142, 2.0)
LONGER = (*FACTORS, 2.8284)
"""A curve that a true speed-up of 2 does not leave."""
CLOCK = "gradient_evaluations"


@dataclass(frozen=True, kw_only=True)
class Surface:
    """The expected final loss by settings and horizon, which a search minimises."""

    best_lr: float
    published_lr: float
    slope: float
    """Exponent of the horizon."""
    scale: float
    curvature: tuple[float, float, float]
    """Of the loss along log lr, warm-up and log weight decay: added, or of its logarithm."""
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
        """Final losses of runs whose expected ones are `loss`, for standard deviates `z`."""
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
    """Whether it pays for three settings that do nothing; a search at random does not mind."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One question, and what the answer should be."""

    name: str
    methods: tuple[Method, ...]
    truth: float = 1.0
    """The speed-up of the method that is judged, in gradient evaluations, over the hardest baseline."""
    tails: str = "normal"
    factors: tuple[float, ...] = FACTORS
    widens: bool = False
    """Whether the best learning rate lies above its range, which the search may move (`--widen`)."""
    is_warm: bool = False
    """Whether each study begins with the trials of a study of another experiment (`--warm-start`)."""
    until: int | None = None
    """Studies at most of a sweep that goes on until it is decided (`--until-decided`)."""


BASE, SAME = Method(is_baseline=True), Method()
LINES = (
    Line(name=SAME_TWICE, methods=(BASE, SAME)),
    Line(name=FIVE, methods=(BASE, *(SAME,) * 5)),
    Line(
        name="a dear baseline that ends 1 % lower",
        methods=(BASE, Method(is_baseline=True, lower=0.99, cost=2.0), SAME),
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
    """What a study spends: search trials and candidates of each method, confirm seeds."""

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
Study = list[np.ndarray]
"""Of each method its final losses: (seeds,), of a baseline (seeds, 1 + factors) with its curve behind."""


def deviates(tails: str, is_method: bool, shape: tuple[int, ...], draws: np.random.Generator) -> np.ndarray:
    """Standard deviates of runs: normal, or with the irregularities of real runs."""
    z = draws.standard_normal(shape)
    if tails == "heavy":
        return draws.standard_t(3, shape) / np.sqrt(3)
    if tails == "bad":
        return z + 4.0 * (draws.random(shape) < 0.1)
    return 2.0 * z if tails == "unequal" and is_method else z


def random_study(line: Line, surface: Surface, budget: Budget, draws: np.random.Generator) -> Study:
    """A study whose searches draw their settings at random."""
    shared = draws.standard_normal(budget.seeds)
    return [_measured(line, method, surface, budget, shared, draws) for method in line.methods]


def _measured(
    line: Line,
    method: Method,
    surface: Surface,
    budget: Budget,
    shared: np.ndarray,
    draws: np.random.Generator,
) -> np.ndarray:
    def runs(
        settings: np.ndarray, shape: tuple[int, ...], horizon: float, common: np.ndarray | float
    ) -> np.ndarray:
        own = deviates(line.tails, not method.is_baseline, shape, draws)
        expected = method.lower * surface.loss(settings, horizon * method.speed)
        return surface.drawn(expected, np.sqrt(0.3) * common + np.sqrt(0.7) * own)

    trials = max(2, round(budget.trials / method.cost))
    settings = np.stack(
        [
            10 ** draws.uniform(np.log10(3e-4), np.log10(3e-2), trials),
            draws.uniform(0.01, 0.5, trials),
            10 ** draws.uniform(-4, np.log10(0.5), trials),
        ],
        axis=-1,
    )
    settings[0] = surface.published_lr, 0.05, 0.1
    found = runs(settings, (trials,), 1.0, draws.standard_normal(trials))
    best = np.argsort(found)[: budget.candidates]
    if budget.candidates > 1:
        again = [runs(settings[i], (3,), 1.0, draws.standard_normal(3)).mean() for i in best]
        best = best[[int(np.argmin(again))]]
    winner = settings[best[0]]
    mine = runs(winner, (budget.seeds,), 1.0, shared)
    if not method.is_baseline:
        return mine
    curve = [mine if f == 1.0 else runs(winner, (budget.seeds,), f, shared) for f in line.factors]
    return np.column_stack([mine, *curve])


def protocol_sweep(line: Line, surface: Surface, budget: Budget, number: int) -> tuple[list[Study], float]:
    """Five studies searched by the protocol itself: a baseline and one method that is another name for it.

    And what the line before the confirm stage forecasts of three such studies.
    """
    from ire.sweeps.findings.forecast import forecast
    from ire.sweeps.plan.plan import RULES, Plan
    from ire.sweeps.search.protocol import Protocol
    from search_spaces.space import parse_space

    factors = tuple(f for f in line.factors if f != 1.0)
    fields = {"lr": surface.published_lr, "ire": UNUSED if line.methods[1].unused else FIXED}
    fields["top"] = min(3e-2, surface.best_lr / 1.5) if line.widens else 3e-2
    space = parse_space(SPACE.format(**fields), task="digits", source="simulated")
    plan = Plan(
        name="simulated",
        task="digits",
        methods=NAMES,
        trials=budget.trials,
        confirm_seeds=budget.seeds,
        candidates=budget.candidates,
        studies=5,
        widen=line.widens,
        imported=_imported(line, surface, number) if line.is_warm else None,
        curve=factors,
        seed=number,
        rules=RULES,
        space=space,
    )
    draws, told = np.random.default_rng([number, 7]), None
    with tempfile.TemporaryDirectory() as folder:
        protocol = Protocol(plan, Path(folder))
        while trial := protocol.next_trial():
            spec, method = trial.spec, line.methods[NAMES.index(trial.arm)]
            if spec.timing:
                protocol.report(trial, _report(spec.horizon, None))
                continue
            if trial.stage == "confirm" and told is None:
                told = forecast(replace(plan, studies=3), protocol.studies[0].arms)[NAMES[1]]
            end = _end(line, method, surface, spec.settings, spec.horizon / space.horizon, spec.seed, draws)
            for step in (*spec.rungs, spec.horizon):
                loss = surface.before(end, step / spec.horizon)
                if not protocol.report(trial, _report(step, loss)):
                    break
        assert told is not None
        return [_losses(line, study) for study in protocol.studies], told


def _losses(line: Line, study: Any) -> Study:
    from ire.sweeps.search.stages import curve_contests

    baseline, other = (study.arms[name] for name in NAMES)
    curve = {c.horizon_factor: c.measured for c in curve_contests(study.plan, list(study.arms.values()))}
    points = [baseline.confirm if f == 1.0 else curve[f] for f in line.factors]
    losses = [[run.val_loss for run in runs] for runs in (baseline.confirm, *points)]
    return [np.array(losses).T, np.array([run.val_loss for run in other.confirm])]


def _end(
    line: Line,
    method: Method,
    surface: Surface,
    settings: Mapping[str, Any],
    horizon: float,
    seed: int,
    draws: np.random.Generator,
) -> float:
    """The final loss of a run; runs with the same seed share a part of their noise."""
    at = np.array([settings[k] for k in ("lr", "warmup_fraction", "weight_decay")])
    common = np.random.default_rng([seed, 1]).standard_normal()
    z = np.sqrt(0.3) * common + np.sqrt(0.7) * deviates(line.tails, not method.is_baseline, (), draws)
    return float(surface.drawn(method.lower * surface.loss(at, method.speed * horizon), z))


def _imported(line: Line, surface: Surface, number: int) -> "Imported":
    """Ten trials a method and study of another experiment, drawn at random."""
    from ire.sweeps.plan.imported import Imported, ImportedTrial

    draws, trials = np.random.default_rng([number, 11]), []
    for i in range(50):
        for name, method in zip(NAMES, line.methods, strict=True):
            settings = {
                "lr": float(10 ** draws.uniform(np.log10(3e-4), np.log10(3e-2))),
                "warmup_fraction": float(draws.uniform(0.01, 0.5)),
                "weight_decay": float(10 ** draws.uniform(-4, np.log10(0.5))),
            }
            end = _end(line, method, surface, settings, 1.0, 1000 * number + i, draws)
            trials.append(
                ImportedTrial(name=f"{name}-{i}", method=name, settings=settings, value=end, study=i % 5)
            )
    return Imported(source="another", spent=dict.fromkeys(NAMES, 12000), trials=tuple(trials))


def _report(step: int, loss: float | None) -> dict:
    return {
        "step": step,
        "gradient_evaluations": step,
        "seconds": step / 100,
        "val_loss": loss,
        "diverged": False,
    }


NAMES = "adamw", "adamw-ire"
SPACE = """
description = "simulated"
horizon = 240
eval_interval = 60
[search]
trials = 10
budget_per_trial = 0.75
rungs = [120, 180]
startup_trials = 4
[confirm]
seeds = 5
flatness_batches = 0
[shared]
weight_decay = {{ log = [1e-4, 0.5], published = 0.1 }}
warmup_fraction = {{ linear = [0.01, 0.5], published = 0.05 }}
[adamw]
lr = {{ log = [3e-4, {top}], published = {lr}, limits = [1e-6, 10.0] }}
[ire]
{ire}
interval = 1000
"""
FIXED = """kappa = 1.0
gamma = 0.8
start_fraction = 0.3"""
UNUSED = """kappa = { log = [0.1, 10.0], published = 1.0 }
gamma = { linear = [0.3, 0.95], published = 0.6 }
start_fraction = { linear = [0.01, 0.4], published = 0.05 }"""


def judged(
    line: Line, studies: Sequence[Study], draws: np.random.Generator
) -> dict[str, Mapping[str, tuple]]:
    """What a sweep with these studies finds: each challenger's speed-up over each baseline, with its draws."""
    baselines = [i for i, method in enumerate(line.methods) if method.is_baseline]
    factors, found = np.array(line.factors), {}
    for i, method in enumerate(line.methods):
        if method.is_baseline:
            continue
        found[str(i)] = {}
        for b in baselines:
            losses = np.array([np.r_[study[i].mean(), study[b].mean(axis=0)] for study in studies])
            costs = {CLOCK: np.full(len(studies), np.log(line.methods[b].cost / method.cost))}
            speed_up, drawn = speed_ups(losses, factors, costs, draws)
            found[str(i)][str(b)] = speed_up[CLOCK], drawn[CLOCK]
    return found


def outcome(
    line: Line, surface: str, searched: str, sweeps: Iterable[Sequence[Study]], draws: np.random.Generator
) -> Calibration:
    """The shares of sweeps; coverage and estimate are of the first method that is judged."""
    rows = []
    for studies in sweeps:
        for count in range(3, line.until + 1) if line.until else [len(studies)]:
            found = judged(line, studies[:count], draws)
            speed_ups = {m: {b: pair[0] for b, pair in over.items()} for m, over in found.items()}
            verdicts = judge(speed_ups, looks=line.until - 2 if line.until else 1)
            if any(v.verdict != NOT_SHOWN for v in verdicts.values()):
                break
        first = next(iter(found))
        hardest = found[first][verdicts[first].against]
        rows.append(
            (
                any(v.verdict == FASTER for v in verdicts.values()),
                any(v.verdict == SLOWER for v in verdicts.values()),
                covers(hardest[0], line.truth),
                np.log(hardest[0].ratio.value),
                power(hardest[1][:, 0], studies=count).least_detectable,
            )
        )
    faster, slower, covered, logs, least = zip(*rows, strict=True)
    return Calibration(
        surface=surface,
        line=line.name,
        searched=searched,
        studies=3 if line.until else len(studies),
        sweeps=len(rows),
        faster=float(np.mean(faster)),
        slower=float(np.mean(slower)),
        covers=float(np.mean(covered)),
        estimate=round(float(np.exp(np.mean(logs))), 3),
        could_find=round(float(np.median(least)), 2),
    )


def covers(found: SpeedUp, truth: float) -> bool:
    """Whether an interval holds the truth; a one-sided bound holds everything beyond it."""
    low = found.low.censored == BELOW or found.low.value <= truth * (1 + 1e-9)
    high = found.high.censored == ABOVE or found.high.value >= truth * (1 - 1e-9)
    return low and high


def simulated(line: Line, surface: str, studies: int, sweeps: int, seed: int = 0) -> Calibration:
    """Sweeps with the given number of studies, whose searches draw their settings at random."""
    draws = np.random.default_rng([seed, studies, len(line.name)])
    made = (
        [random_study(line, SURFACES[surface], BUDGETS[surface], draws) for _ in range(line.until or studies)]
        for _ in range(sweeps)
    )
    return outcome(line, surface, AT_RANDOM, made, draws)


def words(row: Calibration) -> str:
    """A row of the table."""
    name = row.line + (", protocol" if row.searched == BY_PROTOCOL else "")
    studies = "3-6" if "--until-decided" in row.line else row.studies
    return (
        f"{name:<41} {studies:>7}  {row.faster:>6.3f}  {row.slower:>6.3f}  {row.covers:>6.3f}"
        f"  {row.estimate:>8.3f}  {row.could_find:>10.2f}"
    )


def write(rows: Sequence[Calibration]) -> None:
    """Replace the rows that were measured before."""

    def key(row: Calibration) -> tuple:
        return row.surface, row.searched, row.line, row.studies

    calibrations.cache_clear()  # another run may have written
    merged = {key(row): row for row in (*calibrations(), *rows)}
    with TABLE.open("wb") as file:
        tomli_w.dump({"rows": [asdict(row) for row in merged.values()]}, file)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sweeps", type=int, default=1000, help="a line, searched at random")
    parser.add_argument("--protocol", type=int, default=0, help="sweeps a line that the protocol searches")
    parser.add_argument("--surface", choices=SURFACES, action="append", help="one of them; may be repeated")
    parser.add_argument("--line", default="", help="only lines with this in their names")
    parser.add_argument("--write", action="store_true", help="keep the rows for reports")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print("verdicts in gradient evaluations\n")
    with ProcessPoolExecutor(options.processes) as pool:
        for surface in options.surface or SURFACES:
            budget, rows = BUDGETS[surface], []
            print(
                f"{surface}: {budget.trials} trials, {budget.candidates} candidates, {budget.seeds} seeds a study; "
                f"{options.sweeps} sweeps a line, {options.protocol} by the protocol"
            )
            print(f"{'':<41} studies  faster  slower  covers  estimate  could find  forecast")
            lines = [line for line in LINES if options.line in line.name and options.sweeps]
            asked = [(line, n) for line in lines for n in ((3,) if line.until else (3, 5))]
            answers = [pool.submit(simulated, line, surface, n, options.sweeps) for line, n in asked]
            for answer in answers:
                rows.append(answer.result())
                print(words(rows[-1]), flush=True)
            for line in OF_PROTOCOL if options.protocol else ():
                if options.line not in line.name:
                    continue
                jobs = [
                    pool.submit(protocol_sweep, line, SURFACES[surface], budget, number)
                    for number in range(options.protocol)
                ]
                sweeps, told = zip(*(job.result() for job in jobs), strict=True)
                for studies in (3, 5):
                    draws = np.random.default_rng([1, studies, len(line.name)])
                    made = [sweep[:studies] for sweep in sweeps]
                    rows.append(outcome(line, surface, BY_PROTOCOL, made, draws))
                    forecast = f"{np.median(told):>10.2f}" if studies == 3 else ""
                    print(words(rows[-1]) + forecast, flush=True)
            if options.write:
                write(rows)
            print()


if __name__ == "__main__":
    main()
