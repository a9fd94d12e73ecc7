"""What a plan will cost on this machine: hours from a measured step, memory, disk."""

import json
import math
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vesica import spelling
from vesica.data.augment import MIRRORS, read_augmentation
from vesica.errors import DataError
from vesica.features import is_frozen, to_image
from vesica.losses import parse_loss, values_and_weights
from vesica.materials import Materials, make_fabric
from vesica.metrics import Scores
from vesica.networks import Network
from vesica.optim import make_optimizer
from vesica.plan import Cell
from vesica.results import read_cell
from vesica.words import say_bytes

TYPICAL_EPOCHS = 93
"""After which a cell stops early: the mean of 32 published runs (`paper/published.csv`)."""

FEW, MORE = 8, 24
"""Batch sizes measured; a step costs a fixed part (the optimiser) and a part per image."""

NUM_TIMES, ENOUGH_S = 7, 1.5
"""Each time is the median of so many, or of as many as fit into these seconds: the first one, which
is left out, prepares what the others find, and a busy machine interrupts some."""

NUM_SCORED = 8
"""Test images by which the time of scoring is told."""

NUM_CHECKPOINTS, CHECKPOINT_COPIES = 2, 3
"""The last one and the one before: weights, the optimiser's average, the best epoch's weights."""

WORTH_IT = 1.2
"""Cells run side by side if they are so many times as fast: measured alone, they do not share
caches and memory yet."""


@dataclass(frozen=True)
class Cost:
    """Of one cell, or of a plan.

    Attributes:
        hours: If cells that may stop early stop after `TYPICAL_EPOCHS`, or at their limit before.
        hours_most: If every cell uses all epochs that it may.
        memory_bytes: At the largest moment.
        disk_bytes: Of the run's folder and the cache.
        gain: How many times as fast as one after the other as many cells are that run side by
            side, a thread each.
        note: What makes it dearer than it need be.
    """

    hours: float
    hours_most: float
    memory_bytes: int
    disk_bytes: int
    gain: float = 1.0
    note: str = ""


def estimate(cells: Sequence[Cell], run: Path, materials: Materials) -> Cost:
    """Cost of those cells of a checked plan that have no result yet.

    Each network and recipe is measured once, on random features of the right shape.
    """
    steps: dict[str, _Step] = {}
    judge_s: dict[str, float] = {}
    features: dict[Path, _Features] = {}
    waiting = []
    named = [(cell, _recipe_of(cell)) for cell in cells if not _has_scores(run, cell)]
    num_recipes = len({name for _, name in named})
    for cell, name in named:
        if name not in steps:
            materials.progress("measuring a step", len(steps), num_recipes)
            steps[name] = _measure(cell, materials)
        images = json.dumps([cell.data.fingerprint, cell.size, cell.score_at, cell.long_side])
        if images not in judge_s:
            judge_s[images] = _judge_s(cell, materials)
        waiting.append(_cost(cell, steps[name], judge_s[images], materials))
        folder = materials.features_folder(cell)
        if steps[name].has_trunk and not folder.exists():
            features.setdefault(folder, _Features(steps[name])).add(cell, materials)
    trained = max((step.trained_bytes for step in steps.values()), default=0)
    trunk_hours = sum(found.hours for found in features.values())
    return Cost(
        sum(cost.hours for cost in waiting) + trunk_hours,
        sum(cost.hours_most for cost in waiting) + trunk_hours,
        max((cost.memory_bytes for cost in waiting), default=0),
        sum(cost.disk_bytes for cost in waiting)
        + NUM_CHECKPOINTS * CHECKPOINT_COPIES * trained
        + sum(found.num_bytes for found in features.values()),
        min((cost.gain for cost in waiting), default=1.0),
        next((cost.note for cost in waiting if cost.note), ""),
    )


def _has_scores(run: Path, cell: Cell) -> bool:
    found = read_cell(run, cell)
    return found is not None and found.result.has_scores


def _recipe_of(cell: Cell) -> str:
    """What a step's time depends on."""
    fields = cell.setting()
    del fields["data"]
    return json.dumps(fields, sort_keys=True)


def choose_jobs(cost: Cost, num_waiting: int) -> int:
    """How many cells to run side by side: as many as threads, if that is faster and fits."""
    most = min(torch.get_num_threads(), num_waiting)
    fits = most * cost.memory_bytes < installed_memory()
    return most if fits and cost.gain > WORTH_IT and not torch.cuda.is_available() else 1


def check_disk(cost: Cost, *folders: Path) -> None:
    """Refuse a plan that the disk cannot hold.

    Raises:
        DataError: With what is needed and what is free.
    """
    for folder in folders:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        if free < cost.disk_bytes:
            raise DataError(
                f"{folder}: the disk has {say_bytes(free)} free and this plan needs about "
                f"{say_bytes(cost.disk_bytes)}; make room, or pass --out and --cache elsewhere"
            )


def installed_memory() -> float:
    """Bytes of the machine's memory; infinite where the system does not say."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return math.inf
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True)
class _Step:
    """What was measured of a network with a recipe; times in seconds.

    Attributes:
        image_s: Of a training step, for each image.
        fixed_s: Of a training step, whatever the batch.
        has_trunk: Whether layers are frozen.
        trunk_s: Of the frozen layers, for each image.
        feature_bytes: Of what they give for an image.
        saved_bytes: What the backward pass keeps for an image.
        trained_bytes: Of the tensors that train.
        gain: As in `Cost`.
    """

    image_s: float
    fixed_s: float
    has_trunk: bool
    trunk_s: float
    feature_bytes: int
    saved_bytes: int
    trained_bytes: int
    gain: float


class _Features:
    """The frozen layers' output that the cache lacks, shared by all cells of a data set."""

    def __init__(self, step: _Step) -> None:
        self.step, self.rows, self.num_bytes = step, set[int](), 0

    def add(self, cell: Cell, materials: Materials) -> None:
        """Count what a cell needs too."""
        self.rows |= set(materials.rows(cell).all.tolist())
        num_images = len(materials.shown(cell).images)
        num_bytes = self.step.feature_bytes * num_images * (1 + (cell.recipe.augment == "flip"))
        self.num_bytes = max(self.num_bytes, num_bytes)

    @property
    def hours(self) -> float:
        return len(self.rows) * self.step.trunk_s / 3600


def runs_frozen_layers(cell: Cell, step: "_Step") -> bool:
    """Whether the frozen layers run in every step, as no cache can hold what is augmented."""
    is_kept = read_augmentation(cell.recipe.augment).name in MIRRORS
    return step.has_trunk and not is_kept


def _cost(cell: Cell, step: _Step, judge_s: float, materials: Materials) -> Cost:
    """Cost of one cell, without the features that it shares; `judge_s` of a test image."""
    rows, batch = materials.rows(cell), cell.recipe.batch
    forward_s = step.image_s / 3  # backward costs twice a forward pass
    num_steps = -(-len(rows.train) // batch)
    train_s = step.image_s + (step.trunk_s if runs_frozen_layers(cell, step) else 0.0)
    epoch_s = num_steps * step.fixed_s + len(rows.train) * train_s + len(rows.val) * forward_s
    once_s = (len(rows.val) + len(rows.test)) * forward_s
    scored_s = len(materials.library.rows(cell.data).test) * judge_s
    most = cell.recipe.max_epochs
    probable = min(TYPICAL_EPOCHS, most) if cell.recipe.patience else most
    trained_s = once_s + epoch_s * probable
    # Side by side, each cell has one thread for all of it; scores never had more.
    num_jobs = torch.get_num_threads()
    beside_s = trained_s * num_jobs / step.gain + scored_s
    # Weights, gradients, the optimiser's average, the best epoch's copy; and of a 7x7 layer's 49
    # taps 148 products, in 16 bits or 32.
    copies = 4 + (1.5 if cell.recipe.precision == "bf16" else 3)
    copies += sum(average != "none" for average in (cell.recipe.average, cell.recipe.beside))
    num_kept = 1 + (cell.recipe.beside != "none")
    activations = step.saved_bytes * min(batch, len(rows.train)) * 3 // 2
    memory = int(copies * step.trained_bytes) + activations
    return Cost(
        (trained_s + scored_s) / 3600,
        (once_s + epoch_s * most + scored_s) / 3600,
        memory + 1_000_000_000,
        num_kept * (step.trained_bytes + len(rows.test) * cell.size**2 // 8),
        num_jobs * (trained_s + scored_s) / beside_s,
        _say_frozen(cell, step) if runs_frozen_layers(cell, step) else "",
    )


def _say_frozen(cell: Cell, step: _Step) -> str:
    factor = (step.image_s + step.trunk_s) / step.image_s
    return (
        f"The frozen layers run in every step, as --augment {spelling.shown(cell.recipe.augment)} "
        f"gives other images each time: {factor:.1f} times as long for each as with none or flip."
    )


def _measure(cell: Cell, materials: Materials) -> _Step:
    network = materials.network(cell)
    fabric = make_fabric(cell.recipe.precision)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = make_optimizer(cell.recipe.optimizer, trained)
    module, optimizer = fabric.setup(network, optimizer)
    module.mark_forward_method("head")
    arrays = materials.shown(cell)
    images = to_image(arrays.images[:2]).to(fabric.device)
    features = network.features(images)
    trunk_s = _median_time(lambda: network.features(images))
    loss = parse_loss(cell.loss)

    is_exclusive = materials.library.dataset(cell.data).is_exclusive
    mask = torch.tensor(arrays.masks[:1]).to(fabric.device)
    valid = None if arrays.valid is None else torch.tensor(arrays.valid[:1]).to(fabric.device)

    few, more = min(FEW, cell.recipe.batch), min(MORE, cell.recipe.batch)

    def step(num: int) -> int:
        batch = tuple(t[:1].expand(num, *t.shape[1:]).contiguous() for t in features)
        target = mask.expand(num, -1, -1, -1)
        counted = None if valid is None else valid.expand(num, -1, -1)
        saved = _CountSaved()
        with saved, fabric.autocast():
            logits = module.head(batch, (cell.size, cell.size))
            values, _ = values_and_weights(loss, logits, target, counted, is_exclusive=is_exclusive)
            value = values.mean()
        fabric.backward(value)
        optimizer.step()
        optimizer.zero_grad()
        return saved.num_bytes

    few_s = _median_time(lambda: step(few))
    more_s = _median_time(lambda: step(more))
    saved = step(more)
    with _on_one_thread():
        one_thread_s = _median_time(lambda: step(more))
    gain = torch.get_num_threads() * more_s / one_thread_s
    image_s = max(more_s - few_s, 0.1 * more_s) / max(1, more - few)
    num = len(features[0])
    return _Step(
        image_s,
        max(0.0, few_s - few * image_s),
        is_frozen(network),
        trunk_s / num,
        sum(t.nbytes for t in features) // num,
        saved // more,
        _trained_bytes(network),
        gain,
    )


def _judge_s(cell: Cell, materials: Materials) -> float:
    """Seconds that all metrics of an image take on one thread, by a few test images and masks that
    are a little beside the true ones."""
    truth = materials.truths(cell) or materials.library.arrays(cell.data, cell.size).truth
    rows = materials.library.rows(cell.data).test
    times = []
    for row in [rows[0], *rows[:: -(-len(rows) // NUM_SCORED)]]:  # the first is for warmth
        masks, valid = truth(int(row))
        moved = np.roll(masks, masks.shape[-1] // 32, axis=-1)
        probs = np.where(moved, 0.9, 0.1).astype(np.float32)
        counted = None if valid is None else np.broadcast_to(valid, masks.shape)
        times.append(_time(partial(Scores.of, probs, masks, counted)))
    return statistics.fmean(times[1:])


class _CountSaved(torch.autograd.graph.saved_tensors_hooks):
    """Adds up what the backward pass keeps."""

    def __init__(self) -> None:
        self.num_bytes = 0
        super().__init__(self._count, lambda tensor: tensor)

    def _count(self, tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            self.num_bytes += tensor.nbytes
        return tensor


def _median_time(action: Callable[[], Any]) -> float:
    """Seconds that it takes once it is warm."""
    _time(action)
    times: list[float] = []
    while len(times) < NUM_TIMES and sum(times) < ENOUGH_S:
        times.append(_time(action))
    return statistics.median(times)


def _time(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


@contextmanager
def _on_one_thread() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def _trained_bytes(network: Network) -> int:
    return sum(tensor.nbytes for tensor in network.trained_state().values())
