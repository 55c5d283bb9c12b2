"""Draws docs/rooms.svg, the picture of docs/architecture.md: `python tests/draw_rooms.py`.

A room stands above all rooms that it imports from. An arrow that follows from others (A to B to C, so A to C) is
left out, as are the small modules that every room may import, the toy, and two packages' `__init__` files.
"""

from html import escape
from pathlib import Path

from test_layout import FRONT, ROOMS, ROOT, imports, room

PICTURE = ROOT / "docs" / "rooms.svg"
LEFT_OUT = {*FRONT, "ire.toy", "ire.sweeps", "trainables"}
WIDTH, HEIGHT, ACROSS, DOWN = 184, 30, 24, 40
"""Of a room, and the gaps between rooms, in pixels."""
COLOURS = {
    "ire.optim": "#f6d8ae",
    "ire.sweeps": "#c9dcf2",
    "trainables": "#cfe8cf",
    "search_spaces": "#e6d5ee",
    "ire": "#e4e4e4",
}


def arrows() -> dict[str, set[str]]:
    """By room: the rooms that it imports from."""
    found: dict[str, set[str]] = {name: set() for name in ROOMS if name not in LEFT_OUT}
    for module, targets in imports().items():
        for target in targets:
            source, goal = room(module), room(target)
            if source != goal and source in found and goal in found:
                found[source].add(goal)
    return found


def reachable(found: dict[str, set[str]], source: str) -> set[str]:
    seen, ahead = set(), [*found[source]]
    while ahead:
        if (goal := ahead.pop()) not in seen:
            seen.add(goal)
            ahead += found[goal]
    return seen


def needed(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that do not follow from others."""
    below = {name: reachable(found, name) for name in found}
    return {source: goals.difference(*(below[goal] for goal in goals)) for source, goals in found.items()}


def storeys(found: dict[str, set[str]]) -> list[list[str]]:
    """Rooms from the ground up, each as low as its arrows allow, next to what it is connected with."""
    level: dict[str, int] = {}
    for name in (name for name in ROOMS if name in found):
        level[name] = 1 + max((level[goal] for goal in found[name]), default=-1)
    rows = [[name for name in found if level[name] == at] for at in range(1 + max(level.values()))]
    for _ in range(8):  # sweeps of the barycentre rule
        for row in rows:
            place = {name: x / len(r) for r in rows for x, name in enumerate(r, 1)}
            mean = {
                name: sum(near := [place[o] for o in found if o in found[name] or name in found[o]] or [0.5])
                / len(near)
                for name in row
            }
            row.sort(key=lambda name: (mean[name], name))
    return rows


def colour(name: str) -> str:
    return next(c for part, c in COLOURS.items() if f"{name}.".startswith(f"{part}."))


def picture() -> str:
    """The rooms and their arrows as SVG."""
    found = needed(arrows())
    rows = storeys(found)
    width = max(len(row) for row in rows) * (WIDTH + ACROSS) + ACROSS
    height = len(rows) * (HEIGHT + DOWN) + DOWN
    corner = {}
    for at, row in enumerate(rows):
        left = (width - len(row) * (WIDTH + ACROSS) + ACROSS) / 2
        for number, name in enumerate(row):
            corner[name] = (left + number * (WIDTH + ACROSS), height - (at + 1) * (HEIGHT + DOWN))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        "<title>The rooms of ire, each above all rooms that it imports from</title>",
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#777"/></marker>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for source, goals in found.items():
        for goal in sorted(goals):
            (x, y), (to_x, to_y) = corner[source], corner[goal]
            x, y, to_x = x + WIDTH / 2, y + HEIGHT, to_x + WIDTH / 2
            bend = (to_y - y) / 2
            aside = 0.0
            if bend > DOWN and abs(to_x - x) < WIDTH:  # past the rooms between them, not behind them
                aside = 0.9 * WIDTH if x >= width / 2 else -0.9 * WIDTH
            lines.append(
                f'<path d="M{x:.0f} {y:.0f}C{x + aside:.0f} {y + bend:.0f} {to_x + aside:.0f} {to_y - bend:.0f}'
                f' {to_x:.0f} {to_y:.0f}" fill="none" stroke="#777" marker-end="url(#tip)"/>'
            )
    for name, (x, y) in corner.items():
        lines += [
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="5" '
            f'fill="{colour(name)}" stroke="#555"/>',
            f'<text x="{x + WIDTH / 2:.0f}" y="{y + HEIGHT / 2 + 4:.0f}" font-size="12" text-anchor="middle">'
            f"{escape(name)}</text>",
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def main(path: Path = PICTURE) -> None:
    path.write_text(picture(), encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
