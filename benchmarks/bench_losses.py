"""Time and memory of the losses, forward and backward, beside other libraries.

    python benchmarks/bench_losses.py [--quick] [--markdown PATH]

Everything runs in one process on two threads, in turns: every round runs each candidate twice and
times the second, which finds memory as it does in training; the best of seven rounds counts. The
floor is a copy of the logits. Memory is the most that PyTorch's allocator has given out at once
during a call, in multiples of the logits, the gradient included; it is read from the profiler in a
call of its own.
"""

import argparse
import itertools
import json
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from vesica.losses import IoULoss, LossModule, iou_loss

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import segmentation_models_pytorch as smp
    from kornia.losses import lovasz_hinge_loss as kornia_lovasz
    from monai.losses import DiceLoss as MonaiDice

SIZES = [(100, 224, 224), (8, 1024, 1024), (1, 4096, 4096)]
QUICK_SIZES = [(4, 64, 64), (2, 96, 96), (1, 128, 128)]
PEERS = ("torch", "kornia", "monai", "segmentation-models-pytorch")
Step = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """One candidate's figures at one size, type and kind of logits."""

    size: str
    dtype: str
    logits: str
    name: str
    time_ms: float
    ratio_to_copy: float
    memory_ratio: float


@dataclass(frozen=True)
class Floor:
    """One thing that is required, and whether it was reached."""

    text: str
    measured: float
    required: str
    is_met: bool


def five_lines(logits: Tensor, target: Tensor) -> Tensor:
    """What people write by hand."""
    probs = logits.sigmoid()
    axes = tuple(range(1, logits.ndim))
    intersection = (probs * target).sum(axes)
    union = probs.sum(axes) + target.sum(axes) - intersection
    return (1 - intersection / union).mean()


def candidates() -> dict[str, Step]:
    """Each library as its users call it."""
    ours = {
        "vesica bce": LossModule("bce"),
        "vesica iou": IoULoss(),
        "vesica lovasz": LossModule("lovasz_hinge"),
        "vesica lovasz 16 bits": LossModule("lovasz_hinge:bits=16"),
        "vesica lovasz 19 bits": LossModule("lovasz_hinge:bits=19"),
    }
    return {
        **ours,
        "vesica iou, bool target": lambda x, t: ours["vesica iou"](x, t),
        "vesica iou, compiled": torch.compile(lambda x, t: iou_loss(x, t).mean(), dynamic=False),
        "five lines, compiled": torch.compile(five_lines, dynamic=False),
        "torch bce": functional.binary_cross_entropy_with_logits,
        "smp jaccard": smp.losses.JaccardLoss("binary"),
        "monai jaccard": MonaiDice(sigmoid=True, jaccard=True),
        "smp lovasz": smp.losses.LovaszLoss("binary"),
        "kornia lovasz": lambda x, t: kornia_lovasz(x, t[:, 0].long()),
    }


def draw(size: tuple[int, ...], kind: str) -> tuple[Tensor, Tensor]:
    """A smooth blob of about a quarter of each image; logits that know it, or do not."""
    generator = torch.Generator().manual_seed(0)
    num, *pixels = size

    def smooth(cells: int) -> Tensor:
        coarse = torch.randn((num, 1, cells, cells), generator=generator)
        return functional.interpolate(coarse, size=pixels, mode="bilinear")

    target = (smooth(8) > 0.4).float()
    if kind == "initial":
        return 0.05 * torch.randn((num, 1, *pixels), generator=generator), target
    return 6 * (2 * target - 1) + 3 * smooth(pixels[0] // 8), target


def one_step(step: Step, logits: Tensor, target: Tensor) -> None:
    """Forward and backward; the gradient is made anew."""
    logits.grad = None
    torch.autograd.backward(step(logits, target))


def peak_bytes(step: Step, logits: Tensor, target: Tensor) -> int:
    """The most bytes that a step has allocated and not given back."""
    logits.grad = None
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        one_step(step, logits, target)
    assert profiler.profiler is not None
    events = profiler.profiler.kineto_results.events()
    changes: list[int] = [event.nbytes() for event in events if event.name() == "[memory]"]
    return max(itertools.accumulate(changes))


def bench(size: tuple[int, ...], dtype: torch.dtype, kind: str, rounds: int) -> list[Case]:
    """Every candidate on one input, in turns."""
    torch._dynamo.reset()
    drawn, target = draw(size, kind)
    logits = drawn.to(dtype).requires_grad_()
    target = target.to(dtype)
    steps = candidates()
    if kind == "initial":  # compiled ones do not depend on the logits
        steps = {name: step for name, step in steps.items() if "compiled" not in name}
    targets = {name: target.bool() if "bool" in name else target for name in steps}
    other = torch.empty_like(logits, requires_grad=False)
    best = dict.fromkeys(["copy", *steps], float("inf"))
    for name, step in steps.items():
        one_step(step, logits, targets[name])  # compiles, and warms the allocator up
    for _ in range(rounds):
        started = time.perf_counter()
        other.copy_(logits.detach())
        best["copy"] = min(best["copy"], time.perf_counter() - started)
        for name, step in steps.items():
            one_step(step, logits, targets[name])  # leaves memory as this candidate does
            started = time.perf_counter()
            one_step(step, logits, targets[name])
            best[name] = min(best[name], time.perf_counter() - started)
    memory = {name: peak_bytes(step, logits, targets[name]) for name, step in steps.items()}
    words = "x".join(map(str, size)), str(dtype).removeprefix("torch."), kind
    return [
        Case(
            *words,
            name,
            round(1000 * seconds, 4),
            round(seconds / best["copy"], 2),
            round(memory.get(name, 0) / logits.nbytes, 2),
        )
        for name, seconds in best.items()
    ]


def judge(cases: list[Case]) -> list[Floor]:
    """Every floor that is required, in the order of the sizes."""
    at = {(case.size, case.dtype, case.logits, case.name): case for case in cases}
    sizes = list(dict.fromkeys(case.size for case in cases))
    floors: list[Floor] = []

    def require(text: str, measured: float, least: float, *, is_most: bool = False) -> None:
        is_met = measured <= least if is_most else measured >= least
        sign = "at most" if is_most else "at least"
        floors.append(Floor(text, round(measured, 2), f"{sign} {least:g}", is_met))

    def ratio(where: tuple[str, str, str], slow: str, fast: str) -> float:
        return at[*where, slow].time_ms / at[*where, fast].time_ms

    for place, size in enumerate(sizes):
        for dtype in ("float32", "bfloat16"):
            for kind in ("trained", "initial"):
                where = size, dtype, kind
                name = f"iou, {size}, {dtype}, {kind}"
                require(f"{name}: times smp", ratio(where, "smp jaccard", "vesica iou"), 3)
                times = ratio(where, "vesica iou", "monai jaccard")
                require(f"{name}: time of MONAI", times, 1.25 if place == 0 else 1, is_most=True)
                extra = at[*where, "vesica iou"].memory_ratio
                require(f"{name}: extra memory", extra, 1.3, is_most=True)
            where = size, dtype, "trained"
            times = ratio(where, "vesica iou, compiled", "five lines, compiled")
            require(f"compiled iou, {size}, {dtype}: time", times, 1.15, is_most=True)
        for kind, least, memory in (("trained", 3 if place == 2 else 4, 3), ("initial", 1, 6)):
            where = size, "float32", kind
            for peer in ("smp lovasz", "kornia lovasz"):
                name = f"lovasz, {size}, {kind}"
                require(f"{name}: times {peer}", ratio(where, peer, "vesica lovasz"), least)
                if place and kind == "trained":
                    for bits in ("16 bits", "19 bits"):
                        times = ratio(where, peer, f"vesica lovasz {bits}")
                        require(f"{name}, {bits}: times {peer}", times, 10)
            extra = at[*where, "vesica lovasz"].memory_ratio
            require(f"lovasz, {size}, {kind}: extra memory", extra, memory, is_most=True)
    return floors


def to_markdown(document: dict[str, Any], cases: list[Case], floors: list[Floor]) -> str:
    """The page of results."""
    lines = [
        "# Time and memory of the losses",
        "",
        f"Forward and backward, best of {document['rounds']} rounds in turns, on "
        f"{document['machine']}, {document['threads']} threads; "
        + ", ".join(f"{name} {number}" for name, number in document["versions"].items())
        + ". `make bench-losses` makes this page. Memory is the most that was allocated at once "
        "beyond logits and target, in multiples of the logits, the gradient (1.0) included; a copy "
        "of the logits is the floor of the time. smp and MONAI compute bfloat16 in bfloat16, "
        "Vesica in float32. Lovasz with bits puts errors into so many powers of two of buckets in "
        "place of sorting them (`bits=16`).",
        "",
    ]
    for size, dtype, kind in dict.fromkeys((c.size, c.dtype, c.logits) for c in cases):
        lines += [f"## {size}, {dtype}, {kind} logits", ""]
        lines += ["| | ms | copies | memory |", "| --- | ---: | ---: | ---: |"]
        lines += [
            f"| {c.name} | {c.time_ms:.1f} | {c.ratio_to_copy:.1f} | "
            + (f"{c.memory_ratio:.2f} |" if c.name != "copy" else "|")
            for c in cases
            if (c.size, c.dtype, c.logits) == (size, dtype, kind)
        ]
        lines.append("")
    lines += [
        "## What was required",
        "",
        "| | measured | required | |",
        "| --- | ---: | --- | --- |",
    ]
    lines += [
        f"| {f.text} | {f.measured:.2f} | {f.required} | {'met' if f.is_met else '**not met**'} |"
        for f in floors
    ]
    return "\n".join([*lines, ""])


def cpu_name() -> str:
    """As the system names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    """Run, print, and write build/bench/losses.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, default=Path("build/bench/losses.json"))
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # the peers' own
    torch.set_num_threads(2)
    console, cases = Console(), []
    for size in QUICK_SIZES if args.quick else SIZES:
        for dtype in (torch.float32, torch.bfloat16):
            for kind in ("trained", "initial"):
                found = bench(size, dtype, kind, 1 if args.quick else args.rounds)
                title = f"{found[0].size}, {found[0].dtype}, {kind} logits"
                table = Table("", "ms", "copies", "memory", title=title, title_justify="left")
                for case in found:
                    figures = case.time_ms, case.ratio_to_copy, case.memory_ratio
                    table.add_row(case.name, *(f"{figure:.2f}" for figure in figures))
                console.print(table)
                cases += found
    floors = [] if args.quick else judge(cases)  # tiny sizes say nothing
    for floor in floors:
        state = "met" if floor.is_met else "NOT MET"
        console.print(f"{state:8} {floor.text}: {floor.measured:.2f} ({floor.required})")
    document = {
        "machine": cpu_name(),
        "threads": torch.get_num_threads(),
        "rounds": 1 if args.quick else args.rounds,
        "versions": {name: version(name) for name in PEERS},
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    listed = {"cases": [asdict(c) for c in cases], "floors": [asdict(f) for f in floors]}
    args.json.write_text(json.dumps(document | listed, indent=1), encoding="utf-8")
    if args.markdown:
        args.markdown.parent.mkdir(parents=True, exist_ok=True)
        args.markdown.write_text(to_markdown(document, cases, floors), encoding="utf-8")
    console.print(f"{sum(f.is_met for f in floors)} of {len(floors)} floors met; {args.json}")


if __name__ == "__main__":
    main()
