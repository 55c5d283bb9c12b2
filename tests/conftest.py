"""What tests of every package share."""

import os

import pytest

from trainables.methods import parse_method
from trainables.trial import TrialSpec

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
def small_data(tmp_path_factory):
    """A data folder in which every task of the package finds small data of the real format."""
    from small_data import prepare_all

    folder = tmp_path_factory.mktemp("data")
    before = os.environ.get("IRE_DATA")
    prepare_all(folder)
    yield folder
    if before is None:
        os.environ.pop("IRE_DATA", None)
    else:
        os.environ["IRE_DATA"] = before
