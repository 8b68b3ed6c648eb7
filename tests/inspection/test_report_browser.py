"""The report used as a person would: headless Chromium at two widths, by mouse and by keyboard, and axe's
rules."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from inspected import write_dataset, write_photographs

from sdflow.camera import Camera
from sdflow_data.images.codec import NO_CODEC
from sdflow_data.inspection.classifier import Areas, Classification
from sdflow_data.inspection.inspection import inspect_dataset
from sdflow_data.inspection.report import photographs_page, report_html
from sdflow_data.models.cameras import CameraLook, ModelCamera
from sdflow_data.models.measured import CameraOfModel

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="no playwright on this machine")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe on this machine")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine"),
]

WCAG_AA = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    dataset = write_dataset(folder / "pairs")
    inspection = inspect_dataset(dataset, write_photographs(folder / "real"), classifier=None)
    areas = Areas.of([0.9, 0.6])
    parts = {f"{what}, {band} cycles per pixel": 0.6 for what in ("brightness", "colours") for band in "12"}
    path = folder / "report.html"
    classified = Classification(areas, Areas.of([1.0]), areas, parts, parts, at_the_bound=True)
    described = ModelCamera(CameraLook(1.0, 0.5, 1.0, 100.0, (0.1, 0.1, 2.5)), NO_CODEC)
    cameras = [CameraOfModel(Camera.identity(), described)]
    shown = replace(inspection, classified=classified, cameras=cameras)
    path.write_text(report_html(shown), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Any, report: Path) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": request.param, "height": 844}, bypass_csp=True)
    shown = context.new_page()
    shown.goto(report.as_uri())
    yield shown
    context.close()


def plot(page: Any, name: str = "spectrum") -> Any:
    found = page.locator(f'[data-plot="{name}"]')
    found.scroll_into_view_if_needed()
    return found


def drag(page: Any, across: Any) -> None:
    box = across.locator("svg").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 1.2 * box["height"], steps=4)
    page.mouse.up()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault_of_wcag_aa(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.locator("#more").click()
    found = axe.Axe().run(page, options=WCAG_AA)
    faults = [
        (rule["id"], [node["html"][:120] for node in rule["nodes"][:3]])
        for rule in found.response["violations"]
    ]
    assert faults == []


@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_no_fault_in_the_report_of_photographs(browser: Any, tmp_path: Path, width: int) -> None:
    table = {"sizes": "640x480 to 4000x3000", "noise": "2.0 levels"}
    text = photographs_page("phone", "12 photographs", {"HR": table, "LR": table}, ["HR: 3 are blurred"])
    (tmp_path / "page.html").write_text(text, "utf-8")
    shown = browser.new_page(viewport={"width": width, "height": 844}, bypass_csp=True)
    shown.goto((tmp_path / "page.html").as_uri())
    assert axe.Axe().run(shown).response["violations"] == []


def test_axe_would_find_a_fault(page: Any) -> None:
    page.evaluate(
        "document.querySelector('h1').style.color = '#ddd'; document.body.style.background = '#fff'"
    )
    assert axe.Axe().run(page, options=WCAG_AA).violations_count > 0


def test_every_picture_is_reached_by_keyboard(page: Any) -> None:
    count = page.locator(".zoomable").count()
    assert count > 50
    page.locator("#gallery .zoomable").first.focus()
    reached = {0}
    for _ in range(count + 10):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("[...document.querySelectorAll('.zoomable')].indexOf(document.activeElement)")
        )
    assert reached >= set(range(count))
    assert page.locator("img:not(.kernel img)").count() == count


def test_a_drag_zooms_selects_nothing_and_is_undone_by_a_button(page: Any) -> None:
    spectrum = plot(page)
    whole = spectrum.get_by_role("button", name="Show all of it")
    before = spectrum.locator("svg").inner_html()
    assert not whole.is_visible()
    drag(page, spectrum)
    assert page.evaluate("getSelection().toString()") == ""
    assert spectrum.locator("svg").inner_html() != before
    whole.click()
    assert not whole.is_visible()


def test_the_tooltip_has_names_units_and_one_square_a_line(page: Any) -> None:
    noise = plot(page, "noise")
    box = noise.locator("svg").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    lines = page.locator("#tooltip").inner_text()
    assert "brightness (levels)" in lines
    assert "levels" in lines.splitlines()[-1]
    squares = """[...document.querySelectorAll("#tooltip span")].filter((line) =>
        getComputedStyle(line, "::before").content !== "none").length"""
    assert page.evaluate(squares) == page.locator("#tooltip > span").count()


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_row_far_down_is_chosen_by_keyboard_and_its_plot_is_seen(page: Any, key: str) -> None:
    page.locator("#more").click()
    assert page.evaluate("document.activeElement.id") == "more"
    row = page.locator('[data-statistic="nss2_antidiagonal_shape"] button')
    row.focus()
    page.keyboard.press(key)
    assert page.locator("#about h3").inner_text() == "nss2_antidiagonal_shape"
    box = page.locator('[data-plot="histogram"] svg').bounding_box()
    assert 0 <= box["y"] + box["height"] / 2 <= 844
    assert row.get_attribute("aria-pressed") == "true"


def test_the_lightbox_shows_pictures_side_by_side_at_one_zoom(page: Any) -> None:
    page.locator('#gallery .zoomable:has([alt="variant 0"])').first.click()
    figures = page.locator("#lightbox figure")
    captions = [text.split(",")[0] for text in figures.locator("figcaption").all_inner_texts()]
    assert captions == ["HR", "bicubic", "variant 0", "real"]
    widths = {round(figures.nth(n).locator("img").bounding_box()["width"]) for n in range(4)}
    assert len(widths) == 1
    page.keyboard.press("ArrowRight")
    assert figures.locator("figcaption").nth(2).inner_text().startswith("variant 1")
    title = page.locator("#lightbox p").inner_text()
    page.keyboard.press("ArrowDown")
    assert page.locator("#lightbox p").inner_text() != title
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.classList.contains('zoomable')")


def test_the_buttons_of_the_lightbox_lead_from_picture_to_picture_and_patch_to_patch(page: Any) -> None:
    pictures = (
        page.locator("#gallery .row").nth(0).or_(page.locator("#gallery .row").nth(1)).locator(".zoomable")
    )
    pictures.first.click()
    shown = []
    for _ in range(pictures.count()):
        shown.append(page.locator("#lightbox .current img").get_attribute("src"))
        page.get_by_role("button", name="Next").click()
    assert shown == [each.get_attribute("src") for each in pictures.locator("img").all()]
    page.get_by_role("button", name="Close").click()
    assert not page.locator("#lightbox").is_visible()


def test_nothing_is_cut_off_and_wide_tables_say_that_they_go_on(page: Any) -> None:
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.locator(".components img").first.bounding_box()["width"] > 60
    for table in page.locator(".scroll").all():
        hidden = table.evaluate("(host) => host.scrollWidth > host.clientWidth + 1")
        said = table.evaluate("(host) => host.previousElementSibling.offsetHeight") > 0
        assert hidden == said


def test_the_first_column_of_a_table_can_be_read_and_stays_so(page: Any) -> None:
    for _ in range(2):  # what is found to be wide must not become narrow by that, and wide again
        widths = page.locator(".statistics tbody:not([hidden]) th").evaluate_all(
            "(all) => all.map((th) => th.offsetWidth)"
        )
        assert min(widths) >= 140
        page.evaluate("dispatchEvent(new Event('resize'))")
    hidden = "(all) => all.map((host) => host.scrollWidth > host.clientWidth + 1)"
    said = "(all) => all.map((host) => host.classList.contains('wide'))"
    tables = page.locator(".scroll")
    assert tables.evaluate_all(hidden) == tables.evaluate_all(said)


def test_the_measured_camera_is_drawn_in_its_three_colours(page: Any) -> None:
    for name in ("response-0", "noise-0"):
        drawn = plot(page, name)
        legend = drawn.locator("button[aria-pressed]").all_inner_texts()
        assert legend == ["brightness", "R - B", "R - 2G + B"]
        assert drawn.locator("path.line").count() == 3
    assert "LR pixels" in page.locator("#cameras .ruler").inner_text()


def test_the_contents_lead_to_every_section(page: Any) -> None:
    leads = page.locator("nav a").evaluate_all("(all) => all.map((a) => a.getAttribute('href').slice(1))")
    assert leads == page.locator("main section").evaluate_all("(all) => all.map((s) => s.id)")
