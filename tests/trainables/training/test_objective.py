"""What is compiled is model and loss together, and a language model's loss comes in chunks where it must."""

import functools

import pytest
import torch

import trainables.models.linear_cross_entropy as chunks
from ire.trial.seeds import generator
from trainables.models.llama import Llama
from trainables.task import load_task
from trainables.training.objective import Draw, EvaluationSums, Objective, sampled_loss
from trainables.training.training import Training

pytest.importorskip("transformers")


@pytest.fixture
def graphs(monkeypatch):
    """The operations of every graph that is compiled from now on."""
    torch._dynamo.reset()
    found = []

    def backend(graph, _):
        found.append([str(node.target) for node in graph.graph.nodes if node.op != "placeholder"])
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    yield found
    torch._dynamo.reset()


def test_a_training_step_is_one_graph_with_its_loss_and_an_evaluation_one_with_its_metrics(graphs, make_spec):
    spec = make_spec("adamw", horizon=4, eval_interval=2, compile=True)
    training = Training(load_task("digits"), spec, device=torch.device("cpu"))
    training.advance()
    training.advance()
    assert len(graphs) == 1 and any("cross_entropy" in name for name in graphs[0])
    training.report()
    assert len(graphs) == 2 and any("argmax" in name for name in graphs[1])
    training.advance()
    training.advance()
    training.report()
    assert len(graphs) == 2


class SmallLlama(type(load_task("wikitext103-llama60m"))):
    def __init__(self):
        super().__init__("tiny")
        self.layers, self.context = 1, 8

    def model(self):
        return self.network(100)


def loss_and_gradients(task, model, draw=None):
    text = torch.randint(100, (4, 9), generator=torch.Generator().manual_seed(5))
    model.zero_grad()
    objective, batch = Objective(task, model), task.prepared((text,))
    loss = objective(batch) if draw is None else sampled_loss(objective, task, model, batch, draw())
    loss.backward()
    return loss.detach(), [p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("draw", [None, lambda: Draw(generator=generator(0, "labels"), rank=1, world_size=2)])
def test_a_llama_in_chunks_is_the_plain_one_but_for_rounding(monkeypatch, draw):
    torch.manual_seed(0)
    task = SmallLlama()
    model = task.model()
    assert isinstance(model, Llama)
    plain = loss_and_gradients(task, model, draw)
    monkeypatch.setattr(chunks, "CHUNK_ELEMENTS", 5 * 128)
    made = []
    model.llama.lm_head.register_forward_hook(lambda *_: made.append("all logits"))
    torch.testing.assert_close(loss_and_gradients(task, model, draw), plain)
    assert not made


def test_evaluation_in_chunks_is_the_plain_one(monkeypatch):
    torch.manual_seed(0)
    task = SmallLlama()
    sums = EvaluationSums(task, task.model().eval())
    batch = task.prepared((torch.randint(100, (4, 9)),))
    plain = sums(batch)
    monkeypatch.setattr(chunks, "CHUNK_ELEMENTS", 5 * 128)
    torch.testing.assert_close(sums(batch), plain, check_dtype=False)


def test_a_task_with_a_loss_of_its_own_gets_all_logits(monkeypatch):
    class Own(SmallLlama):
        def loss(self, outputs, batch):
            return super().loss(outputs, batch) + outputs.square().mean()

    monkeypatch.setattr(chunks, "CHUNK_ELEMENTS", 5 * 128)
    task = Own()
    made = []
    model = task.model()
    model.llama.lm_head.register_forward_hook(lambda *_: made.append("all logits"))
    loss_and_gradients(task, model)
    assert made


def test_compiled_a_llama_makes_its_logits_at_once_in_one_graph_for_training_and_one_for_drawn_labels(
    graphs, monkeypatch
):
    monkeypatch.setattr(chunks, "CHUNK_ELEMENTS", 5 * 128)
    torch.manual_seed(0)
    task = SmallLlama()
    model = task.model()
    batch = task.prepared((torch.randint(100, (4, 9)),))
    objective = Objective(task, model)
    compiled = torch.compile(objective)

    def drawn(which, seed):
        draw = Draw(generator=generator(seed, "labels"), rank=0, world_size=1)
        return sampled_loss(which, task, model, batch, draw)

    for _ in range(2):
        loss = compiled(batch)
        loss.backward()
        torch.testing.assert_close(loss, objective(batch))
    assert len(graphs) == 1 and any("cross_entropy" in name for name in graphs[0])
    for seed in range(3):
        loss = drawn(compiled, seed)
        loss.backward()
        torch.testing.assert_close(loss, drawn(objective, seed))
    assert len(graphs) == 2 and any("cross_entropy" in name for name in graphs[1])


def test_compiled_a_refresh_compiles_the_model_alone_once(graphs, make_spec):
    spec = make_spec("adamw-ire", horizon=40, compile=True, settings={"start_fraction": 0.0, "interval": 2})
    training = Training(load_task("digits"), spec, device=torch.device("cpu"))
    for _ in range(7):
        training.advance()
    assert training.optimizer.diagnostics()["refreshes"] == 4
    of_models = [graph for graph in graphs if any("linear" in name for name in graph)]
    assert len(of_models) == 2
