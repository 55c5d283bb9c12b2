"""docs/architecture.md shows every room: its picture and its tables are not left behind when rooms move."""

import re
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"


@pytest.fixture
def draw_rooms(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(TESTS), *sys.path])
    import draw_rooms

    return draw_rooms


def test_the_picture_shows_every_room(draw_rooms):
    picture = (DOCS / "rooms.svg").read_text(encoding="utf-8")
    missing = [room for room in draw_rooms.arrows() if f">{room}<" not in picture]
    assert not missing, "draw it again: python tests/draw_rooms.py"


def test_a_drawn_room_stands_above_all_that_it_imports_from(draw_rooms):
    found = draw_rooms.arrows()
    rows = draw_rooms.storeys(draw_rooms.needed(found))
    level = {room: at for at, row in enumerate(rows) for room in row}
    assert level.keys() == found.keys()
    assert all(level[source] > level[goal] for source, goals in found.items() for goal in goals)


def test_the_arrows_that_are_left_out_follow_from_those_that_are_drawn(draw_rooms):
    found = draw_rooms.arrows()
    drawn = draw_rooms.needed(found)
    for source in found:
        assert draw_rooms.reachable(drawn, source) == draw_rooms.reachable(found, source)


def test_the_tables_name_every_room_and_no_other(draw_rooms):
    page = (DOCS / "architecture.md").read_text(encoding="utf-8").split("## Before and after")[0]
    assert sorted(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE)) == sorted(draw_rooms.ROOMS)
