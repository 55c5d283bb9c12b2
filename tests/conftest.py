"""What tests of every package share."""

import pytest

from ire.methods.method import parse_method
from ire.trial.spec import TrialSpec

SETTINGS = {
    "lr": 0.05,
    "weight_decay": 1e-3,
    "warmup_fraction": 0.1,
    "kappa": 3.0,
    "gamma": 0.7,
    "start_fraction": 0.4,
    "interval": 4,
    "micro_batch": 16,
    "lambda": 0.001,
}


@pytest.fixture
def make_spec():
    """A short digits trial of a method, with any field or setting changed."""

    def make(method: str = "sgd", *, settings: dict | None = None, **fields) -> TrialSpec:
        arm = parse_method(method)
        chosen = {k: v for k, v in (SETTINGS | (settings or {})).items() if k in arm.settings}
        defaults = {"task": "digits", "seed": 5, "horizon": 24, "eval_interval": 4}
        if arm.update == "external":
            defaults["external_norms"] = ((1, 1.0),)
        return TrialSpec(method=method, settings=arm.resolve(chosen), **defaults | fields)

    return make


@pytest.fixture(scope="session")
def prepared_data(tmp_path_factory):
    """The folder of `small_data`, prepared once."""
    from small_data import prepare_all

    folder = tmp_path_factory.mktemp("data")
    prepare_all(folder)
    return folder


@pytest.fixture
def small_data(prepared_data, monkeypatch):
    """A data folder in which every task of the package finds small data of the real format."""
    monkeypatch.setenv("IRE_DATA", str(prepared_data))
    return prepared_data
