"""The losses as modules, to drop into a training loop."""

import inspect
from collections.abc import Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn

from vesica.losses.multiclass import class_values, softmax_values
from vesica.losses.pooling import Reduction, reduce_values, weights_of
from vesica.losses.rows import Over, Pool, as_plain, check_parameters, expand_valid
from vesica.losses.table import LOSSES, Loss, LossFunction, Term, as_loss
from vesica.shapes import Valid
from vesica.spelling import Spelled, options_of, with_options


class LossModule(nn.Module):
    """Any loss, such as `LossModule("0.3bce+0.7iou")`.

    Takes logits of shape (batch, *pixels) or (batch, 1, *pixels), a target of either shape, and
    optionally `valid`, the pixels that count.

    Args:
        loss: A loss, its spelling, or a function `(logits, target) -> one value per image`.
        reduction: "mean" over the images (and channels) that count, "sum", "none": one value
            per image (and channel), or "classes": one per image and class, 0 where it is absent.
        channels: Logits and target are (batch, channels, *pixels), independent labels.
        softmax: Logits are (batch, classes, *pixels), the target is the index of each pixel's
            class or its share of each, (batch, classes, *pixels); see `softmax_loss`.
        pool: Add the sums over "image", "batch" or "world" (all processes).
        ignore_index: Pixels with this target do not count.
        weight: What each class (or channel) counts beside the others.

    Raises:
        ValueError: If the loss cannot be read, or an option is not one of those.
    """

    weight: Tensor | None

    def __init__(
        self,
        loss: Loss | LossFunction | str,
        *,
        reduction: Reduction = "mean",
        channels: bool = False,
        softmax: bool = False,
        pool: Pool = "image",
        ignore_index: int | None = None,
        weight: Tensor | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if reduction not in get_args(Reduction):
            raise ValueError(f"reduction is {reduction!r}; it is 'mean', 'sum' or 'none'")
        check_parameters(pool=pool)
        if channels and softmax:
            raise ValueError(
                "channels are independent labels and softmax classes are not; pass one"
            )
        has_classes = channels or softmax
        if reduction == "classes" and not has_classes:
            raise ValueError(
                "reduction='classes' needs classes: pass softmax=True or channels=True"
            )
        self.loss = as_loss(loss)
        self.reduction: Reduction = reduction
        self.channels, self.softmax = channels, softmax
        self.pool: Pool = pool
        self.ignore_index = ignore_index
        weights = None if weight is None else _check_weight(weight, has_classes)
        self.register_buffer("weight", weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor, valid: Valid | None = None) -> Tensor:
        """Loss of a batch: a number, or with reduction "none" one value per image."""
        logits, target = as_plain(logits), as_plain(target)
        valid = None if valid is None else as_plain(valid)
        num_axes = logits.ndim - 1
        if not (self.softmax or self.channels):
            num_axes = min(t.ndim for t in (logits, target, valid) if t is not None)
            logits = _without_axis(logits, num_axes)
        if not self.channels:
            target = _without_axis(target, num_axes)
            valid = None if valid is None else _without_axis(valid, num_axes)
        if self.ignore_index is not None:
            if self.softmax and target.shape == logits.shape:
                raise ValueError("one-hot and soft targets have no ignore_index; pass valid")
            counted = target != self.ignore_index
            if valid is not None:
                counted = counted & expand_valid(valid, target, self.channels).bool()
            valid = counted
        if (self.channels or self.softmax) and self.weight is not None:
            _check_fit(self.weight, logits)
        return (self._of_classes if self.softmax else self._of_labels)(logits, target, valid)

    def _of_labels(self, logits: Tensor, target: Tensor, valid: Valid | None) -> Tensor:
        over: Over = {"valid": valid, "channels": self.channels, "pool": self.pool}
        values = self.loss.values(logits, target, **over)
        weights = self.loss.weights(target, **over)
        if self.weight is not None and self.reduction != "classes":
            of_channels = self.weight.to(values).expand_as(values)
            if self.reduction != "mean":
                return reduce_values(values * of_channels, None, self.reduction)
            weights = of_channels if weights is None else weights * of_channels
        return reduce_values(values, weights, self.reduction)

    def _of_classes(self, logits: Tensor, target: Tensor, valid: Valid | None) -> Tensor:
        inputs = self.loss, logits, target
        if self.reduction == "classes":
            return class_values(*inputs, valid=valid, pool=self.pool)[0].sum(dim=0)
        values = softmax_values(*inputs, weight=self.weight, valid=valid, pool=self.pool)
        weights = None
        if valid is not None or self.pool == "world":  # another process may have some
            counted = logits[:, 0] if valid is None else valid
            weights = weights_of(counted, valid=valid, pool=self.pool).expand_as(values)
        return reduce_values(values, weights, self.reduction)

    def extra_repr(self) -> str:
        """The loss in its spelling and the options."""
        return (
            f"{str(self.loss)!r}, reduction={self.reduction!r}, channels={self.channels}, "
            f"softmax={self.softmax}, pool={self.pool!r}, ignore_index={self.ignore_index}, "
            f"weight={None if self.weight is None else self.weight.tolist()}"
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
LovaszSoftmaxLoss = module_of("lovasz_softmax", "LovaszSoftmaxLoss")
TopKLoss = module_of("topk", "TopKLoss")
CELoss = module_of("ce", "CELoss")
SoftmaxFocalLoss = module_of("softmax_focal", "SoftmaxFocalLoss")


def _check_weight(weight: Tensor | Sequence[float], has_classes: bool) -> Tensor:
    if not has_classes:
        raise ValueError("weight is one number per class: pass softmax=True or channels=True")
    numbers = torch.as_tensor(weight, dtype=torch.float32).detach().clone()
    check_parameters(**{f"weight[{i}]": w for i, w in enumerate(numbers.flatten().tolist())})
    if numbers.ndim != 1 or not numbers.sum() > 0:
        raise ValueError("weight is one number per class, at least one of them above 0")
    return numbers


def _check_fit(weight: Tensor, logits: Tensor) -> None:
    if logits.ndim < 2 or logits.shape[1] != len(weight):
        raise ValueError(
            f"weight has {len(weight)} numbers and logits have shape {tuple(logits.shape)}; "
            "it needs one for each class"
        )


def _without_axis(tensor: Tensor, num_axes: int) -> Tensor:
    """Squeeze a single channel where others have none."""
    has_more = tensor.ndim == num_axes + 1 and tensor.shape[1] == 1
    return tensor.squeeze(1) if has_more else tensor
