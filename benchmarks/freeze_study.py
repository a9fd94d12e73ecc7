"""Does it pay to train the pretrained encoder, too? The data of `docs/recipes.md`.

    VESICA_SETS=DIR vesica run benchmarks/freeze_study.py --out RUN
    python benchmarks/freeze_study.py RUN

The default network with its encoder frozen, and with all layers trained, on 200 and on 30 training
images of two sets; a second rate on one of them. A third of each set validates, and nothing else is
looked at.
"""

import itertools
import os
import sys
from pathlib import Path

import numpy as np

from vesica.judge import Place, read_settings
from vesica.plan import Cell, Recipe, Source, across, replace
from vesica.run import open_run

SETS = ("polyps", "cracks")
NUM_TRAINED = (200, 30)
SEEDS = int(os.environ.get("FREEZE_SEEDS", "2"))
WAYS = (("unet", 3e-3), ("unet:freeze=none", 1e-3))
SLOWER = ("unet:freeze=none", 3e-4)


def plan() -> list[Cell]:
    """Seeds vary slowest, so that a part of it is already an answer."""
    recipe = Recipe(
        batch=16,
        steps=400,
        precision="bf16",
        keep="last",
        patience=0,
        average="ema:decay=0.99",
        optimizer="adamw",
    )
    sets = Path(__file__).resolve().parent / "sets.py"
    cells = []
    for seed, num, name in itertools.product(range(SEEDS), NUM_TRAINED, SETS):
        source = Source(path=f"{sets}:{name}:val=0.35", train=num)
        base = Cell(data=source, size=128, weights="lite0", seed=seed, recipe=recipe)
        ways = (*WAYS, SLOWER) if (seed, num, name) == (0, 200, "polyps") else WAYS
        for model, rate in ways:
            cells += across(replace(base, model=model, lr=rate), loss=["bce", "iou"])
    return cells


def main(run: Path) -> None:
    """Print a row for each set, number of images and way, as far as both losses have ended."""
    print("| set | training images | network | rate | bce | iou | iou minus bce | s |")
    print("| --- | ---: | --- | --- | ---: | ---: | ---: | ---: |")
    for setting in read_settings(run, open_run(run).cells):
        seeds = sorted(set(setting.seeds_of("bce")) & set(setting.seeds_of("iou")))
        if not seeds:
            continue
        results = {
            loss: [setting.ended[Place(loss, seed)].result for seed in seeds]
            for loss in ("bce", "iou")
        }
        bce, iou = (100 * np.array([r.val_iou_per_image or 0 for r in results[n]]) for n in results)
        cell = setting.cells[0]
        time_s = np.mean([r.train_time_s for of_loss in results.values() for r in of_loss])
        print(
            f"| {cell.data.target} | {cell.data.train} | {cell.model} | {cell.recipe.optimizer} "
            f"| {_say(bce)} | {_say(iou)} | {_say(iou - bce)} | {time_s:.0f} |"
        )


def _say(points: np.ndarray) -> str:
    return " and ".join(f"{value:.1f}" for value in points)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
