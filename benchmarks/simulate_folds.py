"""Does the verdict over folds keep its level? Prints Markdown tables.

    python benchmarks/simulate_folds.py [replicates]

Nothing here is drawn from the model that the interval assumes: small networks are really trained,
on K overlapping training sets of each data set, with S seeds, by cross-entropy and by soft IoU. The
truth is the mean difference of IoU over fresh training sets of that size, seeds and images.

An image is a row of pixels: noise, a brightness of its own in each channel, and an object of its
own contrast. A network is one hidden layer of tanh, shared by all pixels, trained by RMSprop.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student_t

from vesica.statistics import LEVEL
from vesica.statistics.folds import mean_squares_over_folds
from vesica.statistics.interval import half_width, mean_squares, skewness_factor

Array = NDArray[np.float64]
Pixels = NDArray[np.float32]

ALPHA = 1 - LEVEL
NUM_REPLICATES = 1000
CHUNK = 20
NUM_PIXELS, NUM_HIDDEN, NUM_LOSSES = 12, 4, 2
TRUTH_TEST_UNITS = 40
TRUTH_CHUNK, TRUTH_SHARE = 200, 5
"""Fresh training sets drawn at once, and for each replicate."""


@dataclass(frozen=True)
class Regime:
    """Data, networks and folds.

    Attributes:
        name: For the table.
        num_units: Images, or groups of them.
        folds: How many.
        seeds: Networks for each loss and fold.
        group_size: Images of a group, which share brightness and contrast.
        num_channels: The object is in two of them; the last is constant.
        brightness: Standard deviation of an image's own brightness, where a pixel's noise has 1.
        outliers: Share of images whose object is darker than the rest instead of brighter.
        steps: Of training.
        batch: Images of a step.
        lr: Learning rate.
        is_null: Compare cross-entropy with itself under other seeds.
        shares_seeds: Networks of one seed start alike in all folds, as if folds had no own stream.
    """

    name: str
    num_units: int = 60
    folds: int = 5
    seeds: int = 3
    group_size: int = 1
    num_channels: int = 6
    brightness: float = 1.0
    outliers: float = 0.0
    steps: int = 40
    batch: int = 8
    lr: float = 0.08
    is_null: bool = False
    shares_seeds: bool = False

    @property
    def units_of_fold(self) -> int:
        """Tested together."""
        return self.num_units // self.folds


@dataclass(frozen=True)
class Network:
    """Weights of many networks at once, both losses side by side; leading axes are whose they are.

    Attributes:
        hidden: Shape (..., channels, losses * hidden).
        out: Shape (..., losses * hidden).
        bias: Shape (..., losses).
    """

    hidden: Pixels
    out: Pixels
    bias: Pixels


def draw_images(
    rng: np.random.Generator, regime: Regime, num_sets: int, num_units: int
) -> tuple[Pixels, Pixels]:
    """Pixels of shape (sets, images, pixels, channels) and masks of 0 and 1 without channels."""
    group_shape = (num_sets, num_units, 1)
    contrast = 1.5 + 0.75 * rng.standard_normal(group_shape)
    contrast = np.where(rng.random(group_shape) < regime.outliers, -contrast, contrast)
    brightness = regime.brightness * rng.standard_normal((*group_shape, regime.num_channels))
    shape = num_sets, num_units * regime.group_size
    length = rng.integers(2, NUM_PIXELS // 2 + 1, shape)
    start = rng.integers(0, NUM_PIXELS - length + 1)
    place = np.arange(NUM_PIXELS)
    mask = (place >= start[..., None]) & (place < (start + length)[..., None])
    image = rng.standard_normal((*shape, NUM_PIXELS, regime.num_channels), dtype=np.float32)
    image += np.repeat(brightness, regime.group_size, 2).reshape(*shape, 1, -1).astype(np.float32)
    signal = np.repeat(contrast, regime.group_size, 2).reshape(*shape, 1) * mask
    image[..., 0] += signal
    image[..., 1] -= 0.5 * signal
    image[..., -1] = 1
    return image, mask.astype(np.float32)


def forward(network: Network, image: Pixels) -> tuple[Pixels, Pixels]:
    """Activations of shape (..., pixels, losses, hidden) and logits of (..., pixels, losses)."""
    hidden: Pixels = np.tanh(image @ network.hidden)
    hidden = hidden.reshape(*hidden.shape[:-1], NUM_LOSSES, NUM_HIDDEN)
    out = network.out.reshape(*network.out.shape[:-1], 1, NUM_LOSSES, NUM_HIDDEN)
    logits: Pixels = np.einsum("...h,...h->...", hidden, out) + network.bias[..., None, :]
    return hidden, logits


def loss_gradient(logits: Pixels, mask: Pixels) -> Pixels:
    """Of cross-entropy and of soft IoU by the logits, shape (..., pixels, losses)."""
    probs = 1 / (1 + np.exp(-logits))
    gradient = np.empty_like(logits)
    gradient[..., 0] = (probs[..., 0] - mask) * (4 / NUM_PIXELS)
    soft = probs[..., 1]
    intersection = (soft * mask).sum(-1, keepdims=True)
    union = soft.sum(-1, keepdims=True) + mask.sum(-1, keepdims=True) - intersection
    by_probs = (intersection * (1 - mask) - mask * union) / union**2
    gradient[..., 1] = by_probs * soft * (1 - soft)
    return gradient


def train(
    rng: np.random.Generator,
    regime: Regime,
    image: Pixels,
    mask: Pixels,
    rows: NDArray[np.intp],
    num_seeds: int,
) -> Network:
    """Networks of every data set, fold and seed; both losses start alike and see the same batches.

    Args:
        rng: Source of initial weights and batches.
        regime: How to train.
        image: Shape (sets, images, pixels, channels).
        mask: The same without channels.
        rows: Training images of each fold, shape (folds, images).
        num_seeds: Networks for each set and fold.
    """
    whose = len(image), len(rows), num_seeds
    own = (whose[0], 1, num_seeds) if regime.shares_seeds else whose

    def draw(*shape: int) -> Pixels:
        drawn = 0.5 * rng.standard_normal((*own, *shape, NUM_HIDDEN), dtype=np.float32)
        one = np.broadcast_to(drawn, (*whose, *shape, NUM_HIDDEN))
        return np.concatenate([one] * NUM_LOSSES, -1)

    bias = np.zeros((*whose, NUM_LOSSES), np.float32)
    network = Network(draw(image.shape[-1]), draw(), bias)
    weights = network.hidden, network.out, network.bias
    squares = [np.zeros_like(values) for values in weights]
    sets, folds = np.arange(len(image))[:, None, None, None], np.arange(len(rows))[:, None, None]
    for _ in range(regime.steps):
        picked = rng.integers(0, rows.shape[1], (*own, regime.batch))
        chosen = rows[folds, np.broadcast_to(picked, (*whose, regime.batch))]
        batch = image[sets, chosen].reshape(*whose, -1, image.shape[-1])
        hidden, logits = forward(network, batch)
        by_image = logits.reshape(*whose, regime.batch, NUM_PIXELS, NUM_LOSSES)
        by_logit = loss_gradient(by_image, mask[sets, chosen]) / regime.batch
        by_logit = by_logit.reshape(logits.shape)
        out = network.out.reshape(*whose, 1, NUM_LOSSES, NUM_HIDDEN)
        back = (by_logit[..., None] * out * (1 - hidden**2)).reshape(*whose, batch.shape[-2], -1)
        gradients = (
            batch.swapaxes(-1, -2) @ back,
            np.einsum("...pl,...plh->...lh", by_logit, hidden).reshape(network.out.shape),
            by_logit.sum(-2),
        )
        for values, square, gradient in zip(weights, squares, gradients, strict=True):
            square += 0.1 * (gradient**2 - square)
            values -= regime.lr * gradient / (np.sqrt(square) + 1e-3)
    return network


def score(network: Network, image: Pixels, mask: Pixels, regime: Regime) -> Array:
    """IoU of soft IoU's masks minus that of cross-entropy's; the latter alone where it is null.

    Args:
        network: For each set, fold and seed.
        image: Those that each fold tests, shape (sets, folds, images, pixels, channels).
        mask: The same without channels.
        regime: Says what is compared.

    Returns:
        Means of groups, shape (sets, folds, seeds, units).
    """
    flat = image.reshape(*image.shape[:2], 1, -1, image.shape[-1])
    logits = forward(network, flat)[1]
    pred = logits.reshape(*logits.shape[:3], -1, NUM_PIXELS, NUM_LOSSES) > 0
    target = mask[:, :, None, ..., None] > 0
    iou = (pred & target).sum(-2) / (pred | target).sum(-2)
    value = iou[..., 0] if regime.is_null else iou[..., 1] - iou[..., 0]
    return np.asarray(value.reshape(*value.shape[:3], -1, regime.group_size).mean(-1))


def draw_tables(rng: np.random.Generator, regime: Regime, num_sets: int) -> Array:
    """Differences, shape (sets, seeds, units); each fold's units stand together."""
    num_seeds = regime.seeds * (2 if regime.is_null else 1)
    image, mask = draw_images(rng, regime, num_sets, regime.num_units)
    fold = np.repeat(np.arange(regime.folds), regime.units_of_fold * regime.group_size)
    rows = np.array([np.flatnonzero(fold != number) for number in range(regime.folds)])
    network = train(rng, regime, image, mask, rows, num_seeds)
    by_fold = num_sets, regime.folds, -1
    found = score(
        network,
        image.reshape(*by_fold, *image.shape[2:]),
        mask.reshape(*by_fold, NUM_PIXELS),
        regime,
    )
    if regime.is_null:
        found = found[:, :, : regime.seeds] - found[:, :, regime.seeds :]
    return found.swapaxes(1, 2).reshape(num_sets, regime.seeds, regime.num_units)


def true_difference(rng: np.random.Generator, regime: Regime, num_sets: int) -> tuple[float, float]:
    """On fresh images, of networks trained on fresh sets of a fold's size; with standard error."""
    if regime.is_null:
        return 0.0, 0.0
    means = []
    for _ in range(max(num_sets // TRUTH_CHUNK, 1)):
        num_train = regime.num_units - regime.units_of_fold
        image, mask = draw_images(rng, regime, TRUTH_CHUNK, num_train)
        rows = np.arange(image.shape[1])[None]
        network = train(rng, regime, image, mask, rows, 1)
        image, mask = draw_images(rng, regime, TRUTH_CHUNK, TRUTH_TEST_UNITS)
        means.append(score(network, image[:, None], mask[:, None], regime).mean(axis=(1, 2, 3)))
    values = np.concatenate(means)
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


@dataclass(frozen=True)
class Tables:
    """Differences of many replicates, and their mean squares within and between folds.

    Attributes:
        difference: Shape (replicates, seeds, units).
        folds: Equal in units, which stand together.
        run: Of seeds within folds.
        unit: Of units within folds.
        residual: Of what is left within folds.
        fold: Of the means of folds.
    """

    difference: Array
    folds: int
    run: Array
    unit: Array
    residual: Array
    fold: Array

    @classmethod
    def of(cls, difference: Array, folds: int) -> "Tables":
        """The nested analysis of variance of every table."""
        num, num_seeds, num_units = difference.shape
        by_fold = difference.reshape(num, num_seeds, folds, -1)
        within = mean_squares(by_fold.swapaxes(1, 2))
        means = by_fold.mean(axis=(1, 3))
        between = num_seeds * num_units / folds * means.var(axis=-1, ddof=1)
        return cls(
            difference,
            folds,
            within.seed.mean(axis=-1),
            within.unit.mean(axis=-1),
            within.residual.mean(axis=-1),
            between,
        )

    @property
    def size(self) -> int:
        """Differences of a table."""
        return int(np.prod(self.difference.shape[1:]))

    def half(self, runs: float, units: float, folds: float = 0.0) -> Array:
        """Half-width of terms for runs, units and folds, each times its own squared t."""
        num_seeds, num_units = self.difference.shape[1:]
        df_run, df_unit = self.folds * (num_seeds - 1), num_units - self.folds
        run = skewness_factor(df_run + 1, ALPHA) * self.run - self.residual
        unit = skewness_factor(num_units, ALPHA) * self.unit
        fold = self.fold - self.unit - self.run + self.residual
        numerator = (
            runs * squared_t(df_run) * np.maximum(run, 0)
            + units * squared_t(df_unit) * unit
            + folds * squared_t(self.folds - 1) * np.maximum(fold, 0)
        )
        return np.asarray(np.sqrt(numerator / self.size))


def squared_t(df: float) -> float:
    """Of the two-sided quantile."""
    return float(student_t.isf(ALPHA / 2, df)) ** 2


def overlap(folds: int) -> float:
    """Nadeau and Bengio's 1 / K + n_test / n_train, in parts of 1 / K."""
    return 1 + folds / (folds - 1)


def vesica_half_width(tables: Tables) -> Array:
    """As `vesica.statistics.compare` does it."""
    fold = np.repeat(np.arange(tables.folds), tables.difference.shape[2] // tables.folds)
    return half_width(mean_squares_over_folds(tables.difference, fold), ALPHA)


def nadeau_bengio_half_width(tables: Tables) -> Array:
    """Of the means of folds, all seeds averaged: K - 1 degrees of freedom."""
    factor = squared_t(tables.folds - 1) * overlap(tables.folds)
    return np.asarray(np.sqrt(factor * tables.fold / tables.size))


def fold_t_test_half_width(tables: Tables) -> Array:
    """Of the means of folds, as if they were independent."""
    return np.asarray(np.sqrt(squared_t(tables.folds - 1) * tables.fold / tables.size))


def bayle_half_width(tables: Tables) -> Array:
    """Bayle et al. 2020: normal, by the variance of images within folds."""
    return np.asarray(norm.isf(ALPHA / 2) * np.sqrt(tables.unit / tables.size))


METHODS: dict[str, Callable[[Tables], Array]] = {
    "vesica": vesica_half_width,
    "Nadeau-Bengio": nadeau_bengio_half_width,
    "overlap 1.5": lambda tables: tables.half(1, 1.5),
    "no overlap": lambda tables: tables.half(1, 1),
    "fold term": lambda tables: tables.half(1, 1, overlap(tables.folds)),
    "folds ignored": lambda tables: half_width(mean_squares(tables.difference), ALPHA),
    "fold t-test": fold_t_test_half_width,
    "Bayle": bayle_half_width,
}

PLAIN = Regime("plain")
ODD = Regime("training sets vary", outliers=0.3, steps=60)
"""Three images in ten whose object is darker: what a network learns hangs on its training set."""
ROUGH = Regime("runs vary", steps=12, batch=2, lr=0.2)
"""Trained so briefly and roughly that every run is another."""

REGIMES = (
    PLAIN,
    replace(PLAIN, folds=10),
    replace(PLAIN, num_units=120, seeds=5),
    Regime("images vary", brightness=2.0, steps=80),
    Regime("losses alike", brightness=0.0, steps=25, batch=16, lr=0.05),
    ROUGH,
    replace(ROUGH, num_units=30, folds=3),
    replace(ROUGH, name="null", is_null=True),
    replace(ODD, num_units=15),
    replace(ODD, num_units=30, folds=3),
    replace(ODD, num_units=30),
    replace(ODD, num_units=30, folds=10),
    replace(ODD, batch=16),
    replace(ODD, num_units=120, seeds=5),
    replace(ODD, name="groups of 3", num_units=30, group_size=3),
    replace(PLAIN, name="two seeds", seeds=2),
    replace(ROUGH, name="two seeds, runs vary", seeds=2),
    replace(ROUGH, name="two seeds, runs vary", num_units=30, folds=3, seeds=2),
    replace(ODD, num_units=240, steps=40),
    replace(ODD, name="training sets decide", outliers=0.4, steps=40),
    replace(ROUGH, name="seeds shared by folds", shares_seeds=True),
)


def print_regime(rng: np.random.Generator, regime: Regime, num_replicates: int) -> None:
    """A line: the truth, what the variance of the mean is made of, misses and half-widths."""
    chunks = [draw_tables(rng, regime, CHUNK) for _ in range(max(num_replicates // CHUNK, 1))]
    tables = Tables.of(np.concatenate(chunks), regime.folds)
    mean = tables.difference.mean(axis=(1, 2))
    truth, error = true_difference(rng, regime, TRUTH_SHARE * len(mean))
    run = (tables.run - tables.residual).mean() / tables.size / mean.var()
    unit = tables.unit.mean() / tables.size / mean.var()
    cells = [
        regime.name,
        f"{regime.num_units} / {regime.folds} / {regime.seeds}",
        f"{100 * truth:.1f} ± {100 * error:.1f}",
        f"{100 * run:.0f} / {100 * unit:.0f} / {100 * (1 - run - unit):.0f}",
    ]
    for method in METHODS.values():
        half = method(tables)
        cells.append(f"{np.mean(np.abs(mean - truth) > half):.3f} ({100 * half.mean():.1f})")
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    num_replicates = int(sys.argv[1]) if len(sys.argv) > 1 else NUM_REPLICATES
    print("Misses of the true difference at 95 %, and mean half-widths in points of IoU.")
    print(f"Standard error of a miss rate of 0.05: {(0.0475 / num_replicates) ** 0.5:.3f}.\n")
    print(
        "| varies most | units / folds / seeds | truth | runs / units / training sets, % | ", end=""
    )
    print(" | ".join(METHODS) + " |")
    print("|---" * (4 + len(METHODS)) + "|")
    generator = np.random.default_rng(0)
    for regime in REGIMES:
        print_regime(generator, regime, num_replicates)
