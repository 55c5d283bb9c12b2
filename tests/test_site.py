"""The documentation as a site: its menu has every page, its API reference every public name."""

import re
from pathlib import Path

import yaml

import ire

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REFERENCE = sorted((DOCS / "reference").glob("*.md"))


def test_the_menu_has_every_page():
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = {path.name for path in DOCS.glob("*.md")} | {f"reference/{path.name}" for path in REFERENCE}
    assert set(leaves(settings["nav"])) == {*pages, "results/README.md"}


def leaves(menu: object) -> list[str]:
    """The pages of a menu and of the menus in it."""
    if isinstance(menu, str):
        return [menu]
    return [page for entry in menu for page in leaves(entry if isinstance(menu, list) else menu[entry])]


def test_the_reference_has_every_public_name():
    pages = "".join(page.read_text(encoding="utf-8") for page in REFERENCE)
    assert set(ire.__all__) - {"__version__"} <= set(re.findall(r"\w+", pages))
