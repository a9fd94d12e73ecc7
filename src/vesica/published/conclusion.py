"""Networks, sizes and the conclusion of the paper, judged by its tables."""

import numpy as np

from vesica.published import contrasts
from vesica.published.claim import ALPHA, Claim, holds
from vesica.published.softness import softness
from vesica.published.tables import differences

CLOSE = 25
"""Accuracies within 2.5 % are close for the paper; thousandths."""


def conclusion() -> list[Claim]:
    """In the paper's order; what the abstract repeats is judged once."""
    return [*_networks(), *_untested(), *_size(), *_conclusion()]


def _networks() -> list[Claim]:
    gaps = {metric: contrasts.between_networks(metric) for metric in ("accuracy", "iou")}
    wins = {metric: int(np.sum(gap > 0)) for metric, gap in gaps.items()}
    apart = int(np.sum(np.abs(gaps["accuracy"]) > CLOSE))
    error = contrasts.error_ratio_of_networks()
    return [
        Claim(
            "5, Models",
            "we observe that the BFCN-32s model performs better",
            holds(min(wins.values()) == 16),
            f"In {wins['iou']} of 16 pairs (8 set-ups, 2 losses) on IoU and {wins['accuracy']} of "
            "16 on accuracy.",
        ),
        Claim(
            "5, Models",
            "the accuracies obtained with the different models do not differ very much",
            holds(apart == 0),
            f"By {gaps['accuracy'].mean() / 10:.1f} points on average, {apart} of 16 by more than "
            f"the 2.5 points that are close for the paper; FCResNet has {error:.1f} times the "
            "wrong pixels.",
        ),
        Claim(
            "5, Models",
            "the IoU scores of BFCN-32s are in general much higher",
            holds(gaps["iou"].mean() > abs(differences("iou")).mean()),
            f"By {gaps['iou'].mean() / 10:.1f} points on average ({gaps['iou'].min() / 10:.1f} to "
            f"{gaps['iou'].max() / 10:.1f}); the losses differ by "
            f"{differences('iou').mean() / 10:.1f}.",
        ),
    ]


def _untested() -> list[Claim]:
    return [
        Claim(
            "5, Models",
            "This is due to the choice of only applying a single fully convolutional layer",
            "not testable",
            "No set-up varies the layers alone.",
        ),
        Claim(
            "5, Example Output Images",
            "is clearly showing the contours of the hairless face better",
            "not testable",
            "Figures 5 and 6 show one image.",
        ),
    ]


def _size() -> list[Claim]:
    drops = {metric: contrasts.big_minus_small(metric) for metric in ("accuracy", "iou")}
    worse = {metric: int(np.sum(drop > 0)) for metric, drop in drops.items()}
    changed = contrasts.changes_with_size("iou")
    also = contrasts.changes_with_size("accuracy")
    return [
        Claim(
            "5, Dataset Size",
            "whenever a smaller dataset is used, performance suffers slightly",
            holds(min(worse.values()) == 16),
            f"IoU is lower in {worse['iou']} of 16 (8 pairs of set-ups, 2 losses), by "
            f"{drops['iou'].mean() / 10:.1f} points on average and up to "
            f"{drops['iou'].max() / 10:.1f}; accuracy in {worse['accuracy']}. FCResNet with BCE "
            f"gains up to {-drops['iou'].min() / 10:.1f} points of IoU from fewer images.",
        ),
        Claim(
            "5, Dataset Size",
            "whether IoU or BCE performs better does not change based on the size of the dataset",
            holds(not changed),
            f"On IoU it changes in {len(changed)} of 8: {'; '.join(changed)}. On accuracy in "
            f"{len(also)} of 8: {'; '.join(also)}. The mean advantage on IoU is "
            f"{contrasts.mean_by('size', 'big'):+.1f} points on big and "
            f"{contrasts.mean_by('size', 'small'):+.1f} on small.",
        ),
    ]


def _conclusion() -> list[Claim]:
    sparse, mean = contrasts.sparsity(), softness()["mean"]
    categories, models = _categories()
    return [
        Claim(
            "6",
            "training a segmentation model directly on the Intersection over Union objective can "
            "lead to significant improvements",
            "not testable",
            "As far as masks go: not all of the published IoUs are those of masks (below). "
            f"Accuracy, which is counted on masks, leaves {mean['from_accuracy']:+.1f} of "
            f"{mean['published']:+.1f} points.",
        ),
        categories,
        Claim(
            "6",
            "these improvements are independent of the sparsity of data",
            holds(sparse.is_shown),
            sparse.words,
        ),
        models,
        Claim(
            "6",
            "the benefit from training on IoU directly will only magnify when a model is presented "
            "with sparse data",
            "not testable",
            "Two densities per data set, both dense. The paper says here that it did not evaluate "
            "it, and before that the gain is independent of it.",
        ),
    ]


def _categories() -> tuple[Claim, Claim]:
    """What is said of all categories, and of both networks."""
    found = contrasts.categories()
    failing = [c for c in found if c.p_holm is None or c.p_holm >= ALPHA]
    listed = (
        ", ".join(f"{c.name} (p = {c.p:.3f})" for c in found if c.p is not None and c.p >= ALPHA)
        or "none"
    )
    networks = [category for category in found if category.factor == "network"]
    return (
        Claim(
            "6",
            "a significant improvement over all categories when using IoU loss over BCE loss",
            holds(not failing),
            f"By the paper's t-test, 8 set-ups each: not significant for {listed}; with Holm's "
            f"correction for {len(found)} categories, {len(found) - len(failing)} are.",
        ),
        Claim(
            "6",
            "performance improves significantly for the models that were used",
            holds(all(n.p is not None and n.p < ALPHA for n in networks)),
            "; ".join(f"{network.name}: p = {network.p:.2g}" for network in networks)
            + " (paired t-test, 8 set-ups). The abstract's “for both models” says the same.",
        ),
    )
