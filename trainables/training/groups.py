"""Groups the parameters that an optimizer treats alike: by kind, by block of a Transformer, by weight decay.

Every trainable parameter is in exactly one group; if there is only one, the optimizer gets a plain list.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ire.invalid_input import InvalidInput
from ire.methods.composed import Method

BLOCKS = (
    ("norm", re.compile(r"norm|(^|\.)(bn|ln)[_\d]*\.", re.IGNORECASE)),
    ("qk", re.compile(r"(^|[._])(q|k|query|key)(_proj)?[._]", re.IGNORECASE)),
    ("vo", re.compile(r"(^|[._])(v|o|value|out)(_proj)?[._]|in_proj|qkv|c_attn|attn.*c_proj", re.IGNORECASE)),
    ("ffn", re.compile(r"linear\d|fc[_\d]|mlp|ffn|feed_forward|(gate|up|down)_proj", re.IGNORECASE)),
)
"""Blocks of a Transformer by parameter name; the first match counts. A matrix that packs Q, K and V counts as V."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Parameters that an optimizer treats alike."""

    name: str
    """What the parameters have in common, in words."""
    parameters: dict[str, nn.Parameter]
    is_rest: bool = False
    """Whether the base's `rest` trains them."""
    decays: bool = True
    multiplier: str | None = None
    """The setting that multiplies their learning rate."""

    def __str__(self) -> str:
        count = sum(p.numel() for p in self.parameters.values())
        tensors = len(self.parameters)
        return f"{self.name}: {tensors} tensor{'s' * (tensors != 1)}, {count:,} numbers"


def kinds(model: nn.Module) -> dict[str, str]:
    """The kind (`ire.methods.part.KINDS`) of each trainable parameter, by name. A head that shares its weight is an
    embedding."""
    modules = list(model.modules())
    tables = {id(m.weight) for m in modules if isinstance(m, nn.Embedding | nn.EmbeddingBag)}
    linear = [m for m in modules if isinstance(m, nn.Linear)]
    head = id(linear[-1].weight) if linear else None
    found: dict[str, str] = {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        if id(p) in tables:
            found[name] = "embeddings"
        elif id(p) == head:
            found[name] = "heads"
        else:
            found[name] = "vectors" if p.ndim < 2 else "matrices" if p.ndim == 2 else "kernels"
    return found


def block(name: str, kind: str) -> str:
    """The block of a Transformer that a parameter belongs to: emb, norm, qk, vo, ffn or other."""
    if kind in ("embeddings", "heads"):
        return "emb" if kind == "embeddings" else "other"
    return next((label for label, pattern in BLOCKS if pattern.search(name)), "other")


def grouped(method: Method, settings: Mapping[str, Any], model: nn.Module) -> list[Group]:
    """The groups of the model's trainable parameters, in the order of the model.

    Raises:
        InvalidInput: the method's base takes none of them.
    """
    base, only_matrices = method.base, settings.get("decay") == "matrices"
    of_kind = kinds(model)
    found: dict[tuple[object, ...], Group] = {}
    for name, p in model.named_parameters():
        if name not in of_kind:
            continue
        is_rest = bool(base.takes) and of_kind[name] not in base.takes
        decays = not only_matrices or p.ndim >= 2
        part = block(name, of_kind[name])
        multiplier = base.multipliers.get(part)
        words = [of_kind[name]] * bool(base.takes) + [part] * bool(multiplier) + ["no decay"] * (not decays)
        key = (is_rest, decays, multiplier, of_kind[name] if base.takes else "")
        if key not in found:
            found[key] = Group(
                name=" ".join(words) or "all",
                parameters={},
                is_rest=is_rest,
                decays=decays,
                multiplier=multiplier,
            )
        found[key].parameters[name] = p
    groups = list(found.values())
    if groups and all(group.is_rest for group in groups):
        raise InvalidInput(
            f"{method.name}: {base.label} trains only {' and '.join(base.takes)}, and the model has none; "
            f"try {base.rest.label if base.rest else 'adamw'!r}"
        )
    return groups


def options(groups: Sequence[Group], settings: Mapping[str, Any], rate: str) -> list[dict[str, Any]]:
    """The groups in the form that an optimizer takes; `rate` is the setting of their peak learning rate.

    Neighbours with equal options are merged, since each group of an optimizer costs a separate pass of its kernels.
    """
    made: list[dict[str, Any]] = []
    for group in groups:
        chosen: dict[str, Any] = {}
        if not group.decays:
            chosen["weight_decay"] = 0.0
        if rate != "lr":
            chosen["rate"] = rate
        if group.multiplier:
            chosen["multiplier"] = float(settings[group.multiplier])
        parameters = list(group.parameters.values())
        if made and _others(made[-1]) == chosen:
            made[-1]["params"] += parameters
        else:
            made.append({"params": parameters} | chosen)
    return made


def regrouped(state: dict[str, Any], groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The state dict of an optimizer with these `groups`, from one in which some of them were not merged.

    Older checkpoints hold groups separately, in the same order, that `options` now merges. A state dict that differs in
    another way is returned unchanged.
    """
    saved: list[dict[str, Any]] = list(state["param_groups"])
    joined: list[dict[str, Any]] = []
    for group in groups:
        size = len(group["params"])
        first: dict[str, Any] = saved.pop(0) if saved else {"params": []}
        first = first | {"params": list(first["params"])}
        while len(first["params"]) < size and saved and _others(saved[0]) == _others(first):
            first["params"] += saved.pop(0)["params"]
        joined.append(first)
    fits = not saved and [len(g["params"]) for g in joined] == [len(g["params"]) for g in groups]
    return state | {"param_groups": joined} if fits else state


def _others(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}
