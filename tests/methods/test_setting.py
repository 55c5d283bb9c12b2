import pytest

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method


def resolve(name: str = "adamw", **settings):
    return parse_method(name).resolve({"lr": 0.1} | settings)


def test_an_option_is_resolved_only_where_it_is_given():
    assert not {"schedule", "decay", "decay_share", "amsgrad"} & set(resolve())
    assert resolve(schedule="wsd", decay_share=0.4)["decay_share"] == 0.4


@pytest.mark.parametrize("value", ["cosine", "wsd", "inverse-sqrt", "steps 0.2 0.5 / 5"])
def test_a_schedule_is_a_setting(value):
    assert resolve(schedule=value)["schedule"] == value
    assert parse_method("adamw").schedule(resolve(schedule=value), "linear") == value


def test_a_method_without_a_schedule_of_its_own_has_that_of_the_sweep():
    assert parse_method("adamw").schedule(resolve(), "linear") == "linear"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "cosin"}, "schedule = 'cosin'.*must be cosine"),
        ({"schedule": 3}, "schedule = 3: must be one of cosine"),
        ({"decay": "none"}, "decay = 'none': must be one of all, matrices"),
        ({"decay_share": 0.0}, r"decay_share = 0.0: must be a number in \(0, 1\]"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(settings, message):
    with pytest.raises(InvalidInput, match=message):
        resolve(**settings)
