"""Copy what a run measured to where others may read it: no image, no mask, no weights, no path.

    python benchmarks/publish_run.py RUN TARGET [--histograms]

Copied are the plan, its looks, the tables, and of each finished cell its settings, result, history
and per-image scores; with --histograms those of its probabilities, too, which calibration and
thresholds are told from. Files and folders of images are called by their last name, and the run by
TARGET. The command of its page, with TARGET as --out, goes on from there: only missing cells are
trained.
"""

import argparse
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from vesica.files import write_text
from vesica.results import BESIDE

OF_RUN = (
    "plan.json",
    "looks.json",
    "results.*",
    "losses.*",
    "architectures.*",
    "paper.*",
    "sparsity*",
)
TEXTS = (".json", ".csv", ".md")
OF_CELL = ("cell.json", "result.json", "history.csv", "scores.csv")
HISTOGRAMS = "histograms.npz"
FOLDERS = re.compile(r"(?<![\w./])(?:/[\w.+-]+)+/(?=[\w.+-])")
"""What stands before the last name of an absolute path."""
CACHE = re.compile(r" --cache [^\s\"`]+")
"""An option of commands that changes nothing but time."""


def publish(run: Path, target: Path, *, with_histograms: bool = False) -> list[Path]:
    """Copy what is there, over what was copied before; the copies, with paths left out."""
    # A name without a folder may be any word: it is the run's behind --out alone.
    own = rf"(?<![\w./-]){re.escape(str(run))}(?![\w.-])" if run.parent.name else r"(?!)"
    out = rf"(?<=--out ){re.escape(run.name)}(?![\w./-])"
    copies = []
    for file in files_of(run, with_histograms=with_histograms):
        copies.append(target / file.relative_to(run))
        if file.suffix not in TEXTS:
            copies[-1].parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copies[-1])
            continue
        text = file.read_text(encoding="utf-8")
        text = re.sub(f"{own}|{out}", str(target), CACHE.sub("", text))
        write_text(copies[-1], FOLDERS.sub("", text))
    return copies


def files_of(run: Path, *, with_histograms: bool) -> Iterator[Path]:
    """What may be published; a cell without a result is not finished."""
    folders = [path.parent for path in sorted((run / "cells").glob("*/result.json"))]
    folders += [folder / BESIDE for folder in folders if (folder / BESIDE).exists()]
    tables = [path for name in OF_RUN for path in sorted(run.glob(name)) if path.suffix in TEXTS]
    names = (*OF_CELL, HISTOGRAMS) if with_histograms else OF_CELL
    wanted = [folder / name for folder in folders for name in names]
    return (path for path in (*tables, *wanted) if path.exists())


def main() -> None:
    """Copy, and say how much."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--histograms", action="store_true")
    args = parser.parse_args()
    copies = publish(args.run, args.target, with_histograms=args.histograms)
    num_cells = sum(path.name == "result.json" and path.parent.name != BESIDE for path in copies)
    num_bytes = sum(path.stat().st_size for path in copies)
    print(f"{args.target}: {num_cells} cells, {num_bytes / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
