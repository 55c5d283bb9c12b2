"""The compiled C kernels: the same step as torch's own kernels in blocks, and nothing that a machine must have."""

import os
import shutil
import stat

import pytest
import torch
from torch import nn

from ire import IRE
from ire.optim.steps import kernels

needs_a_compiler = pytest.mark.skipif(kernels.kernels() is None, reason="no C compiler on this machine")


def adamw(ps, **kw):
    return torch.optim.AdamW(ps, **{"lr": 0.01, "weight_decay": 0.3} | kw)


def sgd(ps, **kw):
    return torch.optim.SGD(ps, **{"lr": 0.01, "momentum": 0.9, "weight_decay": 0.2} | kw)


BASES = {
    "adamw": adamw,
    "adamw without decay": lambda ps: adamw(ps, weight_decay=0),
    "adam": lambda ps: torch.optim.Adam(ps, lr=0.01, weight_decay=0.1),
    "sgd": sgd,
    "sgd plain": lambda ps: sgd(ps, momentum=0, weight_decay=0),
    "sgd decay alone": lambda ps: sgd(ps, momentum=0),
    "sgd dampening": lambda ps: sgd(ps, dampening=0.3),
    "sgd nesterov": lambda ps: sgd(ps, nesterov=True),
    "rmsprop": lambda ps: torch.optim.RMSprop(ps, lr=0.01),
}


def tensors(dtype):
    """More than a block, one element, none, channels-last strides, and gaps in memory."""
    g = torch.Generator().manual_seed(0)
    ps = [torch.randn(s, generator=g).to(dtype) for s in [(300, 350), (), (0, 3), (7,)]]
    ps.append(torch.randn(6, 4, 3, 3, generator=g).to(dtype).contiguous(memory_format=torch.channels_last))
    ps.append(torch.randn(10, 8, generator=g).to(dtype)[:, ::2])
    return [nn.Parameter(p) for p in ps]


def train(build, dtype, steps=5, **settings):
    ps = tensors(dtype)
    settings = {"kappa": 3.0, "gamma": 0.6, "curvature": "random", "interval": 2} | settings
    optimizer = IRE(build(ps), **settings)
    for step in range(steps):
        g = torch.Generator().manual_seed(step)
        for p in ps:
            p.grad = torch.empty_like(p).copy_(torch.randn(p.shape, generator=g))
        optimizer.step()
    return torch.cat([p.detach().reshape(-1) for p in ps])


@needs_a_compiler
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-14), (torch.float32, 2e-6)])
@pytest.mark.parametrize("settings", [{}, {"gamma": 1}, {"start": 3}])
@pytest.mark.parametrize("name", BASES)
def test_the_step_is_that_of_torchs_kernels(name, settings, dtype, tolerance, monkeypatch):
    with_it = train(BASES[name], dtype, **settings)
    monkeypatch.setenv("IRE_KERNELS", "0")
    assert kernels.kernels() is None
    without = train(BASES[name], dtype, **settings)
    assert ((with_it - without).abs() / without.abs().clamp(min=1)).max() < tolerance


@needs_a_compiler
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-14), (torch.float32, 2e-6)])
@pytest.mark.parametrize("settings", [{}, {"gamma": 1}, {"boost_weight_decay": False}])
@pytest.mark.parametrize("name", ["adamw", "adam"])
def test_a_boost_after_the_bases_own_step_is_the_same(name, settings, dtype, tolerance, monkeypatch):
    if settings.get("boost_weight_decay") is False and name == "adam":
        pytest.skip("its weight decay is not decoupled")

    def hooked(ps):
        base = BASES[name](ps)
        base.register_step_post_hook(lambda *_: None)
        return base

    with_it = train(hooked, dtype, **settings)
    monkeypatch.setenv("IRE_KERNELS", "0")
    without = train(hooked, dtype, **settings)
    assert ((with_it - without).abs() / without.abs().clamp(min=1)).max() < tolerance


@needs_a_compiler
@pytest.mark.parametrize("name", ["adamw", "sgd nesterov", "rmsprop"])
@pytest.mark.parametrize("boost_weight_decay", [True, False])
def test_threads_change_nothing(name, boost_weight_decay, monkeypatch):
    if not boost_weight_decay and name != "adamw":
        pytest.skip("no decoupled weight decay")
    monkeypatch.setattr(kernels, "LARGE", 100)
    ends = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        ends.append(train(BASES[name], torch.float32, boost_weight_decay=boost_weight_decay))
    torch.set_num_threads(1)
    assert torch.equal(*ends)


@needs_a_compiler
@pytest.mark.parametrize("name", ["adamw", "sgd", "rmsprop"])
def test_autograd_notices_that_parameters_have_changed(name):
    p = nn.Parameter(torch.ones(5))
    optimizer = IRE(BASES[name]([p]), kappa=1, gamma=1)
    for _ in range(2):
        p.grad = torch.ones(5)
        optimizer.step()
    loss = (p * p).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@needs_a_compiler
def test_what_is_no_plain_memory_is_left_to_torch():
    class Holder(torch.Tensor):
        """Something whose address is not where its values are."""

    p = torch.ones(4).as_subclass(Holder)
    assert not kernels._fit(p, (), None)
    assert not kernels._fit(torch.ones(4), (torch.ones(4, dtype=torch.float64),), None)
    assert not kernels._fit(torch.ones(4), (torch.ones(8)[::2],), None)
    assert not kernels._fit(torch.ones(4), (), torch.ones(4))


def test_without_a_compiler_there_is_no_kernel_and_a_step_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    kernels._library.cache_clear()
    try:
        assert kernels.kernels() is None
        assert train(adamw, torch.float32).isfinite().all()
    finally:
        kernels._library.cache_clear()


@pytest.mark.skipif(os.name != "posix", reason="a compiler as a script")
@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho nonsense > ${10}\n"])
def test_a_compiler_that_fails_is_done_without(script, monkeypatch, tmp_path):
    compiler = tmp_path / "broken"
    compiler.write_text(script)
    compiler.chmod(0o700)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", str(compiler))
    kernels._library.cache_clear()
    try:
        assert kernels.kernels() is None
    finally:
        kernels._library.cache_clear()


@needs_a_compiler
def test_it_is_made_once_and_found_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = kernels._compiled()
    made = first.stat().st_mtime_ns
    assert kernels._compiled() == first and first.stat().st_mtime_ns == made
    assert [file.name for file in (tmp_path / "ire").iterdir()] == [first.name]
    assert not first.parent.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_a_folder_that_others_can_write_to_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "ire").mkdir()
    (tmp_path / "ire").chmod(0o777)
    folder = kernels._folder()
    assert folder != tmp_path / "ire" and not folder.stat().st_mode & 0o022
    folder.rmdir()
