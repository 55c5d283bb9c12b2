"""One table over every arm and five classes from outside: what holds for a trial holds whatever steps it."""

import pytest
import torch

from ire.methods.method import parse_method
from ire.methods.registry import bases
from ire.sweeps.plan.plan import Plan
from ire.trial.spec import TrialSpec
from search_spaces import find_space
from trainables.task import Batch, Task, load_task
from trainables.training.groups import grouped
from trainables.training.optimizers import build_optimizer
from trainables.training.training import Training

FOREIGN = (
    "torch.optim:RAdam",  # another of torch's
    "torch.optim:Rprop",  # no weight decay, its state made before the first step
    "schedulefree:RAdamScheduleFree",  # modes
    "pytorch_optimizer:Adan",  # three moments, the last gradient
    "pytorch_optimizer:AdaBelief",  # many switches
)
ARMS = (*bases(), *FOREIGN)
BOOSTED = [name for name in ARMS if "ire" not in parse_method(name).base.refuses]
CLOCKS = ("seconds", "steps_per_second", "warmup_seconds")


class Tiny(Task):
    """Next-token prediction by an embedding, a hidden matrix, a norm and a head, on random tokens."""

    name = "tiny"
    batch_size = 8

    def model(self):
        return torch.nn.Sequential(
            torch.nn.Embedding(12, 6),
            torch.nn.Linear(6, 6),
            torch.nn.LayerNorm(6),
            torch.nn.GELU(),
            torch.nn.Linear(6, 12),
        )

    def train_batches(self, *, seed: int, start: int):
        step = start
        while True:
            yield self._batch(1000 * seed + step)
            step += 1

    def eval_batches(self, split: str) -> list[Batch]:
        return [self._batch(10**6)]

    def _batch(self, seed: int) -> Batch:
        draws = torch.Generator().manual_seed(seed)
        x = torch.randint(12, (self.batch_size, 5), generator=draws)
        return x, (x * 5 + 1) % 12


def spec(method: str, **settings) -> TrialSpec:
    arm, space = parse_method(method), find_space("stdlib-lm")
    chosen = space.published(arm) | {"warmup_fraction": 0.1}
    if arm.ire:
        chosen |= {"start_fraction": 0.25, "interval": 2}
    return TrialSpec(
        task="tiny",
        method=method,
        settings=arm.resolve(chosen | settings),
        seed=3,
        horizon=12,
        eval_interval=3,
    )


def run(training: Training, until: int = 12) -> list[dict]:
    reports = []
    while training.step < until:
        training.advance()
        if training.spec.reports_at(training.step):
            report = training.report()
            reports.append({key: value for key, value in report.items() if key not in CLOCKS})
    return reports


def started(method: str, task: Task | None = None, **settings) -> Training:
    return Training(task or Tiny(), spec(method, **settings), device=torch.device("cpu"))


def weights(training: Training) -> list[torch.Tensor]:
    return [p.detach().clone() for p in training.model.parameters()]


def equal(first: Training, second: Training) -> bool:
    return all(map(torch.equal, weights(first), weights(second)))


@pytest.mark.parametrize("name", ARMS)
def test_a_trial_is_bitwise_itself_after_another_one_in_the_same_process(name):
    task, first = Tiny(), started(name)
    curve = run(first)
    run(started("sgd", task), until=5)
    torch.rand(7)
    second = started(name, task)
    assert run(second) == curve
    assert equal(first, second)


@pytest.mark.parametrize("name", [*ARMS, *(f"{name}-ire" for name in BOOSTED)])
def test_a_trial_resumed_at_any_report_is_bitwise_the_undisturbed_one(name, tmp_path):
    undisturbed = started(name)
    states, curve = {}, []
    while undisturbed.step < 12:
        curve += run(undisturbed, until=undisturbed.step + 3)
        torch.save(undisturbed.state_dict(), tmp_path / f"{undisturbed.step}.pt")
        states[undisturbed.step] = tmp_path / f"{undisturbed.step}.pt"
    for step in (3, 6, 9):
        resumed = started(name)
        resumed.load_state_dict(torch.load(states[step], weights_only=True))
        assert run(resumed) == curve[step // 3 :]
        assert equal(resumed, undisturbed)


@pytest.mark.parametrize("name", BOOSTED)
def test_kappa_zero_is_bitwise_the_base(name):
    base, boosted = started(name), started(f"{name}-ire", kappa=0.0)
    run(base), run(boosted)
    assert equal(base, boosted)


@pytest.mark.parametrize("name", BOOSTED)
def test_ire_changes_the_steps_after_its_start(name):
    base, boosted = started(name), started(f"{name}-ire")
    run(base, until=3), run(boosted, until=3)
    assert equal(base, boosted)
    run(base), run(boosted)
    assert not equal(base, boosted)
    assert boosted.optimizer.skipped_refreshes == 0


@pytest.mark.parametrize("name", [*ARMS, *(f"{name}-ire" for name in BOOSTED)])
def test_gradients_are_as_many_as_the_budget_foresees(name):
    training = started(name)
    assert [report["gradient_evaluations"] for report in run(training)] == [
        training.method.gradient_evaluations(training.settings, 12, steps=step) for step in (3, 6, 9, 12)
    ]


@pytest.mark.parametrize("name", ARMS)
@pytest.mark.parametrize("decay", ["all", "matrices"])
def test_every_trainable_parameter_is_in_exactly_one_group(name, decay):
    method, model = parse_method(name), load_task("stdlib-lm").model()
    options = {"decay": decay} if "decay" in method.options else {}
    settings = method.resolve(find_space("stdlib-lm").published(method) | options)
    optimizer = build_optimizer(method, settings, model, horizon=10, seed=0)
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    named = [name for group in grouped(method, settings, model) for name in group.parameters]
    assert sorted(named) == sorted(name for name, _ in model.named_parameters())


@pytest.mark.parametrize("name", ARMS)
def test_settings_are_the_same_after_records_and_sweep_toml(name):
    trial = spec(name)
    assert TrialSpec.from_dict(trial.to_dict()) == trial
    plan = Plan(
        name="x",
        task="stdlib-lm",
        methods=(name,),
        trials=2,
        confirm_seeds=1,
        seed=0,
        space=find_space("stdlib-lm"),
    )
    assert Plan.from_toml(plan.to_toml(), source="sweep.toml") == plan


@pytest.mark.parametrize(
    "name", [name for name in ARMS if "Adan" not in name]
)  # its decay makes all weights 0
def test_a_learning_rate_that_is_too_large_diverges_as_a_result(name):
    rest = {"rest_lr": 1e30} if parse_method(name).base.rest else {}
    report = run(started(name, lr=1e30, clip_norm=0.0, **rest), until=6)[-1]
    assert report["diverged"]


@pytest.mark.parametrize("name", [*bases()])
def test_the_state_is_as_large_as_the_method_says(name):
    model = torch.nn.Sequential(torch.nn.Embedding(64, 64), torch.nn.Linear(64, 64), torch.nn.Linear(64, 64))
    method = parse_method(name)
    settings = method.resolve(find_space("stdlib-lm").published(method))
    optimizer = build_optimizer(method, settings, model, horizon=10, seed=0)
    if hasattr(optimizer, "train"):
        optimizer.train()
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    if method.base.curvature_interval:
        optimizer.update_curvature(1)
        for p in model.parameters():
            p.grad = torch.randn_like(p)
    for _ in range(2):
        optimizer.step(lambda: torch.ones(()))
    numbers = sum(_numbers(state) for state in optimizer.state.values())
    parameters = sum(p.numel() for p in model.parameters())
    said, least = method.base.state_tensors, 0.95
    if name in ("adafactor", "muon"):  # one of them keeps less of matrices, the other of all but matrices
        least = 0.0
    assert least * said <= numbers / parameters <= 1.05 * said


def _numbers(value) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel()
    if isinstance(value, dict):
        return sum(map(_numbers, value.values()))
    return sum(map(_numbers, value)) if isinstance(value, list | tuple) else 0
