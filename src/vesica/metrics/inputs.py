"""What every metric asks of its input: hard masks, probabilities, and shapes that agree."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Masks = NDArray[np.bool_]


def check_masks(pred: ArrayLike, truth: ArrayLike, *, num_axes: int | None = None) -> list[Masks]:
    """Predicted and true masks as bool.

    Args:
        pred: Bool or integers of 0 and 1.
        truth: Likewise, of the same shape.
        num_axes: How many axes they have; None: any number.

    Raises:
        ValueError: If values or shapes are others, or there is no image.
    """
    preds, truths = np.asarray(pred), np.asarray(truth)
    _check_shapes("pred", preds, truths, num_axes)
    return [_as_mask("pred", preds), _as_mask("truth", truths)]


def check_probs(
    probs: ArrayLike, truth: ArrayLike | None = None, *, num_axes: int | None = None
) -> tuple[NDArray[Any], Masks]:
    """Probabilities as they are, and true masks as bool.

    Args:
        probs: Floating-point numbers in [0, 1].
        truth: Bool or integers of 0 and 1, of the same shape; None: there are none.
        num_axes: How many axes they have; None: any number.

    Raises:
        ValueError: If values or shapes are others, or there is no image.
    """
    found = np.asarray(probs)
    truths = np.zeros(found.shape, dtype=bool) if truth is None else np.asarray(truth)
    _check_shapes("probs", found, truths, num_axes)
    if not np.issubdtype(found.dtype, np.floating):
        raise ValueError(f"probs are {found.dtype}; expected floating-point probabilities")
    low, high = found.min(), found.max()
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise ValueError(
            f"probs have values from {low:g} to {high:g}{_where(~((found >= 0) & (found <= 1)))}; "
            "expected 0 to 1: take the sigmoid of logits"
        )
    return found, _as_mask("truth", truths)


def check_truth(truth: ArrayLike, shape: tuple[int, ...]) -> Masks:
    """True masks as bool, of the shape of some logits.

    Raises:
        ValueError: If values or shapes are others.
    """
    truths = np.asarray(truth)
    if truths.shape != shape:
        raise ValueError(f"logits have shape {shape}, truth {truths.shape}; they must agree")
    return _as_mask("truth", truths)


def _check_shapes(
    name: str, found: NDArray[Any], truth: NDArray[Any], num_axes: int | None
) -> None:
    if found.shape != truth.shape:
        raise ValueError(f"{name} has shape {found.shape} and truth {truth.shape}; they must agree")
    is_wrong = found.ndim != num_axes if num_axes else found.ndim < 2
    if is_wrong or not found.size:
        axes = "height, width" if num_axes == 3 else "*pixels"
        raise ValueError(
            f"{name} has shape {found.shape}; expected (num_images, {axes}) with at least one "
            "image and one pixel"
        )


def _as_mask(name: str, masks: NDArray[Any]) -> Masks:
    if masks.dtype == bool:
        return masks
    if not np.issubdtype(masks.dtype, np.integer):
        raise ValueError(
            f"{name} is {masks.dtype}; expected a mask, bool or integers of 0 and 1: take "
            f"{name} >= 0.5, or whatever makes it one"
        )
    is_wrong = (masks != 0) & (masks != 1)
    if is_wrong.any():
        raise ValueError(
            f"{name} has values from {masks.min()} to {masks.max()}{_where(is_wrong)}; expected 0 "
            f"and 1: take {name} > 0, or whatever makes it one"
        )
    return masks.astype(bool)


def _where(is_wrong: NDArray[np.bool_]) -> str:
    images = np.flatnonzero(is_wrong.reshape(len(is_wrong), -1).any(axis=1))
    return f" (first in image {images[0]})"
