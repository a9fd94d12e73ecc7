"""Several classes of which each pixel has one: softmax, by way of any loss for two."""

import functools

import torch
from torch import Tensor

from vesica.losses.pixel import foreground_loss
from vesica.losses.pooling import pool_rows, weights_of
from vesica.losses.rows import Over, Pool, as_plain, expand_valid, look_at
from vesica.losses.table import Loss, LossFunction, Term
from vesica.shapes import PerImage, Valid, wide

BY_PIXELS: dict[str, LossFunction] = {
    "ce": foreground_loss,
    "softmax_focal": functools.partial(foreground_loss, gamma=2.0),
}
"""Losses of all classes at once, by what they say of one class's pixels. A class counts in them
by its pixels; in the others, which judge a class against the rest, each class present counts 1."""


def class_values(
    loss: Loss,
    logits: Tensor,
    classes: Tensor,
    *,
    valid: Valid | None = None,
    pool: Pool = "image",
) -> tuple[Tensor, Tensor]:
    """Each term's value of each class, and what the class counts in the mean over classes.

    Args:
        loss: What each class is judged by.
        logits: Scores before the softmax, shape (batch, classes, *pixels).
        classes: Index of each pixel's class, integers of shape (batch, *pixels); or how much of it
            is of each class, of the logits' shape, adding up to 1 (one-hot or soft).
        valid: Pixels that count, shape (batch, *pixels); None: all.
        pool: As for every loss; classes are present if they are so anywhere in the pool.

    Returns:
        Two of shape (terms, batch, classes); 0 where a class is not present.

    Raises:
        ValueError: If the shapes do not fit, or (where there are values to look at) a class that
            counts is not in [0, number of classes) or shares do not add up to 1.
    """
    logits, classes = as_plain(logits), as_plain(classes)
    is_index = classes.shape == logits.shape[:1] + logits.shape[2:]
    has_shares = classes.shape == logits.shape
    if (
        not (is_index or has_shares)
        or logits.ndim < 2
        or logits.shape[1] < 2
        or (is_index and classes.is_floating_point())
    ):
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and classes {tuple(classes.shape)} of "
            f"{str(classes.dtype).removeprefix('torch.')}; softmax needs (batch, classes, *pixels) "
            "with at least 2 classes, and an integer (batch, *pixels) or shares of each class"
        )
    if valid is not None:
        valid = expand_valid(as_plain(valid), logits[:, 0], channels=False).bool()
        # A NaN would pass from a pixel's gradient to those of all classes.
        logits = torch.where(valid.unsqueeze(1), logits, 0)
    target = _look_at_shares(classes, valid) if has_shares else _one_hot(classes, valid, logits)
    over: Over = {"valid": valid, "channels": True, "pool": pool}
    scores = one_vs_rest(logits)
    values = torch.stack([_judge_classes(term, scores, target, over) for term in loss.terms])
    if valid is not None:
        target = torch.where(valid.unsqueeze(1), target, target.new_zeros(()))
    num_pixels = target.flatten(2).sum(dim=2, dtype=values.dtype)
    num_pixels = pool_rows(num_pixels.unsqueeze(0), pool)[0]
    counts = [num_pixels if _is_by_pixels(term) else num_pixels > 0 for term in loss.terms]
    return values * (num_pixels > 0), torch.stack([count.to(values.dtype) for count in counts])


def softmax_values(
    loss: Loss,
    logits: Tensor,
    classes: Tensor,
    *,
    weight: Tensor | None = None,
    valid: Valid | None = None,
    pool: Pool = "image",
) -> Tensor:
    """Mean over the classes of each term's `class_values`, by what they count.

    Args:
        loss, logits, classes, valid, pool: As there.
        weight: What each class counts beside the others, shape (classes,); None: all the same.

    Returns:
        Shape (terms, batch), 0 where no pixel counts.

    Source:
        Classes "present" as in Berman et al. 2018.
    """
    values, counts = class_values(loss, logits, classes, valid=valid, pool=pool)
    if weight is not None:
        counts = counts * weight.to(counts)
    total = counts.sum(dim=2)
    return (values * counts).sum(dim=2) / torch.where(total > 0, total, 1)


def values_and_weights(
    loss: Loss, logits: Tensor, target: Tensor, valid: Valid | None, *, is_exclusive: bool
) -> tuple[Tensor, Tensor | None]:
    """Each term's values, and what they count in a mean; what a training step asks for.

    Args:
        loss: What is trained with.
        logits: Shape (batch, classes, *pixels).
        target: Masks of the same shape.
        valid: Pixels that count, shape (batch, *pixels); None: all.
        is_exclusive: Whether each pixel is of one class: then under softmax, an image's value being
            the mean over its classes; else each class by itself.

    Returns:
        Two of shape (terms, batch) or (terms, batch, classes); no weights where all count alike.
    """
    if not is_exclusive:
        over: Over = {"valid": valid, "channels": True}
        return loss.values(logits, target, **over), loss.weights(target, **over)
    values = softmax_values(loss, logits, target, valid=valid)
    if valid is None:
        return values, None
    return values, weights_of(valid, valid=valid).expand_as(values)


def softmax_loss(
    loss: Loss,
    logits: Tensor,
    classes: Tensor,
    *,
    weight: Tensor | None = None,
    valid: Valid | None = None,
    pool: Pool = "image",
) -> PerImage:
    """The terms of `softmax_values` added: one value per image, shape (batch,)."""
    values = softmax_values(loss, logits, classes, weight=weight, valid=valid, pool=pool)
    return values.sum(dim=0)


def one_vs_rest(logits: Tensor) -> Tensor:
    """Logits whose sigmoid is the softmax over axis 1: log p - log(1 - p), without cancellation.

    Args:
        logits: Shape (batch, classes, *pixels), at least two classes.
    """
    logits = logits.to(wide(logits.dtype))
    limit = torch.finfo(logits.dtype).max / 4  # the logarithm of two infinite ones is no number
    logits = logits.clamp(-limit, limit)
    winner = torch.zeros_like(logits, dtype=torch.bool)
    winner = winner.scatter(1, logits.argmax(dim=1, keepdim=True), True)
    log_probs = logits.log_softmax(dim=1)
    # The rest of the winner is added up without it; of any other class, p is at most 1/2.
    rest_of_winner = logits.masked_fill(winner, -torch.inf).logsumexp(dim=1, keepdim=True)
    rest_of_loser = torch.log1p(-log_probs.masked_fill(winner, -torch.inf).exp())
    return torch.where(winner, logits - rest_of_winner, log_probs - rest_of_loser)


def _is_by_pixels(term: Term) -> bool:
    return term.spelled.name in BY_PIXELS


def _judge_classes(term: Term, scores: Tensor, target: Tensor, over: Over) -> Tensor:
    if not _is_by_pixels(term):
        return term(scores, target, **over)
    judge = BY_PIXELS[term.spelled.name]
    return term.weight * judge(scores, target, **dict(term.spelled.options), **over)


def _one_hot(classes: Tensor, valid: Tensor | None, logits: Tensor) -> Tensor:
    """Which pixels have which class, bool of shape (batch, classes, *pixels)."""
    num_classes = logits.shape[1]

    def judge(seen: Tensor) -> None:
        low, high = (int(extreme) for extreme in torch.aminmax(seen))
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"classes has values from {low} to {high}, and logits have {num_classes} classes; "
                f"leave a value such as 255 out by ignore_index or valid=classes != 255"
            )

    index = torch.arange(num_classes, device=classes.device).view(-1, *[1] * (classes.ndim - 1))
    return look_at(classes, valid, judge).unsqueeze(1) == index


def _look_at_shares(shares: Tensor, valid: Tensor | None) -> Tensor:
    """They are looked at one by one as any target; here, that they are of one whole."""

    def judge(missing: Tensor) -> None:
        if not missing.abs().amax() <= 0.01:
            raise ValueError(
                f"the classes of a pixel add up to between {1 - missing.amax():g} and "
                f"{1 - missing.amin():g}; one-hot and soft targets add up to 1"
            )

    look_at(1 - shares.detach().sum(dim=1, dtype=torch.float32), valid, judge)
    return shares
