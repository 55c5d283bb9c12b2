import pytest

from trainables.schedule import lr_factor


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
