"""Flatness of a trial's end: against a dense Hessian, the same for equal models, and never at a trial's cost."""

import pytest
import torch
from torch.nn import functional as F

from ire.trial.report import MEASURES
from ire.trial.seeds import generator
from trainables.data.batch import chunk
from trainables.task import Task
from trainables.tasks.stdlib_lm import StdlibLM
from trainables.training.flatness import flatness
from trainables.training.loop import train


class Line(Task):
    """Three classes from two numbers by a linear layer: nine parameters, so that H can be written out."""

    name = "line"
    batch_size = 32

    def model(self):
        return torch.nn.Linear(2, 3).double()

    def train_batches(self, *, seed, start):
        while True:
            points = torch.randn(self.batch_size, 2, generator=generator("line", start)).double()
            yield points, (points[:, 0] > 0).long()
            start += 1

    def eval_batches(self, split):
        return [next(self.train_batches(seed=1, start=0))]


def test_it_is_the_trace_and_the_largest_eigenvalue_of_the_dense_hessian():
    torch.manual_seed(0)
    task = Line()
    model = task.model()
    stream = task.train_batches(seed=0, start=0)
    batches = [next(stream), next(stream)]

    def loss(flat):
        weight, bias = flat[:6].view(3, 2), flat[6:]
        return sum(F.cross_entropy(x @ weight.T + bias, y) for x, y in batches) / 2

    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    hessian = torch.autograd.functional.hessian(loss, flat)
    found = flatness(task, model, batches=2)
    assert found["largest_eigenvalue"] == pytest.approx(torch.linalg.eigvalsh(hessian)[-1].item(), rel=1e-3)
    assert abs(found["hessian_trace"] - hessian.trace()) < 4 * found["hessian_trace_error"]
    # a linear softmax model's Hessian is its Fisher matrix
    assert abs(found["fisher_trace"] - hessian.trace()) < 4 * found["fisher_trace_error"]
    assert flatness(task, model, batches=2, parts=4)["largest_eigenvalue"] == pytest.approx(
        found["largest_eigenvalue"], rel=1e-3
    )


def test_parts_count_by_their_predictions_and_not_at_all_without_any():
    """The last part is smaller, and the first one is ignored as a whole, as padding is."""

    class Padded(Line):
        batch_size = 10

        def train_batches(self, *, seed, start):
            for points, labels in super().train_batches(seed=seed, start=start):
                yield points, torch.where(torch.arange(10) < 4, -100, labels)

    task = Padded()
    torch.manual_seed(0)
    model = task.model()
    points, labels = next(task.train_batches(seed=0, start=0))
    assert [len(part[1]) for part in chunk((points, labels), 3)] == [4, 4, 2]

    def loss(flat):
        return F.cross_entropy(points @ flat[:6].view(3, 2).T + flat[6:], labels)

    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    hessian = torch.autograd.functional.hessian(loss, flat)
    assert task.metric_sums(model(points), (points, labels))["count"] == 6
    found = flatness(task, model, batches=1, parts=3)
    assert abs(found["fisher_trace"] - hessian.trace()) < 4 * found["fisher_trace_error"]


def test_a_transformer_is_measured_too_and_the_same_twice():
    torch.manual_seed(0)
    task = StdlibLM()
    model = task.model()
    model.train()
    first = flatness(task, model, batches=1)
    assert set(MEASURES) <= set(first)
    assert model.training
    assert flatness(task, model, batches=1) == first


def test_what_cannot_be_measured_is_said_and_costs_nothing():
    class TooLarge(Line):
        def loss(self, outputs, batch):
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate more than there is")

    task = TooLarge()
    assert flatness(task, task.model(), batches=1) == {"flatness_error": "CUDA out of memory."}


def test_a_trial_reports_it_once_at_its_end_and_off_the_clock(make_spec):
    reports = []
    spec = make_spec("sgd", horizon=24, eval_interval=12, flatness=1, test=True)
    train(spec, lambda r, _: reports.append(r) or True)
    assert not set(MEASURES) & set(reports[0])
    assert set(MEASURES) <= set(reports[1])
    assert reports[1]["hardware"]
    plain = []
    train(make_spec("sgd", horizon=24, eval_interval=12), lambda r, _: plain.append(r) or True)
    assert {key: reports[1][key] for key in plain[1] if "second" not in key} == {
        key: value for key, value in plain[1].items() if "second" not in key
    }


def test_a_trial_reports_it_along_the_run_where_it_is_asked_to_and_after_a_resume(make_spec, tmp_path):
    spec = make_spec("sgd", horizon=25, eval_interval=4, flatness=1, flatness_points=3)
    whole, broken = [], []
    train(spec, lambda r, _: whole.append(r) or True)
    assert [r["step"] for r in whole if "fisher_trace" in r] == [12, 20, 25], "from 8.3, 16.7 and 25"
    saved = {"checkpoint": tmp_path, "checkpoint_seconds": 0}
    train(spec, lambda r, _: r["step"] < 12, **saved)
    train(spec, lambda r, _: broken.append(r) or True, **saved)
    assert [r.get("fisher_trace") for r in broken] == [r.get("fisher_trace") for r in whole]
