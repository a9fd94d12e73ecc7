"""The paper's question on generated faces, small enough for a coffee break."""

from vesica.plan import Cell, Recipe, Source, across


def demo(seeds: int = 3) -> list[Cell]:
    """BCE against IoU with VGG-16's pretrained weights, a few minutes on two cores.

    Large heads at 160 pixels: a map of 5x5 scores cannot draw the outline of small ones.
    """
    base = Cell(
        data=Source(path="generated:num=320:size=160:density=0.4", train=180),
        model="bfcn32s:width=128",
        size=160,
        weights="hed",
        recipe=Recipe(max_epochs=8, batch=10),
    )
    return across(base, seed=range(seeds), loss=["bce", "iou"])
