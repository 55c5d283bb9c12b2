"""The arms of a comparison by name, composed and not enumerated.

A method is a base optimizer, with `sam-` in front for SAM around it and `-ire` behind for IRE around that;
`-ire-random`, `-ire-sharpest`, `-ire-all` and `-ire-mean` are IRE's controls. Between base and `-ire` may stand how a
batch becomes a step, the methods of Novack et al. 2023: `sgd-small`, `sgd-gn`, `sgd-graft`. This needs no torch: names
and settings can be checked in milliseconds, long before anything trains.
"""

import difflib
import re
from dataclasses import replace

from ire.invalid_input import InvalidInput, unknown
from ire.methods.composed import Method
from ire.methods.ire import CONTROLS
from ire.methods.registry import bases
from ire.methods.updates import UPDATES


def all_methods() -> dict[str, Method]:
    """Every method there is, by name."""
    roots = [Method(base=base, sam=sam) for base in bases().values() for sam in (False, True)]
    roots += [Method(base=bases()["sgd"], update=update) for update in UPDATES]
    methods = []
    for root in roots:
        methods.append(root)
        if root.update is None or not UPDATES[root.update].is_graft:
            methods += [replace(root, ire=True, control=control) for control in (None, *CONTROLS)]
    return {method.name: method for method in methods}


def parse_method(name: str, *, where: str = "") -> Method:
    """The method of that name; raises `InvalidInput` with the nearest names, or the reason why there is none."""
    methods = all_methods()
    if name in methods:
        return methods[name]
    reason = _refusal(name)
    if reason:
        place = f" in {where}" if where else ""
        raise InvalidInput(f"there is no method {name!r}{place}: {reason}")
    near = difflib.get_close_matches(name, methods, n=3, cutoff=0.5)
    listed = [key for key, method in methods.items() if method.control is None]
    raise unknown("method", name, dict.fromkeys([*near, *listed]), where=where)


def _refusal(name: str) -> str | None:
    """Why a combination of known parts is not offered; None if its parts are not known, either."""
    form = rf"(sam-)?({'|'.join(bases())})-({'|'.join(UPDATES)})(-ire(-({'|'.join(CONTROLS)}))?)?"
    found = re.fullmatch(form, name)
    if found is None:
        return None
    sam, base, update, ire, *_ = found.groups()
    if base != "sgd":
        return f"-{update} is about SGD (Novack et al. 2023); try 'sgd-{update}' or '{base}-ire'"
    if sam:
        return f"SAM takes its gradient elsewhere than where -{update} is defined; try 'sgd-{update}' or 'sam-sgd'"
    if ire and UPDATES[update].is_graft:
        return (
            f"-{update} prescribes the length of the step, and IRE would change it; "
            f"try 'sgd-{update}' or 'sgd-large-ire'"
        )
    return None
