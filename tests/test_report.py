"""The report, on fabricated runs: structure and honesty, not looks."""

import base64
import hashlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vesica import metrics
from vesica.data.arrays import Arrays
from vesica.data.library import Library
from vesica.files import SUMS, whole, write_json, write_text
from vesica.judge import judge_run
from vesica.plan import Cell, Recipe, Source, across
from vesica.report import svg, write_report
from vesica.report.photos import outline
from vesica.report.pictures import rank_images
from vesica.results import (
    RunPlan,
    TestScores,
    cell_folder,
    write_histograms,
    write_masks,
    write_model,
    write_scores,
    write_table,
)

SIZE_PX = 32
HOSTILE = '<script>alert("x")</script>&"\''
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Every element with its attributes, the text, and a check that all elements are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def find(self, tag: str, class_: str = "") -> list[dict[str, str]]:
        wanted = set(class_.split())
        return [
            a for t, a in self.elements if t == tag and wanted <= set(a.get("class", "").split())
        ]


@dataclass
class Run:
    """A run whose cells have the results that a test gives them."""

    folder: Path
    cache: Path
    cells: list[Cell]
    library: Library
    arrays: Arrays
    test: list[int]
    created: str = "2020-02-02T10:00:00+00:00"

    def rows_of(self, cell: Cell) -> list[int]:
        """The test images of a cell, in its fold where it has one."""
        return list(self.library.split(cell.data).test) if cell.data.folds else self.test

    def finish(
        self,
        cell: Cell,
        shift: int = 0,
        status: str = "finished",
        epochs: int = 4,
        preds: NDArray[np.bool_] | None = None,
    ) -> None:
        """Write a result whose prediction is the truth moved sideways, or what is given."""
        test = self.rows_of(cell)
        truth = self.arrays.masks[test][:, 0]
        if preds is None:
            preds = np.roll(truth, shift + cell.seed, axis=2)
        if status == "collapsed":
            preds = np.zeros_like(truth)
        counts = metrics.count_pixels(preds, truth)
        iou, folder = metrics.iou(counts), cell_folder(self.folder, cell)
        names = tuple(self.arrays.names[row] for row in test)
        write_scores(folder / "scores.csv", TestScores(names, names, counts, iou))
        write_masks(folder / "masks.npz", preds)
        # The loss that is shifted finds more at a lower threshold.
        probs = np.where(preds, np.float32(0.8), np.where(truth, np.float32(0.45), 0))
        histograms = metrics.histogram(probs.astype(np.float32), truth)
        write_histograms(folder / "histograms.npz", val=histograms, test=histograms)
        is_collapsed = status == "collapsed"
        history = [
            (n, 1 / n, 1.2 / n, 0.0 if is_collapsed else 1 - 1 / (n + 1), is_collapsed, 0.5)
            for n in range(1, epochs + 1)
        ]
        header = ("epoch", "train_loss", "val_loss", "val_iou", "is_one_class", "time_s")
        write_table(folder / "history.csv", header, history)
        scores = {
            "iou_per_image": float(iou.mean()),
            "iou_pooled": float(metrics.iou(counts.pooled())[0]),
            "iou_soft": float(iou.mean()),
            "accuracy": float(metrics.accuracy(counts).mean()),
            "num_test": len(iou),
            "num_empty": counts.num_empty,
        }
        end = {"epochs": epochs, "kept_epoch": epochs, "ended_by": "epochs", "train_time_s": 130.0}
        reason = "one class everywhere" if is_collapsed else ""
        self._write(cell, status, reason, **scores, **end)

    def fail(self, cell: Cell, reason: str) -> None:
        self._write(cell, "failed", reason)

    def report(self) -> Page:
        plan = RunPlan(
            command=f"vesica compare {HOSTILE}", created=self.created, cells=tuple(self.cells)
        )
        write_model(self.folder / "plan.json", plan)
        path = write_report(judge_run(self.folder, Library(self.cache), 0.005))
        return Page(path.read_text(encoding="utf-8"))

    def _write(self, cell: Cell, status: str, reason: str, **more: Any) -> None:
        result = {"schema": 1, "status": status, "reason": reason, "device": "abacus", **more}
        write_json(cell_folder(self.folder, cell) / "result.json", result)


NewRun = Callable[..., Run]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def new_run(tmp_path: Path, cache: Path) -> NewRun:
    def make(path: str = f"generated:num=200:size={SIZE_PX}", **fields: Any) -> Run:
        source = Source(path=path)
        library = Library(cache)
        dataset = library.dataset(source)
        source = source.model_copy(update={"fingerprint": dataset.fingerprint})
        base = Cell(data=source, size=SIZE_PX, weights="hed", recipe=Recipe(max_epochs=4))
        cells = across(base, **({"seed": range(3), "loss": ["bce", "iou"]} | fields))
        arrays = library.arrays(source, SIZE_PX)
        test = list(library.split(source).test)
        return Run(tmp_path / "run", cache, cells, library, arrays, test)

    return make


@pytest.fixture
def finished(new_run: NewRun) -> Run:
    run = new_run()
    for cell in run.cells:
        run.finish(cell, shift=1 if cell.loss == "iou" else 4)
    return run


def test_a_finished_run_has_every_section(finished: Run) -> None:
    page = finished.report()
    num_test = len(finished.test)
    assert page.find("span", "badge better")
    assert not page.find("div", "troubles")
    for heading in ("Scores", "Differences", "Learning curves", "Test images", "made with"):
        assert heading in page.text
    assert "iou is better than bce" in page.text
    assert "≥ 4" in page.text
    assert f"{num_test} test images" in page.text
    assert "iou minus bce" in page.text
    assert "mean mask" in page.text
    assert "best constant mask" in page.text
    assert "abacus" in page.text
    assert finished.cells[0].data.fingerprint in page.text
    assert f"cells/{finished.cells[0].key}" in page.text
    pictures = [a for a in page.find("li") if "data-values" in a]
    assert len(pictures) == num_test
    assert len(page.find("g", "outline")) >= 3 * num_test
    # One mark per run among the IoU curves, and one in its loss's panel.
    assert len(page.find("path", "kept")) == 2 * len(finished.cells)
    assert not page.find("path", "cross")
    assert len(page.find("circle", "image")) == num_test
    assert len(page.find("path", "bin")) > 2


def test_each_file_of_a_run_is_read_once(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run(loss=["bce", "iou", "dice"])
    for number, cell in enumerate(run.cells):
        run.finish(cell, shift=number % 3)
    read: Counter[str] = Counter()
    original = whole.read

    def count(path: Path, max_bytes: int) -> bytes:
        read[str(path.relative_to(run.folder))] += path.name != SUMS
        return original(path, max_bytes)

    monkeypatch.setattr(whole, "read", count)
    run.report()
    names = {"result.json", "scores.csv", "history.csv", "histograms.npz"}
    folders = [cell_folder(run.folder, cell) for cell in run.cells]
    assert all(read[str((f / n).relative_to(run.folder))] == 1 for f in folders for n in names)
    assert max(read.values()) == 1, "masks of one seed only, the plan and nothing twice"


def test_the_page_needs_no_other_file(finished: Run) -> None:
    page = finished.report()
    html = (finished.folder / "report.html").read_text(encoding="utf-8")
    links = [a[name] for _, a in page.elements for name in ("src", "href", "srcset") if name in a]
    assert links
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) for link in links)
    assert not re.search(r"https?://|url\(|@import|<script |<link|<iframe", html)
    (policy,) = [a["content"] for a in page.find("meta") if "http-equiv" in a]
    (script,) = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy
    assert len(html) < 5_000_000


def test_the_page_can_be_heard(finished: Run) -> None:
    page = finished.report()
    assert ("html", {"lang": "en"}) in page.elements
    assert len(page.find("h1")) == 1
    assert all(cell.get("scope") in ("col", "row") for cell in page.find("th"))
    figures = [a for a in page.find("svg") if "aria-hidden" not in a]
    assert figures
    links = [a for a in figures if a["role"] == "group"]
    assert all("scatter" in a["class"] for a in links), "an image hides the links in it"
    assert all(a["role"] in ("img", "group") and a["aria-label"] for a in figures)
    identities = [a["id"] for _, a in page.elements if "id" in a]
    assert len(identities) == len(set(identities))
    assert all(a["aria-label"] and a["role"] == "region" for a in page.find("div", "scroll"))


def test_undecided_looks_like_no_decision(new_run: NewRun) -> None:
    run = new_run()
    for cell in run.cells:
        run.finish(cell, shift=[5, -5, 1][cell.seed] if cell.loss == "iou" else 2)
    page = run.report()
    assert page.find("span", "badge undecided")
    assert page.find("path", "point undecided")
    for verdict in ("better", "worse", "equivalent"):
        assert not page.find("span", f"badge {verdict}")
        assert not page.find("path", f"point {verdict}")


def test_a_collapsed_run_is_named_and_marked(new_run: NewRun) -> None:
    run = new_run()
    for cell in run.cells:
        is_bad = (cell.loss, cell.seed) == ("iou", 1)
        run.finish(cell, shift=1, status="collapsed" if is_bad else "finished")
    page = run.report()
    assert page.find("div", "troubles")
    assert "iou, seed 1: collapsed; one class everywhere." in page.text
    assert "3, 1 collapsed" in page.text
    assert len(page.find("path", "cross")) == 2 * 4


def test_failed_and_unfinished_runs_are_named_first(new_run: NewRun) -> None:
    run = new_run()
    run.finish(run.cells[0], shift=2)
    run.finish(run.cells[1], shift=3)
    run.fail(run.cells[2], f"ran out of {HOSTILE}")
    page = run.report()
    assert page.find("span", "badge undecided")
    assert page.text.index("bce, seed 1: failed; ran out of") < page.text.index("Scores")
    assert "3 of 6 runs unfinished: iou seed 1, bce seed 2, iou seed 2." in page.text
    assert "Predictions of seed 0." in page.text
    assert not page.find("path", "point better")


def test_nothing_finished_yet_still_gives_a_page(new_run: NewRun) -> None:
    page = new_run().report()
    assert "No run has finished with scores yet" in page.text
    assert "6 of 6 runs unfinished" in page.text
    assert "No run has a history to draw yet." in page.text
    assert not page.find("svg", "photo")


def test_one_seed_has_no_interval(new_run: NewRun) -> None:
    run = new_run(seed=[7])
    for cell in run.cells:
        run.finish(cell, shift=cell.loss == "bce")
    page = run.report()
    assert page.find("span", "badge undecided")
    assert not page.find("line", "interval")
    assert "Predictions of seed 7." in page.text
    assert "±" not in page.text.partition("trained with")[2].partition("mean mask")[0]


def test_one_loss_has_nothing_to_be_compared_with(new_run: NewRun) -> None:
    run = new_run(loss=["iou"])
    for cell in run.cells:
        run.finish(cell)
    page = run.report()
    assert "One loss only" in page.text
    assert "with the lowest IoU" in page.text
    assert not page.find("span", "badge")


def test_three_losses_make_three_comparisons(new_run: NewRun) -> None:
    run = new_run(loss=["bce", "iou", "dice"])
    for number, cell in enumerate(run.cells):
        run.finish(cell, shift=number % 3)
    page = run.report()
    assert len(page.find("p", "verdict")) == 3
    assert "all 3 hold together at 95 %" in page.text
    names = ("iou minus bce", "dice minus bce", "dice minus iou")
    assert all(name in page.text for name in names)
    assert {"show-truth", "show-k0", "show-k1", "show-k2"} == {
        box["class"] for box in page.find("input")
    }


def test_several_settings_have_an_index(new_run: NewRun) -> None:
    run = new_run(width=[64, 128], seed=[0])
    for number, cell in enumerate(run.cells):
        run.finish(cell, shift=number // 2)
    page = run.report()
    targets = [a["href"] for a in page.find("a") if re.fullmatch(r"#setting-\d", a["href"])]
    assert targets == ["#setting-1", "#setting-2"] * 2, "a list and a plot of all"
    assert page.find("svg", "forest")
    assert [a["id"] for a in page.find("article")] == ["setting-1", "setting-2"]
    assert page.text.count("Learning curves") == 2
    assert "width=128" in page.text


def test_hostile_names_stay_text(new_run: NewRun, tmp_path: Path) -> None:
    data = tmp_path / HOSTILE.replace("/", "")
    for kind in ("images", "masks"):
        (data / kind).mkdir(parents=True)
    for number in range(40):
        name = f"{number} <img src=x onerror=alert(1)>&.png"
        picture = Image.new("L", (SIZE_PX, SIZE_PX))
        ImageDraw.Draw(picture).ellipse((4, 4, 14 + number % 9, 20), fill=255)
        picture.save(data / "images" / name)
        picture.save(data / "masks" / name)
    run = new_run(path=str(data), loss=["bce", HOSTILE])
    for cell in run.cells:
        run.finish(cell, shift=cell.loss == "bce")
    page = run.report()
    assert page.find("script") == [{}], "the page's own"
    assert not page.find("img")
    assert not any(name.startswith("on") for _, a in page.elements for name in a)
    assert page.text.count(HOSTILE) > 4
    assert "<img src=x onerror=alert(1)>&" in page.text


def test_images_that_are_gone_cost_the_pictures_only(finished: Run) -> None:
    gone = {"data": finished.cells[0].data.model_copy(update={"path": "no/such/folder"})}
    finished.cells = [cell.model_copy(update=gone) for cell in finished.cells]
    page = finished.report()
    assert "The test images cannot be shown:" in page.text
    assert "no/such/folder" in page.text
    assert page.find("span", "badge better")
    assert not page.find("svg", "photo")


@pytest.mark.parametrize("name", ["history.csv", "masks.npz", "histograms.npz"])
def test_a_missing_file_costs_its_figure_only(finished: Run, name: str) -> None:
    for cell in finished.cells:
        (cell_folder(finished.folder, cell) / name).unlink()
    page = finished.report()
    assert page.find("span", "badge better")
    assert bool(page.find("path", "kept")) == (name != "history.csv")
    assert bool(page.find("svg", "photo")) == (name != "masks.npz")
    assert ("largest expected IoU" in page.text) == (name != "histograms.npz")
    assert ("it was deleted" in page.text) == (name == "histograms.npz")


def test_what_is_left_is_shown_with_intervals(finished: Run) -> None:
    text = finished.report().text
    section = text.partition("Is it only the threshold?")[2].partition("Differences by seed")[0]
    assert "if only bce gets it" in section
    assert "95 % intervals as for the verdict" in section
    row = section.partition("threshold tuned on validation")[2].split("largest")[0]
    assert re.fullmatch(
        r" \d\.\d{3} \d\.\d{3}( [+\N{MINUS SIGN}]\d+\.\d \([^)]+ to [^)]+\)){3} ", row
    ), row
    assert "that are not in the masks" in section
    assert re.search(r"bce 0\.\d{3} and 0\.\d{3} \(temperature \d+\.\d\d\); iou", section)


def test_groups_are_said_to_count_once(finished: Run) -> None:
    for cell in finished.cells:
        scores = cell_folder(finished.folder, cell) / "scores.csv"
        first, second, third, *rest = scores.read_text().splitlines()
        name, _, values = third.split(",", 2)
        third = f"{name},{second.split(',')[1]},{values}"
        write_text(scores, "\n".join([first, second, third, *rest]) + "\n")
    num_units = len(finished.test) - 1
    assert f"count each of their {num_units} groups once" in finished.report().text


def test_long_histories_are_thinned_out(new_run: NewRun) -> None:
    run = new_run(seed=[0])
    for cell in run.cells:
        run.finish(cell, epochs=1000)
    lines = run.report().find("polyline")
    assert lines
    assert max(len(a["points"].split()) for a in lines) <= 301


def test_torch_is_not_imported(finished: Run) -> None:
    finished.report()
    code = f"""
import sys
from pathlib import Path
from vesica.data.library import Library
from vesica.judge import judge_run
from vesica.report import write_report
run, cache = Path({str(finished.folder)!r}), Path({str(finished.cache)!r})
write_report(judge_run(run, Library(cache), 0.005))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_an_outline_encloses_what_the_mask_holds() -> None:
    rng = np.random.default_rng(0)
    masks: list[NDArray[np.bool_]] = [
        np.ones((5, 5), bool),
        np.eye(6, dtype=bool),
        rng.random((16, 16)) < 0.5,
    ]
    for mask in masks:
        loops = [_read_loop(loop) for loop in outline(mask).split("z") if loop]
        # Where loops overlap by the even-odd rule is where the mask is: holes are not filled.
        inside = np.zeros(mask.shape, bool)
        for loop in loops:
            inside ^= _is_inside(loop, mask.shape)
        np.testing.assert_array_equal(inside, mask)
    assert outline(np.zeros((4, 4), bool)) == ""


def test_an_outline_has_points_at_turns_only() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:7, 3:8] = True
    assert len(_read_loop(outline(mask).strip("z"))) == 8


def _read_loop(loop: str) -> NDArray[np.float64]:
    start, steps = loop[1:].split("l")
    numbers = np.array([float(n) for n in f"{start} {steps}".split()])
    return numbers.reshape(-1, 2).cumsum(axis=0)


def _is_inside(loop: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Pixel centres from which a ray to the right crosses the loop an odd number of times."""
    inside = np.zeros(shape, bool)
    # Slightly off the centres, so that no ray meets a corner.
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5 + 1e-6
    for (x1, y1), (x2, y2) in zip(loop, np.roll(loop, -1, axis=0), strict=True):
        crosses = (y1 > y) != (y2 > y)
        if y1 != y2:
            inside ^= crosses & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return inside


def test_the_largest_disagreement_comes_first() -> None:
    iou = np.array([[0.5, 0.9, 0.2], [0.4, 0.1, 0.2], [0.5, 0.5, 0.5]])
    assert rank_images(iou).tolist() == [1, 2, 0]
    assert rank_images(iou[:1]).tolist() == [2, 0, 1]


def test_svg_escapes_text_and_attributes() -> None:
    element = svg.tag("text", HOSTILE, aria_label=HOSTILE, class_="a")
    page = Page(str(element))
    assert page.elements == [("text", {"aria-label": HOSTILE, "class": "a"})]
    assert page.text == HOSTILE


@pytest.mark.parametrize("values", [[0.0], [0.3, 0.3], [-4.0, 7.0], [1e-3, 1e2], [1e-9, 2e-9]])
def test_scales_hold_their_values_and_some_ticks(values: list[float]) -> None:
    scale = svg.scale_for(values, 10, 200, may_be_log=True)
    assert all(10 <= scale(value) <= 200 for value in values)
    assert 2 <= len(scale.ticks()) <= 12
    assert all(10 <= scale(tick) <= 200.001 for tick in scale.ticks())
