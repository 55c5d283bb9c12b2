"""The boosted step of a base, or of several, each on its own path."""

from collections.abc import Iterator, Sequence

from torch.optim import Optimizer

from ire.optim.steps.boost import Boost, boosts_of
from ire.optim.steps.paths import Path, Paths
from ire.optim.wrapping.several_bases import bases_of


class BoostedStep:
    """Takes the steps of `base`; the preparation of a path for one step is reused in the next ones."""

    def __init__(self, base: Optimizer, *, compile: bool, boost_weight_decay: bool) -> None:
        self.of_bases = [
            Paths(each, compile=compile, boost_weight_decay=boost_weight_decay) for each in bases_of(base)
        ]

    def chosen(self, base: Optimizer) -> Iterator[tuple[Optimizer, Path]]:
        """Each optimizer in `base`, and the path of its next step."""
        for each, paths in zip(bases_of(base), self.of_bases, strict=True):
            yield each, paths.best(each)

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None:
        """Step `base` and boost its step."""
        for each, path in self.chosen(base):
            path.step(each, boosts if each is base else boosts_of(each, boosts))
