"""The pictures of the tour, from the page that `ire report` makes of the tour's own sweep.

`python docs/tour/pictures.py` writes them beside this file; `mkdocs build` makes them anew for the site where a browser
is installed, and takes those that lie here where none is.
"""

import gzip
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDE, PHONE = {"width": 1180, "height": 860}, {"width": 420, "height": 860}


@contextmanager
def experiment() -> Iterator[Any]:
    """The tour's sweep, opened in a folder of its own: `sweep.toml` and `results.jsonl` are all that a report needs."""
    from ire import open_experiment

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "first"
        folder.mkdir()
        shutil.copy(HERE / "sweep.toml", folder)
        with gzip.open(HERE / "results.jsonl.gz") as packed:
            (folder / "results.jsonl").write_bytes(packed.read())
        state, os.environ["XDG_STATE_HOME"] = os.environ.get("XDG_STATE_HOME"), place
        sys.path.insert(0, str(HERE))  # where `mine` is
        try:
            yield open_experiment(folder, trust=True)
        finally:
            sys.path.remove(str(HERE))
            os.environ.pop("XDG_STATE_HOME") if state is None else os.environ.update(XDG_STATE_HOME=state)


def pictures() -> dict[str, bytes]:
    """Each picture as PNG, by its name; empty where there is no browser."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        return {}
    if found is None:
        return {}
    with experiment() as opened, sync_playwright() as driver:
        page = opened.report(opened.folder / "report").as_uri()
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            return dict(_shots(browser, page))
        finally:
            browser.close()


def _shots(browser: Any, address: str) -> Iterator[tuple[str, bytes]]:
    page = browser.new_page(viewport=WIDE, color_scheme="light")
    page.goto(address)
    yield "page", page.screenshot()
    figure = page.locator("xpath=//h2[.='Each setting by itself']/following-sibling::figure[1]")
    mark = figure.locator(".live").first.locator(".mark.edged").first
    mark.scroll_into_view_if_needed()
    page.mouse.wheel(0, 200)
    page.wait_for_timeout(200)
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator("#tip").wait_for(state="visible")
    yield "hover", page.screenshot(clip={"x": 0, "y": 0, "width": WIDE["width"], "height": 400})
    phone = browser.new_page(viewport=PHONE, color_scheme="dark")
    phone.goto(address)
    yield "phone", phone.screenshot()


def on_files(files: Any, config: Any) -> Any:
    """Called by mkdocs: the pictures take the places of those in the folder."""
    from mkdocs.structure.files import File

    for name, content in pictures().items():
        made = File.generated(config, f"tour/{name}.png", content=content)
        known = files.get_file_from_path(made.src_uri)
        if known is not None:
            files.remove(known)
        files.append(made)
    return files


if __name__ == "__main__":
    for name, content in pictures().items():
        (HERE / f"{name}.png").write_bytes(content)
        print(HERE / f"{name}.png")
