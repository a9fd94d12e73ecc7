"""Which recipe makes little noise and wins nothing for either loss? The data of `docs/recipes.md`.

    VESICA_SETS=DIR vesica run benchmarks/recipe_study.py --out RUN
    python benchmarks/recipe_study.py RUN

The first command trains every recipe with both losses on four sets (a plan like any other; it goes
on where it stopped), the second prints the table. Everything is judged on validation images, a
third of each set; the test images decide nothing. In the environment, RECIPE_SETS names other sets
(`cracks,eyes`), RECIPE_SEEDS the number of seeds, RECIPE_WEIGHTS the weights and RECIPE_ONLY some
of the recipes (`A;B`).
"""

import itertools
import os
import sys
from pathlib import Path

import numpy as np

from vesica.judge import Place, Setting, read_settings
from vesica.plan import Cell, Recipe, Source, across, replace
from vesica.run import open_run

STEPS = 800
SETS = tuple(os.environ.get("RECIPE_SETS", "cracks,weeds,heart,polyps").split(","))
SEEDS = int(os.environ.get("RECIPE_SEEDS", "3"))

COSINE: dict[str, object] = {"average": "ema", "schedule": "cosine", "optimizer": "adamw:lr=3e-3"}
CONSTANT: dict[str, object] = {"average": "ema:decay=0.99", "optimizer": "adamw:lr=3e-3"}
RECIPES: dict[str, dict[str, object]] = {
    "RMSprop 1e-4, best epoch": {"keep": "best", "patience": 20},
    "AdamW 1e-3": {"optimizer": "adamw:lr=1e-3"},
    "AdamW 1e-3, cosine": {"optimizer": "adamw:lr=1e-3", "schedule": "cosine"},
    "AdamW 1e-3, cosine, EMA": COSINE | {"optimizer": "adamw:lr=1e-3"},
    "AdamW 3e-3, EMA .99": CONSTANT,
    "AdamW 3e-3, cosine": COSINE | {"average": "none"},
    "AdamW 3e-3, cosine, EMA": COSINE,
    "AdamW 3e-3, cosine, SWA": COSINE | {"average": "swa"},
    "AdamW 1e-2, cosine, EMA": COSINE | {"optimizer": "adamw:lr=1e-2"},
    "AdamW 3e-3, cosine, EMA, half the steps": COSINE | {"steps": STEPS // 2},
    "AdamW 3e-3, cosine, EMA, twice the steps": COSINE | {"steps": 2 * STEPS},
    "AdamW 3e-3, EMA .99, half the steps": CONSTANT | {"steps": STEPS // 2},
    "AdamW 3e-3, EMA .99, twice the steps": CONSTANT | {"steps": 2 * STEPS},
}
"""Where no field says otherwise, the last epoch is scored."""
ONLY = [name for name in os.environ.get("RECIPE_ONLY", ";".join(RECIPES)).split(";") if name]
"""Recipes that this run has."""


def plan() -> list[Cell]:
    """Seeds vary slowest, so that a part of it is already an answer."""
    weights = os.environ.get("RECIPE_WEIGHTS", "lite0")
    cells = []
    for seed in range(SEEDS):
        for name in SETS:
            base = Cell(
                data=Source(path=f"{Path(__file__).resolve().parent / 'sets.py'}:{name}:val=0.35"),
                model="unet",
                size=128,
                weights=weights,
                seed=seed,
                recipe=Recipe(batch=16, steps=STEPS, precision="bf16", keep="last", patience=0),
            )
            for recipe in ONLY:
                cells += across(replace(base, **RECIPES[recipe]), loss=["bce", "iou"])
    return cells


def main(run: Path) -> None:
    """Print a row for each set and recipe."""
    print("| set | recipe | bce | iou | iou minus bce | its seed SD | s |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    # Settings stand in the plan's order, each set with every recipe.
    for setting, recipe in zip(
        read_settings(run, open_run(run).cells), itertools.cycle(ONLY), strict=False
    ):
        seeds = sorted(set(setting.seeds_of("bce")) & set(setting.seeds_of("iou")))
        if not seeds:
            continue
        bce, iou = (np.array([_val(setting, loss, s) for s in seeds]) for loss in ("bce", "iou"))
        time = np.mean([found.result.train_time_s for found in setting.ended.values()])
        sd = f"{100 * np.std(iou - bce, ddof=1):.2f}" if len(seeds) > 1 else ""
        print(
            f"| {setting.cells[0].data.target} | {recipe} | {100 * bce.mean():.1f} "
            f"| {100 * iou.mean():.1f} | {100 * (iou - bce).mean():+.2f} | {sd} | {time:.0f} |"
        )


def _val(setting: Setting, loss: str, seed: int) -> float:
    return setting.ended[Place(loss, seed)].result.val_iou_per_image or 0.0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
