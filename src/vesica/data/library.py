"""Every data set of a process: opened, hashed, divided and decoded once, and then kept."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesica import spelling
from vesica.cache import default_cache
from vesica.data import open_dataset
from vesica.data.arrays import Arrays, Truth, load_arrays
from vesica.data.counts import Counts, say_alike, say_copies, say_foreground, say_missing
from vesica.data.measure import Measured, measure
from vesica.data.parts import own_parts
from vesica.data.sample import Dataset
from vesica.data.source import Source
from vesica.data.split import Split, make_split, settle_division
from vesica.data.tiles import Pieces, load_pieces
from vesica.data.truths import Truths
from vesica.errors import DataError
from vesica.statistics import MIN_UNITS
from vesica.words import count_of

MAP_STRIDES = {
    **dict.fromkeys(("bfcn32s", "fcresnet"), 32),
    **dict.fromkeys(("bfcn16s", "fcresnet16s"), 16),
    **dict.fromkeys(("bfcn8s", "fcresnet8s"), 8),
    "unet": 2,
}
"""Pixels between two values that a network predicts before the last up-sampling."""

MIN_TEST, FOLDS = 50, 5
"""With fewer test images (or fewer groups than a verdict needs), a set is tested in so many folds,
unless it is said otherwise."""

NUM_LOOKED_AT = 200
"""Training masks among which the size of objects is measured."""

OPENED_BY = (
    "path",
    "format",
    "target",
    "foreground",
    "ignore",
    "classes",
    "fit_masks",
    "as_stored",
    "depth",
    "group",
    "images",
    "masks",
    "skip_unpaired",
)
"""What of a source decides how it is opened."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Rows:
    """Rows of each part in the arrays of a data set."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]

    @property
    def all(self) -> NDArray[np.int64]:
        """The rows of every part, sorted."""
        return np.sort(np.concatenate([self.train, self.val, self.test]))


@dataclass
class Library:
    """Opens each data set once and keeps it.

    Attributes:
        cache: Folder of decoded images.
        progress: Told while images are decoded.
        max_bytes: Of images that are decoded anew; None: no limit.
    """

    cache: Path = field(default_factory=default_cache)
    progress: Progress = lambda what, done, total: None
    max_bytes: int | None = None
    _datasets: dict[tuple[Any, ...], Dataset] = field(default_factory=dict)
    _splits: dict[Source, Split] = field(default_factory=dict)
    _measured: dict[int, Measured | None] = field(default_factory=dict)
    _arrays: dict[tuple[int, int], Arrays] = field(default_factory=dict)
    _pieces: dict[tuple[int, int, int], tuple[Arrays, Pieces]] = field(default_factory=dict)
    _counts: dict[tuple[int, int], Counts] = field(default_factory=dict)
    _truths: Truths = field(default_factory=Truths)

    def dataset(self, source: Source) -> Dataset:
        """The opened data set.

        Raises:
            DataError: If it cannot be opened, or is not the one that the plan was resolved with.
        """
        key = _opened_by(source)
        dataset = self._datasets.get(key)
        if dataset is None:
            dataset = open_source(source, lambda *n: self.progress("looking at masks", *n))
            for known in (key, _opened_by(_resolve(source, dataset))):
                self._datasets[known] = dataset
        if source.fingerprint not in ("", dataset.fingerprint):
            raise DataError(
                f"{source.path}: the images or labels have changed since this run was planned; "
                "put the old ones back, or start another run with --out"
            )
        return dataset

    def resolve(self, source: Source) -> Source:
        """The source with its format, target and fingerprint filled in."""
        return _resolve(source, self.dataset(source))

    def split(self, source: Source) -> Split:
        """Its division, as indices into `Dataset.samples`."""
        dataset = self.dataset(source)
        if source not in self._splits:
            try:
                self._splits[source] = make_split(
                    dataset,
                    size=source.split,
                    train=source.train,
                    val=source.val,
                    seed=source.split_seed,
                    division=source.division,
                    folds=source.folds,
                    fold=source.fold,
                )
            except DataError as error:  # a plan may have several sets
                raise DataError(f"{spelling.shown(source.path)}: {error}") from None
        return self._splits[source]

    def measured(self, source: Source) -> Measured | None:
        """How large its images are and what lies in them; None where none can be read."""
        dataset = self.dataset(source)
        if id(dataset) not in self._measured:
            self._measured[id(dataset)] = measure(dataset)
        return self._measured[id(dataset)]

    def folds_for(self, source: Source) -> int:
        """In how many folds a set is best tested, if nobody says: 0 where one division leaves
        enough test images, or the set says itself what is tested."""
        dataset = self.dataset(source)
        if source.division != "pooled" and own_parts(dataset) - {"train"}:
            return 0
        try:
            test = self.split(source).test
        except DataError:  # nothing is left for a part
            test = ()
        num_units = len({dataset.samples[index].group for index in test})
        num_groups = len({sample.group for sample in dataset.samples})
        is_enough = len(test) >= MIN_TEST and num_units >= MIN_UNITS
        return 0 if is_enough or num_groups < 2 * FOLDS else FOLDS

    def rows(self, source: Source) -> Rows:
        """Its division as rows of the arrays."""
        split = self.split(source)
        return Rows(*(np.array(part) for part in (split.train, split.val, split.test)))

    def arrays(self, source: Source, size_px: int) -> Arrays:
        """All its images and masks at one size, from the cache if they are there."""
        dataset = self.dataset(source)
        key = id(dataset), size_px  # it is kept, so that no other has its id
        if key not in self._arrays:
            self._arrays[key] = load_arrays(
                dataset,
                size_px,
                self.cache,
                progress=lambda *n: self.progress("decoding images", *n),
                waiting=lambda: self.progress("waiting for another process to decode them", 0, 1),
                max_bytes=self.max_bytes,
            )
        return self._arrays[key]

    def truth(self, source: Source, row: int) -> Truth:
        """The masks of an image at their own size."""
        return self._truths.of(self.dataset(source), row)

    def counts(self, source: Source, size_px: int) -> Counts:
        """What its images and masks have in them, at one size."""
        key = id(self.dataset(source)), size_px
        if key not in self._counts:
            self._counts[key] = Counts.of(self.arrays(source, size_px))
        return self._counts[key]

    def pieces(self, source: Source, size_px: int, long_side_px: int) -> tuple[Arrays, Pieces]:
        """All its images in pieces, from the cache if they are there."""
        dataset = self.dataset(source)
        key = id(dataset), size_px, long_side_px
        if key not in self._pieces:
            self._pieces[key] = load_pieces(
                dataset,
                size_px,
                long_side_px,
                self.cache,
                progress=lambda *n: self.progress("cutting images", *n),
                waiting=lambda: self.progress("waiting for another process to cut them", 0, 1),
            )
        return self._pieces[key]

    def shown_rows(self, source: Source, size_px: int, long_side_px: int) -> Rows:
        """What a network is shown: the rows of its images, or of their pieces."""
        rows = self.rows(source)
        if not long_side_px:
            return rows
        _, pieces = self.pieces(source, size_px, long_side_px)
        return Rows(
            pieces.crop_rows(rows.train), pieces.tile_rows(rows.val), pieces.tile_rows(rows.test)
        )

    def describe(
        self, source: Source, size_px: int, stride_px: int, long_side_px: int = 0
    ) -> list[str]:
        """What a user should know of these images before training, a sentence each.

        Args:
            source: The images.
            size_px: They are resized to squares of this side.
            stride_px: Pixels between two values that the network predicts.
            long_side_px: Of the images whose crops these squares are; 0: whole images.
        """
        dataset, split = self.dataset(source), self.split(source)
        own = spelling.shown(dataset.format)
        origin = f"as {own} gives it" if spelling.is_own(own) else f"in the {own} layout"
        sentences = [
            f"{dataset.target}, {origin}: {len(dataset.samples)} images; "
            f"{len(split.train)} train, {len(split.val)} validate, {len(split.test)} test."
        ]
        counts = self.counts(source, size_px)
        divided = split if source.fold is None else None
        sentences.append(say_foreground(counts, divided, dataset.classes))
        sentences += say_missing(counts, divided, dataset.classes)
        sentences += say_copies(counts, divided, dataset)
        alike = say_alike(counts.num_alike, len(dataset.samples))
        sentences += [f"Warning: {alike}"] if alike else []
        arrays = self.arrays(source, size_px)
        if long_side_px:
            arrays, _ = self.pieces(source, size_px, long_side_px)
        shown = self.shown_rows(source, size_px, long_side_px).train
        masks = arrays.masks[shown[:NUM_LOOKED_AT]]
        if not masks.any():
            sentences.append(f"The first {len(masks)} training masks are all empty.")
        elif masks.all():
            sentences.append(
                f"Warning: the first {len(masks)} training masks are all foreground, so that there "
                "is nothing to learn: look at them."
            )
        elif (size := object_size(masks.reshape(-1, size_px, size_px))) < stride_px:
            sentences.append(
                f"Warning: half of the foreground lies in objects below {size:.0f} pixels across "
                f"at {size_px}x{size_px}, and these networks predict one value for every "
                f"{stride_px}: expect blurred outlines, or try {_finer(size)}a larger --size, or "
                "crops of large images by --long-side."
            )
        few = [f"Warning: {said}" for said in [self.say_few(source)] if said]
        return [*sentences, *dataset.notes, *split.notes, *few]

    def say_few(self, source: Source) -> str:
        """That too few are tested for a verdict, and the way out; "" where they are enough."""
        dataset = self.dataset(source)
        groups = [sample.group for sample in dataset.samples]
        tested = range(len(groups)) if source.folds else self.split(source).test
        num_units, num_groups = len({groups[index] for index in tested}), len(set(groups))
        if num_units >= MIN_UNITS:
            return ""
        if num_groups < MIN_UNITS:
            are_grouped = num_groups < MIN_UNITS <= len(groups)
            mend = f"tell more groups apart with --group (there are {num_groups})"
            mend = mend if are_grouped else f"add images (there are {len(groups)})"
        elif source.division != "pooled" and own_parts(dataset) - {"train"}:
            mend = f"pass --division pooled to divide all {len(groups)} images anew"
        else:
            mend = f"pass --folds {FOLDS} to test every image once"
        what = "test image" if num_groups == len(groups) else "tested group"
        return f"{count_of(num_units, what)}, and a verdict needs {MIN_UNITS}: {mend}."


def _finer(size_px: float) -> str:
    """A network that is not too coarse for objects of this size."""
    stride = MAP_STRIDES["unet"]
    return f"--model unet, which predicts one for every {stride}, or " if stride <= size_px else ""


def open_source(
    source: Source, progress: Callable[[int, int], None] = lambda done, total: None
) -> Dataset:
    """Open the images that a plan names.

    Args:
        source: The images.
        progress: Called with the masks that were looked at and their total.

    Raises:
        DataError: If they cannot be opened.
    """
    is_known = spelling.is_canonical(source.format)
    if source.fingerprint and spelling.is_own(source.path) and not is_known:
        raise DataError(f"{source.path}: the plan keeps no digest of this file; name it again")
    return open_dataset(
        source.path,
        format=source.format,
        target=source.target,
        foreground=source.foreground,
        ignore=source.ignore,
        fit_masks=source.fit_masks,
        as_stored=source.as_stored,
        depth=source.depth,
        group=source.group,
        images=source.images,
        masks=source.masks,
        classes=source.classes,
        skip_unpaired=source.skip_unpaired,
        is_settled=bool(source.fingerprint),
        progress=progress,
    )


def object_size(masks: NDArray[np.bool_]) -> float:
    """Pixels across (the root of the area) of the object that a median foreground pixel is in."""
    areas = np.concatenate([np.bincount(ndimage.label(mask)[0].ravel())[1:] for mask in masks])
    areas = np.sort(areas)
    middle = np.searchsorted(np.cumsum(areas), areas.sum() / 2)
    return float(np.sqrt(areas[middle]))


def _resolve(source: Source, dataset: Dataset) -> Source:
    settled = source.model_copy(update=dict(dataset.settled))
    # A rule for the foreground is a field of its own and makes the target's name, as classes do.
    is_named = settled.foreground is None and not dataset.is_exclusive
    found = {
        "format": dataset.format,
        "target": dataset.target if is_named else source.target,
        "division": settle_division(dataset, source.division, source.folds),
        "classes": dataset.is_exclusive,
        "class_names": dataset.classes,
        "fingerprint": dataset.fingerprint,
    }
    return settled.model_copy(update=found)


def _opened_by(source: Source) -> tuple[Any, ...]:
    return tuple(getattr(source, name) for name in OPENED_BY)
