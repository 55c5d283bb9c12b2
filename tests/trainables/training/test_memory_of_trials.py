"""A warm worker trains one trial after another: what a dead one held is free before the next."""

import gc
import weakref

import pytest
import torch

from trainables.training import loop
from trainables.training.checkpoint import load_checkpoint
from trainables.training.placement import release
from trainables.training.training import Training


@pytest.fixture
def remembered(monkeypatch):
    """Weak references to every model, optimizer state and mask of the trials that have run."""
    found = []

    class Remembered(Training):
        def report(self):
            state = [t for s in self.optimizer.state.values() for t in s.values() if torch.is_tensor(t)]
            masks = list(getattr(self.optimizer, "_memory", None).masks.values()) if self.method.ire else []
            found.append([weakref.ref(t) for t in [*self.model.parameters(), *state, *masks]])
            return super().report()

    monkeypatch.setattr(loop, "Training", Remembered)
    return found


@pytest.mark.parametrize("method", ["adamw", "adamw-ire", "sam-sgd-ire", "sgd-small", "sgd-graft"])
def test_no_tensor_of_a_dead_trial_lives_even_without_the_collector(make_spec, remembered, method):
    spec = make_spec(method, horizon=8, eval_interval=8)
    loop.train(spec, lambda *_: True)  # the first call of some functions of torch keeps its frame
    remembered.clear()
    gc.disable()
    try:
        loop.train(spec, lambda *_: True)
    finally:
        gc.enable()
    (tensors,) = remembered
    assert len(tensors) > 8
    assert not any(reference() is not None for reference in tensors)


def test_a_resumed_trial_holds_no_second_model(make_spec, tmp_path, monkeypatch):
    loaded, alive = [], []

    def watched(*arguments, **options):
        state = load_checkpoint(*arguments, **options)
        if state is not None:
            loaded.extend(weakref.ref(t) for t in state["model"].values())
        return state

    monkeypatch.setattr(loop, "load_checkpoint", watched)
    spec = make_spec("adamw-ire", horizon=8, eval_interval=4)
    loop.train(spec, lambda r, _: r["step"] < 4, checkpoint=tmp_path, checkpoint_seconds=0)

    def report(*_):
        alive.append(sum(reference() is not None for reference in loaded))
        return True

    loop.train(spec, report, checkpoint=tmp_path)
    assert loaded and alive == [0, 0]


def test_a_trial_that_died_of_an_exception_is_free_after_a_release(make_spec, remembered):
    def fail(*_):
        raise RuntimeError("the messenger is gone")

    with pytest.raises(RuntimeError, match="gone"):
        loop.train(make_spec("adamw-ire", horizon=8, eval_interval=8), fail)
    release()
    assert not any(reference() is not None for reference in remembered[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_holds_as_much_after_the_twentieth_trial_as_after_the_second(make_spec):
    held = []
    for seed in range(20):
        loop.train(
            make_spec("adamw-ire", horizon=8, eval_interval=8, seed=seed), lambda *_: True, device="cuda"
        )
        release()
        held.append(torch.cuda.memory_allocated())
    assert held[-1] == held[1]
