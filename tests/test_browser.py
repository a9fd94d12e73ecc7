"""The report in a browser: it sorts, filters and opens images, by keyboard too, and asks nobody."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw
from test_report import SIZE_PX, NewRun, cache, new_run  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), "")

pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium here: apt-get install chromium, and pip install playwright"
)

NAMES = [
    "<script>alert(1)</script>",
    "\"quoted\" & 'single'",
    "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED}\N{HEBREW LETTER VAV}\N{HEBREW LETTER FINAL MEM}",
    "long " * 30,
]
NUM = 40


@dataclass
class Opened:
    """A page, and what it complained of or asked for."""

    page: "Page"
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def shown(self) -> list[str]:
        """The names of the images that are to be seen, in order."""
        names: list[str] = self.page.locator(
            "ul.gallery > li:not([hidden]) .name"
        ).all_text_contents()
        return [name.strip() for name in names]

    def values(self, column: int) -> list[float]:
        """A sort value of the images that are to be seen, in order."""
        items = self.page.locator("ul.gallery > li:not([hidden])")
        values: list[str] = items.evaluate_all("items => items.map(e => e.dataset.values)")
        return [float(value.split()[column]) for value in values]


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def report(new_run: NewRun, tmp_path: Path) -> Path:  # noqa: F811
    """Of 40 test images in two folds, with every kind of name."""
    data = tmp_path / "photos"
    for kind in ("images", "masks"):
        (data / kind).mkdir(parents=True)
    for number in range(NUM):
        name = NAMES[number].replace("/", "\N{DIVISION SLASH}") if number < len(NAMES) else number
        picture = Image.new("L", (SIZE_PX, SIZE_PX))
        radius = 2 + number % 9
        ImageDraw.Draw(picture).ellipse((4, 4, 4 + 2 * radius, 4 + 2 * radius), fill=255)
        for kind in ("images", "masks"):
            picture.save(data / kind / f"{name}.png")
    run = new_run(path=str(data), fold=range(2), folds=[2])
    rng = np.random.default_rng(0)
    for cell in run.cells:
        truth = run.arrays.masks[run.rows_of(cell)][:, 0]
        share = 0.02 if cell.loss == "iou" else 0.05
        shares = share * rng.random((len(truth), 1, 1))
        run.finish(cell, preds=truth ^ (rng.random(truth.shape) < shares))
    run.report()
    return run.folder / "report.html"


@pytest.fixture
def opened(browser: "Browser", report: Path) -> Iterator[Opened]:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    found = Opened(page)
    page.goto(report.as_uri())
    yield found
    assert found.errors == []
    assert [url for url in found.requests if not url.startswith(("file:", "data:"))] == []
    page.close()


def test_every_image_is_there_and_every_name_is_text(opened: Opened) -> None:
    names = opened.shown()
    assert len(names) == NUM
    wanted = {" ".join(name.replace("/", "\N{DIVISION SLASH}").split()) for name in NAMES}
    assert wanted <= {" ".join(name.split()) for name in names}
    assert opened.page.locator("script").count() == 1
    assert opened.page.locator("output").inner_text() == f"{NUM} of {NUM} shown"


def test_images_are_sorted(opened: Opened) -> None:
    assert opened.values(0) == sorted(opened.values(0), reverse=True)
    sort = opened.page.locator("select.sort")
    for label, column, sign in (
        ("least foreground", 1, 1),
        ("largest objects", 2, -1),
        ("lowest IoU, iou", 4, 1),
    ):
        sort.select_option(label=label)
        found = opened.values(column)
        assert found == sorted(found, key=lambda value: sign * value)
        assert len(set(found)) > 3
    sort.select_option(label="name")
    numbers = [int(name) for name in opened.shown() if name.isdigit()]
    assert sorted(map(str, numbers)) == list(map(str, numbers))


def test_images_are_filtered_and_a_link_finds_one_all_the_same(opened: Opened) -> None:
    first = opened.page.locator("select.filter").first
    parts = [text for text in first.locator("option").all_inner_texts() if text != "any"]
    counts = []
    for part in parts:
        first.select_option(label=part)
        counts.append(len(opened.shown()))
        assert opened.page.locator("output").inner_text() == f"{counts[-1]} of {NUM} shown"
    assert len(parts) == 3
    assert sum(counts) == NUM
    assert min(counts) > 0
    hidden = opened.page.locator("ul.gallery > li[hidden]").first.get_attribute("id")
    opened.page.evaluate(f"location.hash = '#{hidden}'")
    opened.page.wait_for_function(f"document.activeElement.id === '{hidden}'")
    assert opened.page.locator(f"#{hidden}").is_visible()
    assert len(opened.shown()) == NUM


def test_a_point_opens_its_image_by_keyboard(opened: Opened) -> None:
    plot = opened.page.locator("svg.scatter").first
    links = plot.locator("a")
    assert links.count() == NUM
    assert [a.get_attribute("tabindex") for a in links.all()].count("0") == 1, "one stop for Tab"
    links.first.focus()
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("ArrowRight")
    target = links.nth(2).get_attribute("href")
    assert opened.page.evaluate("document.activeElement.getAttribute('href')") == target
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_function(f"location.hash === '{target}'")
    item = opened.page.locator(str(target))
    small = opened.page.locator("ul.gallery > li:not(:target)").first.bounding_box()
    large = item.bounding_box()
    assert small is not None
    assert large is not None
    assert large["width"] > 2 * small["width"]
    assert item.locator(".close").is_visible()
    before = opened.page.evaluate("location.hash")
    is_last = item.evaluate("e => !e.nextElementSibling")
    opened.page.keyboard.press("ArrowLeft" if is_last else "ArrowRight")
    opened.page.wait_for_function(f"location.hash !== '{before}'")
    opened.page.keyboard.press("Escape")
    opened.page.wait_for_function("!document.querySelector('ul.gallery > :target')")


def test_outlines_are_switched_off(opened: Opened) -> None:
    outline = opened.page.locator("ul.gallery .outline.k1").first
    assert outline.evaluate("e => getComputedStyle(e).display") == "inline"
    opened.page.locator("input.show-k1").uncheck()
    assert outline.evaluate("e => getComputedStyle(e).display") == "none"


@pytest.mark.parametrize("width", [1200, 800, 380])
def test_nothing_is_wider_than_the_page(opened: Opened, width: int) -> None:
    opened.page.set_viewport_size({"width": width, "height": 900})
    room = opened.page.evaluate("document.documentElement.clientWidth")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= room
    if width == 1200:
        for table in opened.page.locator(".scroll:visible").all():
            assert table.evaluate("e => e.scrollWidth - e.clientWidth") <= 1


def test_dark_and_print_are_readable(opened: Opened) -> None:
    def colours() -> tuple[str, str]:
        style = "getComputedStyle(document.body)"
        return tuple(opened.page.evaluate(f"[{style}.color, {style}.backgroundColor]"))

    light = colours()
    opened.page.emulate_media(color_scheme="dark")
    dark = colours()
    assert light != dark
    assert contrast(*light) > 7
    assert contrast(*dark) > 7
    opened.page.emulate_media(media="print", color_scheme="dark")
    assert colours() == light, "paper is white"
    assert not opened.page.locator("form.choose").is_visible()


def contrast(ink: str, paper: str) -> float:
    """Of two colours as rgb(r, g, b), by the formula of WCAG 2."""

    def luminance(colour: str) -> float:
        rgb = np.array([float(n) for n in colour.strip("rgba()").split(",")[:3]]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(ink), luminance(paper)))
    return (high + 0.05) / (low + 0.05)
