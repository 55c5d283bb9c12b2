"""What `ire methods` prints: the list of base optimizers, or all the facts about one method."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from rich.table import Table

from ire.entry_points import METHODS, registered
from ire.invalid_input import InvalidInput
from ire.methods.composed import Method
from ire.methods.foreign import ATTRIBUTE
from ire.methods.ire import CONTROLS
from ire.methods.method import named, parse_method
from ire.methods.part import Base
from ire.methods.registry import base_of, bases
from ire.methods.setting import Setting
from ire.methods.shared import SHARED
from ire.methods.updates import UPDATES
from ire.sweeps.command.plain_table import plain_table

BYTES = 4
"""Bytes of one number of optimizer state in single precision."""
WIDE = 100
"""Minimum width of a terminal, in characters, that has room for the state of each optimizer."""


def listing(width: int) -> Iterator[Table | str]:
    """Every registered base optimizer, the wrappers around it, and the notation for any other optimizer.

    `width` is that of the terminal, in characters. A narrow one has no column for the state, which `ire methods NAME`
    also shows.
    """
    is_wide = width >= WIDE
    heads = ["method", "what it is", "from", *["state"] * is_wide, "settings of its own"]
    table = plain_table(*heads, least={"from": 17, "settings of its own": 20})
    for base in (*bases().values(), *_registered()):
        own = [name for name in (*base.settings, *base.options) if name not in SHARED.settings]
        state = [f"{BYTES * base.state_tensors:g} B"] * is_wide
        table.add_row(base.name, base.words, base.package, *state, ", ".join(own))
    for update in UPDATES.values():
        own = ["micro_batch", *update.settings]
        table.add_row(f"sgd-{update.name}", update.words, "ire", *[f"{BYTES} B"] * is_wide, ", ".join(own))
    yield table
    if is_wide:
        yield "state: bytes per parameter"
    yield f"settings of every method: {', '.join(SHARED.settings)}; optional: {', '.join(SHARED.options)}"
    yield "prefix sam-: SAM around the base optimizer; suffix -ire: IRE around that (sgd-ire, sam-muon-ire)"
    yield "suffix after -ire: a control, which replaces IRE's mask (adamw-ire-random):"
    yield from (f"  -{name}  {what}" for name, what in CONTROLS.items())
    yield "any other optimizer: package.module:Class, or short=package.module:Class"
    yield "`ire methods NAME` shows one method"


def _registered() -> Iterator[Base]:
    for name in registered(METHODS):
        if name not in bases():
            yield base_of(name)


def one(name: str, task: str | None = None, *, width: int) -> Iterator[Table | str]:
    """The facts about one method; with a task, also its search space and parameter groups on that task.

    A terminal that is narrow in characters (`width`) has no column for the arguments of a class that settings are from.
    """
    method = parse_method(*named([name]))
    base = method.base
    on_task = [] if task is None else list(_on_task(method, task))  # what is wrong with the task comes first
    yield method.name if method.description == method.name else f"{method.name}: {method.description}"
    gradients = method.gradients_per_step(_costs(method))
    yield (
        f"from {base.constructor}; a step costs {gradients} gradient{'s' * (gradients != 1)} of a batch; "
        f"optimizer state: {method.state_bytes:g} bytes per parameter in single precision"
        + (" (an upper bound, or what the class states)" if base.found else "")
    )
    found = ["found in"] * (width >= WIDE and bool(base.found))
    table = plain_table("setting", "what it is", "default", "allowed", *found)
    rows = [(*one, _default(one[1])) for one in method.settings.items()]
    rows += [(*one, "not set") for one in method.options.items()]
    for setting, about, default in rows:
        table.add_row(
            setting, about.doc, default, about.interval, *[base.found.get(setting, "") for _ in found]
        )
    yield table
    if base.fixed:
        yield "fixed: " + ", ".join(f"{key} = {value!r}" for key, value in base.fixed.items())
    for argument, why in base.unread.items():
        yield f"not a setting: {argument} ({why}); the class's attribute {ATTRIBUTE} can change that"
    for part, why in base.refuses.items():
        yield f"cannot be combined with {part}: {why}"
    if base.source:
        yield f"searched by default: {', '.join(base.searched)} ({base.source})"
    yield from on_task


def _on_task(method: Method, task: str) -> Iterator[Table | str]:
    from search_spaces import find_space  # slow to load, most of all torch, which builds the model
    from trainables.task import load_task
    from trainables.training.rehearsal import rehearse

    space = find_space(task)
    table = plain_table("setting", "searched", "published", title=f"on {task}")
    for setting, dimension in space.dimensions(method).items():
        table.add_row(setting, str(dimension), str(dimension.published))
    yield table
    said = space.searched_by_default(method)
    if said:
        yield said
    settings = method.resolve(space.published(method))
    groups = rehearse(load_task(task), {method: settings}, horizon=space.horizon).get(method.name)
    if groups is None:
        raise InvalidInput(
            f"--task {task}: its data is missing, so its model cannot be built: run `ire data prepare {task}`"
        )
    yield "groups of parameters:"
    for group in groups:
        yield f"  {group}"
        yield f"    {', '.join(_folded(group.parameters))}"


def _folded(names: Iterable[str]) -> list[str]:
    """The names, those that differ only in numbers as one: `blocks.*.weight (12)`."""
    counts = Counter(re.sub(r"(?<=[._])\d+(?=\.)", "*", name) for name in names)
    return [name if count == 1 else f"{name} ({count})" for name, count in counts.items()]


def _costs(method: Method) -> dict[str, float]:
    return {"lambda": 1.0} if method.update else {}


def _default(setting: Setting) -> str:
    return "must be given" if setting.default is None else str(setting.default)
