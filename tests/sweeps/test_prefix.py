"""Trials that share the steps before IRE: bitwise what they are alone, and the steps trained once."""

from dataclasses import replace

import inline_sweep
import pytest
from inline_sweep import grid_plan
from simulated import make_plan, simulate, table
from trial_rows import rows, without_clocks

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from ire.sweeps.experiments.experiment import open_experiment
from ire.sweeps.records.records import FAILED
from ire.sweeps.report import as_json, as_markdown
from ire.sweeps.search.protocol import Protocol
from ire.trial.spec import TrialSpec
from search_spaces.space import find_space
from trainables.training.loop import FINISHED, train
from trainables.training.prefix import prefix_key, prefix_steps


def make_spec(method="sgd-ire", horizon=48, eval_interval=8, **settings):
    arm = parse_method(method)
    defaults = find_space("digits").published(arm)
    extra = {"start_fraction": 0.6, "kappa": 2.0, "interval": 4, **settings}
    return TrialSpec(
        task="digits",
        method=method,
        settings=arm.resolve(defaults | {k: v for k, v in extra.items() if k in arm.settings}),
        seed=3,
        horizon=horizon,
        eval_interval=eval_interval,
    )


def trained(spec, **options):
    reports = []
    assert train(spec, lambda r, _: reports.append(r) or True, **options) == FINISHED
    return [without_clocks(r) for r in reports]


def test_trials_share_a_prefix_if_they_differ_in_ires_settings_alone():
    spec = make_spec()
    same = [
        make_spec(kappa=0.0),
        make_spec(gamma=0.9),
        make_spec(interval=7),
        make_spec(start_fraction=0.3),
        make_spec("sgd-ire-random"),
        make_spec("sgd-ire-all"),
        replace(spec, test=True, flatness=2, name="another"),
    ]
    assert {prefix_key(other) for other in same} == {prefix_key(spec)}
    others = [
        make_spec(lr=0.01),
        make_spec(start_loss=0.1),
        make_spec("sam-sgd-ire"),
        make_spec(eval_interval=4),
        replace(spec, seed=4),
        replace(spec, horizon=96),
        replace(spec, precision="bf16"),
        replace(spec, flatness=2, flatness_points=2),
    ]
    assert len({prefix_key(other) for other in [spec, *others]}) == len(others) + 1


def test_a_prefix_ends_where_ire_starts():
    assert prefix_steps(make_spec()) == 29
    assert prefix_steps(make_spec(start_fraction=0.0)) == 0
    assert prefix_steps(make_spec("sgd")) == 0
    assert prefix_key(make_spec("sgd")) is None
    assert prefix_key(make_spec(start_fraction=0.0)) is None


@pytest.mark.parametrize(
    "method",
    [
        "adamw-ire",
        *(pytest.param(m, marks=pytest.mark.slow) for m in ("sgd-ire", "sam-sgd-ire", "sgd-small-ire")),
    ],
)
def test_what_begins_with_a_prefix_is_bitwise_what_it_is_alone(method, tmp_path):
    """Of several starts and settings, in an order in which prefixes of both kinds are found."""
    begun = []
    settings = [
        {"start_fraction": 0.5},
        {"start_fraction": 0.5, "kappa": 5.0, "gamma": 0.9},
        {"start_fraction": 0.8, "interval": 3},
        {"start_fraction": 0.8, "kappa": 0.0},
        {"start_fraction": 0.6, "kappa": 1.0},
        {"start_fraction": 0.1},
    ]
    for values in settings:
        spec = make_spec(method, **values)
        begun.append(0)

        def tell(training):
            begun[-1] = training.step

        assert trained(spec, prefixes=tmp_path, on_prefix=tell) == trained(spec), values
    assert begun == [0, 24, 24, 38, 24, 0]


def test_a_start_that_a_loss_decides_is_shared_as_far_as_it_goes(tmp_path):
    alone = trained(make_spec(start_loss=0.2, start_fraction=0.9))
    start = next(r["ire_start"] for r in alone if r["ire_start"] is not None)
    assert 8 < start < 40, "the loss decides here"
    assert trained(make_spec(start_loss=0.2, start_fraction=0.9), prefixes=tmp_path) == alone
    begun = []
    spec = make_spec(start_loss=0.2, start_fraction=0.9, kappa=4.0)
    assert trained(spec, prefixes=tmp_path, on_prefix=lambda t: begun.append(t.step)) == trained(spec)
    assert begun == [start]


@pytest.mark.slow
@pytest.mark.parametrize("starts", [(0.5, 0.9), (0.9, 0.5)])
def test_a_start_that_a_loss_decides_is_looked_for_to_its_own_end(starts, tmp_path):
    """At the latest start of one trial another one still waits for its loss, and may find it in that very step."""
    for start in starts:
        for loss in (0.11, 0.05):
            spec = make_spec(start_loss=loss, start_fraction=start, horizon=200)
            assert trained(spec, prefixes=tmp_path) == trained(spec), (start, loss)


def test_a_trial_with_a_checkpoint_of_its_own_goes_on_from_that(tmp_path):
    spec = make_spec(kappa=1.0)
    alone = trained(spec, checkpoint=tmp_path / "own", checkpoint_seconds=0)
    trained(make_spec(), prefixes=tmp_path / "prefixes")
    begun = []
    again = trained(
        spec,
        checkpoint=tmp_path / "own",
        prefixes=tmp_path / "prefixes",
        on_prefix=lambda t: begun.append(t.step),
    )
    assert again == alone
    assert not begun


@pytest.mark.slow
def test_a_grid_that_shares_is_bitwise_the_grid_that_does_not_and_saves_45_percent(tmp_path):
    found = {}
    for share in (False, True):
        folder = tmp_path / str(share)
        folder.mkdir()
        plan = grid_plan(share_prefix=share)
        (folder / "sweep.toml").write_text(plan.to_toml())
        inline_sweep.run(folder, plan)
        found[share] = open_experiment(folder)
    assert rows(tmp_path / "True") == rows(tmp_path / "False")
    told = {share: as_json(experiment) for share, experiment in found.items()}
    assert told[False]["shared_gradient_evaluations"] == 0
    by_method = {row["method"]: row for row in told[True]["methods"]}
    grid = by_method["sgd-ire"]
    assert sum(grid["search_trials"].values()) == 6
    assert grid["shared_gradient_evaluations"] == 5 * 30
    assert grid["shared_gradient_evaluations"] >= 0.45 * grid["gradient_evaluations"]
    assert by_method["sgd"]["shared_gradient_evaluations"] == 0
    assert told[True]["shared_gradient_evaluations"] > 150, "confirm runs and their controls share, too"
    assert "of which" not in as_markdown(found[False])
    assert "were trained once" in as_markdown(found[True])
    assert "were trained once" not in as_markdown(found[False])
    (tmp_path / "True" / "trials.jsonl").unlink()
    assert (
        as_json(open_experiment(tmp_path / "True"))["shared_gradient_evaluations"]
        == told[True]["shared_gradient_evaluations"]
    )


def test_with_several_slots_a_trial_waits_for_the_steps_that_another_one_trains(tmp_path):
    plan = grid_plan(share_prefix=True)
    protocol = Protocol(plan, tmp_path)
    first, second = protocol.next_trial(), protocol.next_trial()
    assert {first.name, second.name} == {"sgd-0000", "sgd-ire-0000"}
    assert protocol.next_trial() is None, "the grid of sgd is a point, and the other trials wait"
    assert not protocol.is_over
    for step in range(5, 35, 5):
        assert protocol.next_trial() is None
        protocol.report(
            second,
            {"step": step, "gradient_evaluations": step, "seconds": 0.0, "val_loss": 1.0, "diverged": False},
        )
    others = [protocol.next_trial().name for _ in range(5)]
    assert others == [f"sgd-ire-000{n}" for n in range(1, 6)]


@pytest.mark.parametrize("slots", [1, 2, 7])
def test_waiting_changes_nothing_but_the_order(tmp_path, slots):
    sweeps = []
    for share in (False, True):
        folder = tmp_path / str(share)
        folder.mkdir()
        sweeps.append(simulate(grid_plan(share_prefix=share), folder, slots=slots))
    assert sorted(map(repr, table(sweeps[0]))) == sorted(map(repr, table(sweeps[1])))


def test_trials_that_fail_at_once_count_nothing_as_shared(tmp_path):
    plan = grid_plan(share_prefix=True)
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    protocol = Protocol(plan, tmp_path)
    while trial := protocol.next_trial():
        trial.prefix = 30
        protocol.end(trial, FAILED, "RuntimeError: no memory for a mask")
    experiment = open_experiment(tmp_path)
    assert as_json(experiment)["shared_gradient_evaluations"] == 0
    assert "trained once" not in as_markdown(experiment)


def test_a_resume_waits_for_steps_that_are_there_no_more(tmp_path):
    """At the end of a sweep its prefixes are deleted; methods that are added train them again, once."""
    simulate(replace(grid_plan(share_prefix=True), methods=("sgd", "sgd-ire"), controls=False), tmp_path)
    larger = replace(
        grid_plan(share_prefix=True), methods=("sgd", "sgd-ire", "sgd-ire-random"), controls=False
    )
    protocol = Protocol(larger, tmp_path)
    assert protocol.next_trial().name == "sgd-ire-random-0000"
    assert protocol.next_trial() is None


def test_a_sweep_without_anything_to_share_is_refused():
    with pytest.raises(InvalidInput, match="no method of the sweep has IRE"):
        make_plan(methods=("sgd",), share_prefix=True, controls=True).check()
    with pytest.raises(InvalidInput, match=r"for grids .* and for controls"):
        make_plan(share_prefix=True).check()
    make_plan(share_prefix=True, controls=True).check()
