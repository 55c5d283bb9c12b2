"""Which coordinates IRE boosts: the last masks of a method's runs, by parameters of one kind."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ire.sweeps.records.records import TrialRecord
from ire.trial.report import FlatFraction

_BLOCK = re.compile(r"(?<![^.])\d+(?=\.[^.]+\.)")
"""The number of a block in a name; not that of a single layer, as in `features.3.weight`."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Parameters whose names differ in the number of their block alone."""

    names: str
    """Their names, with `*` for the number of the block, as in `layers.*.attn.weight`."""
    tensors: int
    coordinates: int
    """The sum of their sizes."""
    share: float
    """Mean over the runs of the share of these coordinates that is boosted, in 0 to 1."""
    low: float
    high: float
    """Lowest and highest share of a run."""


def boosted_parts(runs: Sequence[TrialRecord]) -> list[Part]:
    """The parts of the model, in its order, over the runs whose last mask is recorded; sizes are of the first one."""
    masks = [run.flat_fractions for run in runs if run.flat_fractions]
    folded = [_folded(mask) for mask in masks]
    return [
        _part(names, found, [_share(mask[names]) for mask in folded if names in mask])
        for names, found in (folded[0] if folded else {}).items()
    ]


def together(parts: Iterable[Part], runs: Sequence[TrialRecord], names: str) -> Part:
    """Several parts as one."""
    members = {part.names for part in parts}
    found = [
        [entry for name, entry in run.flat_fractions.items() if _pattern(name) in members]
        for run in runs
        if run.flat_fractions
    ]
    return _part(names, found[0], [_share(entries) for entries in found if entries])


def _part(names: str, found: Sequence[FlatFraction], shares: Sequence[float]) -> Part:
    return Part(
        names=names,
        tensors=len(found),
        coordinates=sum(size for _, size in found),
        share=fmean(shares),
        low=min(shares),
        high=max(shares),
    )


def _folded(mask: Mapping[str, FlatFraction]) -> dict[str, list[FlatFraction]]:
    folded: dict[str, list[FlatFraction]] = defaultdict(list)
    for name, fraction in mask.items():
        folded[_pattern(name)].append(fraction)
    return folded


def _pattern(name: str) -> str:
    return _BLOCK.sub("*", name)


def _share(fractions: Sequence[FlatFraction]) -> float:
    """The share of all these coordinates, each tensor counted by its size; 0 of none."""
    return sum(share * size for share, size in fractions) / max(sum(size for _, size in fractions), 1)
