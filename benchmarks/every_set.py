"""Every set in the layout in which it lies: check, compare --quick, predict and export.

    python benchmarks/every_set.py SETS OUT [NAME ...]

SETS is the folder of the sets, OUT keeps what the commands write and say, a folder for each set;
what is there is not done again. Prints the table of docs/results/sets.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from vesica.results import Comparison, read_findings

OPTIONS = {
    "lfw": [],
    "helen": [],
    "celebamask_as_helen": [],
    "nuclei": [],
    "membrane": [],
    "polyps": [],
    "cracks": [],
    "horses": ["--fit-masks"],
    "flood": ["--fit-masks"],
    "weeds": ["--foreground", "#ff0000"],
    "chest": ["--foreground", "heart=250"],
    "camvid": ["--foreground", "car=8"],
    "celebamask": ["--foreground", "hair=13"],
}
"""What the data leave open: which of several objects, and masks that are not their image's size."""

NUM_PREDICTED = 20
SUFFIXES = (".jpg", ".png", ".tif")
MASKS = re.compile(r"mask|label|annot|figure_ground", re.IGNORECASE)


def use(data: Path, out: Path, options: list[str]) -> None:
    """Run the four commands; each keeps what it says in a file, which is there if it ended well."""
    run, cache = out / "run", ["--cache", str(out.parent / "cache")]
    files = (path for path in sorted(data.rglob("*")) if path.suffix.lower() in SUFFIXES)
    images = [path for path in files if not MASKS.search(str(path.relative_to(data)))]
    commands = {
        "check": [data, *options, "--page", out / "check.html"],
        "compare": [data, *options, "--quick", "--out", run],
        "predict": [run, *images[:NUM_PREDICTED], "--out", out / "masks", "--overlay"],
        "export": [run, "--format", "onnx", "--out", out / "model.onnx"],
    }
    for name, arguments in commands.items():
        if (said := out / f"{name}.txt").exists():
            continue
        command = [sys.executable, "-m", "vesica", name, *map(str, arguments), *cache]
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True)
        said.write_text(done.stdout)


def row_of(name: str, out: Path) -> str:
    """What came of it."""
    findings = read_findings(out / "run")
    assert findings is not None
    (found,) = findings.groups[0].comparisons
    assert isinstance(found, Comparison)
    assert found.low is not None
    assert found.high is not None
    folds = f", {found.num_folds} folds" if found.num_folds > 1 else ""
    points = f"{100 * found.mean:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
    scores = [f"{value:.3f}" for loss in findings.groups[0].losses if (value := loss.iou_per_image)]
    (equal,) = re.findall(r"([\d.]+) % of the pixels", (out / "export.txt").read_text())
    options = f"`{' '.join(OPTIONS[name])}`" if OPTIONS[name] else "none"
    cells = [name, options, f"{found.num_images}{folds}", *scores, f"{points}, {found.verdict}"]
    return f"| {' | '.join([*cells, f'{equal} %'])} |"


def main() -> None:
    """Use every set, or those that are named, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", default=list(OPTIONS))
    given = parser.parse_args()
    for name in given.names:
        (given.out / name).mkdir(parents=True, exist_ok=True)
        use(given.sets / name, given.out / name, OPTIONS[name])
    print("| set | options | test images | BCE | IoU loss | IoU loss - BCE | ONNX, equal pixels |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name in given.names:
        print(row_of(name, given.out / name))


if __name__ == "__main__":
    main()
