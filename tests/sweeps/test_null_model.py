"""Losses without curvature: a model of the step's mean length alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from ire.sweeps.findings.null_model import IRE, Point, fitted, multiplier

NAMES = ("kappa0", IRE, "random", "mean", "sharpest", "all")


def points(loss_of, *, kappa=6.0, gamma=0.5, error=0.005, noise=0.0, seed=0):
    draws = np.random.default_rng(seed)
    made = []
    for name in NAMES:
        point = Point(name=name, kappa=kappa, gamma=gamma, lr_ratio=1.0, loss=0.0, error=error)
        loss = loss_of(name, np.log(multiplier(point, 0.1))) + noise * draws.standard_normal()
        made.append(Point(**{**vars(point), "loss": loss}))
    return made


def test_losses_that_follow_the_step_size_are_fitted_and_predicted():
    studies = [points(lambda name, log: 2.1 + 0.05 * (log - 0.8) ** 2, noise=0.002, seed=i) for i in range(3)]
    model = fitted(studies)
    assert model.fits
    expected = np.mean([point.loss for study in studies for point in study if point.name == "all"])
    assert model.predicted["all"] == pytest.approx(expected, abs=0.006)


def test_a_method_that_no_step_size_explains_is_not_fitted():
    def with_curvature(name, log):
        return 2.1 + 0.05 * (log - 0.8) ** 2 - (0.08 if name in (IRE, "mean") else 0.0)

    assert not fitted([points(with_curvature)] * 3).fits


def test_too_few_controls_are_no_test():
    assert fitted([points(lambda name, log: log)[:4]]) is None


def test_the_published_controls_of_stdlib_lm_need_no_curvature():
    report = json.loads((Path(__file__).parents[2] / "docs/results/stdlib-lm/report.json").read_text())
    row = next(m for m in report["methods"] if m["method"] == "adamw-ire")
    if "settings" not in row:
        pytest.skip("the published sweep is one of several studies now")
    metrics = {c["control"]: c["metrics"]["val_loss"] for c in row["controls"]} | {
        IRE: row["metrics"]["val_loss"]
    }
    settings, seeds = row["settings"], report["confirm_seeds"]
    study = [
        Point(
            name=name,
            kappa=settings["kappa"],
            gamma=settings["gamma"],
            lr_ratio=1.0,
            loss=metrics[name]["mean"],
            error=metrics[name]["std"] / np.sqrt(seeds),
        )
        for name in NAMES
    ]
    model = fitted([study])
    assert model.fits
    assert max(abs(model.predicted[p.name] - p.loss) for p in study) < 0.006
