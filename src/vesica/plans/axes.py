"""In what a run may grow that is about several data sets, or several networks."""

from vesica.plan import Axis

BY_DATA = Axis(
    ("fingerprint", "format", "target", "foreground"),
    (
        *("ignore", "fit_masks", "as_stored", "depth", "group", "images", "masks"),
        *("skip_unpaired", "split", "train", "val", "split_seed", "division", "folds"),
        *("size", "batch", "long_side"),
    ),
)
"""Data sets may be added, each with what follows from its images."""

BY_NETWORK = Axis(("model",), ("weights", "weights_digest", "optimizer"))
"""Networks may be added, each with its weights and rate."""
