"""A loss of the user's own: a function of logits and target, held to what every loss keeps to."""

import torch
from torch import Tensor

from vesica.errors import DataError
from vesica.losses.rows import Pool, as_rows
from vesica.shapes import Logits, PerImage, Target, Valid, wide
from vesica.spelling import Spelled


def call_own(
    spelled: Spelled,
    logits: Logits,
    target: Target,
    *,
    valid: Valid | None = None,
    channels: bool = False,
    pool: Pool = "image",
) -> PerImage:
    """Value per image (and channel) of a function `(logits, target, *, options) -> (batch,)`.

    It gets floats of shape (batch, *pixels), float32 or wider, and a target in [0, 1]; of channels
    it sees one after another as images.

    Raises:
        ValueError: If it would need to know of ignored pixels or of other images.
        DataError: If what it returns is no value per image with a gradient.
    """
    if valid is not None or pool != "image":
        what = "ignored pixels (`valid`)" if valid is not None else f"pool={pool!r}"
        raise ValueError(
            f"{spelled.name} is a function of logits and target alone and knows nothing of {what}; "
            "use a loss of the table, or handle them in the function"
        )
    rows = as_rows(logits, target, channels=channels)
    image = logits.shape[len(rows.shape) :]
    dtype = wide(logits.dtype)
    seen = rows.logits.to(dtype).view(-1, *image)
    value = spelled.call({}, seen, rows.target.to(dtype).view(-1, *image))
    _check_value(spelled.name, value, seen)
    checked: Tensor = value.view(rows.shape)
    return checked


def _check_value(name: str, value: object, logits: Tensor) -> None:
    wanted = f"{name} must return one number per image, a float tensor of shape ({len(logits)},)"
    if not isinstance(value, Tensor):
        raise DataError(f"{wanted}; it returns {type(value).__name__}")
    if value.shape != logits.shape[:1] or not value.is_floating_point():
        kind = str(value.dtype).removeprefix("torch.")
        raise DataError(f"{wanted}; it returns {kind} of shape {tuple(value.shape)}")
    if torch.is_grad_enabled() and logits.requires_grad and not value.requires_grad:
        raise DataError(f"{wanted}, that can be differentiated by the logits; this one cannot")
