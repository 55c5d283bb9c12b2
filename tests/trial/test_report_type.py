"""The one place that says what a report holds agrees with what trials report."""

import pickle

import pytest

from ire.trial.report import Report, value
from ire.trial.spec import TrialSpec
from search_spaces import find_space
from trainables.training.loop import train


def spec_of(method: str, **fields) -> TrialSpec:
    space = find_space("digits")
    fields = {"task": "digits", "method": method, "seed": 0, "horizon": 12, "eval_interval": 6} | fields
    spec = TrialSpec(settings={}, **fields)
    settings = spec.parsed_method.resolve(space.published(spec.parsed_method))
    return TrialSpec(settings=settings, **fields)


@pytest.mark.parametrize("method", ["sgd", "adamw-ire", "sgd-small"])
def test_every_key_of_a_report_is_declared_or_a_metric_of_the_task(method):
    reports: list[Report] = []
    spec = spec_of(method, test=True, flatness=1)
    train(spec, lambda report, _: bool(reports.append(report) or True))
    assert [report["step"] for report in reports] == [6, 12]
    declared = Report.__required_keys__ | Report.__optional_keys__
    for report in reports:
        assert Report.__required_keys__ <= set(report)
        others = {name for name in report if name not in declared}
        assert all(name.startswith(("val_", "test_")) for name in others), others
    assert value(reports[-1], "test_accuracy") == reports[-1]["test_accuracy"]
    assert value(reports[0], "test_accuracy") is None


def test_a_trial_parses_its_method_once_and_travels_with_it():
    spec = spec_of("sam-sgd-ire")
    assert spec.parsed_method is spec.parsed_method
    assert spec.parsed_method.name == "sam-sgd-ire"
    again = pickle.loads(pickle.dumps(spec))
    assert again == spec
    assert again.to_dict() == TrialSpec.from_dict(spec.to_dict()).to_dict()
