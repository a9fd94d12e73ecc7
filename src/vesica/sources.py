"""From a plan's description of its images to the images: opened, divided, decoded."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesica.data import open_dataset
from vesica.data.arrays import Arrays, load_arrays
from vesica.data.sample import Dataset
from vesica.data.split import Split, make_split
from vesica.data.synthetic import open_faces
from vesica.errors import DataError
from vesica.plan import Source

GENERATED = "generated"

MAP_STRIDE = 32
"""Pixels for each value that the paper's networks predict before the up-sampling."""

NUM_LOOKED_AT = 200
"""Training masks among which the size of objects is measured."""


def default_cache() -> Path:
    """Where decoded images and trunk features are kept unless a user says otherwise."""
    if chosen := os.environ.get("VESICA_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "vesica"


def open_source(source: Source) -> Dataset:
    """Open the images that a plan names.

    `generated` is the embedded data set; `generated:num=500:size=128:seed=0:density=0.2` sets
    its dials.

    Raises:
        DataError: If they cannot be opened, or are not those that the plan was resolved with.
    """
    if source.path.partition(":")[0] == GENERATED and not Path(source.path).exists():
        dataset = _open_generated(source)
    else:
        dataset = open_dataset(
            Path(source.path).expanduser(),
            format=source.format,
            target=source.target,
            foreground=source.foreground,
            group=source.group,
        )
    if source.fingerprint and source.fingerprint != dataset.fingerprint:
        raise DataError(
            f"{source.path}: the images or labels have changed since this run was planned; "
            "put the old ones back, or start another run with --out"
        )
    return dataset


def split_source(source: Source, dataset: Dataset) -> Split:
    """Divide an opened data set as its plan says."""
    return make_split(
        dataset, size=source.split, train=source.train, val=source.val, seed=source.split_seed
    )


def decode_source(
    dataset: Dataset,
    size_px: int,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Arrays:
    """All images at one size, from the cache if they are there."""
    return load_arrays(dataset, size_px, cache, progress)


def describe_source(dataset: Dataset, split: Split, arrays: Arrays) -> list[str]:
    """What a user should know of these images before training, a sentence each."""
    sentences = [
        f"{dataset.target}, in the {dataset.format} layout: {len(dataset.samples)} images; "
        f"{len(split.train)} train, {len(split.val)} validate, {len(split.test)} test."
    ]
    masks = arrays.masks[list(split.train[:NUM_LOOKED_AT])]
    if not masks.any():
        sentences.append(f"The first {len(masks)} training masks are all empty.")
    elif (size := object_size(masks)) < MAP_STRIDE:
        side = masks.shape[1]
        sentences.append(
            f"Warning: half of the foreground lies in objects below {size:.0f} pixels across at "
            f"{side}x{side}, and these networks predict one value for every {MAP_STRIDE}: "
            "expect blurred outlines, or try a larger --size."
        )
    return [*sentences, *dataset.notes, *split.notes]


def object_size(masks: NDArray[np.bool_]) -> float:
    """Pixels across (the root of the area) of the object that a median foreground pixel is in."""
    areas = np.concatenate([np.bincount(ndimage.label(mask)[0].ravel())[1:] for mask in masks])
    areas = np.sort(areas)
    middle = np.searchsorted(np.cumsum(areas), areas.sum() / 2)
    return float(np.sqrt(areas[middle]))


def _open_generated(source: Source) -> Dataset:
    dials: dict[str, float] = {"num": 500, "size": 128, "seed": 0, "density": 0.2}
    for pair in source.path.split(":")[1:]:
        key, _, value = pair.partition("=")
        if key not in dials:
            raise DataError(f"{source.path}: no dial {key!r}; there are: {', '.join(dials)}")
        try:
            dials[key] = float(value)
        except ValueError:
            raise DataError(f"{source.path}: {key}={value} is no number") from None
    try:
        return open_faces(
            int(dials["num"]),
            size_px=int(dials["size"]),
            seed=int(dials["seed"]),
            density=dials["density"],
            target=source.target or "face",
        )
    except (ValueError, OverflowError) as error:
        raise DataError(f"{source.path}: {error}") from None
