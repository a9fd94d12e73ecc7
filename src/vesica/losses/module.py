"""The losses as modules, to drop into a training loop."""

import inspect
from typing import Any, get_args

from torch import Tensor, nn

from vesica.losses.multiclass import softmax_values
from vesica.losses.pooling import Reduction, reduce_values, weights_of
from vesica.losses.rows import Over, Pool, check_parameters
from vesica.losses.table import LOSSES, Loss, LossFunction, Term, as_loss
from vesica.shapes import Valid
from vesica.spelling import Spelled, options_of, with_options


class LossModule(nn.Module):
    """Any loss, such as `LossModule("0.3bce+0.7iou")`.

    Takes logits of shape (batch, *pixels) or (batch, 1, *pixels), a target of either shape, and
    optionally `valid`, the pixels that count.

    Args:
        loss: A loss, its spelling, or a function `(logits, target) -> one value per image`.
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
        loss: Loss | LossFunction | str,
        *,
        reduction: Reduction = "mean",
        channels: bool = False,
        softmax: bool = False,
        pool: Pool = "image",
    ) -> None:
        super().__init__()
        if reduction not in get_args(Reduction):
            raise ValueError(f"reduction is {reduction!r}; it is 'mean', 'sum' or 'none'")
        check_parameters(pool=pool)
        if channels and softmax:
            raise ValueError(
                "channels are independent labels and softmax classes are not; pass one"
            )
        self.loss = as_loss(loss)
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
        over: Over = {"valid": valid, "channels": self.channels, "pool": self.pool}
        values = self.loss.values(logits, target, **over)
        return reduce_values(values, self.loss.weights(target, **over), self.reduction)

    def extra_repr(self) -> str:
        """The loss in its spelling and the options."""
        return (
            f"{str(self.loss)!r}, reduction={self.reduction!r}, channels={self.channels}, "
            f"softmax={self.softmax}, pool={self.pool!r}"
        )


class NamedLoss(LossModule):
    """A loss of the table as a class: its parameters, and the options of `LossModule`."""

    name = "bce"

    def __init__(self, **options: Any) -> None:
        known = options_of(LOSSES[self.name])
        params = {key: value for key, value in options.items() if key in known}
        spelled = with_options(Spelled(self.name), LOSSES[self.name], params)
        others = {key: value for key, value in options.items() if key not in known}
        super().__init__(Loss((Term(spelled),)), **others)


def module_of(name: str, class_name: str) -> type[NamedLoss]:
    """The module class of a loss of the table, with the signature of its function."""
    doc = f"`{LOSSES[name].__name__}` as a module; `LossModule` has the options."
    own = options_of(LOSSES[name]).values()
    options = list(inspect.signature(LossModule).parameters.values())[1:]
    attributes = {
        "name": name,
        "__doc__": doc,
        "__module__": __name__,
        "__signature__": inspect.Signature([*own, *options]),
    }
    return type(class_name, (NamedLoss,), attributes)


BCELoss = module_of("bce", "BCELoss")
FocalLoss = module_of("focal", "FocalLoss")
IoULoss = module_of("iou", "IoULoss")
DiceLoss = module_of("dice", "DiceLoss")
JaccardDistanceLoss = module_of("jaccard_distance", "JaccardDistanceLoss")
JaccardMetricLoss = module_of("jaccard_metric", "JaccardMetricLoss")
TverskyLoss = module_of("tversky", "TverskyLoss")
LovaszHingeLoss = module_of("lovasz_hinge", "LovaszHingeLoss")


def _without_axis(tensor: Tensor, num_axes: int) -> Tensor:
    """Squeeze a single channel where others have none."""
    has_more = tensor.ndim == num_axes + 1 and tensor.shape[1] == 1
    return tensor.squeeze(1) if has_more else tensor
