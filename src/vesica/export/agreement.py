"""Whether two models give the same masks, asked of images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vesica.data.library import Library
from vesica.data.sample import Pixels
from vesica.data.synthetic import open_generated
from vesica.errors import DataError
from vesica.model import Model
from vesica.results import EndedCell

LEAST_SHARE = 0.999
LEAST_SHARE_OF_ONE = 0.99
"""Of the pixels of all images, and of those of each: rounding moves fewer, a mistake more."""
MAX_IMAGES = 32
SIZES = ((96, 96), (61, 97), (150, 210), (300, 200))
"""Of generated images, where there are no others."""


@dataclass(frozen=True)
class Agreement:
    """Shares of equal pixels: of all images, and of the one in which most differ."""

    share: float
    least: float
    num_images: int
    what: str

    def __str__(self) -> str:
        return (
            f"{100 * self.share:.4f} % of the pixels of {self.num_images} {self.what} are equal "
            f"({100 * self.least:.3f} % in the worst one)"
        )


def check_agreement(model: Model, other: Model, images: Iterator[Pixels], what: str) -> Agreement:
    """Compare the masks of two models.

    Raises:
        DataError: If they differ in more pixels than rounding explains.
    """
    equal, sizes = [], []
    for image in images:
        same = model.predict(image).mask == other.predict(image).mask
        equal.append(same.mean())
        sizes.append(same.size)
    found = Agreement(float(np.average(equal, weights=sizes)), min(equal), len(equal), what)
    if found.share < LEAST_SHARE or found.least < LEAST_SHARE_OF_ONE:
        raise DataError(
            f"the exported model gives other masks than PyTorch: {found}; it was not written. Pass "
            "--format safetensors"
        )
    return found


def images_for(cells: Sequence[EndedCell], library: Library) -> tuple[Iterator[Pixels], str]:
    """Test images of the runs that make a model, evenly spread; generated ones where these cannot
    be had, with what they are."""
    try:
        tested = [
            (library.dataset(found.cell.data), row)
            for found in {f.cell.data: f for f in cells}.values()
            for row in library.split(found.cell.data).test
        ]
    except DataError:  # its advice is for training
        return _generated(), "generated images (the run's own are not there as they were)"
    if not tested:
        return _generated(), "generated images"
    places = np.unique(np.linspace(0, len(tested) - 1, min(MAX_IMAGES, len(tested))).astype(int))
    chosen = [tested[place] for place in places]
    return (dataset.load(dataset.samples[row])[0] for dataset, row in chosen), "test images"


def _generated() -> Iterator[Pixels]:
    for seed, (height, width) in enumerate(SIZES):
        dataset = open_generated(num=2, size=max(height, width), seed=seed)
        for sample in dataset.samples:
            yield dataset.load(sample)[0][:height, :width]
