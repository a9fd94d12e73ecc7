"""Losses for networks that separate an object from its background.

Each loss is a pure function, `(logits, target) -> one value per image`, and an `nn.Module` of the
same name around it: `iou_loss` and `IoULoss`. All of them keep to this:

- `logits` are scores before the sigmoid, shape (batch, *pixels), of any floating-point type and
  memory layout; `target` has the same shape, bool, integers or floats in [0, 1]. Values come back
  in float32 or wider, gradients in the logits' type; sums are float32 or wider throughout.
- A target value outside [0, 1], such as 255, raises. Under `torch.compile` only shapes are checked.
- `valid`, of the target's shape, says which pixels count (not 0). The others are as if they were
  not there, even if they are NaN. Where none counts, the value is 0.
- `channels=True` takes (batch, channels, *pixels) as independent labels; values are
  (batch, channels). `valid` may then leave out the axis of channels.
- `pool="image"` gives one value per image; "batch" adds an image's sums over the batch before the
  formula and gives one value; "world" adds them over all processes, with a gradient that is right
  under `DistributedDataParallel`.
- The target gets no gradient. Losses can be differentiated twice, compiled and mapped by
  `torch.vmap`; `torch.func` in reverse mode alone (`jacrev(jacrev(loss))`, not `hessian` or `jvp`).
"""

from vesica.losses.module import (
    BCELoss,
    CELoss,
    DiceLoss,
    FocalLoss,
    IoULoss,
    JaccardDistanceLoss,
    JaccardMetricLoss,
    LossModule,
    LovaszHingeLoss,
    LovaszSoftmaxLoss,
    SoftmaxFocalLoss,
    TopKLoss,
    TverskyLoss,
)
from vesica.losses.multiclass import (
    class_values,
    one_vs_rest,
    softmax_loss,
    values_and_weights,
)
from vesica.losses.pixel import bce_loss, ce_loss, focal_loss, softmax_focal_loss
from vesica.losses.pooling import reduce_values, weights_of
from vesica.losses.ranking import lovasz_hinge_loss, lovasz_softmax_loss, topk_loss
from vesica.losses.region import (
    dice_loss,
    iou_loss,
    jaccard_distance_loss,
    jaccard_metric_loss,
    tversky_loss,
)
from vesica.losses.table import (
    LOSSES,
    Loss,
    LossFunction,
    Term,
    as_loss,
    parse_loss,
    split_losses,
)

__all__ = [
    "LOSSES",
    "BCELoss",
    "CELoss",
    "DiceLoss",
    "FocalLoss",
    "IoULoss",
    "JaccardDistanceLoss",
    "JaccardMetricLoss",
    "Loss",
    "LossFunction",
    "LossModule",
    "LovaszHingeLoss",
    "LovaszSoftmaxLoss",
    "SoftmaxFocalLoss",
    "Term",
    "TopKLoss",
    "TverskyLoss",
    "as_loss",
    "bce_loss",
    "ce_loss",
    "class_values",
    "dice_loss",
    "focal_loss",
    "iou_loss",
    "jaccard_distance_loss",
    "jaccard_metric_loss",
    "lovasz_hinge_loss",
    "lovasz_softmax_loss",
    "one_vs_rest",
    "parse_loss",
    "reduce_values",
    "softmax_focal_loss",
    "softmax_loss",
    "split_losses",
    "topk_loss",
    "tversky_loss",
    "values_and_weights",
    "weights_of",
]
