"""The paper's networks as one writes them with PyTorch and torchvision; float32 throughout."""

import torch
from torch import Tensor, nn
from torchvision.models import resnet50, vgg16

from engines.setting import EPSILON, LEARNING_RATE, RHO, Setting, draw_batch
from engines.worker import Prepared, serve


class PlainFCN(nn.Module):
    """An encoder, wide convolutions, a score and a 32-fold up-sampling; tensors named as Vesica's.

    The frozen layers run in every step, without a graph.
    """

    def __init__(self, encoder: nn.Sequential, num_frozen: int, wide: nn.Sequential, width: int):
        super().__init__()
        self.frozen_encoder, self.trained_encoder = encoder[:num_frozen], encoder[num_frozen:]
        self.wide = wide
        self.score = nn.Conv2d(width, 1, 1)
        self.upsample = nn.ConvTranspose2d(1, 1, 64, 32, padding=16)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))
        self.frozen_encoder.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of shape (batch, height, width)."""
        with torch.no_grad():
            maps = self.frozen_encoder((image - self.mean) / self.std)
        maps = self.wide(self.trained_encoder(maps))
        logits: Tensor = self.upsample(self.score(maps))
        return logits.squeeze(1)

    def train(self, mode: bool = True) -> "PlainFCN":
        """The frozen batch norms keep their statistics."""
        super().train(mode)
        self.frozen_encoder.eval()
        return self


def build_plain(network: str, width: int) -> PlainFCN:
    """A network of Vesica's `MODELS` by its name."""
    if network == "bfcn32s":
        first = nn.Conv2d(512, width, 7, padding=3)
        wide = nn.Sequential(first, nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU())
        return PlainFCN(vgg16().features, 24, wide, width)
    net = resnet50()
    stem = (net.conv1, net.bn1, net.relu, net.maxpool)
    encoder = nn.Sequential(*stem, net.layer1, net.layer2, net.layer3, net.layer4)
    wide = nn.Sequential(nn.Conv2d(2048, width, 7, padding=3), nn.ReLU())
    return PlainFCN(encoder, 7, wide, width)


def iou_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Soft IoU loss, mean over the batch, as one writes it by hand."""
    probs = logits.sigmoid()
    intersection = (probs * target).sum((1, 2))
    union = probs.sum((1, 2)) + target.sum((1, 2)) - intersection
    return (1 - intersection / union).mean()


def prepare(setting: Setting) -> Prepared:
    """Build, and hold one batch."""
    model = build_plain(setting.network, setting.width).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.RMSprop(trained, lr=LEARNING_RATE, alpha=RHO, eps=EPSILON)
    drawn, masks = draw_batch(setting.batch, setting.size)
    images = torch.from_numpy(drawn).permute(0, 3, 1, 2).contiguous()
    target = torch.from_numpy(masks)

    def step() -> float:
        value = iou_loss(model(images), target)
        optimizer.zero_grad()
        torch.autograd.backward(value)
        optimizer.step()
        return value.item()

    return Prepared(step)


if __name__ == "__main__":
    torch.set_num_threads(2)
    serve(prepare)
