"""What our runs say of the paper's claims: the table is that of the committed runs."""

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from collect_found import classes_of, rows_of, slopes_of
from markupsafe import escape

from vesica.paper.claims import claims
from vesica.paper.found import (
    Found,
    OneClass,
    facts,
    read_found,
    say_classes,
    say_epochs,
    say_full,
    say_sizes,
)
from vesica.paper.found_page import TITLE, found_section, full_blocks
from vesica.report.sections import Grid, to_html, to_markdown

ROOT = Path(__file__).parents[1]


def test_the_table_is_of_the_committed_runs(tmp_path: Path) -> None:
    text = (ROOT / "src" / "vesica" / "paper" / "found.csv").read_text()
    rows = [",".join(map(str, row)) for row in rows_of(ROOT / "docs" / "results")]
    assert text.splitlines()[1:] == rows
    text = (ROOT / "src" / "vesica" / "paper" / "slopes.csv").read_text()
    slopes = [",".join(map(str, row)) for row in slopes_of(ROOT / "docs" / "results")]
    assert text.splitlines()[1:] == slopes
    text = (ROOT / "src" / "vesica" / "paper" / "classes.csv").read_text()
    classes = [",".join(map(str, row)) for row in classes_of(ROOT / "docs" / "results")]
    assert text.splitlines()[1:] == classes


def test_classes_by_hand() -> None:
    shares = {"sky": 0.9, "pole": 0.009, "road": 0.09, "bird": 0.0001}
    verdicts, ious = ["worse", "undecided", "undecided", "undecided"], [90.0, 2.0, 0.5, 0.9]
    differences, ious_ce = [0.0, 2.0, -49.5, 0.0], [90.0, 0.0, 50.0, 0.9]
    found = [
        OneClass(
            *("streets", 3, 0.992, "better", 4.0, 1.0, 7.0, name, share),
            *(verdict, difference, iou_ce, iou),
        )
        for (name, share), verdict, difference, iou_ce, iou in zip(
            shares.items(), verdicts, differences, ious_ce, ious, strict=True
        )
    ]
    said = (
        "streets, +4.0 (99.2 % interval +1.0 to +7.0, better), 1 of 3 classes decided, +0.0 on sky "
        "(90 % of pixels, the most) and +2.0 on pole (0.9 %, the fewest), from -49.5 on road to "
        "+2.0 on pole, only IoU loss draws pole, only cross-entropy draws road"
    )
    assert say_classes(found) == said + ", neither draws bird"
    assert say_classes(found[:-1]) == said


def of_size(kind: str, mean: float, soft: float, epochs: tuple[float, float] | None) -> Found:
    return Found(
        *(kind, "LFW", "small", "face", 1, "undecided", mean, None, None, None, soft),
        *(96.0, 96.5, 83.0, 85.3, 81.8, 84.0, *(epochs or (None, None))),
    )


def test_the_papers_size_by_hand() -> None:
    full = of_size("full", 0.6, 5.1, (60.0, 71.0))
    averaged = of_size("averaged", -0.2, 5.0, None)
    assert say_full([full, averaged]) == (
        "LFW, small, no hair +0.6, of averaged weights -0.2, soft +5.1"
    )
    assert say_full([full]) == "LFW, small, no hair +0.6, soft +5.1"
    assert say_epochs([full, averaged]) == ("LFW, small, no hair, IoU loss after 71, BCE after 60")
    assert say_epochs([of_size("full", 0.6, 5.1, None)]) == ""
    assert say_sizes([full]) == ""
    big = replace(full, size="big", iou_bce=84.5, iou_iou=85.1)
    assert say_sizes([full, big]) == "LFW, no hair, IoU loss +0.2, BCE -1.5"
    assert full.label == "full size: LFW, small, no hair"
    assert full.accuracy == 0.5
    assert full.published.name == "small, no hair"  # 0.872 and 0.837
    assert full.is_near("iou")
    assert not full.is_near("soft")  # 0.840 and 0.818
    said, grid = full_blocks([full, averaged])
    assert str(said).endswith(
        "read as that of masks in LFW, small, no hair and as soft IoU in none."
    )
    assert isinstance(grid, Grid)
    assert grid.rows[0][:7] == [full.set_up, "iou", "0.970", "0.965", "0.872", "0.853", "0.840"]


def test_facts_by_hand() -> None:
    found = read_found()
    values = facts(found)
    faces = [f for f in found if f.kind == "faces"]
    assert values["num"] == len(faces)
    assert values["mask_wins"] == sum(f.mean > 0 for f in faces)
    assert values["soft_high"] == max(f.soft for f in faces)
    assert values["num_pairs"] == len(faces) / 2
    big, small = (
        next(f for f in faces if (f.name, f.target, f.size) == ("LFW", "face", size))
        for size in ("big", "small")
    )
    assert big.iou_bce - small.iou_bce == pytest.approx(80.683 - 78.377, abs=1e-3)
    assert values["num_sizes"] == len(faces)
    lost = [
        getattr(b, name) - getattr(s, name)
        for b in faces
        for s in faces
        for name in ("iou_bce", "iou_iou")
        if (b.name, b.target, b.size, s.size) == (s.name, s.target, "big", "small")
    ]
    assert values["small_mean"] == pytest.approx(np.mean(lost))
    assert values["small_worse"] == sum(value > 0 for value in lost)
    assert values["networks"].startswith("BFCN-32s +0.5 (better), FCN-16s +0.2 (undecided)")
    p_values = [f.p_value for f in found if f.kind == "networks" and f.p_value is not None]
    assert len(p_values) == values["num_networks"] == 6
    assert values["network_p"] == pytest.approx(6 * min(p_values))


def test_every_sentence_is_one_of_the_papers() -> None:
    text = (ROOT / "src" / "vesica" / "paper" / "found.toml").read_text()
    quotes = [entry["quote"] for entry in tomllib.loads(text)["found"]]
    assert set(quotes) <= {claim.quote for claim in claims()}
    section = found_section(claims())
    grid, _ = (block for block in section.blocks if isinstance(block, Grid))
    assert len(grid.rows) == len(quotes)
    assert not any("{" in row[3] for row in grid.rows)


def test_the_page_shows_every_set_up() -> None:
    section = found_section(claims())
    page = to_html("x", [section])
    assert all(str(escape(row.label)) in page for row in read_found())
    assert TITLE in to_markdown("x", [section])
