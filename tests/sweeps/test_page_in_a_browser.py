"""The page of a report in a real browser: it answers the mouse, sorts, fits a narrow window and loads nothing."""

import re
import shutil
from contextlib import contextmanager

import pytest
from simulated import make_plan, simulate

from ire import open_experiment
from ire.sweeps.plan.plan import RULES
from ire.sweeps.report.formats.page import as_html
from ire.sweeps.report.pictures import pictures_of

playwright = pytest.importorskip("playwright.sync_api", reason="drives the browser; .[test] brings it")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no browser: apt-get install chromium")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    plan = make_plan(
        methods=("sgd", "sgd-ire"), trials=4, confirm_seeds=3, curve=(0.5, 2.0), studies=3, rules=RULES
    )
    (folder / "sweep.toml").write_text(plan.to_toml())
    simulate(plan, folder)
    return open_experiment(folder)


@pytest.fixture(scope="module")
def page_file(experiment):
    path = experiment.folder / "page.html"
    path.write_text(as_html(experiment, pictures_of(experiment)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, page_file):
    """Opens the page in a window; an error of its script fails the test."""

    @contextmanager
    def opened(width: int = 1280, **options):
        page, errors = browser.new_page(viewport={"width": width, "height": 900}, **options), []
        page.on("pageerror", lambda error: errors.append(error))
        page.requested = []
        page.on("request", lambda request: page.requested.append(request.url))
        page.goto(page_file.as_uri())
        yield page
        page.close()
        assert not errors

    return opened


def figure_of(page, title: str):
    return page.locator(f"xpath=//h2[.='{title}']/following-sibling::figure[1]")


def point_at(page, panel, mark) -> str:
    """Hover over a mark; returns what is said of it."""
    panel.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    return page.locator("#tip").inner_text()


def test_pointing_at_a_verdict_shows_its_interval(opened, experiment):
    with opened() as page:
        panel = figure_of(page, "The verdict").locator(".live").first
        told = point_at(page, panel, panel.locator(".mark").first)
        row = experiment.comparison.row("sgd-ire")
        assert told.split("\n")[:2] == ["sgd-ire", f"{row.speed_ups['wall']} against {row.against['wall']}"]


def test_pointing_at_a_trial_names_it_with_its_values(opened, experiment):
    with opened() as page:
        panel = figure_of(page, "Each setting by itself").locator(".live").first
        told = point_at(page, panel, panel.locator(".mark").first).split("\n")
        trial = experiment.records.trials[told[3]]
        assert told[0] == trial.method
        assert float(told[1].removeprefix("lr: ")) == pytest.approx(trial.spec.settings["lr"], rel=1e-3)
        assert float(told[2].removeprefix("validation loss (nats): ")) == pytest.approx(
            trial.val_loss, rel=1e-3
        )


def test_pointing_at_a_winner_over_kappa_and_gamma_names_its_trial_and_value(opened, experiment):
    with opened() as page:
        panel = figure_of(page, "κ and γ").locator(".live").first
        told = point_at(page, panel, panel.locator(".mark.hollow").first).split("\n")
        trial = experiment.records.trials[told[1]]
        assert trial in [winner.trial for winner in experiment.comparison.row("sgd-ire").winners]
        assert f"kappa {trial.spec.settings['kappa']:.3g}" in told[2]
        assert told[3] == f"won, loss {trial.val_loss:.4g} at step {trial.step}"


def test_pointing_at_a_line_across_all_settings_names_its_trial(opened, experiment):
    with opened() as page:
        panel = figure_of(page, "All settings at once").locator(".live").first
        panel.scroll_into_view_if_needed()
        box = panel.locator(".line").last.bounding_box()  # waits until it is drawn
        lines = panel.locator(".line").count()
        page.mouse.move(box["x"], box["y"] + box["height"] / 2)
        start = panel.locator(".line").last.evaluate("line => line.getPointAtLength(0)['y']")
        page.mouse.move(box["x"] + 1, panel.bounding_box()["y"] + start)
        told = page.locator("#tip").inner_text().split("\n")
        assert told[0] == "sgd" and experiment.records.trials[told[1]].method == "sgd"
        finished = [t for t in experiment.comparison.row("sgd").search if t.status == "finished"]
        assert lines == len(finished)


def test_a_dragged_box_zooms_and_a_double_click_goes_back(opened):
    with opened() as page:
        panel = figure_of(page, "Validation loss").locator(".live").first
        panel.scroll_into_view_if_needed()
        before, box = panel.inner_html(), panel.bounding_box()
        page.mouse.move(box["x"] + 120, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 220, box["y"] + 120)
        page.mouse.up()
        zoomed = panel.inner_html()
        page.mouse.dblclick(box["x"] + 150, box["y"] + 80)
        strip = lambda text: re.sub(r"clip\d+| chosen", "", text)  # noqa: E731
        assert strip(zoomed) != strip(before) == strip(panel.inner_html())


def test_the_legend_hides_a_method(opened):
    with opened() as page:
        figure = figure_of(page, "Validation loss")
        lines = figure.locator(".live").first.locator(".line")
        assert lines.count() == 2
        figure.locator(".legend button", has_text="sgd-ire").click()
        assert lines.count() == 1


def test_a_click_on_a_head_sorts_by_number_and_a_second_one_turns_it_around(opened):
    with opened() as page:
        page.locator("summary", has_text="with their settings").click()
        table = page.locator("xpath=//h2[.='All search trials']/following::table[1]")

        def losses() -> list[float]:
            shown = table.locator("tbody td[data-head='val loss']").all_inner_texts()
            return [float(text) for text in shown if text != "-"]

        head = table.locator("th button", has_text="val loss")
        head.click()
        assert losses() == sorted(losses())
        head.click()
        assert losses() == sorted(losses(), reverse=True)
        assert table.locator("th", has_text="val loss").get_attribute("aria-sort") == "descending"


def test_nothing_is_loaded_from_elsewhere_and_nothing_can_be(opened, page_file):
    with opened() as page:
        assert page.requested == [page_file.as_uri()]
        blocked = page.evaluate(
            """() => new Promise(done => {
                addEventListener("securitypolicyviolation", event => done(event.violatedDirective), {once: true});
                document.body.append(Object.assign(new Image(), {src: "https://example.org/x.png"}));
            })"""
        )
        assert blocked == "img-src"


@pytest.mark.parametrize("width", [420, 800, 1600])
def test_no_width_scrolls_sideways(opened, width):
    with opened(width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_dark_page_has_light_ink(opened):
    with opened(color_scheme="dark") as page:
        ink, paper = page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
        bright = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
        assert bright[0] > 600 and bright[1] < 120


def test_on_paper_nothing_is_cut_off(opened):
    with opened() as page:
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 690, "height": 1000})  # the text of a sheet of A4
        edges = (
            "[...document.querySelectorAll('main table, main svg')].map(e => e.getBoundingClientRect().right)"
        )
        assert max(page.evaluate(edges)) <= 690
