"""External grafting reads its norms from another sweep's records, by the name of a trial."""

import pytest
from simulated import make_plan, simulate

from ire.invalid_input import InvalidInput
from ire.sweeps.experiments.train_one import train_one
from ire.sweeps.plan.micro_batches import check_micro_batches
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.recorded_norms import recorded_norms
from ire.sweeps.records.records import FINISHED, Records, TrialRecord
from search_spaces import find_space


@pytest.fixture
def folder(tmp_path):
    """A sweep of `sgd`, whose trials report no micro-batch norms, and a trial of `sgd-small`, which does."""
    folder = tmp_path / "earlier"
    folder.mkdir()
    plan = make_plan(methods=("sgd",), trials=2, confirm_seeds=1)
    (folder / "sweep.toml").write_text(plan.to_toml())
    simulate(plan, folder)
    records = Records(folder)
    for _ in records.replay():
        pass
    spec = make_plan(methods=("sgd-small",)).search_trial("sgd-small", 0, {"lr": 0.1, "micro_batch": 8})
    trial = TrialRecord(spec=spec, stage="search", number=0)
    records.start(trial)
    for step, norm in ((8, 1.5), (16, 0.75), (24, 0.5)):
        report = {
            "step": step,
            "gradient_evaluations": step,
            "seconds": 1.0,
            "val_loss": 1.0,
            "diverged": False,
        }
        records.report(trial, report | {"micro_grad_norm": norm})
    records.end(trial, FINISHED)
    return folder


def test_the_norms_of_a_trial_come_with_their_steps(folder):
    assert recorded_norms(f"{folder}/sgd-small-0000") == ((8, 1.5), (16, 0.75), (24, 0.5))


def test_every_trial_of_external_grafting_carries_them_and_no_other(folder):
    plan = make_plan(methods=("sgd", "sgd-external"), external=f"{folder}/sgd-small-0000")
    plan.check()
    assert Plan.from_toml(plan.to_toml(), source="sweep.toml") == plan
    settings = {"lr": 0.1, "micro_batch": 8}
    for spec in (
        plan.search_trial("sgd-external", 0, settings),
        plan.later_trial("x", "sgd-external", 0, settings, selects=False),
    ):
        assert spec.external_norms == ((8, 1.5), (16, 0.75), (24, 0.5))
    assert plan.search_trial("sgd", 0, {"lr": 0.1}).external_norms == ()


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        ("sgd-smal-0000", "unknown trial 'sgd-smal-0000'.*did you mean 'sgd-small-0000'"),
        ("sgd-0000", "this trial of sgd does not have micro_grad_norm.*trials of sgd-small"),
        ("../elsewhere/sgd-small-0000", "not an experiment folder"),
    ],
)
def test_a_trial_that_cannot_give_norms_is_refused(folder, trial, message):
    with pytest.raises(InvalidInput, match=message):
        make_plan(methods=("sgd-external",), external=f"{folder}/{trial}").check()


def test_a_name_without_a_folder_is_refused():
    with pytest.raises(InvalidInput, match="must be an experiment folder and a trial in it"):
        recorded_norms("sgd-small-0000")


def test_a_sweep_says_what_is_missing_or_not_needed(folder):
    with pytest.raises(
        InvalidInput, match=r"sgd-external takes its gradient norms.*name that trial with --external"
    ):
        make_plan(methods=("sgd-external",)).check()
    with pytest.raises(InvalidInput, match="no method of the sweep takes norms"):
        make_plan(methods=("sgd",), external=f"{folder}/sgd-small-0000").check()
    with pytest.raises(InvalidInput, match="sgd takes no norms from another run; sgd-external does"):
        train_one("digits", "sgd", {}, print, external=f"{folder}/sgd-small-0000")


def test_one_trial_takes_them_from_the_command_line_too(folder):
    reports = []
    status = train_one(
        *("digits", "sgd-external", {"momentum": 0.0, "weight_decay": 0.0}, reports.append),
        horizon=16,
        external=f"{folder}/sgd-small-0000",
    )
    assert status == "finished"
    assert reports[-1]["step_length"] == pytest.approx(reports[-1]["lr"] * 0.75, rel=1e-4)


def test_micro_batches_that_do_not_fit_are_refused_before_anything_starts():
    space = find_space("digits")  # micro-batches of 8 in a batch of 64
    check_micro_batches(space, ("sgd", "sgd-gn", "sgd-small"), batch_size=64, workers=4)
    with pytest.raises(InvalidInput, match=r"micro_batch = 8 in digits.toml: 8 micro-batches .* 3 workers"):
        check_micro_batches(space, ("sgd-gn",), batch_size=64, workers=3)
    with pytest.raises(InvalidInput, match=r"micro_batch = 8 in digits.toml: must be a multiple of 16"):
        check_micro_batches(space, ("sgd-small",), batch_size=64, workers=16)
