"""Count the foreground of LFW Part Labels: `foreground.csv`, and constants of `soft_iou.py`.

    python benchmarks/count_foreground.py LFW_FOLDER src/vesica/paper/foreground.csv

Labels at their stored size, read by Vesica; the test split is the paper's, the last tenth of the
names in their order.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesica.data import open_dataset
from vesica.data.split import make_split
from vesica.results import write_table

TARGETS = ("face", "face+hair")


def count(path: str, target: str) -> tuple[NDArray[np.int64], int]:
    """Foreground pixels of every image in the order of names, and the number of test images."""
    dataset = open_dataset(path, format="lfw", target=target)
    counts = [int(dataset.read(sample)[1].sum()) for sample in dataset.samples]
    return np.array(counts), len(make_split(dataset).test)


def main() -> None:
    """Write the test images' counts, and print the least and the most of as many in a row."""
    columns = []
    for target in TARGETS:
        counts, num_test = count(sys.argv[1], target)
        windows = np.convolve(counts, np.ones(num_test, dtype=np.int64), "valid")
        print(f"{target}: {num_test} in a row have {windows.min()} to {windows.max()} pixels")
        columns.append(counts[-num_test:].tolist())
    write_table(Path(sys.argv[2]), TARGETS, zip(*columns, strict=True))


if __name__ == "__main__":
    main()
