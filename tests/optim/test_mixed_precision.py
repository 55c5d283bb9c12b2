"""fp16 with a GradScaler, and bf16 autocast."""

import pytest
import torch
from torch import nn

from ire import IRE, SAM, sampled_nll


def go(make_model, make_batch, scale, steps=8, overflow_at=None, ema=0.0, growth_interval=10**6):
    model = make_model(dtype=torch.float32)
    optimizer = IRE(torch.optim.AdamW(model.parameters(), lr=0.01), kappa=2, gamma=0.6, interval=3, ema=ema)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=scale, growth_interval=growth_interval)
    due = []
    for step in range(steps):
        inputs, labels = make_batch(step, torch.float32)
        due.append(optimizer.curvature_due)
        if optimizer.curvature_due:
            noise = torch.Generator().manual_seed(step)
            scaler.scale(sampled_nll(model(inputs), generator=noise)).backward()
            if ema:
                for p in model.parameters():
                    p.grad /= scaler.get_scale()
            optimizer.update_mask()
        scaler.scale(nn.functional.cross_entropy(model(inputs), labels)).backward()
        if step == overflow_at:
            next(model.parameters()).grad[0, 0] = float("inf")
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    return model, optimizer, due


def test_the_scale_changes_nothing(make_model, make_batch, vector):
    scaled, plain = (go(make_model, make_batch, scale)[0] for scale in (True, False))
    torch.testing.assert_close(vector(scaled), vector(plain), rtol=1e-6, atol=1e-7)


def test_an_average_across_scales_is_that_without_one(make_model, make_batch):
    averages = []
    for scale in (True, False):
        _, optimizer, _ = go(make_model, make_batch, scale, steps=10, ema=0.5, growth_interval=1)
        averages.append([optimizer._memory.averages[p] for p in optimizer.parameters()])
    torch.testing.assert_close(*averages, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("overflow_at", [0, 1, 3])
def test_a_skipped_step_is_no_step(overflow_at, make_model, make_batch):
    _, optimizer, due = go(make_model, make_batch, True, overflow_at=overflow_at)
    assert optimizer.steps == 7 and optimizer.skipped_refreshes == 0
    shifted = [step for step, wanted in enumerate(due) if wanted]
    assert shifted == [step if step <= overflow_at else step + 1 for step in (0, 3, 6)]


def test_sam_refuses_a_scaler(make_model):
    """torch itself refuses closures there; SAM and IRE around it say what they need."""
    model = make_model(dtype=torch.float32)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.ones(()))
    with pytest.raises(ValueError, match="SAM needs two gradients"):
        scaler.step(IRE(SAM(torch.optim.SGD(model.parameters(), lr=0.1)), kappa=1, gamma=1))


def test_bf16_autocast(make_model, make_batch):
    model = make_model(dtype=torch.float32)
    optimizer = IRE(torch.optim.AdamW(model.parameters(), lr=0.01), kappa=2, gamma=0.6, interval=3)
    losses = []
    for _ in range(40):
        inputs, labels = make_batch(0, torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            if optimizer.curvature_due:
                sampled_nll(model(inputs)).backward()
                optimizer.update_mask()
            loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0] and optimizer.skipped_refreshes == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_too_small_to_be_squared_are_still_ranked(dtype):
    p = nn.Parameter(torch.zeros(1000, dtype=dtype))
    optimizer = IRE(torch.optim.SGD([p], lr=0.1), kappa=1, gamma=0.6)
    p.grad = (torch.randn(1000) * 1e-5).to(dtype)
    optimizer.update_mask()
    assert optimizer.flat_fraction == 0.6


@pytest.mark.slow
def test_reuse_with_a_compiled_model(make_model, make_batch):
    """Inductor frees what a backward pass has read unless it is told that there will be another."""
    model = make_model(dtype=torch.float32)
    compiled = torch.compile(model, backend="aot_eager")
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.6, curvature="reuse")
    inputs, labels = make_batch(0, torch.float32)
    with torch._functorch.config.patch(donated_buffer=False):
        logits = compiled(inputs)
        optimizer.update_mask(sampled_nll(logits))
        nn.functional.cross_entropy(logits, labels).backward()
    optimizer.step()
    assert optimizer.flat_fraction == pytest.approx(0.6, abs=0.01)
