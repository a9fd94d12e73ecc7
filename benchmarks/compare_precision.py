"""Does training in bfloat16 change the result? Paired seeds on LFW Part Labels.

    python benchmarks/compare_precision.py LFW [--seeds 8] [--out runs/precision] [--markdown PATH]

Every seed trains with both losses in float32 and in bfloat16: features of the frozen layers,
products and gradients, and everything else alike. What is judged is the difference, bfloat16 minus
float32, of a seed's test IoU: its mean and a 95 % t interval over the seeds. Required: the interval
lies within 0.3 points for each loss, and for the difference between the losses.

The learning rate is a third of the default one, for twice as many epochs: with 1e-4 the validation
loss jumps by epochs, and which of them is kept hangs on the last bits of any arithmetic.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from scipy.stats import t as student_t

from vesica.plan import Cell, Recipe, Source, across
from vesica.results import read_cell, read_plan

LIMIT = 0.3
"""Points of IoU."""

LOSSES = ("bce", "iou")


def plan_of(path: str, num_seeds: int, lr: float, epochs: int) -> list[Cell]:
    """A size that an ordinary machine trains in minutes."""
    base = Cell(
        data=Source(path=path, target="face", train=300, val=100),
        model="bfcn32s:width=128",
        size=96,
        weights="hed",
        recipe=Recipe(max_epochs=epochs, batch=20),
    )
    return across(base, lr=[lr], seed=range(num_seeds), precision=["fp32", "bf16"], loss=LOSSES)


def scores_of(run: Path) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Points of per-image test IoU by loss and precision, in the order of the seeds."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for cell in read_plan(run).cells:
        result = read_cell(run, cell)
        iou = result.result.iou_per_image if result else None
        if iou is None:
            raise SystemExit(f"{run}: {cell.loss}, seed {cell.seed} has no scores yet")
        by_seed = found.setdefault((cell.loss, cell.recipe.precision), {})
        by_seed[cell.seed] = 100 * iou
    return {key: np.array([seeds[s] for s in sorted(seeds)]) for key, seeds in found.items()}


def judge(scores: dict[tuple[str, str], NDArray[np.float64]]) -> list[tuple[str, float, float]]:
    """What is compared, the mean difference in points, and half its 95 % interval."""
    by_loss = {loss: scores[loss, "bf16"] - scores[loss, "fp32"] for loss in LOSSES}
    by_loss["iou minus bce"] = by_loss["iou"] - by_loss["bce"]
    rows = []
    for name, difference in by_loss.items():
        half = student_t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1)
        rows.append((name, float(difference.mean()), float(half / np.sqrt(len(difference)))))
    return rows


def to_markdown(
    scores: dict[tuple[str, str], NDArray[np.float64]],
    rows: list[tuple[str, float, float]],
    recipe: Recipe,
) -> str:
    """The page of results."""
    num_seeds = len(next(iter(scores.values())))
    lines = [
        "# bfloat16 against float32",
        "",
        f"LFW Part Labels, face, 300 training images, BFCN-32s with `hed` weights at 96 px, "
        f"width 128, batch 20, {recipe.max_epochs} epochs of {recipe.optimizer}, "
        f"{num_seeds} paired seeds. `python benchmarks/compare_precision.py LFW` makes this page. "
        "Points of per-image test IoU.",
        "",
        "| trained with | " + " | ".join(f"seed {s}" for s in range(num_seeds)) + " | mean |",
        "| --- |" + " ---: |" * (num_seeds + 1),
    ]
    for (loss, precision), values in scores.items():
        figures = " | ".join(f"{value:.2f}" for value in (*values, values.mean()))
        lines.append(f"| {loss}, {precision} | {figures} |")
    lines += [
        "",
        f"| bfloat16 minus float32 | mean | 95 % interval | within {LIMIT} |",
        "| --- | ---: | --- | --- |",
    ]
    for name, mean, half in rows:
        is_met = "yes" if abs(mean) + half <= LIMIT else "**no**"
        lines.append(
            f"| {name} | {mean:+.2f} | {mean - half:+.2f} to {mean + half:+.2f} | {is_met} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Run what is missing, then judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lfw", help="folder of LFW Part Labels")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--lr", type=float, default=3e-5)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("runs/precision"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    plan = args.out.parent / "precision_plan.py"
    plan.parent.mkdir(parents=True, exist_ok=True)
    plan.write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from compare_precision import plan_of\n"
        f"plan = lambda: plan_of({args.lfw!r}, {args.seeds}, {args.lr}, {args.epochs})\n"
    )
    command = [sys.executable, "-m", "vesica", "run", str(plan), "--out", str(args.out)]
    subprocess.run([*command, "--jobs", str(args.jobs)], check=True)
    scores = scores_of(args.out)
    rows = judge(scores)
    page = to_markdown(scores, rows, read_plan(args.out).cells[0].recipe)
    Console().print(page)
    if args.markdown:
        args.markdown.parent.mkdir(parents=True, exist_ok=True)
        args.markdown.write_text(page, encoding="utf-8")
    if any(abs(mean) + half > LIMIT for _, mean, half in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
