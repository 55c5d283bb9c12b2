"""How a batch becomes a step: accumulation, ghost batch norm, small batches, and the lengths that grafting gives."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ire.invalid_input import InvalidInput
from ire.methods.method import all_methods, parse_method
from ire.methods.updates import UPDATES
from ire.trial.seeds import derive_seed, generator
from ire.trial.spec import TrialSpec
from trainables.penalties import SCALARS
from trainables.task import Task
from trainables.training.loop import train
from trainables.training.training import Training
from trainables.updates.lengths import Recorded, rescaled
from trainables.updates.micro_batches import check_split, sizes, weights

LR, LAMBDA = 0.2, 0.3


class Blobs(Task):
    """Twelve examples a batch of four features in three classes, in double precision."""

    name = "blobs"
    batch_size = 12

    def __init__(self, batch_norm: bool = False) -> None:
        self._batch_norm = batch_norm

    def model(self):
        middle = nn.BatchNorm1d(5) if self._batch_norm else nn.Identity()
        return nn.Sequential(nn.Linear(4, 5), middle, nn.Tanh(), nn.Linear(5, 3)).double()

    def train_batches(self, *, seed, start):
        for step in itertools.count(start):
            draws = generator(seed, "blobs", step)
            labels = torch.randint(3, (12,), generator=draws)
            inputs = torch.randn(12, 4, generator=draws, dtype=torch.float64)
            yield inputs + F.one_hot(labels, 4), labels

    def eval_batches(self, split):
        return [next(self.train_batches(seed=-1, start=0))]


def training_of(method: str, *, micro_batch: int = 4, task: Task | None = None, **changed) -> Training:
    arm = parse_method(method)
    fields = {"horizon": 4, "eval_interval": 1, "seed": 3}
    if arm.update == "external":
        fields["external_norms"] = ((1, 0.7), (3, 0.2))
    settings = {"lr": LR, "momentum": 0.0, "warmup_fraction": 0.0, "final_lr_fraction": 1.0}
    settings |= {
        "micro_batch": micro_batch,
        "lambda": LAMBDA,
        "kappa": 2.0,
        "gamma": 0.5,
        "start_fraction": 0.0,
    }
    settings |= {name: changed.pop(name) for name in list(changed) if name in arm.settings}
    spec = TrialSpec(
        task="blobs",
        method=method,
        settings=arm.resolve({k: v for k, v in settings.items() if k in arm.settings}),
        **fields | changed,
    )
    return Training(task or Blobs(), spec, device=torch.device("cpu"))


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def gradient(model: nn.Module, inputs, labels) -> torch.Tensor:
    """∇ of the mean loss, all parameters in one vector; batch-norm statistics of `model` move."""
    found = torch.autograd.grad(F.cross_entropy(model(inputs), labels), list(model.parameters()))
    return torch.cat([g.flatten() for g in found])


def one_step(training: Training) -> tuple[nn.Module, torch.Tensor, tuple, torch.Tensor]:
    """A copy of the model before a step, its parameters, the batch, and the displacement over the learning rate."""
    before = copy.deepcopy(training.model)
    batch = next(training.task.train_batches(seed=3, start=training.step))
    training.advance()
    return before, flat(before), batch, (flat(before) - flat(training.model)) / LR


@pytest.mark.parametrize(
    ("batch_size", "micro_batch", "expected"),
    [
        (12, 4, [4, 4, 4]),
        (12, 12, [12]),
        (12, 5, [5, 5, 2]),
        (12, 1, [1] * 12),
        (5120, 128, [128] * 40),
        (5000, 128, [128] * 39 + [8]),
    ],
)
def test_a_batch_in_micro_batches_the_last_of_which_has_the_rest(batch_size, micro_batch, expected):
    assert sizes(batch_size, micro_batch) == expected
    assert weights(batch_size, micro_batch) == [n / batch_size for n in expected]


@pytest.mark.parametrize("micro_batch", [1, 4, 5, 12])
def test_the_mean_over_micro_batches_is_the_gradient_of_the_batch(micro_batch):
    before, _, (inputs, labels), moved = one_step(training_of("sgd-large", micro_batch=micro_batch))
    torch.testing.assert_close(moved, gradient(before, inputs, labels), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("micro_batch", [4, 5, 6])
def test_batch_norm_is_a_ghost_each_micro_batch_normalises_itself(micro_batch):
    training = training_of("sgd-large", micro_batch=micro_batch, task=Blobs(batch_norm=True))
    before, _, (inputs, labels), moved = one_step(training)
    parts = list(zip(inputs.split(micro_batch), labels.split(micro_batch), strict=True))
    expected = sum(len(y) / 12 * gradient(before, x, y) for x, y in parts)  # `before` sees them in order, too
    torch.testing.assert_close(moved, expected, rtol=1e-9, atol=1e-12)
    twin, own = before[1], training.model[1]
    assert own.num_batches_tracked == len(parts) == twin.num_batches_tracked
    torch.testing.assert_close(own.running_mean, twin.running_mean)
    torch.testing.assert_close(own.running_var, twin.running_var)


@pytest.mark.parametrize("micro_batch", [3, 4, 5, 12])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_small_batches_are_plain_sgd_on_the_micro_batches_one_after_another(micro_batch, momentum):
    training = training_of("sgd-small", micro_batch=micro_batch, momentum=momentum)
    twin = copy.deepcopy(training.model)
    optimizer = torch.optim.SGD(twin.parameters(), lr=LR, momentum=momentum)
    for step in range(3):
        inputs, labels = next(training.task.train_batches(seed=3, start=step))
        for x, y in zip(inputs.split(micro_batch), labels.split(micro_batch), strict=True):
            optimizer.zero_grad()
            F.cross_entropy(twin(x), y).backward()
            optimizer.step()
        training.advance()
    torch.testing.assert_close(flat(training.model), flat(twin), rtol=1e-12, atol=1e-14)


def test_one_micro_batch_makes_small_and_large_batches_the_plain_method():
    runs = [training_of(name, micro_batch=12) for name in ("sgd", "sgd-small", "sgd-large")]
    for training in runs:
        training.advance()
    assert torch.equal(flat(runs[0].model), flat(runs[1].model))
    assert torch.equal(flat(runs[0].model), flat(runs[2].model))


@pytest.mark.parametrize("name", SCALARS)
def test_a_penalty_of_weight_zero_is_bitwise_the_large_batch_and_costs_no_more(name):
    plain, penalized = training_of("sgd-large"), training_of(f"sgd-{name}", **{"lambda": 0.0})
    for training in (plain, penalized):
        for _ in range(3):
            training.advance()
    assert torch.equal(flat(plain.model), flat(penalized.model))
    assert plain.gradient_evaluations == penalized.gradient_evaluations == 3


@pytest.mark.parametrize("micro_batch", [4, 5, 12])
def test_a_penalized_step_is_the_mean_of_the_penalized_gradients_of_the_micro_batches(micro_batch):
    training = training_of("sgd-gn", micro_batch=micro_batch)
    before, _, (inputs, labels), moved = one_step(training)
    parameters = list(before.parameters())
    objective, penalties, norms = 0.0, [], []
    for x, y in zip(inputs.split(micro_batch), labels.split(micro_batch), strict=True):
        loss = F.cross_entropy(before(x), y)
        slopes = torch.autograd.grad(loss, parameters, create_graph=True)
        penalty = sum(s.square().sum() for s in slopes)
        objective = objective + len(y) / 12 * (loss + LAMBDA * penalty)
        penalties.append(len(y) / 12 * penalty.item())
        norms.append(penalty.sqrt().item())
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(objective, parameters)])
    torch.testing.assert_close(moved, expected, rtol=1e-9, atol=1e-12)
    report = training.report()
    assert report["penalty"] == pytest.approx(sum(penalties))
    assert report["micro_grad_norm"] == pytest.approx(sum(norms) / len(norms), rel=1e-6)
    assert report["grad_norm"] == pytest.approx(expected.norm().item(), rel=1e-6)
    assert report["step_length"] == pytest.approx(LR * expected.norm().item(), rel=1e-6)


@pytest.mark.parametrize("name", ["ft", "aj", "uj"])
def test_what_is_drawn_differs_between_micro_batches_steps_and_seeds_and_repeats(name):
    def penalties(seed: int) -> list[float]:
        training = training_of(f"sgd-{name}", seed=seed)
        return [(training.advance(), training.report()["penalty"])[1] for _ in range(3)]

    assert penalties(3) == penalties(3)
    assert penalties(3) != penalties(4)
    assert len(set(penalties(3))) == 3


@pytest.mark.parametrize("micro_batch", [3, 5])
@pytest.mark.parametrize("denoise", [False, True])
def test_iterative_grafting_steps_along_the_batch_as_far_as_one_of_its_micro_batches(micro_batch, denoise):
    training = training_of("sgd-graft", micro_batch=micro_batch, denoise=denoise, momentum=0.0)
    drawn = set()
    for step in range(4):
        before, _, (inputs, labels), moved = one_step(training)
        direction = gradient(before, inputs, labels)
        parts = list(zip(inputs.split(micro_batch), labels.split(micro_batch), strict=True))
        norms = [gradient(before, x, y).norm().item() for x, y in parts]
        number = derive_seed(3, "graft", step) % len(parts)
        drawn.add(number)
        expected = sum(norms) / len(norms) if denoise else norms[number]
        assert moved.norm().item() == pytest.approx(expected, rel=1e-6)
        torch.testing.assert_close(moved / moved.norm(), direction / direction.norm(), rtol=1e-8, atol=1e-10)
    assert len(drawn) > 1


def test_normalized_gradient_descent_steps_exactly_as_far_as_the_learning_rate():
    training = training_of("sgd-ngd")
    before, _, (inputs, labels), moved = one_step(training)
    direction = gradient(before, inputs, labels)
    torch.testing.assert_close(moved, direction / direction.norm(), rtol=1e-8, atol=1e-10)
    assert training.report()["step_length"] == pytest.approx(LR, rel=1e-6)


def test_external_grafting_steps_as_far_as_the_other_run_recorded():
    training = training_of("sgd-external")
    lengths = []
    for _ in range(4):
        before, _, (inputs, labels), moved = one_step(training)
        direction = gradient(before, inputs, labels)
        torch.testing.assert_close(moved / moved.norm(), direction / direction.norm(), rtol=1e-8, atol=1e-10)
        lengths.append(moved.norm().item())
    assert lengths == pytest.approx([0.7, 0.7, 0.2, 0.2], rel=1e-9)


@pytest.mark.parametrize(
    ("step", "norm"),
    [
        (0, 5.0),  # before the first report: the first
        (8, 5.0),
        (9, 5.0),  # the tenth step is the one that the report after ten steps measured
        (18, 5.0),
        (19, 4.0),
        (28, 4.0),
        (29, 3.0),
        (500, 3.0),
    ],
)
def test_the_norm_in_force_is_that_of_the_last_report_up_to_the_step(step, norm):
    assert Recorded(((10, 5.0), (20, 4.0), (30, 3.0)))(step, torch.zeros(1)) == norm


@pytest.mark.parametrize("length", [2.0, 5.0, torch.tensor(1e6)])
def test_a_gradient_of_zero_has_no_direction_and_stays_zero(length):
    zero, none = rescaled([torch.zeros(3), None], length)
    assert torch.equal(zero, torch.zeros(3))
    assert none is None


def test_a_gradient_that_is_not_a_number_stays_one():
    [gradient] = rescaled([torch.tensor([1.0, float("nan")])], 2.0)
    assert gradient.isnan().all()


@pytest.mark.parametrize("method", ["sgd-small", "sgd-large", "sgd-gn", "sgd-ft", "sgd-aj", "sgd-uj"])
def test_ire_around_it_with_kappa_zero_is_bitwise_it(method):
    base, boosted = training_of(method), training_of(f"{method}-ire", kappa=0.0)
    for training in (base, boosted):
        for _ in range(4):
            training.advance()
    assert torch.equal(flat(base.model), flat(boosted.model))


def test_ire_around_small_batches_counts_its_start_and_interval_in_steps_of_the_task():
    training = training_of("sgd-small-ire", horizon=20, eval_interval=5, interval=4, start_fraction=0.25)
    for _ in range(20):
        training.advance()
    assert training.optimizer.steps == 60
    arm = training.method
    assert (
        training.gradient_evaluations == 24 == arm.gradient_evaluations(training.settings, 20)
    )  # 5, 9, 13, 17


@pytest.mark.parametrize("update", UPDATES)
def test_every_update_tells_how_large_its_gradients_and_its_step_were(update):
    training = training_of(f"sgd-{update}")
    training.advance()
    report = training.report()
    told = {"grad_norm", "micro_grad_norm", "step_length"} | ({"penalty"} if update in SCALARS else set())
    assert all(report[name] > 0 for name in told)


def test_clipping_bounds_the_step_of_every_update():
    for update in UPDATES:
        training = training_of(f"sgd-{update}", micro_batch=12, clip_norm=0.01)
        _, _, _, moved = one_step(training)
        assert moved.norm().item() == pytest.approx(0.01, rel=1e-3), update


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"micro_batch": 13}, r"micro_batch = 13: must be an integer in \[1, 12\], .* batch of 12 examples"),
        ({"micro_batch": 5, "world_size": 2}, "must divide the batch of 12 examples, .* 2 workers"),
        (
            {"micro_batch": 4, "world_size": 2},
            "3 micro-batches of sgd-gn cannot be dealt evenly to 2 workers",
        ),
        ({"micro_batch": 3, "world_size": 2, "whole": False}, "must be a multiple of 2"),
    ],
)
def test_a_batch_that_cannot_be_split_is_refused(asked, message):
    with pytest.raises(InvalidInput, match=message):
        check_split("sgd-gn", **{"batch_size": 12, "world_size": 1, "whole": True} | asked)


def test_micro_batches_for_memory_are_refused_where_the_method_has_its_own():
    with pytest.raises(
        InvalidInput, match=r"--micro-batches 2: sgd-gn already splits a batch .* set micro_batch"
    ):
        training_of("sgd-gn", micro_batches=2)


def test_external_grafting_without_norms_says_how_to_name_them(make_spec):
    with pytest.raises(
        InvalidInput, match=r"sgd-external takes its gradient norms from another run.*--external"
    ):
        train(make_spec("sgd-external", external_norms=()), lambda *_: True)


def test_a_specification_survives_its_own_json_with_norms(make_spec):
    import json

    spec = make_spec("sgd-external", external_norms=((4, 0.5), (8, 0.25)))
    assert TrialSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_what_is_not_offered_is_refused_with_its_reason():
    for name, reason in {
        "adamw-gn": "about SGD",
        "sam-sgd-small": "SAM takes its gradient at another point",
        "sgd-graft-ire": "prescribes the length of the step, which IRE would change",
        "sgd-ngd-ire-random": "prescribes the length of the step",
    }.items():
        assert name not in all_methods()
        with pytest.raises(InvalidInput, match=f"there is no method '{name}'.*{reason}"):
            parse_method(name)
