"""The loop: bitwise reproducible, resumable at any step, honest about divergence."""

import itertools

import pytest
import torch

from ire.invalid_input import InvalidInput
from ire.methods.method import all_methods
from trainables.task import load_task
from trainables.training.checkpoint import load_checkpoint
from trainables.training.loop import DIVERGED, FINISHED, STOPPED, train
from trainables.training.training import Training

CLOCKS = ("seconds", "steps_per_second")


def curve(spec, **options):
    """The reports of a trial without its clocks, and how it ended."""
    reports = []

    def take(report, _):
        reports.append({key: value for key, value in report.items() if key not in CLOCKS})
        return True

    status = train(spec, take, **options)
    return reports, status


@pytest.mark.parametrize(  # tests/methods/test_conformance.py has the other bases
    "method",
    [
        name
        for name, method in all_methods().items()
        if method.base.name in ("sgd", "adamw") and not (method.update and method.control)
    ],
)
def test_every_method_learns_and_costs_what_it_says(make_spec, method):
    spec = make_spec(
        method, settings={"lr": 0.003 if "adamw" in method else 0.05}, horizon=60, eval_interval=20
    )
    reports, status = curve(spec)
    assert status == FINISHED
    assert [r["step"] for r in reports] == [20, 40, 60]
    assert reports[-1]["val_loss"] < 0.5 * 2.3
    arm = all_methods()[method]
    assert [r["gradient_evaluations"] for r in reports] == [
        arm.gradient_evaluations(spec.settings, 60, steps=step) for step in (20, 40, 60)
    ]
    if arm.ire:
        boosted = [r["kappa"] for r in reports]
        kappa = 3.0 * (0.7 if arm.control == "mean" else 1)
        assert boosted == pytest.approx([0.0, kappa, kappa])  # the start is step 24
        share = {"all": 1.0, "mean": 1.0, "sharpest": 0.3}.get(arm.control, 0.7)
        assert reports[-1]["flat_fraction"] == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize("method", ["sgd", "adamw", "sam-sgd"])
def test_kappa_zero_is_bitwise_the_base(make_spec, method):
    base, _ = curve(make_spec(method))
    ire, _ = curve(make_spec(f"{method}-ire", settings={"kappa": 0.0}))
    assert [{key: r[key] for key in base[0]} for r in ire] == base


@pytest.mark.parametrize("method", ["sgd", "adamw", "sam-sgd"])
def test_before_the_start_it_is_bitwise_the_base_and_not_after(make_spec, method):
    base, _ = curve(make_spec(method, eval_interval=1))
    ire, _ = curve(make_spec(f"{method}-ire", eval_interval=1, settings={"start_fraction": 0.5}))
    ire = [{key: r[key] for key in base[0]} for r in ire]
    assert ire[:12] == base[:12]
    assert ire[12]["val_loss"] != base[12]["val_loss"]


@pytest.mark.parametrize("method", ["sgd-ire", "adamw-ire", "sam-sgd-ire", "sgd-ire-random"])
def test_the_same_trial_twice_is_bitwise_the_same(make_spec, method):
    first = curve(make_spec(method))
    torch.rand(17)  # whatever happened before
    assert curve(make_spec(method)) == first


@pytest.mark.parametrize(
    "method",
    [
        *("adamw-ire", "sam-sgd-ire", "sgd-ire-random"),
        *(
            pytest.param(method, marks=pytest.mark.slow)
            for method in ("sgd-small-ire", "sgd-ft", "sgd-uj-ire", "sgd-graft")
        ),
    ],
)
def test_a_trial_resumed_from_any_report_is_bitwise_the_undisturbed_one(make_spec, method, tmp_path):
    spec = make_spec(method, horizon=18, eval_interval=3)
    whole = curve(spec)
    for stop_at in (3, 6, 9, 12, 15, 18):
        path = tmp_path / f"{stop_at}.pt"
        assert train(
            spec, lambda r, _, stop=stop_at: r["step"] < stop, checkpoint=path, checkpoint_seconds=0
        ) == (STOPPED)
        assert load_checkpoint(path)["step"] == stop_at
        assert curve(spec, checkpoint=path) == whole


def test_a_resumed_trial_sends_its_past_reports_again(make_spec, tmp_path):
    spec = make_spec(eval_interval=6)
    path = tmp_path / "trial.pt"
    train(spec, lambda r, _: r["step"] < 12, checkpoint=path, checkpoint_seconds=0)
    reports, _ = curve(spec, checkpoint=path)
    assert [r["step"] for r in reports] == [6, 12, 18, 24]


def test_a_diverging_rate_is_a_result(make_spec):
    reports, status = curve(make_spec(settings={"lr": 1e12}))
    assert status == DIVERGED
    assert reports[-1]["diverged"]
    assert len(reports) < 6
    assert all(value == value for value in reports[-1].values())  # no NaN in a report


def test_gradient_accumulation_is_the_whole_batch_to_rounding():
    import dataclasses

    from ire.methods.method import parse_method
    from ire.trial.spec import TrialSpec
    from search_spaces import find_space

    space, method = find_space("stdlib-lm"), parse_method("adamw-ire")
    settings = method.resolve(space.published(method) | {"start_fraction": 0.0})
    spec = TrialSpec(
        task="stdlib-lm", method="adamw-ire", settings=settings, seed=1, horizon=400, eval_interval=400
    )
    task = load_task("stdlib-lm")
    runs = [
        Training(task, dataclasses.replace(spec, micro_batches=parts), device=torch.device("cpu"))
        for parts in (1, 4)
    ]
    for training in runs:
        training.advance()  # later steps differ more: the sampled labels of the parts are other draws
    assert runs[0].progress.loss_sum.item() == pytest.approx(runs[1].progress.loss_sum.item(), rel=1e-6)


def test_batch_norm_statistics_are_updated_once_a_step(make_spec):
    for method in ("sgd", "sam-sgd-ire"):
        training = Training(load_task("digits"), make_spec(method), device=torch.device("cpu"))
        for _ in range(12):
            training.advance()
        counts = {int(b) for name, b in training.model.named_buffers() if "num_batches" in name}
        assert counts == {12}


def test_bf16_autocast_trains(make_spec):
    reports, status = curve(make_spec("sgd-ire", precision="bf16"))
    assert status == FINISHED
    assert reports[-1]["val_loss"] < 2.3


def test_tf32_is_that_of_the_trial_and_of_no_other(make_spec):
    for precision, expected in (("tf32", "high"), ("fp32", "highest"), ("tf32", "high"), ("bf16", "highest")):
        Training(load_task("digits"), make_spec(precision=precision), device=torch.device("cpu"))
        assert torch.get_float32_matmul_precision() == expected


def test_the_test_split_is_evaluated_at_the_end_and_only_when_asked(make_spec):
    reports, _ = curve(make_spec(test=True))
    assert [("test_loss" in r) for r in reports] == [False] * 5 + [True]
    reports, _ = curve(make_spec())
    assert not any(key.startswith("test") for r in reports for key in r)


def test_training_never_reads_the_test_split(make_spec, monkeypatch):
    task = load_task("digits")
    asked = []
    evaluate = task.eval_batches
    monkeypatch.setattr(task, "eval_batches", lambda split: (asked.append(split), evaluate(split))[1])
    curve(make_spec(), task=task)
    assert set(asked) == {"validation"}
    used = {
        tuple(image.flatten().tolist())
        for images, _ in itertools.islice(task.train_batches(seed=0, start=0), 32)
        for image in images
    }
    assert not used & {tuple(image.flatten().tolist()) for image in task.splits["test"][0]}


def test_an_uneven_split_of_the_batch_is_refused(make_spec):
    with pytest.raises(InvalidInput, match="batch of 64 examples cannot be split evenly over 1 workers x 5"):
        curve(make_spec(micro_batches=5))
