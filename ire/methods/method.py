"""The arms of a comparison by name, composed rather than listed.

A method is a base optimizer, with the prefix `sam-` for SAM around it and the suffix `-ire` for IRE around that;
`-ire-random`, `-ire-sharpest`, `-ire-all` and `-ire-mean` are IRE's controls. Between base and `-ire` there may be an
update (how a batch becomes a step), the methods of Novack et al. 2023: `sgd-small`, `sgd-gn`, `sgd-graft`. A base is a
name, or any optimizer class as `module:Class`, or `short=module:Class`. Names and settings of included bases are
checked without torch, in milliseconds, long before anything trains.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from ire.invalid_input import InvalidInput, unknown
from ire.methods.composed import Method
from ire.methods.foreign import CLASS
from ire.methods.ire import CONTROLS
from ire.methods.registry import base_names, base_of, bases
from ire.methods.updates import UPDATES

FORM = re.compile(
    rf"(?P<sam>sam-)?(?P<base>.+?)(?:-(?P<update>{'|'.join(UPDATES)}))?"
    rf"(?P<ire>-ire(?:-(?P<control>{'|'.join(CONTROLS)}))?)?"
)


def all_methods() -> dict[str, Method]:
    """Every method composed of named parts, by name."""
    roots = [Method(base=base, sam=sam) for base in bases().values() for sam in (False, True)]
    roots += [Method(base=bases()["sgd"], update=update) for update in UPDATES]
    methods: list[Method] = []
    for root in roots:
        methods += [root, *(replace(root, ire=True, control=control) for control in (None, *CONTROLS))]
    return {method.name: method for method in methods if _refusal(method) is None}


def parse_method(name: str, *, where: str = "") -> Method:
    """The method of that name; raises `InvalidInput` with the nearest names, or why a combination is not supported."""
    try:
        return _parsed(name)
    except InvalidInput as error:
        if not where:
            raise
        raise InvalidInput(f"{error} (in {where})") from error
    except KeyError:
        raise _unknown(name, where) from None


@cache
def _parsed(name: Any) -> Method:
    """Raises `KeyError` for an unknown name."""
    if isinstance(name, str) and ".py:" in name:
        module, _, rest = name.partition(".py:")
        raise InvalidInput(
            f"method {name!r}: a class is named by its module: start in the folder of the file, and name it "
            f"{module.rpartition('/')[2]}:{rest}"
        )
    found = FORM.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise KeyError(name)
    method = Method(
        base=base_of(found["base"]),
        update=found["update"],
        sam=bool(found["sam"]),
        ire=bool(found["ire"]),
        control=found["control"],
    )
    reason = _refusal(method)
    if reason:
        raise InvalidInput(f"there is no method {name!r}: {reason}")
    return method


def _unknown(name: str, where: str) -> InvalidInput:
    methods = all_methods()
    near = difflib.get_close_matches(str(name), methods, n=3, cutoff=0.5)
    listed = [key for key, method in methods.items() if method.control is None and not method.sam]
    shown = dict.fromkeys([*near, *listed, *base_names(), "module:Class"])
    return unknown("method", name, shown, where=where)


def _refusal(method: Method) -> str | None:
    """Why a combination of known parts is not supported; None if it is."""
    base, update = method.base, method.update
    if update and base.name != "sgd":
        return f"-{update} is about SGD (Novack et al. 2023); try 'sgd-{update}' or '{base.name}-ire'"
    if update and method.sam:
        return f"SAM takes its gradient at another point than -{update}; try 'sgd-{update}' or 'sam-sgd'"
    if update and method.ire and UPDATES[update].is_graft:
        return (
            f"-{update} prescribes the length of the step, which IRE would change; "
            f"try 'sgd-{update}' or 'sgd-large-ire'"
        )
    for part in ("sam", "ire"):
        if getattr(method, part) and part in base.refuses:
            return (
                f"{part.upper()} cannot be put around {base.label}: {base.refuses[part]}; try {base.name!r}"
            )
    return None


def named(names: Sequence[str]) -> tuple[str, ...]:
    """`names`, in which a short name that one of them gives to a class is written out in the others.

    After `mine=my_pkg:Mine`, `mine-ire` is `mine=my_pkg:Mine-ire`. Raises `InvalidInput` if a short name stands for
    two classes, or is a name of ours.
    """
    given: dict[str, str] = {}
    for name in names:
        found = FORM.fullmatch(name)
        base = found["base"] if found else ""
        short, equals, _ = base.partition("=")
        if not equals or CLASS.fullmatch(base) is None:
            continue
        if short in base_names():
            raise InvalidInput(f"method {name!r}: {short!r} is the name of another method; choose another")
        if given.setdefault(short, base) != base:
            raise InvalidInput(
                f"--methods: {short!r} stands for both {given[short]!r} and {base!r}; rename one"
            )
    return tuple(_written_out(name, given) for name in names)


def _written_out(name: str, given: dict[str, str]) -> str:
    found = FORM.fullmatch(name)
    if found is None or found["base"] not in given:
        return name
    start, end = found.span("base")
    return name[:start] + given[found["base"]] + name[end:]


def check_different(names: Sequence[str], method: Callable[[str], Method] = parse_method) -> None:
    """Raise `InvalidInput` if two arms, which `method` finds by name, would have the same name in tables and files."""
    seen: dict[str, str] = {}
    for name in names:
        slug = method(name).slug
        if slug in seen:
            twice = (
                f"names {name!r} twice"
                if seen[slug] == name
                else f"{seen[slug]!r} and {name!r} are the same name"
            )
            remedy = f"give one of them a short name, as in other={name}" if ":" in name else "name it once"
            raise InvalidInput(f"--methods {twice}; {remedy}")
        seen[slug] = name
