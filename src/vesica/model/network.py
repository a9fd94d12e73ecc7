"""A model that PyTorch runs: networks whose probabilities are averaged, and what is around them."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from vesica.data.sample import Pixels
from vesica.data.tiles import grid, scaled_size
from vesica.evaluate import against_rivals, stitch
from vesica.features import frozen_digest
from vesica.model.expected import SURE_BELOW, SURE_FROM
from vesica.model.prediction import Answer, Model
from vesica.model.resize import resize, shrink
from vesica.model.traits import Traits
from vesica.networks import Network

TILES_AT_ONCE = 16


class Pipeline(nn.Module):
    """From RGB images of any size, 0 to 255, to probabilities of that size.

    Args:
        members: The networks; frozen layers that all share are computed once.
        traits: Size, temperature and threshold.
    """

    def __init__(self, members: Sequence[Network], traits: Traits) -> None:
        super().__init__()
        self.networks: Sequence[Any] = nn.ModuleList(members)  # type: ignore[assignment]
        self.size_px = traits.size_px
        self.temperature, self.threshold = traits.temperature, traits.threshold
        self.is_exclusive = traits.is_exclusive
        self.empty_iou = traits.expected.empty_iou if traits.expected else 0.0
        frozen = {frozen_digest(network) for network in members}
        self.is_shared = len(members) > 1 and len(frozen) == 1 and "" not in frozen
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities; of each image the confidence in its mask, and the networks' disagreement.

        Args:
            image: uint8, shape (batch, 3, height, width).
        """
        height, width = image.shape[-2:]
        return self.finish(shrink(image.float(), self.size_px), (height, width))

    def finish(self, image: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """The same from images of the networks' size, at a size to be."""
        return self.conclude(self.logits(image), size)

    def logits(self, image: Tensor) -> list[Tensor]:
        """Of each network, shape (batch, classes, side, side)."""
        image, square = image / 255, (self.size_px, self.size_px)
        shared = self.networks[0].features(image) if self.is_shared else None
        return [
            network.head(network.features(image) if shared is None else shared, square).float()
            for network in self.networks
        ]

    def conclude(
        self, logits: Sequence[Tensor], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities at a size to be, confidence and disagreement, from all logits."""
        tempered = [resize(own, size) / self.temperature for own in logits]
        probs = [own.softmax(1) if self.is_exclusive else torch.sigmoid(own) for own in tempered]
        if self.is_exclusive:
            logits = [against_rivals(own) for own in logits]
        masks = torch.stack([(own >= 0).float() for own in logits])
        confidence = torch.stack([self._confidence(own) for own in logits]).mean(dim=0)
        return torch.stack(probs).mean(dim=0), confidence, _disagreement(masks)

    def _confidence(self, logits: Tensor) -> Tensor:
        """As `expected.confidence_of`, from a network's own logits; a mean over classes."""
        raw, probs = torch.sigmoid(logits), torch.sigmoid(logits / self.temperature)
        is_kept = (probs >= self.threshold).float()
        probs = torch.where(raw < SURE_BELOW, 0.0, torch.where(raw >= SURE_FROM, 1.0, probs))
        inside = (probs * is_kept).sum(dim=(2, 3))
        area = is_kept.sum(dim=(2, 3))
        union = area + (probs * (1 - is_kept)).sum(dim=(2, 3))
        ratio = inside / union.clamp(min=1e-12)
        return torch.where(area > 0, ratio, self.empty_iou).mean(dim=1)


class NetworkModel(Model):
    """A model that PyTorch runs, in float32, on a GPU where there is one."""

    def __init__(self, members: Sequence[Network], traits: Traits) -> None:
        self.traits = traits
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.pipeline = Pipeline(members, traits).to(self.device)
        self.digest = _digest(self.pipeline, traits)

    @property
    def members(self) -> list[Network]:
        """Its networks."""
        return list(self.pipeline.networks)

    @torch.inference_mode()
    def answer(self, image: Pixels) -> Answer:
        """As `Model.answer`."""
        size = (image.shape[0], image.shape[1])
        found = self._of_tiles(image) if self.traits.long_side_px else self._of_whole(image)
        probs, *rest = self.pipeline.conclude(found, size)
        confidence, disagreement = (float(value[0]) for value in rest)
        return Answer(
            probs[0].cpu().numpy(),
            confidence,
            disagreement if self.traits.num_members > 1 else None,
        )

    def _of_whole(self, image: Pixels) -> list[Tensor]:
        side = self.traits.size_px
        # By Pillow, as for training; but always along the rows first, as an exported graph does.
        narrow = Image.fromarray(image).resize((side, len(image)), Image.Resampling.BILINEAR)
        small = narrow.resize((side, side), Image.Resampling.BILINEAR)
        return self.pipeline.logits(self._to_tensor(np.array(small)[None]))

    def _of_tiles(self, image: Pixels) -> list[Tensor]:
        """Of an image that is predicted in the pieces that its networks were trained on."""
        side = self.traits.size_px
        long_side = self.traits.long_side_px
        height, width = scaled_size(image.shape[0], image.shape[1], side, long_side)
        large = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.array(large)
        places = [(y, x) for y in grid(height, side) for x in grid(width, side)]
        parts = []
        for start in range(0, len(places), TILES_AT_ONCE):
            tiles = [pixels[y : y + side, x : x + side] for y, x in places[start:][:TILES_AT_ONCE]]
            parts.append(self.pipeline.logits(self._to_tensor(np.stack(tiles))))
        return [
            stitch(torch.cat(own), places, (height, width))[None]
            for own in zip(*parts, strict=True)
        ]

    def _to_tensor(self, stored: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(stored).permute(0, 3, 1, 2).to(self.device).float()


def _disagreement(masks: Tensor) -> Tensor:
    """Mean of 1 - IoU over pairs of networks and classes; two empty masks agree.

    Args:
        masks: Shape (networks, batch, classes, height, width).
    """
    num = len(masks)
    flat = masks.flatten(3)
    inside = torch.einsum("anck,bnck->abnc", flat, flat)
    area = flat.sum(dim=3)
    union = area[:, None] + area[None] - inside
    differs = torch.where(union > 0, 1 - inside / union.clamp(min=1), 0.0)
    return differs.sum(dim=(0, 1)).mean(dim=1) / max(1, num * (num - 1))


def _digest(pipeline: Pipeline, traits: Traits) -> str:
    fields = traits.model_dump_json(exclude={"why", "command", "versions"})
    digest = hashlib.sha256(fields.encode())
    for name, tensor in sorted(pipeline.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
