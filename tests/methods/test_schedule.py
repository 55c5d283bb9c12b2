import pytest

from ire.invalid_input import InvalidInput
from ire.methods.schedule import check_schedule, lr_factor


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (0, 0.25),  # warm-up of 4 steps: 1/4, 2/4, 3/4, 1
        (1, 0.5),
        (3, 1.0),
        (4, 1.0),  # the cosine begins at its top
        (12, 0.55),  # half-way: the mean of 1 and 0.1
        (20, 0.1),
    ],
)
def test_warm_up_then_cosine_by_hand(step, factor):
    given = lr_factor(step, horizon=20, warmup_fraction=0.2, final_lr_fraction=0.1)
    assert given == pytest.approx(factor)


def test_no_warm_up_starts_at_the_peak_and_all_warm_up_ends_there():
    assert lr_factor(0, horizon=10, warmup_fraction=0.0, final_lr_fraction=0.0) == 1.0
    assert lr_factor(9, horizon=10, warmup_fraction=1.0, final_lr_fraction=0.0) == 1.0


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", {0: 0.5, 1: 1.0, 5: 1.0, 19: 1.0}),
        ("linear", {1: 1.0, 2: 1.0, 11: 0.55, 20: 0.1}),
        ("steps 0.2 0.5 0.8 / 5", {1: 1.0, 3: 1.0, 4: 0.2, 9: 0.2, 10: 0.04, 15: 0.04, 16: 0.008, 19: 0.008}),
        ("steps 0.5 / 10", {9: 1.0, 10: 0.1}),
        ("pieces 0:1 0.5:1 0.75:0.5 1:0.1", {0: 0.5, 1: 1.0, 10: 1.0, 12: 0.8, 15: 0.5, 17: 0.34, 20: 0.1}),
        ("pieces 0.2:0.4 0.6:2", {2: 0.4, 4: 0.4, 8: 1.2, 12: 2.0, 20: 2.0}),
        ("wsd", {1: 1.0, 2: 1.0, 16: 1.0, 18: 0.55, 20: 0.1}),  # decays over the last 4 of 20 steps
        ("inverse-sqrt", {0: 0.5, 1: 1.0, 7: 0.5, 31: 0.25, 1000: 0.1}),  # sqrt(2 / (step + 1)), at least 0.1
    ],
)
def test_other_shapes_by_hand(schedule, expected):
    given = {
        step: lr_factor(step, horizon=20, warmup_fraction=0.1, final_lr_fraction=0.1, schedule=schedule)
        for step in expected
    }
    assert given == pytest.approx(expected)


def test_the_share_of_wsd_that_decays_is_a_number_of_its_own():
    given = [
        lr_factor(
            step,
            horizon=20,
            warmup_fraction=0.1,
            final_lr_fraction=0.0,
            schedule="wsd",
            decay_share=share,
        )
        for share, step in ((0.5, 10), (0.5, 15), (1.0, 2), (1.0, 11))
    ]
    assert given == pytest.approx([1.0, 0.5, 1.0, 0.5])


@pytest.mark.parametrize(
    "schedule",
    [
        *("cosin", "steps", "steps 0.5", "steps 0.5 0.2 / 5", "steps 1.5 / 5", "steps 0.5 / 0"),
        *(
            "pieces",
            "pieces 0:1",
            "pieces 0.5:1 0.2:0",
            "pieces 0:1 1.5:0",
            "pieces 0:1 1:-1",
            "pieces 0:1 1:.",
        ),
    ],
)
def test_an_unknown_shape_is_refused(schedule):
    with pytest.raises(InvalidInput, match="must be cosine, linear, constant, wsd, inverse-sqrt, steps at"):
        check_schedule(schedule)
