"""Images per second of a step of training: Keras 3, plain PyTorch, Vesica and Vesica's parts.

    python benchmarks/bench_training.py [--quick] [--markdown PATH]

First parity: Keras' networks give the losses that Vesica's give. Then every engine trains with the
IoU loss and RMSprop, all layers but the last block and the head frozen, each in a process of its
own, in turns: every round runs each engine once, a step to warm up and then steps by the clock.
The best and the median step count; memory is the most that the process ever had. One process runs
at a time and has both cores.
"""

import argparse
import json
import math
import platform
import sys
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engines.cases import compare
from engines.processes import (
    ENGINES,
    TENSORFLOW,
    TORCH,
    TRIES,
    Engine,
    Figures,
    join,
    measure,
    run_module,
)
from rich.console import Console
from rich.table import Table

NETWORKS = ("bfcn32s", "fcresnet")
PACKAGES = ("vesica", "torch", "torchvision", "keras", "tensorflow", "numpy")
NUM_CELLS, EPOCHS = 6, 93
"""Two losses with three seeds; the mean number of epochs of the paper's 32 set-ups."""
TRAIN, VAL, TEST = 1000, 100, 292
"""Images of LFW Part Labels, small split."""


def check_parity(console: Console, sizes: list[str], batch: int) -> list[dict[str, Any]]:
    """The first losses of both networks in Vesica and in Keras on both backends."""
    rows = []
    for network in NETWORKS:
        arguments = [f"--network={network}", *sizes, f"--batch={batch}"]
        vesica = run_module("parity", "vesica", *arguments)["losses"]
        for backend, environment in (("tensorflow", TENSORFLOW), ("torch", TORCH)):
            keras = run_module("parity", "keras", *arguments, environment=environment)["losses"]
            rows += [
                {"network": network, "backend": backend, **row} for row in compare(vesica, keras)
            ]
    table = Table("", "losses", "backend", "largest difference", "", title="Parity")
    for row in rows:
        first, *_, last = row["losses"]
        table.add_row(
            f"{row['network']}, {row['case']}",
            f"{first:.4f} to {last:.4f}",
            row["backend"],
            f"{row['difference']:.1e}",
            "met" if row["is_met"] else "NOT MET",
        )
    console.print(table)
    return rows


def hours_to_verdict(figures: Figures) -> float:
    """Of `compare` with two losses and three seeds on LFW, small; from measured steps.

    Without the time that reading and decoding takes, once.
    """
    step_s, forward_s, trunk_s = (
        1 / figures.images_per_s,
        figures.details["forward_s_per_image"],
        figures.details["trunk_s_per_image"],
    )
    cell_s = EPOCHS * (TRAIN * step_s + VAL * forward_s) + (VAL + TEST) * forward_s
    total_s: float = (TRAIN + VAL + TEST) * trunk_s + NUM_CELLS * cell_s
    return total_s / 3600


def print_engines(console: Console, network: str, found: dict[str, Figures]) -> None:
    """Speed and memory of every engine."""
    speeds_of_keras = [f.images_per_s for name, f in found.items() if name.startswith("keras")]
    fastest = max(speeds_of_keras, default=0.0)
    table = Table("", "images/s", "median", "times Keras", "GB", "batch", title=network)
    for name, figures in found.items():
        if figures.error:
            table.add_row(name, "failed", "", "", "", figures.error)
            continue
        speeds = f"{figures.images_per_s:.2f}", f"{figures.median_images_per_s:.2f}"
        ratio = f"{figures.images_per_s / fastest:.1f}" if fastest else ""
        table.add_row(name, *speeds, ratio, f"{figures.peak_bytes / 1e9:.1f}", str(figures.batch))
    console.print(table)


def sentences(network: str, found: dict[str, Figures], rates: dict[str, float]) -> list[str]:
    """Arithmetic against the matrix rate, and the time to a verdict."""
    lines = []
    for name in ("vesica", "vesica-without-bf16"):
        figures = found.get(name)
        if figures is None or figures.error:
            continue
        kind = "float32" if name.endswith("without-bf16") else "bfloat16"
        flop, rate = figures.details["flop_per_image"], rates[kind]
        share = flop * figures.images_per_s / rate
        lines.append(
            f"{network}, {kind}: {flop / 1e9:.1f} GFLOP of matrix products per image, at the "
            f"machine's {rate / 1e9:.0f} GFLOP/s {rate / flop:.1f} images/s; measured "
            f"{figures.images_per_s:.1f}, {100 * share:.0f} % of it. Verdict of compare on LFW, "
            f"small, 2 losses, 3 seeds, {EPOCHS} epochs: {hours_to_verdict(figures):.1f} hours."
        )
    keras = max((f.images_per_s for n, f in found.items() if n.startswith("keras")), default=0)
    if keras:
        hours = NUM_CELLS * EPOCHS * TRAIN / keras / 3600
        lines.append(f"{network}: the steps alone take Keras {hours:.0f} hours.")
    return lines


def to_markdown(document: dict[str, Any]) -> str:
    """The page of results."""
    details = document["details"]
    rates = details["matrix_rate"]
    lines = [
        "# Images per second of a step of training",
        "",
        f"{details['size']}x{details['size']} pixels, width {details['width']}, IoU loss, RMSprop, "
        "all frozen but the last block and the head, random images. Best and "
        f"median step; rounds: {details['rounds']}, each of at least 12 seconds, each "
        f"engine in its own process, in turns, on {details['machine']}, "
        f"{details['threads']} threads; "
        + ", ".join(f"{name} {number}" for name, number in details["versions"].items())
        + f". This machine multiplies matrices at {rates['float32'] / 1e9:.0f} GFLOP/s in float32 "
        f"and {rates['bfloat16'] / 1e9:.0f} in bfloat16. `make bench-training` makes this page.",
        "",
    ]
    for network in details["engines"]:
        found = details["engines"][network] | details["tries"].get(network, {})
        fastest = max((found[k]["images_per_s"] for k in found if k.startswith("keras")), default=0)
        lines += [
            f"## {network}",
            "",
            "| | images/s | median | times Keras | memory, GB | batch |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for name, row in found.items():
            if row["error"]:
                lines.append(f"| {name} | failed | | | | {row['batch']} |")
                continue
            ratio = row["images_per_s"] / (fastest or math.nan)
            lines.append(
                f"| {name} | {row['images_per_s']:.2f} | {row['median_images_per_s']:.2f} | "
                f"{ratio:.1f} | {row['peak_bytes'] / 1e9:.1f} | "
                f"{row['batch']} |"
            )
        lines += ["", *details["sentences"][network], ""]
    if details["parity"]:
        lines += [
            "## Parity",
            "",
            "Same weights, same batches, float32, direct convolutions, five steps. Keras 3 adds "
            "RMSprop's epsilon inside the root, PyTorch outside: with it inside the losses are the "
            "same, with PyTorch's own they must differ.",
            "",
            "| | backend | largest relative difference | |",
            "| --- | --- | ---: | --- |",
        ]
        lines += [
            f"| {row['network']}, {row['case']} | {row['backend']} | {row['difference']:.1e} | "
            f"{'met' if row['is_met'] else '**not met**'} |"
            for row in details["parity"]
        ]
    return "\n".join([*lines, ""])


def cpu_name() -> str:
    """As the system names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1, help="by the clock, per round, at least")
    parser.add_argument("--engines", default=",".join(ENGINES), help="of: " + ", ".join(ENGINES))
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--batch", type=int, help="for every engine")
    parser.add_argument("--no-parity", action="store_true")
    parser.add_argument(
        "--tries",
        nargs="?",
        const="",
        help="other ways to run Keras, once each; with a word, those whose names begin with it",
    )
    parser.add_argument("--json", type=Path, default=Path("build/bench/training.json"))
    parser.add_argument("--markdown", type=Path)
    return parser.parse_args()


def main() -> None:
    """Run, print, and write build/bench/training.json."""
    args = parse_arguments()
    console = Console()
    size, width = (64, 32) if args.quick else (224, 4096)
    rounds, steps = (1, 1) if args.quick else (args.rounds, args.steps)
    sizes = [f"--size={size}", f"--width={width}"]
    # Wide layers would make rounding larger than the tolerance, and Keras slow.
    narrow = [f"--size={size}", f"--width={min(width, 256)}"]
    parity = [] if args.no_parity else check_parity(console, narrow, 4 if args.quick else 2)
    rates = run_module("matrix_rate")
    console.print(
        f"Matrix products of 2048: {rates['float32'] / 1e9:.0f} GFLOP/s in float32, "
        f"{rates['bfloat16'] / 1e9:.0f} in bfloat16"
    )

    def run(name: str, engine: Engine, network: str) -> Figures:
        batch = args.batch or (4 if args.quick else engine.batch)
        figures = measure(replace(engine, batch=batch), network, sizes, steps)
        words = figures.error or f"{figures.images_per_s:.2f} images/s"
        console.print(f"  {network}, {name}: {words}", style="dim", highlight=False)
        return figures

    chosen, networks = args.engines.split(","), args.networks.split(",")
    turns: dict[str, dict[str, list[Figures]]] = {
        network: {name: [] for name in chosen} for network in networks
    }
    for _ in range(rounds):
        for network in networks:
            for name in chosen:
                turns[network][name].append(run(name, ENGINES[name], network))
    found = {
        network: {name: join(figures) for name, figures in by_name.items()}
        for network, by_name in turns.items()
    }
    tried = [name for name in TRIES if args.tries is not None and name.startswith(args.tries)]
    tries = {
        network: {name: run(name, TRIES[name], network) for name in tried} for network in networks
    }
    for network, by_name in found.items():
        print_engines(console, network, by_name | tries.get(network, {}))
    document: dict[str, Any] = {
        network: {name: round(f.images_per_s, 3) for name, f in by_name.items()}
        for network, by_name in found.items()
    }
    details: dict[str, Any] = {
        "machine": cpu_name(),
        "threads": 2,
        "versions": {name: version(name) for name in PACKAGES},
        "size": size,
        "width": width,
        "rounds": rounds,
        "steps": steps,
        "matrix_rate": rates,
        "parity": parity,
        "engines": {n: {k: asdict(f) for k, f in by_name.items()} for n, by_name in found.items()},
        "tries": {n: {k: asdict(f) for k, f in by_name.items()} for n, by_name in tries.items()},
        # Of tiny sizes, hours to a verdict would say nothing.
        "sentences": {
            n: [] if args.quick else sentences(n, by_name | tries.get(n, {}), rates)
            for n, by_name in found.items()
        },
    }
    for line in (line for lines in details["sentences"].values() for line in lines):
        console.print(line)
    write_json(args.json, document)
    write_json(args.json.with_name(f"{args.json.stem}-details.json"), details)
    if args.markdown:
        args.markdown.parent.mkdir(parents=True, exist_ok=True)
        page = to_markdown({**document, "details": details})
        args.markdown.write_text(page, encoding="utf-8")
    console.print(f"{args.json}")
    if not all(row["is_met"] for row in parity):
        sys.exit("Keras' networks are not Vesica's: see the table of parity")


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a file, and its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
