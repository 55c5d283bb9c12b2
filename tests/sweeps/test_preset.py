"""Presets: every experiment of the paper is a grid over its task, and its numbers stand beside ours."""

import dataclasses
import json
import tomllib

import pytest
from simulated import make_plan, reports_of, simulate
from typer.testing import CliRunner

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from ire.sweeps.command.app import app
from ire.sweeps.experiments.experiment import open_experiment
from ire.sweeps.plan.micro_batches import check_micro_batches
from ire.sweeps.plan.plan import Plan
from ire.sweeps.plan.preset import load_preset, preset_names
from ire.sweeps.plan.toml_text import toml_text
from ire.sweeps.report.tables.search import grid
from search_spaces import Fixed, find_space
from search_spaces.space import parse_space
from trainables.task import load_task


def plan_of(name: str, scale: str | None = None, **fields) -> Plan:
    preset = load_preset(name)
    space = preset.space(scale)
    defaults = {"trials": space.search.trials, "confirm_seeds": preset.seeds, "seed": 0}
    return Plan(
        name="x", task=space.task, methods=preset.methods, space=space, preset=name, **defaults | fields
    )


@pytest.mark.parametrize("scale", [None, "tiny"])
@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_plan_that_holds_and_survives_its_own_record(name, scale):
    plan = plan_of(name, scale)
    plan.check()
    again = Plan.from_toml(plan.to_toml(), source="sweep.toml")
    assert again == plan
    check_micro_batches(plan.space, plan.methods, batch_size=load_task(plan.task).batch_size, workers=1)
    preset = load_preset(name)
    for method in map(parse_method, preset.methods):
        points = plan.space.grid(method)
        assert len(points) == plan.search_trials(method) >= 1
        for point in points:
            method.resolve(plan.space.published(method) | point)
        if not method.ire:
            assert points == [{}]  # the paper does not tune its baselines
        searched = {n for n, d in plan.space.dimensions(method).items() if not isinstance(d, Fixed)}
        assert searched <= {"kappa", "gamma"}
    for method, values in preset.paper.items():
        assert method in preset.methods
        assert all(value > 0 for value in values.values())


def test_the_grid_of_table_1_is_the_papers():
    plan = plan_of("table1-resnet56-cifar10")
    method = parse_method("sgd-ire")
    points = {(p["kappa"], p["gamma"]) for p in plan.space.grid(method)}
    assert points == {(kappa, gamma) for kappa in (1.0, 2.0) for gamma in (0.99, 0.9, 0.8)}
    settings = plan.space.published(parse_method("sam-sgd-ire"))
    published = {
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "rho": 0.05,
        "start_loss": 0.1,
        "interval": 10,
    }
    assert {name: settings[name] for name in published} == published
    assert plan_of("fig2-constant").space.schedule == "constant"
    assert plan_of("fig2-decayed").space.schedule == "steps 0.2 0.5 0.8 / 5"


def test_a_grid_is_tried_whole_and_nothing_else_is(tmp_path):
    digits = find_space("digits").text
    table = tomllib.loads(digits)
    table["ire"] |= {
        "kappa": {"choice": [1.0, 2.0], "published": 1.0},
        "gamma": {"choice": [0.9, 0.8, 0.7], "published": 0.8},
    }
    table["search"] |= {"grid": True, "rungs": []}
    del table["points"]  # of a grid there are no others
    space = parse_space(toml_text(table), task="digits", source="grid")
    plan = dataclasses.replace(make_plan(methods=("sgd", "sgd-ire")), space=space, curve=())
    protocol = simulate(plan, tmp_path)
    tried = {
        name: [
            (t.spec.settings["kappa"], t.spec.settings["gamma"]) if "ire" in name else t.spec.settings["lr"]
            for t in protocol.records.trials.values()
            if t.method == name and t.stage == "search"
        ]
        for name in plan.methods
    }
    assert tried["sgd"] == [0.1]
    assert tried["sgd-ire"][0] == (1.0, 0.8)  # the published point first
    assert sorted(tried["sgd-ire"]) == sorted((k, g) for k in (1.0, 2.0) for g in (0.9, 0.8, 0.7))


def test_fig_3_selects_by_training_loss_as_it_compares_it(tmp_path):
    plan = plan_of("fig3", "tiny", curve=())
    assert parse_space(plan.space.text, task=plan.task, source="again").search.select == "train_loss"

    def opposed(trial):
        for report in reports_of(trial):
            rises = trial.spec.settings.get("kappa", 0.0) + trial.spec.settings.get("gamma", 0.0)
            yield report | {"val_loss": 1 + rises, "train_loss": 9 - rises}

    protocol = simulate(plan, tmp_path, reports=opposed)
    winner = protocol.arms["adamw-ire"].winner.spec.settings
    assert (winner["kappa"], winner["gamma"]) == (5.0, 0.99)


@pytest.mark.parametrize("name", ["fig2-constant", "fig2-decayed"])
def test_every_cell_of_fig_2_is_measured(name, tmp_path):
    plan = plan_of(name, "tiny", curve=())
    measures = {"fisher_trace": 3.0, "hessian_trace": 4.0, "largest_eigenvalue": 5.0}

    def measured(trial):
        for report in reports_of(trial):
            at_end = report["step"] == trial.spec.horizon
            yield report | (measures if trial.spec.flatness and at_end else {})

    simulate(plan, tmp_path, reports=measured)
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    table = grid(open_experiment(tmp_path))
    cells = {(line[0], line[1]) for line in table.lines}
    assert len(cells) == len(table.lines) == 10  # kappa = 0, and three by three
    assert all(line[-3:] == ["3", "4", "5"] and "-" not in line for line in table.lines)
    assert "test loss" in table.heads


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_papers_numbers_stand_beside_ours_with_the_difference(tmp_path, seeds):
    def measured(trial):
        for report in reports_of(trial):
            yield report | {"test_accuracy": 0.9 + 0.01 * trial.number}

    plan = dataclasses.replace(
        make_plan(methods=("sgd", "sgd-ire"), confirm_seeds=seeds, curve=()), preset="table1-resnet56-cifar10"
    )
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    simulate(plan, tmp_path, reports=measured)
    page = open_experiment(tmp_path).report()
    rows = {row["method"]: row for row in json.loads((page.parent / "report.json").read_text())["paper"]}
    assert rows["sgd"]["paper"] == 0.9349
    assert rows["sam-sgd"]["ours"] is None
    ours = 0.9 + 0.01 * (seeds - 1) / 2
    for name in ("sgd", "sgd-ire"):
        assert rows[name]["ours"] == pytest.approx(ours)
        assert rows[name]["difference"] == pytest.approx(ours - rows[name]["paper"])
        assert rows[name]["spread"] == (None if seeds == 1 else pytest.approx(0.01))
    shown = f"| {ours:.4f} |" if seeds == 1 else f"| {ours:.4f} ±0.0100 |"
    assert shown in (page.parent / "report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "--preset", "table9"], "unknown preset 'table9'"),
        (["sweep", "digits", "--preset", "table2"], "names its task and space: give it alone"),
        (["sweep"], "name a task"),
    ],
)
def test_bad_input(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, InvalidInput), result.output
    assert message in str(result.exception)


def test_presets_are_listed():
    listed = CliRunner().invoke(app, ["presets"]).output
    for name in ("table1-resnet56-cifar10", "fig2-constant", "fig3", "fig4-minipile", "table5"):
        assert name in listed
