"""The ranking of a GPU gives the masks of `flattest`, in Triton's interpreter where there is no GPU."""

from types import SimpleNamespace

import pytest
import torch

from ire.optim.mask import on_gpu
from ire.optim.mask.flattest import Tally, flattest
from ire.optim.mask.on_gpu import flattest_on_gpu, ranked_here

triton = pytest.importorskip("triton")
CUDA = torch.cuda.is_available()


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """Kernels run in Python on the CPU's memory, on blocks of 64."""
    if not CUDA:
        monkeypatch.setenv("TRITON_INTERPRET", "1")
        import ire.optim.mask.triton_kernels as kernels

        monkeypatch.setattr(kernels, "BLOCK", 64)


@pytest.fixture
def summed_at_once(monkeypatch):
    """The interpreter adds up a block in one call, where it would call the kernels' own sum for each element."""
    if not CUDA:
        import ire.optim.mask.triton_kernels as kernels

        monkeypatch.setattr(kernels, "_add", triton.language.standard._sum_combine)


def normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def few(*shape):
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(sum(shape))).float()


SCORES = {
    "normal": [normal(30, 11), normal(5), normal()],
    "many equal": [few(30, 11), few(0, 3), few(70)],
    "mostly zero": [normal(200) * (normal(200) > 1.5), normal(64)],
    "tiny and huge": [normal(150) * 1e-38, normal(150) * 1e38, torch.tensor([1e-45, -1e-45, 0.0])],
    "bfloat16": [normal(150).bfloat16(), normal(90).bfloat16()],
    "two types": [normal(150).bfloat16(), normal(90), few(70).half(), normal(3).bfloat16()],
    "channels last": [normal(4, 6, 3, 3).contiguous(memory_format=torch.channels_last), few(70)],
    "unaligned": [normal(200)[1:], normal(150)[3:]],
    "gaps": [normal(20, 9)[:, ::2], few(70)],
}


def there(scores):
    return [s.cuda() for s in scores] if CUDA else scores


WAYS = {"all collected": (509, 4096, 16), "a sample": (3, 16, 1), "digits": (3, 16, 10**6)}
"""(one value in so many is sampled, the smallest sample, one in so many is collected at most)."""


@pytest.mark.parametrize(
    "way, share",
    [*((way, 0.3) for way in WAYS), *(("all collected", s) for s in (0.0, 1.0)), ("a sample", 0.9)],
)
@pytest.mark.parametrize("name", SCORES)
def test_masks_are_those_of_the_cpu(way, name, share, summed_at_once, monkeypatch):
    for constant, value in zip(("STRIDE", "SMALLEST_SAMPLE", "LARGEST_SHARE"), WAYS[way], strict=True):
        monkeypatch.setattr(on_gpu, constant, value)
    scores = SCORES[name]
    count = int(share * sum(s.numel() for s in scores))
    old = [mask if n % 2 else None for n, mask in enumerate(flattest(scores, count // 2))]
    tally = Tally()
    expected = flattest(
        scores, count, into=[mask if mask is None else mask.clone() for mask in old], tally=tally
    )
    found = flattest_on_gpu(
        there(scores), count, into=[mask if mask is None else there([mask])[0] for mask in old]
    )
    assert sum(int(mask.sum()) for mask in found.masks) == count
    for ours, theirs in zip(found.masks, expected, strict=True):
        assert torch.equal(ours.cpu(), theirs)
    assert (found.zeros, found.before, found.kept) == (tally.zeros, tally.before, tally.kept)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_not_finite_leaves_everything_as_it_was(bad):
    scores = there([normal(100), normal(70)])
    scores[1][-1] = bad
    masks = [torch.full_like(s, 7, dtype=torch.uint8) for s in scores]
    assert flattest_on_gpu(scores, 60, into=masks).masks is None
    assert all((mask == 7).all() for mask in masks)


def test_old_masks_are_overwritten_in_place():
    scores = there([normal(100), normal(70)])
    masks = [torch.full_like(s, 7, dtype=torch.uint8) for s in scores]
    assert all(a is b for a, b in zip(flattest_on_gpu(scores, 60, into=masks).masks, masks, strict=True))
    assert sum(int(mask.sum()) for mask in masks) == 60


def test_where_nothing_may_be_collected_nothing_is_taken_for_collected(monkeypatch):
    for constant, value in zip(("STRIDE", "SMALLEST_SAMPLE", "LARGEST_SHARE"), (3, 1, 10**6), strict=True):
        monkeypatch.setattr(on_gpu, constant, value)
    scores = there(
        [torch.arange(1.0, 131.0).flip(0)]
    )  # the sample lacks the largest but its bracket holds one
    plain = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, **options: plain(*size, **options).zero_())
    for count in (129, 130):
        assert [int(mask.sum()) for mask in flattest_on_gpu(scores, count).masks] == [count]


def test_masks_that_were_overwritten_say_so():
    """Whoever keeps a copy of a mask in another memory order compares versions."""
    scores = there([normal(100)])
    masks = [torch.zeros_like(scores[0], dtype=torch.uint8)]
    before = masks[0]._version
    flattest_on_gpu(scores, 60, into=masks)
    assert masks[0]._version > before


def test_scores_on_several_devices_or_in_double_precision_are_ranked_on_the_host():
    def score(device="cuda:0", dtype=torch.float32):
        return SimpleNamespace(device=torch.device(device), dtype=dtype)

    assert ranked_here([score(), score(dtype=torch.bfloat16)]) is not None
    assert ranked_here([score(), score("cuda:1")]) is None
    assert ranked_here([score(), score("cpu")]) is None
    assert ranked_here([score(), score(dtype=torch.float64)]) is None
    assert ranked_here([score("cpu")]) is None and ranked_here([]) is None


def test_scores_that_are_all_zero_are_refused_where_asked():
    scores = there([torch.zeros(130), torch.zeros(64)])
    refused = flattest_on_gpu(scores, 60, refuses_zeros=True)
    assert refused.masks is None and refused.zeros == 194
    assert [int(mask.sum()) for mask in flattest_on_gpu(scores, 150).masks] == [130, 20]


@pytest.mark.parametrize("way", [way for way in WAYS if way != "all collected"])
def test_of_a_sample_the_digits_are_not_counted_where_the_bracket_holds_the_threshold(way, monkeypatch):
    for constant, value in zip(("STRIDE", "SMALLEST_SAMPLE", "LARGEST_SHARE"), WAYS[way], strict=True):
        monkeypatch.setattr(on_gpu, constant, value)
    counted = []
    plain = on_gpu._count_digits
    monkeypatch.setattr(on_gpu, "_count_digits", lambda *them: (counted.append(1), plain(*them)))
    flattest_on_gpu(there([normal(30, 11), normal(500)]), 400)
    assert len(counted) == (way == "digits")


@pytest.mark.skipif(not CUDA, reason="needs a GPU")
def test_the_host_waits_at_most_twice():
    import warnings

    scores = there([normal(300, 41), normal(7), normal(4096)])
    flattest_on_gpu(scores, 500)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            flattest_on_gpu(scores, 500)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert sum("synchroniz" in str(w.message) for w in caught) <= 2
