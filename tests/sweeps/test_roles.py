"""Which arms are the yardstick: named ones, or ours without IRE."""

import pytest
from simulated import make_plan, simulate

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from ire.sweeps.findings.comparison import compare
from ire.sweeps.report.tables.table import Table
from ire.sweeps.search.stages import best_baseline

ARMS = ("sgd", "adamw", "mine=torch.optim:NAdam", "sgd-ire")


def yardstick(**fields) -> list[str]:
    plan = make_plan(**{"methods": ARMS} | fields)
    plan.check()
    return [name for name in plan.methods if plan.is_baseline(parse_method(name))]


def test_ours_without_ire_are_the_yardstick_by_default():
    assert yardstick() == ["sgd", "adamw"]


def test_named_arms_are_the_yardstick_and_every_other_one_is_judged():
    assert yardstick(baselines=("adamw", "mine")) == ["adamw", "mine=torch.optim:NAdam"]
    assert yardstick(baselines=("sgd-ire",)) == ["sgd-ire"]


def test_where_all_come_from_outside_those_without_ire_are_the_yardstick():
    assert yardstick(methods=("torch.optim:NAdam", "torch.optim:NAdam-ire")) == ["torch.optim:NAdam"]


def test_a_baseline_that_is_no_arm_is_refused():
    with pytest.raises(InvalidInput, match=r"unknown method 'adam' in --baselines.*did you mean 'adamw'"):
        yardstick(baselines=("adam",))


@pytest.mark.parametrize(("baselines", "best"), [((), "sgd"), (("mine",), "mine=torch.optim:NAdam")])
def test_the_comparison_is_with_the_best_of_the_yardstick(tmp_path, baselines, best):
    plan = make_plan(methods=("sgd", "mine=torch.optim:NAdam"), baselines=baselines, curve=(0.5, 2.0))
    protocol = simulate(plan, tmp_path)
    assert best_baseline(protocol.arms.values()).method.name == best
    found = compare(plan, protocol.records)
    assert found.baseline == best
    assert [row.method for row in found.rows if row.is_baseline] == [best]


def test_a_class_with_a_short_name_has_it_in_every_cell_of_a_table():
    table = Table(
        title="t", heads=["method"], lines=[["mine=my_pkg.opt:Mine-ire (baseline)"], ["lr=0.1, adamw"]]
    )
    assert table.lines == [["mine-ire (baseline)"], ["lr=0.1, adamw"]]
