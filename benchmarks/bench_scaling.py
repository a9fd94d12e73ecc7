"""Growth of time, memory and disk with the number of images.

    python benchmarks/bench_scaling.py [--num 1000,10000,100000] [--markdown PATH]

`vesica compare` trains one epoch on generated images of 64 pixels, width 64, with a cache that is
empty before. Each number of images has a process of its own. Memory that belongs to the process
alone (anonymous) must stay flat; mapped files may fill what memory is free, and the peak counts
their pages too.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

COMMAND = (
    "compare generated:num={num}:size=64 --losses iou --seeds 1 --epochs 1 --size 64 --width 64 "
    "--weights none --freeze paper --precision auto --model {model}"
)
POLL_S = 0.2
COLUMNS = (
    "images",
    "s",
    "ms per image",
    "private, MB",
    "peak, MB",
    "cache, MB",
    "cache per image, kB",
)


@dataclass(frozen=True)
class Run:
    """One number of images.

    Attributes:
        num: Images.
        time_s: Of the whole command.
        private_bytes: The most anonymous memory it was seen with.
        peak_bytes: The most memory it ever had, pages of mapped files included.
        cache_bytes: Decoded images and the frozen layers' output, on disk.
    """

    num: int
    time_s: float
    private_bytes: int
    peak_bytes: int
    cache_bytes: int

    def row(self) -> list[str]:
        """As the table shows it."""
        return [
            f"{self.num:,}",
            f"{self.time_s:.0f}",
            f"{1000 * self.time_s / self.num:.2f}",
            f"{self.private_bytes / 1e6:.0f}",
            f"{self.peak_bytes / 1e6:.0f}",
            f"{self.cache_bytes / 1e6:.0f}",
            f"{self.cache_bytes / 1e3 / self.num:.1f}",
        ]


def measure(num: int, model: str) -> Run:
    """Run the command once, in folders of its own."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        words = COMMAND.format(num=num, model=model).split()
        places = [f"--cache={cache}", f"--out={folder}/run"]
        started = time.perf_counter()
        with (Path(folder) / "output").open("w+") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "vesica", *words, *places], stdout=output, stderr=output
            )
            private = peak = 0
            while process.poll() is None:
                private = max(private, memory(process.pid, "RssAnon"))
                peak = max(peak, memory(process.pid, "VmHWM"))
                time.sleep(POLL_S)
            if process.returncode:
                output.seek(0)
                sys.exit(f"vesica {' '.join(words)} failed:\n{output.read()[-2000:]}")
        time_s = time.perf_counter() - started
        files = (path for path in cache.rglob("*") if path.is_file())
        cache_bytes = sum(512 * path.stat().st_blocks for path in files)
        return Run(num, time_s, private, peak, cache_bytes)


def memory(pid: int, key: str) -> int:
    """A figure of a running process, in bytes; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def to_markdown(runs: list[Run], model: str) -> str:
    """The page of results."""
    lines = [
        "# Growth with the number of images",
        "",
        f"`vesica {COMMAND.format(num='NUM', model=model)}`, from an empty cache, on "
        f"{os.cpu_count()} cores, Python {platform.python_version()}. Private memory is the "
        "process's own; the peak counts pages of mapped files too, which the system takes back "
        "when it needs them. `make bench-training` makes this page.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + " ---: |" * len(COLUMNS),
    ]
    return "\n".join([*lines, *("| " + " | ".join(run.row()) + " |" for run in runs), ""])


def main() -> None:
    """Run, print, and write build/bench/scaling.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num", default="1000,10000,100000", help="numbers of images, by comma")
    parser.add_argument("--model", default="bfcn32s")
    parser.add_argument("--json", type=Path, default=Path("build/bench/scaling.json"))
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    console, runs = Console(), []
    for num in map(int, args.num.split(",")):
        runs.append(measure(num, args.model))
        console.print("  ".join(map("{}: {}".format, COLUMNS, runs[-1].row())), style="dim")
    table = Table(*COLUMNS, title=f"One epoch of {args.model}, 64 pixels, width 64")
    for run in runs:
        table.add_row(*run.row())
    console.print(table)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    document = {"model": args.model, "runs": [asdict(run) for run in runs]}
    args.json.write_text(json.dumps(document, indent=1), encoding="utf-8")
    if args.markdown:
        args.markdown.parent.mkdir(parents=True, exist_ok=True)
        args.markdown.write_text(to_markdown(runs, args.model), encoding="utf-8")


if __name__ == "__main__":
    main()
