"""Count the foreground of LFW Part Labels: the constants of `vesica.published.densities`.

    python benchmarks/count_foreground.py LFW_FOLDER

Labels at their stored size, read by Vesica; the test split is the paper's, the last tenth of the
names in their order.
"""

import sys
import textwrap

import numpy as np
from numpy.typing import NDArray

from vesica.data import open_dataset
from vesica.data.split import make_split

NUM_TEST = 292


def count(path: str, target: str) -> tuple[NDArray[np.int64], int]:
    """Foreground pixels of every image in the order of names, and the number of test images."""
    dataset = open_dataset(path, format="lfw", target=target)
    counts = [int(dataset.read(sample)[1].sum()) for sample in dataset.samples]
    return np.array(counts), len(make_split(dataset).test)


def main() -> None:
    """Print all constants."""
    for target in ("face", "face+hair"):
        counts, num_test = count(sys.argv[1], target)
        windows = np.convolve(counts, np.ones(num_test, dtype=np.int64), "valid")
        print(f"{target}: all {counts.sum()}, {num_test} in a row {windows.min()} {windows.max()}")
        print(textwrap.fill(" ".join(map(str, counts[-num_test:])), 96), end="\n\n")


if __name__ == "__main__":
    main()
