"""Without a compiler, `--compile` is refused before anything starts."""

import pytest
import torch
import torch._inductor.config as inductor
from small_space import SHORT, space_text

from ire import sweep
from ire.invalid_input import InvalidInput
from ire.sweeps.experiments.train_one import train_one

REFUSED = (
    r"--compile: torch.compile does not work on this machine: .*compiler.*g\+\+.*or leave the option out"
)


@pytest.fixture
def no_compiler(monkeypatch):
    """torch finds no C++ compiler; everything is compiled anew."""
    torch.compiler.reset()
    with inductor.patch({"cpp.cxx": (None, "no-such-compiler"), "force_disable_caches": True}):
        yield
    torch.compiler.reset()


def test_a_sweep_that_compiles_is_refused_where_nothing_can_be_compiled(no_compiler, tmp_path):
    (tmp_path / "space.toml").write_text(space_text(SHORT))
    given = {"methods": ["sgd"], "storage": tmp_path, "name": "none", "inline": True}
    with pytest.raises(InvalidInput, match=REFUSED):
        sweep("digits", space=tmp_path / "space.toml", compile=True, **given)
    assert not (tmp_path / "none").exists()


def test_a_trial_that_compiles_is_refused_where_nothing_can_be_compiled(no_compiler):
    with pytest.raises(InvalidInput, match=REFUSED):
        train_one("digits", "sgd", {}, compile=True, device="cpu", report=lambda _: None)
