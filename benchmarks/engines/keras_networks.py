"""BFCN-32s and FCResNet in Keras 3, equal to Vesica's definition.

Layers are named as Vesica names their tensors (with a dash for a dot, which PyTorch refuses), so
that weights are copied by name. Where Keras
and PyTorch differ, PyTorch's way is built: symmetric padding before a stride of 2, ResNet-50's
stride on the 3x3 convolution, batch norm with an epsilon of 1e-5.

Works on every backend and in both data formats.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

STRIDE = 32
VGG_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
RESNET_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Channels, blocks and stride of each stage of ResNet-50."""


class Normalise(layers.Layer):  # type: ignore[misc]
    """RGB in [0, 1] to what an encoder was pretrained on: `(scale * channels - mean) / std`."""

    def __init__(
        self,
        scale: float = 1.0,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        order: Sequence[int] = (0, 1, 2),
    ) -> None:
        super().__init__(name="normalise")
        self.axis = channel_axis()
        shape = (1, 3, 1, 1) if self.axis == 1 else (1, 1, 1, 3)
        self.scale, self.order = scale, list(order)
        self.mean = np.reshape(np.asarray(mean, np.float32), shape)
        self.std = np.reshape(np.asarray(std, np.float32), shape)

    def call(self, image: Any) -> Any:
        """Same shape as the image."""
        if self.order != [0, 1, 2]:
            image = ops.take(image, self.order, axis=self.axis)
        mean, std = (ops.cast(values, image.dtype) for values in (self.mean, self.std))
        return (image * self.scale - mean) / std


def build_network(
    name: str, size: int, width: int, normalise: Mapping[str, Any] | None = None
) -> keras.Model:
    """A network from images to logits (batch, size, size); frozen as in the paper.

    Args:
        name: "bfcn32s" or "fcresnet".
        size: Side of the images in pixels, a multiple of 32.
        width: Channels of the wide layers.
        normalise: Arguments of `Normalise`.

    Raises:
        ValueError: If the size is no multiple of 32; Vesica would pad, this does not.
    """
    if size % STRIDE:
        raise ValueError(f"size is {size}; expected a multiple of {STRIDE}")
    shape = (3, size, size) if channel_axis() == 1 else (size, size, 3)
    image = keras.Input(shape)
    maps = Normalise(**(normalise or {}))(image)
    maps, num_wide = ENCODERS[name](maps)
    for index, kernel in enumerate((7, 1)[:num_wide]):
        maps = _convolve(maps, f"wide.{2 * index}", width, kernel, has_bias=True)
        maps = layers.ReLU()(maps)
    maps = _convolve(maps, "score", 1, 1, has_bias=True)
    # 'same' takes (64 - 32) / 2 = 16 pixels off each side, as Vesica's padding does.
    maps = layers.Conv2DTranspose(1, 2 * STRIDE, STRIDE, padding="same", name="upsample")(maps)
    return keras.Model(image, layers.Reshape((size, size), dtype="float32")(maps), name=name)


def copy_weights(model: keras.Model, state: Mapping[str, NDArray[Any]]) -> None:
    """Fill a network from Vesica's `state_dict`, tensor by tensor.

    Raises:
        ValueError: If a tensor is missing or left over.
    """
    waiting = {name for name in state if not name.startswith("normalise.")}
    waiting -= {name for name in waiting if name.endswith("num_batches_tracked")}
    for layer in model.layers:
        if not layer.weights:
            continue
        name = layer.name.replace("-", ".")
        names = [f"{name}.{tensor}" for tensor in _tensor_names(layer)]
        if not waiting.issuperset(names):
            raise ValueError(f"Vesica has no {sorted(set(names) - waiting)}")
        tensors = [state[name] for name in names]
        # Both kinds of convolution: Keras (rows, columns, in, out), transposed ones
        # (rows, columns, out, in); PyTorch (out, in, rows, columns) and (in, out, ...).
        layer.set_weights([t.transpose(2, 3, 1, 0) if t.ndim == 4 else t for t in tensors])
        waiting -= set(names)
    if waiting:
        raise ValueError(f"Keras has no {sorted(waiting)}")


def iou_loss(target: Any, logits: Any) -> Any:
    """Soft IoU loss per image, as one writes it in Keras."""
    probs = ops.sigmoid(logits)
    intersection = ops.sum(probs * target, axis=(1, 2))
    union = ops.sum(probs + target - probs * target, axis=(1, 2))
    return 1 - intersection / union


def bce_loss(target: Any, logits: Any) -> Any:
    """Binary cross-entropy per image."""
    pixels = ops.binary_crossentropy(target, logits, from_logits=True)
    return ops.mean(pixels, axis=(1, 2))


LOSSES = {"bce": bce_loss, "iou": iou_loss}


def channel_axis() -> int:
    """Of a batch, in the data format that Keras is set to."""
    return 1 if keras.config.image_data_format() == "channels_first" else 3


def to_format(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (batch, height, width, 3) in the data format that Keras is set to."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if channel_axis() == 1 else images


def _vgg16(maps: Any) -> tuple[Any, int]:
    """All but block 5 are frozen; indices are torchvision's."""
    index = 0
    for block, widths in enumerate(VGG_BLOCKS, start=1):
        for channels in widths:
            name, trains = f"encoder.{index}", block == 5
            maps = _convolve(maps, name, channels, 3, has_bias=True, trains=trains)
            maps = layers.ReLU()(maps)
            index += 2
        maps = layers.MaxPooling2D(2)(maps)
        index += 1
    return maps, 2


def _resnet50(maps: Any) -> tuple[Any, int]:
    """All but res5 are frozen; indices are Vesica's."""
    maps = _convolve(maps, "encoder.0", 64, 7, stride=2, trains=False)
    maps = layers.ReLU()(_normalise_batch(maps, "encoder.1", trains=False))
    maps = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(maps))  # zero: behind a ReLU
    for stage, (channels, num_blocks, stride) in enumerate(RESNET_STAGES, start=4):
        for block in range(num_blocks):
            name = f"encoder.{stage}.{block}"
            maps = _bottleneck(maps, name, channels, stride, is_first=block == 0)
            stride = 1
    return maps, 1


ENCODERS = {"bfcn32s": _vgg16, "fcresnet": _resnet50}


def _bottleneck(maps: Any, name: str, channels: int, stride: int, *, is_first: bool) -> Any:
    trains = name.startswith("encoder.7")
    shortcut = maps
    parts = ((channels, 1, 1), (channels, 3, stride), (4 * channels, 1, 1))
    for number, (width, kernel, by) in enumerate(parts, start=1):
        maps = _convolve(maps, f"{name}.conv{number}", width, kernel, stride=by, trains=trains)
        maps = _normalise_batch(maps, f"{name}.bn{number}", trains=trains)
        if number < 3:
            maps = layers.ReLU()(maps)
    if is_first:
        down = f"{name}.downsample"
        shortcut = _convolve(shortcut, f"{down}.0", 4 * channels, 1, stride=stride, trains=trains)
        shortcut = _normalise_batch(shortcut, f"{down}.1", trains=trains)
    return layers.ReLU()(layers.Add()([maps, shortcut]))


def _convolve(
    maps: Any,
    name: str,
    channels: int,
    kernel: int,
    *,
    stride: int = 1,
    has_bias: bool = False,
    trains: bool = True,
) -> Any:
    padding = "same"
    if stride > 1:  # Keras' "same" would pad one side more
        padding = "valid"
        maps = layers.ZeroPadding2D(kernel // 2)(maps) if kernel > 1 else maps
    name = name.replace(".", "-")
    return layers.Conv2D(
        channels, kernel, stride, padding, use_bias=has_bias, trainable=trains, name=name
    )(maps)


def _normalise_batch(maps: Any, name: str, *, trains: bool) -> Any:
    """PyTorch's momentum of 0.1 is Keras' 0.9; frozen, it keeps its statistics."""
    name = name.replace(".", "-")
    return layers.BatchNormalization(
        channel_axis(), momentum=0.9, epsilon=1e-5, trainable=trains, name=name
    )(maps)


def _tensor_names(layer: layers.Layer) -> tuple[str, ...]:
    if isinstance(layer, layers.BatchNormalization):
        return "weight", "bias", "running_mean", "running_var"
    return ("weight", "bias") if layer.use_bias else ("weight",)
