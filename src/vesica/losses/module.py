"""The losses as modules, to drop into a training loop."""

from typing import TypedDict, Unpack, get_args

from torch import Tensor, nn

from vesica.losses.multiclass import softmax_values
from vesica.losses.pooling import Reduction, reduce_values, weights_of
from vesica.losses.rows import Empty, Pool
from vesica.losses.table import Loss, make_term, parse_loss
from vesica.shapes import Valid


class Options(TypedDict, total=False):
    """What every module takes: the arguments of `LossModule` behind the loss."""

    reduction: Reduction
    channels: bool
    softmax: bool
    pool: Pool


class Over(TypedDict):
    """What the values of a loss are taken over."""

    channels: bool
    pool: Pool


class LossModule(nn.Module):
    """Any loss, such as `LossModule("0.3bce+0.7iou")`.

    Takes logits of shape (batch, *pixels) or (batch, 1, *pixels), a target of either shape, and
    optionally `valid`, the pixels that count.

    Args:
        loss: A loss or its spelling.
        reduction: "mean" over the images (and channels) that count, "sum", or "none": one value
            per image.
        channels: Logits and target are (batch, channels, *pixels), independent labels.
        softmax: Logits are (batch, classes, *pixels), the target is the index of each pixel's
            class; the value is the mean over the classes present.
        pool: Add the sums over "image", "batch" or "world" (all processes).

    Raises:
        ValueError: If the loss cannot be read, or an option is not one of those.
    """

    def __init__(
        self,
        loss: Loss | str,
        *,
        reduction: Reduction = "mean",
        channels: bool = False,
        softmax: bool = False,
        pool: Pool = "image",
    ) -> None:
        super().__init__()
        if reduction not in get_args(Reduction):
            raise ValueError(f"reduction is {reduction!r}; it is 'mean', 'sum' or 'none'")
        if pool not in get_args(Pool):
            raise ValueError(f"pool is {pool!r}; it is 'image', 'batch' or 'world'")
        if channels and softmax:
            raise ValueError(
                "channels are independent labels and softmax classes are not; pass one"
            )
        self.loss = parse_loss(loss) if isinstance(loss, str) else loss
        self.loss.check()
        self.reduction: Reduction = reduction
        self.channels, self.softmax = channels, softmax
        self.pool: Pool = pool

    def forward(self, logits: Tensor, target: Tensor, valid: Valid | None = None) -> Tensor:
        """Loss of a batch: a number, or with reduction "none" one value per image."""
        if self.softmax:
            target = _without_axis(target, logits.ndim - 1)
            valid = None if valid is None else _without_axis(valid, logits.ndim - 1)
            values = softmax_values(self.loss, logits, target, valid=valid, pool=self.pool)
            weights = None
            if valid is not None or self.pool == "world":  # another process may have some
                weights = weights_of(target, valid=valid, pool=self.pool).expand_as(values)
            return reduce_values(values, weights, self.reduction)
        if not self.channels:
            num_axes = min(t.ndim for t in (logits, target, valid) if t is not None)
            logits, target = _without_axis(logits, num_axes), _without_axis(target, num_axes)
            valid = None if valid is None else _without_axis(valid, num_axes)
        over = Over(channels=self.channels, pool=self.pool)
        values = self.loss.values(logits, target, valid=valid, **over)
        weights = self.loss.weights(target, valid=valid, **over)
        return reduce_values(values, weights, self.reduction)

    def extra_repr(self) -> str:
        """The loss in its spelling and the options."""
        return (
            f"{str(self.loss)!r}, reduction={self.reduction!r}, channels={self.channels}, "
            f"softmax={self.softmax}, pool={self.pool!r}"
        )


class BCELoss(LossModule):
    """`bce_loss` as a module; `LossModule` has the options."""

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(_single("bce"), **options)


class FocalLoss(LossModule):
    """`focal_loss` as a module; `LossModule` has the options."""

    def __init__(
        self, *, alpha: float = 0.25, gamma: float = 2.0, **options: Unpack[Options]
    ) -> None:
        super().__init__(_single("focal", alpha=alpha, gamma=gamma), **options)


class IoULoss(LossModule):
    """`iou_loss` as a module; `LossModule` has the options."""

    def __init__(
        self, *, smooth: float = 0.0, empty: Empty = "background", **options: Unpack[Options]
    ) -> None:
        super().__init__(_single("iou", smooth=smooth, empty=empty), **options)


class DiceLoss(LossModule):
    """`dice_loss` as a module; `LossModule` has the options."""

    def __init__(
        self, *, smooth: float = 0.0, empty: Empty = "background", **options: Unpack[Options]
    ) -> None:
        super().__init__(_single("dice", smooth=smooth, empty=empty), **options)


class JaccardDistanceLoss(LossModule):
    """`jaccard_distance_loss` as a module; `LossModule` has the options."""

    def __init__(
        self, *, smooth: float = 0.0, empty: Empty = "background", **options: Unpack[Options]
    ) -> None:
        super().__init__(_single("jaccard_distance", smooth=smooth, empty=empty), **options)


class JaccardMetricLoss(LossModule):
    """`jaccard_metric_loss` as a module; `LossModule` has the options."""

    def __init__(
        self, *, smooth: float = 0.0, empty: Empty = "background", **options: Unpack[Options]
    ) -> None:
        super().__init__(_single("jaccard_metric", smooth=smooth, empty=empty), **options)


class TverskyLoss(LossModule):
    """`tversky_loss` as a module; `LossModule` has the options."""

    def __init__(
        self,
        *,
        alpha: float = 0.5,
        beta: float = 0.5,
        smooth: float = 0.0,
        empty: Empty = "background",
        **options: Unpack[Options],
    ) -> None:
        loss = _single("tversky", alpha=alpha, beta=beta, smooth=smooth, empty=empty)
        super().__init__(loss, **options)


class LovaszHingeLoss(LossModule):
    """`lovasz_hinge_loss` as a module; `LossModule` has the options."""

    def __init__(
        self, *, bits: int = 0, empty: Empty = "background", **options: Unpack[Options]
    ) -> None:
        super().__init__(_single("lovasz_hinge", bits=bits, empty=empty), **options)


def _single(name: str, **params: float | str) -> Loss:
    return Loss((make_term(name, params),))


def _without_axis(tensor: Tensor, num_axes: int) -> Tensor:
    """Squeeze a single channel where others have none."""
    has_more = tensor.ndim == num_axes + 1 and tensor.shape[1] == 1
    return tensor.squeeze(1) if has_more else tensor
