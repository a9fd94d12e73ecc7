"""The section about the published IoU: is it that of masks?"""

from typing import Any

import numpy as np

from vesica.report.sections import Grid, Section

LOSS_NAMES = {"iou": "IoU", "bce": "BCE"}


def iou_section(soft: dict[str, Any]) -> Section:
    """Bounds for LFW, common densities for both data sets, and what accuracy leaves.

    Args:
        soft: What `soft_iou.softness` found.
    """
    lfw = [cell for cell in soft["cells"] if cell["data"] == "LFW"]
    counted = ", ".join(
        f"{found['share']:.4f} for {found['target']} ({found['split_low']:.3f} to "
        f"{found['split_high']:.3f} in other {found['num_test']} images in a row)"
        for found in soft["densities"]
    )
    return Section(
        "Was the published IoU soft?",
        [
            "If a share q of all test pixels is foreground and a share e = 1 - accuracy is wrong, "
            "the pooled IoU of masks lies between (q - e) / q (all that is wrong is missed) and "
            "q / (q + e) (all is false alarm). The other way round, accuracy and IoU of masks say "
            "what q may be. All bounds allow for the tables' rounding. Accuracy is counted on "
            "masks: the paper trained in Keras, whose binary accuracy has its threshold at 1/2.",
            f"q of LFW's test split, counted in its labels: {counted}.",
            _lfw(lfw),
            *_lfw_words(lfw, soft["densities"][0]["num_test"]),
            *_helen(soft),
            *_differences(soft),
        ],
    )


def _lfw(lfw: list[dict[str, Any]]) -> Grid:
    return Grid(
        ["LFW", "loss", "accuracy", "IoU", "IoU of masks", "which is", "missed"],
        [
            [
                f"{cell['network']}, {cell['name']}",
                LOSS_NAMES[cell["loss"]],
                f"{cell['accuracy']:.3f}",
                f"{cell['iou']:.3f}",
                f"{cell['mask_low']:.3f} to {cell['mask_high']:.3f}",
                "inside" if cell["position"] == "inside" else f"**{cell['position']}**",
                f"{100 * cell['missed_share']:.0f} %",
            ]
            for cell in lfw
        ],
        num_words=2,
    )


def _lfw_words(lfw: list[dict[str, Any]], num_test: int) -> list[str | Grid]:
    below = [cell for cell in lfw if cell["position"] == "below"]
    bce = sum(cell["loss"] == "bce" for cell in below)
    any_split = sum(cell["fails_any_split"] for cell in below)
    rounding = sum(cell["position"] == "only by rounding" for cell in lfw)
    missed = {
        loss: [100 * cell["missed_share"] for cell in lfw if cell["loss"] == loss]
        for loss in LOSS_NAMES
    }
    return [
        f"**{len(below)} of {len(lfw)} cells fail, {bce} of them trained with BCE.** {any_split} "
        f"fail at the density of any {num_test} images in a row. "
        f"{rounding} more are possible only by rounding. “Missed”: the share of the wrong pixels "
        "that masks with both values would have to miss; above 100 %, there are none. It is "
        f"{min(missed['iou']):.0f} to {max(missed['iou']):.0f} % where IoU loss trained and "
        f"{min(missed['bce']):.0f} to {max(missed['bce']):.0f} % where BCE did.",
        "That is what equation 3 on probabilities gives: networks trained with BCE leave "
        "probabilities between 0 and 1, which cost soft IoU though the masks are right. A mean "
        "over both classes would be higher, not lower. A mean over images instead of pooled pixels "
        "could be lower: the lowest possible, with the same error in every image, and with all "
        "wrong pixels in the images with the least foreground, missed whole, and all other images "
        "perfect:",
        Grid(
            ["cells that fail", "published", "same error in every image", "smallest missed whole"],
            [
                [
                    f"{cell['network']}, {cell['name']}, {LOSS_NAMES[cell['loss']]}",
                    *(f"{cell[name]:.3f}" for name in ("iou", "mean_low_even", "mean_low")),
                ]
                for cell in below
            ],
        ),
    ]


def _helen(soft: dict[str, Any]) -> list[str | Grid]:
    def fitting(common: dict[str, Any]) -> str:
        return f"{common['low']:.3f} to {common['high']:.3f}" if common["exists"] else "**none**"

    failing = "; ".join(
        f"{cell['network']}, {cell['name']}"
        for cell in soft["cells"]
        if cell["data"] == "HELEN" and not cell["fits_iou_trained"]
    )
    return [
        "All set-ups of one data set and target share their test images, so one density has to fit "
        "them all, whatever it is. Densities that fit:",
        Grid(
            ["test split", "cells with IoU loss", "cells with BCE", "all cells", "counted"],
            [
                [
                    f"{found['data']}, {found['target']}",
                    *(fitting(found[name]) for name in ("iou", "bce", "both")),
                    "-" if found["counted"] is None else f"{found['counted']:.3f}",
                ]
                for found in soft["common"]
            ],
        ),
        "The cells trained with IoU loss agree on a density, which on LFW is the one counted; both "
        "losses together agree on none, anywhere. Of HELEN, whose part masks were not at hand, "
        f"these cells trained with BCE do not fit what those with IoU loss allow: {failing}.",
    ]


def _differences(soft: dict[str, Any]) -> list[str | Grid]:
    gains, mean = soft["differences"], soft["mean"]
    # Published IoU minus that from accuracy, in points, set-up by set-up.
    scores = {loss: [c["iou"] for c in soft["cells"] if c["loss"] == loss] for loss in LOSS_NAMES}
    by_iou, by_bce = (
        100 * (np.array(scores[loss]) - np.array([gain[f"{loss}_balanced"] for gain in gains]))
        for loss in LOSS_NAMES
    )
    is_lfw = np.array([", LFW, " in gain["setup"] for gain in gains])
    rows = [
        [
            gain["setup"],
            f"{gain['published']:+.1f}",
            f"{gain['from_accuracy']:+.1f}",
            f"{gain['low']:+.1f} to {gain['high']:+.1f}",
            f"{gain['remainder']:+.1f}",
        ]
        for gain in gains
    ]
    whole, accuracy, rest = (
        f"**{mean[n]:+.1f}**" for n in ("published", "from_accuracy", "remainder")
    )
    return [
        "What accuracy says of the difference, if masks miss as many pixels as they add "
        "(“range”: whatever they do). The density of LFW is counted; for HELEN it is the middle of "
        "what the cells trained with IoU loss allow, which is fitted.",
        Grid(
            ["IoU loss minus BCE, points", "published IoU", "from accuracy", "range", "the rest"],
            [*rows, ["**mean**", whole, accuracy, "", rest]],
        ),
        f"So computed, the IoU of the cells trained with IoU loss is the published one within "
        f"{np.abs(by_iou).max():.1f} points in all 16 set-ups (on LFW, where nothing is "
        f"fitted, {np.abs(by_iou[is_lfw]).max():.1f}). Trained with BCE, the "
        f"published one is lower in {np.sum(by_bce < 0)} of 16, by "
        f"{-by_bce.mean():.1f} points on average.",
    ]
