import pytest

from ire.invalid_input import InvalidInput
from ire.methods.method import all_methods, parse_method
from ire.methods.registry import bases
from ire.methods.updates import UPDATES

FILLED = {"lr": 0.1, "kappa": 2.0, "gamma": 0.8, "start_fraction": 0.5}


def test_names_are_composed_of_base_sam_ire_and_control():
    names = set(all_methods())
    for base in ("sgd", "adamw"):
        for method in (base, f"sam-{base}"):
            controls = {f"{method}-ire-{control}" for control in ("random", "sharpest", "all", "mean")}
            assert {method, f"{method}-ire"} | controls <= names
    for update in UPDATES:
        assert (f"sgd-{update}-ire" in names) == (not UPDATES[update].is_graft)
    both = [name for name, base in bases().items() if not base.refuses]
    alone = len(bases()) - len(both)
    assert len(names) == 12 * len(both) + alone + 9 + 6 * 5


def test_every_method_has_the_name_it_is_found_by_and_the_settings_of_its_parts():
    for name in all_methods():
        method = parse_method(name)
        assert method.name == name, name
        expected = {key for part in method.parts for key in part.settings} - (
            {"gamma"} if method.control == "all" else set()
        ) | ({"schedule"} if method.base.schedules else set())
        assert set(method.settings) == expected, name
        given = {key: value for key, value in FILLED.items() if key in method.settings}
        assert set(method.resolve(given)) == expected, name
        assert method.ancestors[-1] == name, name


def test_an_unknown_method_is_told_the_nearest_first():
    with pytest.raises(InvalidInput, match=r"unknown method 'adamw_ire'.*did you mean 'adamw-ire'\?"):
        parse_method("adamw_ire")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.1, "gama": 0.8}, "unknown setting of sgd-ire 'gama'.*did you mean 'gamma'"),
        ({"lr": -1.0}, r"lr = -1.0: must be a number in \(0, inf\]"),
        ({"lr": float("nan")}, "lr = nan"),
        ({"lr": float("inf")}, "lr = inf"),
        ({"lr": "fast"}, "lr = 'fast': must be a number"),
        ({"lr": 0.1, "gamma": 0.0}, r"gamma = 0.0: must be a number in \(0, 1\]"),
        ({"lr": 0.1, "interval": 2.5}, r"interval = 2.5: must be an integer in \[1, inf\]"),
        ({"lr": 0.1, "interval": True}, "interval = True"),
        ({"lr": 0.1, "kappa": 2.0}, "sgd-ire needs gamma"),
    ],
)
def test_wrong_settings_are_named_with_their_range(settings, message):
    with pytest.raises(InvalidInput, match=message):
        parse_method("sgd-ire").resolve(settings)


@pytest.mark.parametrize(
    ("name", "settings", "steps", "cost"),
    [
        ("sgd", {}, 100, 100),
        ("sam-sgd", {}, 100, 200),
        ("sgd-ire", {}, 100, 105),  # masks at 50, 60, 70, 80, 90
        ("sgd-ire", {}, 50, 50),  # nothing before the start
        ("sgd-ire", {}, 51, 52),
        ("sgd-ire", {"interval": 7}, 100, 108),
        ("sgd-ire", {"kappa": 0.0}, 100, 100),  # never boosted, never masked
        ("sgd-ire", {"gamma": 1.0}, 100, 100),  # all coordinates: nothing to rank
        ("sgd-ire-random", {}, 100, 100),
        ("sgd-ire-all", {}, 100, 100),
        ("sgd-ire-mean", {}, 100, 100),
        ("sgd-ire-sharpest", {}, 100, 105),
        ("sam-sgd-ire", {}, 100, 205),
    ],
)
def test_gradient_evaluations_by_hand(name, settings, steps, cost):
    method = parse_method(name)
    given = {key: value for key, value in (FILLED | settings).items() if key in method.settings}
    assert method.gradient_evaluations(method.resolve(given), 100, steps=steps) == cost


@pytest.mark.parametrize(
    ("name", "boost"),
    [
        ("sgd-ire", (2.0, 0.8)),
        ("sgd-ire-random", (2.0, 0.8)),
        ("sgd-ire-sharpest", (2.0, 0.8)),
        ("sgd-ire-all", (2.0, 1.0)),
        ("sgd-ire-mean", (1.6, 1.0)),
    ],
)
def test_what_a_control_changes_of_kappa_and_gamma(name, boost):
    assert parse_method(name).boost({"kappa": 2.0, "gamma": 0.8}) == pytest.approx(boost)
