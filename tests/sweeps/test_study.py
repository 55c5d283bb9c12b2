import optuna
import pytest
from optuna.trial import TrialState
from simulated import make_plan, simulate

from ire.sweeps.records.records import DIVERGED, FAILED, FINISHED, PRUNED


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    protocol = simulate(make_plan(trials=12, confirm_seeds=1), folder, fails=("sgd-ire-0003",))
    return folder, protocol


def studies(folder):
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "optuna.log"))
    storage = optuna.storages.JournalStorage(backend)
    return {
        s.study_name: optuna.load_study(study_name=s.study_name, storage=storage)
        for s in storage.get_all_studies()
    }


def test_the_journal_opens_with_optuna_and_holds_a_study_for_each_method(swept):
    folder, _ = swept
    assert set(studies(folder)) == {f"simulated/{method}" for method in ("sgd", "sgd-ire", "sam-sgd")}


def test_the_objective_has_a_name_for_dashboards(swept):
    assert {tuple(study.metric_names) for study in studies(swept[0]).values()} == {("val_loss",)}


def test_every_status_has_its_state(swept):
    folder, protocol = swept
    seen = set()
    for name, arm in protocol.arms.items():
        told = studies(folder)[f"simulated/{name}"].trials
        assert len(told) == len(arm.search)
        for trial, record in zip(told, arm.search, strict=True):
            seen.add(record.status)
            assert trial.user_attrs["status"] == record.status
            assert trial.user_attrs["trial"] == record.name
            match record.status:
                case "finished":
                    assert trial.state == TrialState.COMPLETE
                    assert trial.value == record.val_loss
                case "pruned":
                    assert trial.state == TrialState.PRUNED
                    assert max(trial.intermediate_values) == record.step
                case "diverged":
                    assert trial.state == TrialState.PRUNED
                    assert not trial.intermediate_values
                case "failed":
                    assert trial.state == TrialState.FAIL
    assert seen == {FINISHED, PRUNED, DIVERGED, FAILED}


def test_trial_0_of_every_method_is_the_published_one(swept):
    _, protocol = swept
    for arm in protocol.arms.values():
        published = protocol.plan.space.published(arm.method)
        assert dict(arm.search[0].spec.settings) == arm.method.resolve(published)


def test_tpe_ranks_diverged_trials_behind_every_other():
    from optuna.distributions import FloatDistribution
    from optuna.samplers._tpe.sampler import _get_pruned_trial_score
    from optuna.trial import create_trial

    study = optuna.create_study()
    make = lambda values: create_trial(  # noqa: E731
        state=TrialState.PRUNED,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        intermediate_values=values,
    )
    pruned, diverged = make({1: 1e300}), make({})
    assert _get_pruned_trial_score(pruned, study) < _get_pruned_trial_score(diverged, study)


def test_suggestions_after_the_start_up_follow_the_losses(swept):
    _, protocol = swept
    lrs = [t.spec.settings["lr"] for t in protocol.arms["sgd"].search]
    best = min(protocol.arms["sgd"].search, key=lambda t: t.val_loss or 9).spec.settings["lr"]
    assert 0.02 < best < 0.4  # the floor is lowest at 0.1
    assert len(set(lrs)) == len(lrs)
