"""The report: one file, safe against what files are called, whole and quiet in a browser."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from inspected import write_dataset, write_photographs

from sdflow_data.dataset.manifest import read_dataset
from sdflow_data.inspection.inspection import Inspection, inspect_dataset
from sdflow_data.inspection.report import report_html
from sdflow_data.statistics import STATISTICS

BROWSER = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (path := shutil.which(name))
    ),
    None,
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")

_COUNT_PICTURES = """
<script>
addEventListener("load", () => {
  const pictures = [...document.querySelectorAll("img[src]")];
  const broken = pictures.filter((p) => !p.complete || p.naturalWidth === 0);
  document.body.dataset.pictures = pictures.length;
  document.body.dataset.broken = broken.length;
  document.body.dataset.curves = document.querySelectorAll(".plot svg path").length;
  document.querySelector('[data-statistic="sharpness"]').click();
  document.body.dataset.chosen = document.querySelector("#about h3").textContent;
  document.getElementById("more").click();
  const rows = [...document.querySelectorAll("[data-statistic]")];
  document.body.dataset.rows = rows.filter((row) => row.offsetParent).length;
  document.querySelector(".zoomable").click();
  document.body.dataset.zoomed = document.getElementById("lightbox").open;
});
</script>
</body>"""


@pytest.fixture(scope="module")
def inspection(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    folder = tmp_path_factory.mktemp("report")
    dataset = write_dataset(folder / "pairs <b>&amp;")
    return inspect_dataset(dataset, write_photographs(folder / "real <i>"), classifier=None)


@pytest.fixture(scope="module")
def report(inspection: Inspection) -> str:
    return report_html(inspection)


class Page(HTMLParser):
    """Collects elements, addresses and what is not balanced."""

    VOID = frozenset({"meta", "link", "img", "br", "wbr", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself(report: str) -> None:
    page = Page(report)
    assert page.open == []
    assert page.addresses
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttpRequest|import\(", report)


def test_names_of_files_are_text_and_never_markup(report: str) -> None:
    page = Page(report)
    assert page.elements.count("script") == 2  # the data and the page's own
    assert page.elements.count("b") == 1  # the score
    assert "<script>alert" not in report
    assert "&lt;script&gt;alert" in report


def test_it_says_what_made_the_dataset_and_which_photographs_gave_nothing(report: str) -> None:
    assert "classical" in report
    assert "no picture.png" in report
    assert "small.png" in report


def test_every_statistic_and_every_verdict_is_there(report: str, inspection: Inspection) -> None:
    for name in STATISTICS:
        assert f'data-statistic="{name}"' in report
    for verdict in inspection.verdicts:
        assert verdict.question in report


def test_components_have_a_strip_each(report: str) -> None:
    assert report.count('class="strip') == 2


def test_it_publishes_no_folder_of_the_machine_and_no_raw_json(report: str, inspection: Inspection) -> None:
    assert str(inspection.dataset.folder.parent) not in report
    assert "[]" not in re.sub(r"<script.*?</script>", "", report, flags=re.DOTALL)


def test_statistics_without_a_counterpart_have_a_table_of_their_own(
    report: str, inspection: Inspection
) -> None:
    compared, alone = report.split("<h3>Pairs and variants")
    for name, row in inspection.table.iterrows():
        there = compared if row["distance"] == row["distance"] else alone
        assert f'data-statistic="{name}"' in there


def test_it_leads_on(report: str, inspection: Inspection) -> None:
    assert inspection.conclusion in html.unescape(report)


def test_a_dataset_alone_has_a_report_too(inspection: Inspection) -> None:
    alone = report_html(Inspection(read_dataset(inspection.dataset.folder), inspection.measured))
    assert "Most ordinary" in alone
    data = re.search(r'id="data">(.*?)</script>', alone)
    assert data
    assert (
        json.loads(data[1], parse_constant=pytest.fail)["statistics"]["noise_sigma"]["numbers"]["floor"]
        is None
    )


@pytest.fixture
def browse(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(page: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "report é.html"
        path.write_text(page, "utf-8")
        quiet = (
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
        )
        return subprocess.run(
            [
                str(BROWSER),
                *("--headless", "--no-sandbox", "--disable-gpu", *quiet),
                *("--enable-logging=stderr", "--virtual-time-budget=5000", "--window-size=1200,900"),
                f"--user-data-dir={tmp_path / 'browser'}",
                *arguments,
                path.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )

    return run


@needs_browser
def test_in_a_browser_all_pictures_load_and_the_console_is_silent(
    report: str, browse: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = browse(report.replace("</body>", _COUNT_PICTURES), "--dump-dom")
    assert "CONSOLE" not in done.stderr
    found = dict(re.findall(r'data-(\w+)="([^"]*)"', done.stdout[done.stdout.index("<body") :].split(">")[0]))
    assert int(found["pictures"]) > 50
    assert found["broken"] == "0"
    assert int(found["curves"]) >= 8
    assert found["chosen"] == "sharpness"
    assert int(found["rows"]) == len(STATISTICS)
    assert found["zoomed"] == "true"


@needs_browser
def test_a_broken_script_would_be_noticed(
    report: str, browse: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = browse(report.replace("</body>", "<script>nothing.here()</script></body>"), "--dump-dom")
    assert "CONSOLE" in done.stderr


@needs_browser
def test_it_prints(
    report: str, browse: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    browse(report, f"--print-to-pdf={tmp_path / 'report.pdf'}", "--no-pdf-header-footer")
    pdf = (tmp_path / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 100_000  # the pictures are in it
