"""The test images of a setting, in the order of its scores, and what its runs drew on them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vesica.data.arrays import Arrays
from vesica.data.library import Library
from vesica.errors import DataError
from vesica.judge.scores import Place
from vesica.judge.setting import Setting
from vesica.results import Masks, read_masks

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ScoredImages:
    """The images and their true masks; every fold's one after another.

    Attributes:
        arrays: Of the whole data set.
        row: Of each test image in `arrays`.
        channel: Which class's mask each stands for.
    """

    arrays: Arrays
    row: NDArray[np.intp]
    channel: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.row)

    def image(self, place: int) -> NDArray[np.uint8]:
        """RGB, shape (size, size, 3)."""
        image: NDArray[np.uint8] = self.arrays.images[self.row[place]]
        return image

    def truth(self, place: int) -> Mask:
        """Shape (size, size)."""
        mask: Mask = self.arrays.masks[self.row[place], self.channel[place]]
        return mask


def open_images(setting: Setting, library: Library) -> ScoredImages:
    """Find the images that were scored.

    Raises:
        DataError: If they cannot be had.
    """
    assert setting.scores is not None
    first = setting.cells[0]
    arrays = library.arrays(first.data, first.size)
    row_of = {name: row for row, name in enumerate(arrays.names)}
    names, num_classes = setting.scores.names, arrays.masks.shape[1]
    if missing := [name for name in names if name not in row_of]:
        raise DataError(f"{first.data.path}: no image {missing[0]!r}, which was scored")
    rows = np.array([row_of[name] for name in names], dtype=np.intp)
    return ScoredImages(arrays, rows, np.arange(len(names)) % num_classes)


@dataclass(frozen=True)
class Drawn:
    """Masks of one run, or of several as one, over all folds."""

    folds: tuple[Masks, ...]

    def __getitem__(self, place: int) -> Mask:
        """The mask of a test image."""
        for masks in self.folds:
            if place < masks.shape[0]:
                return masks[place]
            place -= masks.shape[0]
        raise IndexError(place)


@dataclass(frozen=True)
class Votes:
    """What the runs of a setting drew at threshold 1/2.

    Attributes:
        num_runs: Runs that count, in all folds: those that trained and draw more than one class.
        every: Pixels that all of them draw.
        any: Pixels that one of them draws at least.
        seed: Whose masks are kept.
        of: These, by loss.
    """

    num_runs: int
    every: Drawn
    any: Drawn
    seed: int
    of: dict[str, Drawn]


def read_votes(setting: Setting) -> Votes:
    """Read every mask of a setting once; those of one seed stay in memory, packed.

    Raises:
        DataError: If masks are missing or damaged.
    """
    assert setting.scores is not None
    whole = {loss: setting.seeds_of(loss) for loss in setting.losses}
    seed = max(setting.seeds, key=lambda seed: sum(seed in own for own in whole.values()))
    counted = {(loss, seed) for loss in setting.losses for seed in _voting(setting, loss)}
    every: dict[int, Masks] = {}
    any_: dict[int, Masks] = {}
    kept: dict[str, list[Masks]] = {}
    for place, masks in _read(setting, whole):
        if place.seed == seed:
            kept.setdefault(place.loss, []).append(masks)
        if (place.loss, place.seed) in counted:
            every[place.fold] = _join(every.get(place.fold, masks), masks, np.bitwise_and)
            any_[place.fold] = _join(any_.get(place.fold, masks), masks, np.bitwise_or)
    return Votes(
        num_runs=len(counted),
        every=Drawn(tuple(every.values())),
        any=Drawn(tuple(any_.values())),
        seed=seed,
        of={loss: Drawn(tuple(found)) for loss, found in kept.items()},
    )


def _voting(setting: Setting, loss: str) -> Iterator[int]:
    """Seeds with which every fold trained and drew more than one class."""
    for seed in setting.trained_seeds_of(loss):
        if all(found.result.status == "finished" for found in setting.runs_of(loss, seed)):
            yield seed


def _read(setting: Setting, whole: dict[str, list[int]]) -> Iterator[tuple[Place, Masks]]:
    for fold in setting.folds:
        for loss, seeds in whole.items():
            for place in (Place(loss, seed, fold) for seed in seeds):
                found = setting.ended[place]
                shape = found.result.num_rows, found.cell.size, found.cell.size
                yield place, read_masks(found.folder / "masks.npz", shape)


def _join(old: Masks, new: Masks, how: np.ufunc) -> Masks:
    return replace(old, bits=how(old.bits, new.bits))
