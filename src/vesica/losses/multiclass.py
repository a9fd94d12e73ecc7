"""Several classes of which each pixel has one: softmax, by way of any loss for two."""

import torch
from torch import Tensor

from vesica.losses.pooling import pool_rows
from vesica.losses.rows import Pool, as_plain, expand_valid, look_at
from vesica.losses.table import Loss
from vesica.shapes import PerImage, Valid, wide


def softmax_values(
    loss: Loss,
    logits: Tensor,
    classes: Tensor,
    *,
    valid: Valid | None = None,
    pool: Pool = "image",
) -> Tensor:
    """Mean over the classes present in an image of each term's loss of class against rest.

    Args:
        loss: What each class is judged by.
        logits: Scores before the softmax, shape (batch, classes, *pixels).
        classes: Index of each pixel's class, integers of shape (batch, *pixels).
        valid: Pixels that count, shape (batch, *pixels); None: all.
        pool: As for every loss; classes are present if they are so anywhere in the pool.

    Returns:
        Shape (terms, batch), 0 where no pixel counts.

    Raises:
        ValueError: If the shapes do not fit, or (not under compile) a class that counts is not
            in [0, number of classes).

    Source:
        Classes "present" as in Berman et al. 2018.
    """
    logits, classes = as_plain(logits), as_plain(classes)
    if valid is not None:
        valid = expand_valid(as_plain(valid), classes, channels=False).bool()
    num_classes = logits.shape[1]
    classes = _check_classes(logits, classes, valid)
    if valid is not None:  # a NaN would pass from a pixel's gradient to those of all classes
        logits = torch.where(valid.unsqueeze(1), logits, 0)
    # Which pixels have which class, by shape (batch, classes, *pixels).
    index = torch.arange(num_classes, device=classes.device)
    target = classes.unsqueeze(1) == index.view(-1, *[1] * (classes.ndim - 1))
    values = loss.values(one_vs_rest(logits), target, valid=valid, channels=True, pool=pool)
    if valid is not None:
        target = target & valid.unsqueeze(1)
    present = pool_rows(target.flatten(2).sum(dim=2).unsqueeze(0), pool)[0] > 0
    return (values * present).sum(dim=2) / present.sum(dim=1).clamp_min(1)


def softmax_loss(
    loss: Loss,
    logits: Tensor,
    classes: Tensor,
    *,
    valid: Valid | None = None,
    pool: Pool = "image",
) -> PerImage:
    """The terms of `softmax_values` added: one value per image, shape (batch,)."""
    return softmax_values(loss, logits, classes, valid=valid, pool=pool).sum(dim=0)


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


def _check_classes(logits: Tensor, classes: Tensor, valid: Valid | None) -> Tensor:
    fits = logits.ndim >= 2 and classes.shape == logits.shape[:1] + logits.shape[2:]
    if not fits or classes.is_floating_point() or logits.shape[1] < 2:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and classes {tuple(classes.shape)} of "
            f"{str(classes.dtype).removeprefix('torch.')}; softmax needs (batch, classes, *pixels) "
            "with at least 2 classes, and an integer (batch, *pixels)"
        )

    def judge(seen: Tensor) -> None:
        low, high = (int(extreme) for extreme in torch.aminmax(seen))
        if low < 0 or high >= logits.shape[1]:
            raise ValueError(
                f"classes has values from {low} to {high}, and logits have {logits.shape[1]} "
                "classes; leave a value such as 255 out by valid=classes != 255"
            )

    return look_at(classes, valid, judge)
