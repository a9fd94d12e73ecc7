"""The paper's question on generated faces, small enough for a coffee break."""

from vesica.plan import Cell, Recipe, Source, across


def demo(seeds: int = 3) -> list[Cell]:
    """BCE against IoU, pretrained VGG-16, a few minutes on two cores."""
    base = Cell(
        data=Source(path="generated:num=400:size=128"),
        size=128,
        width=128,
        weights="hed",
        recipe=Recipe(max_epochs=12, batch=16, lr=1e-4),
    )
    return across(base, seed=range(seeds), loss=["bce", "iou"])
