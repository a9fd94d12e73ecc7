"""What should an image without foreground be worth? Train one network with each policy.

    python benchmarks/empty_policies.py DATA --labels 8,9 --epochs 8,16,24

DATA has `images/` and `labels/`, index masks paired by stem; some images have no pixel of the
labels. A small U-Net trains from scratch with IoU loss, once per policy and seed, on the first
80 % of the images by name, and is judged on the last 20 % after some numbers of epochs. The first
row is what a mask of nothing gets there: a policy below it has learnt less than nothing.
"""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from vesica.losses import LossModule
from vesica.metrics import count_pixels, iou

Masks = NDArray[np.bool_]
Row = tuple[float, float, float]


class UNet(nn.Module):
    """Three levels, two convolutions each."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.down = nn.ModuleList(block(a, b) for a, b in itertools.pairwise([3, *widths]))
        self.up = nn.ModuleList(block(a + b, b) for a, b in itertools.pairwise(reversed(widths)))
        self.score = nn.Conv2d(width, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """RGB in [0, 1] to logits, (batch, height, width)."""
        features: list[Tensor] = []
        for level in self.down:
            image = level(functional.max_pool2d(image, 2) if features else image)
            features.append(image)
        image = features.pop()
        for level in self.up:
            image = functional.interpolate(image, scale_factor=2, mode="bilinear")
            image = level(torch.cat([image, features.pop()], dim=1))
        scores: Tensor = self.score(image)
        return scores.squeeze(1)


def block(num_in: int, num_out: int) -> nn.Module:
    """Two normalised convolutions."""
    layers: list[nn.Module] = []
    for num in (num_in, num_out):
        layers += [nn.Conv2d(num, num_out, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(num_out), nn.ReLU()]
    return nn.Sequential(*layers)


def load(data: Path, labels: list[int], size_px: int, num: int) -> tuple[Tensor, Tensor]:
    """Images (num, 3, size, size) and masks (num, size, size)."""
    images, masks = [], []
    for path in sorted((data / "images").iterdir())[:num]:
        with Image.open(path) as image:
            small = image.convert("RGB").resize((size_px, size_px), Image.Resampling.BILINEAR)
        with Image.open(data / "labels" / f"{path.stem}.png") as label:
            mask = np.isin(
                np.asarray(label.resize((size_px, size_px), Image.Resampling.NEAREST)), labels
            )
        images.append(np.asarray(small))
        masks.append(mask)
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return stacked, torch.from_numpy(np.stack(masks))


def train(
    loss: str, images: Tensor, masks: Tensor, stages: Sequence[int], seed: int
) -> Iterator[nn.Module]:
    """The network after so many epochs: Adam at 1e-3, batches of 16."""
    torch.manual_seed(seed)
    model, criterion = UNet(), LossModule(loss)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(1, max(stages) + 1):
        model.train()
        for rows in torch.split(torch.randperm(len(images)), 16):
            value = criterion(model(images[rows] / 255), masks[rows])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        if epoch in stages:
            yield model.eval()


@torch.inference_mode()
def judge(model: nn.Module, images: Tensor, masks: Tensor) -> Row:
    """Score the masks that a network finds."""
    preds = torch.cat([model(part / 255) > 0 for part in torch.split(images, 50)])
    return score(preds.numpy(), masks.numpy())


def score(preds: Masks, truth: Masks) -> Row:
    """IoU of images with foreground, share of the empty ones left empty, and IoU of all."""
    per_image, has_any = iou(count_pixels(preds, truth)), truth.any(axis=(1, 2))
    return per_image[has_any].mean(), per_image[~has_any].mean(), per_image.mean()


def main() -> None:
    """Print a row of Markdown for each loss and number of epochs, once for each seed more."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--labels", default="8,9")
    parser.add_argument("--losses", default="iou:empty=formula,iou:empty=skip,iou:empty=background")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--num", type=int, default=1000)
    parser.add_argument("--epochs", default="8,16,24")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    labels, stages = (sorted(map(int, text.split(","))) for text in (args.labels, args.epochs))
    images, masks = load(args.data, labels, args.size, args.num)
    num_train = len(images) * 4 // 5
    train_images, train_masks = images[:num_train], masks[:num_train]
    test_images, test_masks = images[num_train:], masks[num_train:]
    empty = ~masks.flatten(1).any(dim=1)
    print(f"{len(images)} images, {int(empty.sum())} without foreground", flush=True)
    found: dict[tuple[str, int], list[Row]] = {}
    for seed in range(args.seeds):
        for loss in args.losses.split(","):
            models = train(loss, train_images, train_masks, stages, seed)
            for stage, model in zip(stages, models, strict=True):
                row = judge(model, test_images, test_masks)
                found.setdefault((loss, stage), []).append(row)
                print(seed, loss, stage, *(f"{value:.3f}" for value in row), flush=True)
        print_table(found, score(np.zeros(test_masks.shape, dtype=bool), test_masks.numpy()))


def print_table(found: dict[tuple[str, int], list[Row]], nothing: Row) -> None:
    """Mean and standard deviation over seeds."""
    print("\n| loss | epochs | IoU with foreground | empty left empty | IoU of all |")
    print("| --- | ---: | ---: | ---: | ---: |")
    print("| *nothing predicted* | |", " | ".join(f"{value:.3f}" for value in nothing), "|")
    for (loss, stage), rows in found.items():
        means, sds = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=len(rows) > 1)
        cells = [f"{mean:.3f} ± {sd:.3f}" for mean, sd in zip(means, sds, strict=True)]
        print(f"| {loss} | {stage} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
