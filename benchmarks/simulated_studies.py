"""Simulated studies: every method is searched, confirmed, and the baselines run at other horizons.

A search draws its settings at random (`random_study`) or is the protocol's own (`protocol_sweep`).
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from simulated_lines import Budget, Line, Method, Surface, deviates

from ire.sweeps.findings.forecast import forecast
from ire.sweeps.plan.imported import Imported, ImportedTrial
from ire.sweeps.plan.plan import RULES, Plan
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.search.stages import curve_contests
from search_spaces.space import parse_space

Study = list[np.ndarray]
"""The final losses of each method: (seeds,), or for a baseline (seeds, 1 + factors), its curve after them."""


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
    """Five studies searched by the protocol itself, of a baseline and one method that is another name for it.

    Also returns the forecast for three such studies, from the line before the confirm stage.
    """
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
    draws, predicted = np.random.default_rng([number, 7]), None
    with tempfile.TemporaryDirectory() as folder:
        protocol = Protocol(plan, Path(folder))
        while trial := protocol.next_trial():
            spec, method = trial.spec, line.methods[NAMES.index(trial.arm)]
            if spec.timing:
                protocol.report(trial, _report(spec.horizon, None))
                continue
            if trial.stage == "confirm" and predicted is None:
                predicted = forecast(replace(plan, studies=3), protocol.studies[0].arms)[NAMES[1]]
            end = _end(line, method, surface, spec.settings, spec.horizon / space.horizon, spec.seed, draws)
            for step in (*spec.rungs, spec.horizon):
                loss = surface.before(end, step / spec.horizon)
                if not protocol.report(trial, _report(step, loss)):
                    break
        assert predicted is not None
        return [_losses(line, study) for study in protocol.studies], predicted


def _losses(line: Line, study: Any) -> Study:
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


def _imported(line: Line, surface: Surface, number: int) -> Imported:
    """Ten randomly drawn trials per method and study of another experiment."""
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
