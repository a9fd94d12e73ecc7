"""What our committed runs say of the paper's claims, as tables for docs/what-holds.md.

    python benchmarks/collect_found.py docs/results src/vesica/paper

found.csv has a row for each set-up of docs/results/lfw, each set of docs/results/eight and each
network of docs/results/architectures/lfw, slopes.csv one for each folder of docs/results/sparsity,
classes.csv one for each class of each folder of docs/results/classes.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from vesica.files import read_json
from vesica.judge.sparsity import Sparsity
from vesica.paper.found import CLASS_COLUMNS, COLUMNS, SLOPE_COLUMNS
from vesica.results import Comparison, GroupFindings, Unjudged, read_findings, write_table

FACES = {
    "bfcn32s-lite": "LFW",
    "celebamask-bfcn32s-lite": "CelebAMask",
    "helen-bfcn32s-lite": "HELEN below the brows",
}
FULL = {"bfcn32s-full": "LFW", "helen-bfcn32s-full": "HELEN below the brows"}
"""Runs of the grid, on a smaller scale and at the paper's size; but for that of FCResNet from
scratch, of one seed and 15 epochs."""

NETWORKS = {
    "bfcn32s": "BFCN-32s",
    "bfcn16s": "FCN-16s",
    "bfcn8s": "FCN-8s",
    "segnet": "SegNet",
    "fcresnet": "FCResNet from scratch",
    "unet": "U-Net",
}

OBJECTS = {
    "lfw": "LFW faces",
    "generated": "generated faces",
    "generated-1600": "generated faces at four times the steps",
}
"""Laid on canvases, by the run's folder."""

OF_CLASSES = {"lfw": "LFW", "camvid": "CamVid", "celebamask": "CelebAMask"}
"""By the run's folder, fewest classes first."""


def rows_of(results: Path) -> Iterator[list[object]]:
    """All rows, as `COLUMNS` has them."""
    for folder, name in FACES.items():
        findings = read_findings(results / "lfw" / folder)
        assert findings is not None
        for group in findings.groups:
            yield row_of(name, "faces", group)
    for folder, name in FULL.items():
        findings = read_findings(results / "lfw" / folder)
        assert findings is not None
        settings = []
        for group in findings.groups:  # those of averaged weights are last, of the same settings
            kind = "averaged" if group.setting in settings else "full"
            settings.append(group.setting)
            yield row_of(name, kind, group)
    for file in sorted((results / "eight").glob("*/results.json")):
        findings = read_findings(file.parent)
        assert findings is not None
        yield row_of(file.parent.name, "sets", findings.groups[0])
    findings = read_findings(results / "architectures" / "lfw")
    assert findings is not None
    for group in findings.groups:
        name, _, _ = group.setting["model"].partition(":")
        yield row_of(NETWORKS[name], "networks", group)


def row_of(name: str, kind: str, group: GroupFindings) -> list[object]:
    """IoU loss against BCE in one setting; differences in points."""
    pair = next(c for c in group.comparisons if (c.baseline, c.challenger) == ("bce", "iou"))
    assert isinstance(pair, Comparison)
    bce, iou = (next(r for r in group.losses if r.loss == loss) for loss in ("bce", "iou"))
    scores = [row[name] for name in ("accuracy", "iou_per_image", "iou_soft") for row in (bce, iou)]
    assert None not in scores
    points = [pair.mean, pair.low, pair.high, pair.soft.difference.mean, *scores]
    has_ended = kind == "full" and not bce.num_censored + iou.num_censored
    return [
        *(kind, name, group.setting["data"]["split"], group.target or "", pair.num_seeds),
        pair.verdict,
        *("" if value is None else round(100 * value, 6) for value in points[:3]),
        "" if pair.p_value is None else round(pair.p_value, 6),
        *("" if value is None else round(100 * value, 6) for value in points[3:]),
        *((bce.epochs, iou.epochs) if has_ended else ("", "")),
    ]


def slopes_of(results: Path) -> Iterator[list[object]]:
    """All rows, as `SLOPE_COLUMNS` has them."""
    for folder, name in OBJECTS.items():
        found = Sparsity.model_validate(read_json(results / "sparsity" / folder / "sparsity.json"))
        trend = next(t for t in found.trends if (t.baseline, t.challenger) == ("bce", "iou"))
        densest, sparsest = trend.points[0], trend.points[-1]
        yield [
            *(name, trend.num_seeds, trend.verdict),
            *_points(trend.slope, trend.low, trend.high),
            *(round(densest.density, 4), *_points(densest.mean)),
            *(round(sparsest.density, 4), *_points(sparsest.mean)),
        ]


def classes_of(results: Path) -> Iterator[list[object]]:
    """All rows, as `CLASS_COLUMNS` has them."""
    for folder, name in OF_CLASSES.items():
        findings = read_findings(results / "classes" / folder)
        if findings is None:
            continue
        (group,) = findings.groups
        overall = _against_cross_entropy(group.comparisons)
        assert isinstance(overall, Comparison)
        for one in group.classes:
            found = _against_cross_entropy(one.comparisons)
            # A class that neither draws is not judged.
            mean = found.mean if isinstance(found, Comparison) else 0.0
            yield [
                *(name, overall.num_seeds, round(overall.level, 4), overall.verdict),
                *_points(overall.mean, overall.low, overall.high),
                *(one.name, round(one.share, 6), found.verdict),
                *_points(mean, one.iou["ce"], one.iou["iou"]),
            ]


def _points(*shares: float | None) -> list[float]:
    """Hundredths, so finely that one decimal of them is that of the share; all are known."""
    known = [share for share in shares if share is not None]
    assert len(known) == len(shares)
    return [round(100 * share, 6) for share in known]


def _against_cross_entropy(
    comparisons: Iterable[Comparison | Unjudged],
) -> Comparison | Unjudged:
    return next(c for c in comparisons if (c.baseline, c.challenger) == ("ce", "iou"))


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("paper", type=Path)
    args = parser.parse_args()
    for name, columns, rows in (
        ("found.csv", COLUMNS, rows_of(args.results)),
        ("slopes.csv", SLOPE_COLUMNS, slopes_of(args.results)),
        ("classes.csv", CLASS_COLUMNS, classes_of(args.results)),
    ):
        write_table(args.paper / name, columns, rows, has_sum=False)


if __name__ == "__main__":
    main()
