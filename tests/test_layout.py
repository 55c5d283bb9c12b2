"""The rooms of the house: every import points one way, and each folder says in one sentence what belongs there.

`python tests/test_layout.py` prints the rooms and the arrows between them.
"""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("ire", "search_spaces", "trainables")

FRONT = ("ire.invalid_input", "ire.foreign_text", "ire.extras", "ire.entry_points", "ire.plain_values")
"""Files directly in `ire` that every room may import."""
PUBLIC = ("trainables.task", "trainables.huggingface", "trainables.lightning")
"""Files directly in `trainables` that users import by these names."""
ROOMS = (
    *FRONT,
    *("ire.optim.tensors", "ire.optim.curvature", "ire.optim.wrapping", "ire.optim.mask", "ire.optim.steps"),
    *("ire.optim", "ire.storage", "ire.methods", "ire.trial", "ire.toy"),
    *("trainables.data", "trainables.models", "trainables.task", "trainables.penalties", "trainables.tasks"),
    *("trainables.task_data", "trainables.updates", "trainables.training", "trainables.functions"),
    *("trainables.huggingface", "trainables.lightning", "trainables.gang"),
    "search_spaces",
    *("ire.sweeps.records", "ire.sweeps.plan", "ire.sweeps.search"),
    *("ire.sweeps.findings.statistics", "ire.sweeps.findings", "ire.sweeps.findings.curves"),
    *("ire.sweeps.watch", "ire.sweeps.running", "ire.sweeps.ray"),
    *("ire.sweeps.report.drawing", "ire.sweeps.report.sentences", "ire.sweeps.report.tables"),
    *("ire.sweeps.report.pictures", "ire.sweeps.report.facts", "ire.sweeps.report.status"),
    *("ire.sweeps.report.formats", "ire.sweeps.report.curves", "ire.sweeps.report"),
    *("ire.sweeps.experiments", "ire.sweeps.command"),
    *("ire", "ire.sweeps", "trainables"),
)
"""From the ground up: a room imports from rooms that stand before it, and from itself."""

IMPORTS = ast.Import | ast.ImportFrom
REASON = re.compile(r"# (?!pyright:)")


@cache
def modules() -> dict[str, Path]:
    """Every module of the product, by its dotted name."""
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    names = {file: ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files}
    return {name.removesuffix(".__init__"): file for file, name in names.items()}


def room(module: str) -> str:
    """The innermost room in which a module stands."""
    return max((r for r in ROOMS if f"{module}.".startswith(f"{r}.")), key=len)


@cache
def imports() -> dict[str, dict[str, int]]:
    """By module: what it imports of ours, wherever in the file, and the line."""
    found = {}
    for module, file in modules().items():
        found[module] = {}
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}:{node.lineno}: a relative import"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if name in modules() else node.module for name in names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            found[module] |= {name: node.lineno for name in names if name in modules()}
    return found


def test_every_module_stands_in_a_room():
    assert {room(module) for module in modules()} <= set(ROOMS)


def test_every_room_is_a_folder_except_the_files_at_the_front_of_a_package():
    single = {name for name, file in modules().items() if file.name != "__init__.py"}
    assert single & set(ROOMS) == {*FRONT, *PUBLIC}
    assert [name for name in single if room(name) in ("ire", "ire.sweeps", "trainables")] == ["ire.__main__"]


def test_every_arrow_between_rooms_points_down():
    up = [
        f"{modules()[module].relative_to(ROOT)}:{line} imports {target}"
        for module, targets in imports().items()
        for target, line in targets.items()
        if room(module) != room(target) and ROOMS.index(room(target)) > ROOMS.index(room(module))
    ]
    assert not up


def test_no_files_import_each_other_in_a_circle():
    order, seen = [], {}

    def visit(module: str, path: tuple[str, ...]) -> None:
        if seen.get(module) == "done":
            return
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        for target in imports()[module]:
            if target != module:
                visit(target, (*path, module))
        seen[module] = "done"
        order.append(module)

    for module in modules():
        visit(module, ())
    assert len(order) == len(modules())


def test_an_import_inside_a_function_has_its_reason_beside_it():
    bare = [
        f"{file.relative_to(ROOT)}:{line}"
        for file in modules().values()
        if "imported when used" not in (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "")
        for line in imports_without_a_reason(file)
    ]
    assert not bare, "a comment is missing, or `imported when used` in the module's docstring"


def imports_without_a_reason(file: Path) -> list[int]:
    """The lines of a file where a block of imports inside a function begins, and no comment says why."""
    text = file.read_text(encoding="utf-8")
    lines, found = text.splitlines(), set()
    functions = (
        n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    for inner in (node for function in functions for node in ast.walk(function)):
        for block in (getattr(inner, name, None) for name in ("body", "orelse", "finalbody")):
            before = None
            for statement in block if isinstance(block, list) else ():
                is_first = isinstance(statement, IMPORTS) and not isinstance(before, IMPORTS)
                above, line = lines[statement.lineno - 2].strip(), lines[statement.lineno - 1]
                if is_first and not (REASON.match(above) or REASON.search(line)):
                    found.add(statement.lineno)
                before = statement
    return sorted(found)


@pytest.mark.parametrize("folder", sorted({file.parent for file in modules().values()}), ids=str)
def test_every_folder_says_in_one_sentence_what_belongs_there(folder):
    init = folder / "__init__.py"
    assert init.is_file(), f"{folder.relative_to(ROOT)} has no __init__.py"
    assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))), f"{init} says nothing"


def main() -> None:
    arrows = Counter(
        (room(module), room(target))
        for module, targets in imports().items()
        for target in targets
        if room(module) != room(target)
    )
    for name in reversed(ROOMS):
        print(f"{name} ({sum(room(module) == name for module in modules())} files)")
        for (_, target), count in sorted(a for a in arrows.items() if a[0][0] == name):
            print(f"    -> {target} ({count})")


if __name__ == "__main__":
    main()
