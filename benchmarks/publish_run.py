"""Copy what a run measured to where others may read it: no image, no mask, no weights, no path.

    python benchmarks/publish_run.py RUN TARGET

Copied are the plan, the tables, and of each finished cell its settings, result, history and
per-image scores. Folders of images are called by their last name, and the run by TARGET. The
command of its page, with TARGET as --out, goes on from there: only missing cells are trained.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from vesica.files import write_text
from vesica.results import read_plan

OF_RUN = ("plan.json", "results.json", "results.csv", "paper.md", "paper.csv")
OF_CELL = ("cell.json", "result.json", "history.csv", "scores.csv")


def publish(run: Path, target: Path) -> list[Path]:
    """Copy what is there, over what was copied before; the copies, with paths left out."""
    names = {cell.data.path: Path(cell.data.path).name for cell in read_plan(run).cells}
    names |= {str(run): str(target), f"--out {run.name}": f"--out {target}"}
    copies = []
    for file in files_of(run):
        text = file.read_text(encoding="utf-8")
        for path, name in names.items():
            text = text.replace(path, name)
        copies.append(target / file.relative_to(run))
        write_text(copies[-1], text)
    return copies


def files_of(run: Path) -> Iterator[Path]:
    """What may be published; a cell without a result is not finished."""
    folders = [path.parent for path in sorted((run / "cells").glob("*/result.json"))]
    wanted = [run / name for name in OF_RUN]
    wanted += [folder / name for folder in folders for name in OF_CELL]
    return (path for path in wanted if path.exists())


def main() -> None:
    """Copy, and say how much."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    copies = publish(args.run, args.target)
    num_cells = sum(path.name == "result.json" for path in copies)
    num_bytes = sum(path.stat().st_size for path in copies)
    print(f"{args.target}: {num_cells} cells, {num_bytes / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
