"""What every network is: frozen layers that give features, and a head that trains on them.

- `features(image)` is what is frozen: a tuple of tensors that never change in training, so that
  they are computed once per image. Where nothing is frozen it is the image itself.
- `head(features, size)` gives logits of shape (batch, classes, height, width) from them; `size` is
  the image's (height, width). This is what trains.
- `frozen()` lists the frozen modules: they get no gradient, stay in evaluation mode, and are
  neither in a checkpoint nor in the kept weights.
- `stride` is how many pixels lie between two values that it predicts before any interpolation.

`image` is RGB in [0, 1], shape (batch, 3, height, width). A plain `nn.Module` from image to logits
is wrapped by `Whole` and trains whole.
"""

from collections.abc import Sequence
from typing import Any, Self

from torch import Tensor, nn
from torch.nn import functional

from vesica.shapes import Features, ImageBatch, LogitMaps


class Network(nn.Module):
    """A network by the protocol above; abstract."""

    stride: int = 1

    def frozen(self) -> Sequence[nn.Module]:
        """The frozen modules; none by default."""
        return ()

    def features(self, image: ImageBatch) -> Features:
        """What the frozen layers make of the image; the image where nothing is frozen."""
        return (image,)

    def head(self, features: Features, size: tuple[int, int]) -> LogitMaps:
        """Logits of shape (batch, classes, *size) from what `features` gave."""
        raise NotImplementedError

    def forward(self, image: ImageBatch) -> LogitMaps:
        """Logits of the image's height and width."""
        height, width = image.shape[-2:]
        return self.head(self.features(image), (height, width))

    def train(self, mode: bool = True) -> Self:
        """Frozen means frozen: its batch norm stays in evaluation mode."""
        super().train(mode)
        for module in self.frozen():
            module.eval()
        return self

    def freeze(self) -> None:
        """Take the frozen modules' parameters out of training."""
        for module in self.frozen():
            module.requires_grad_(False)

    def frozen_state(self) -> dict[str, Tensor]:
        """Every tensor of the frozen modules, by name."""
        kept = {id(tensor) for module in self.frozen() for tensor in _tensors(module)}
        return {name: t for name, t in self.state_dict(keep_vars=True).items() if id(t) in kept}

    def trained_state(self) -> dict[str, Tensor]:
        """Every tensor that training may change, by name: parameters and batch-norm statistics."""
        frozen = self.frozen_state()
        return {name: t for name, t in self.state_dict().items() if name not in frozen}


class Whole(Network):
    """A plain module from an image to logits, all of which trains.

    Args:
        module: Gives (batch, classes, height, width) for an image whose sides are multiples of
            `multiple`; to those, the image's border is repeated and the logits are cut again.
    """

    def __init__(self, module: nn.Module, multiple: int = 32) -> None:
        super().__init__()
        self.module, self.multiple = module, multiple

    def head(self, features: Features, size: tuple[int, int]) -> LogitMaps:
        """Logits of shape (batch, classes, *size).

        Raises:
            ValueError: If the module gives something else than a map as large as the image.
        """
        image = pad(features[0], self.multiple)
        logits: Tensor = self.module(image)
        shape = tuple(getattr(logits, "shape", ()))
        if len(shape) != 4 or shape[2:] != tuple(image.shape[2:]):
            raise ValueError(f"gives {shape or type(logits)} for an image of {tuple(image.shape)}")
        return crop(logits, size)


def let_norms_rest(network: nn.Module) -> None:
    """Let batch norm use its running statistics where a batch has one value per channel.

    One value has no spread, and PyTorch raises: a last batch of one image would end the training.
    """
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.register_forward_pre_hook(_rest)
            layer.register_forward_hook(_wake)


def _rest(layer: Any, given: tuple[Tensor, ...]) -> None:
    if layer.training and given and given[0].numel() == given[0].shape[1]:
        layer.training, layer.is_resting = False, True


def _wake(layer: Any, given: tuple[Tensor, ...], found: Tensor) -> None:
    if getattr(layer, "is_resting", False):
        layer.training, layer.is_resting = True, False


def pad(image: ImageBatch, multiple: int) -> ImageBatch:
    """Repeat the border on all sides until height and width are multiples of a number."""
    height, width = image.shape[-2:]
    rows, columns = -height % multiple, -width % multiple
    if rows == columns == 0:
        return image
    left, top = columns // 2, rows // 2
    return functional.pad(image, (left, columns - left, top, rows - top), mode="replicate")


def crop(logits: LogitMaps, size: tuple[int, int]) -> LogitMaps:
    """Undo `pad`."""
    height, width = size
    top, left = (logits.shape[-2] - height) // 2, (logits.shape[-1] - width) // 2
    return logits[..., top : top + height, left : left + width]


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
