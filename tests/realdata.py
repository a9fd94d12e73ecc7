"""The real data sets, for the tests that need them; no copy of them is part of the project."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1].parent / "shared" / "data"


def require(name: str) -> Path:
    """The folder of a real data set; the calling test is skipped where it is absent."""
    folder = ROOT / name
    if not folder.is_dir():
        pytest.skip(f"the real data set {name} is not at ../shared/data")
    return folder


def require_script(name: str) -> Path:
    """A script beside the real data sets; the calling test is skipped where it is absent."""
    script = ROOT.parent / name
    if not script.is_file():
        pytest.skip(f"{name} is not at ../shared")
    return script


def link_faces(target: Path, num: int) -> Path:
    """The first labelled faces of the real LFW, linked into a folder of their own."""
    lfw = require("lfw")
    for label in sorted((lfw / "parts_lfw_funneled_gt_images").iterdir())[:num]:
        person = label.stem.rpartition("_")[0]
        image = Path("lfw_funneled", person, f"{label.stem}.jpg")
        for file in (image, label.relative_to(lfw)):
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            (target / file).symlink_to(lfw / file)
    return target
