"""The part of "What holds" that is ours: each claim with our evidence, and a figure of all runs."""

import tomllib
from importlib import resources

from markupsafe import Markup

from vesica.paper.claims import Claim
from vesica.paper.found import NEAR, Found, facts, read_found
from vesica.paper.published import LOSSES
from vesica.report import svg
from vesica.report.sections import Grid, Pictures, Section
from vesica.report.svg import BOTTOM, RIGHT, TOP
from vesica.words import say_list

TITLE = "What we found when we ran it"
READINGS = {"iou": "as that of masks", "soft": "as soft IoU"}
NAME_WIDTH, WIDTH, ROW_HEIGHT = 350, 860, 22
WHAT_WAS_RUN = (
    "LFW, 1000 faces of CelebAMask-HQ in HELEN's layout (not HELEN), and 1200 of HELEN's 2330 "
    "images with labels drawn from its contours, in which the face ends at the brows and there is"
    " no hair; BFCN-32s with VGG-16 from HED, 128 pixels, width 512, at most 15 epochs, 3 seeds "
    "of each loss; all of these were ended by the limit of epochs, so that neither loss has "
    "converged. What is called the paper's size has its 224 pixels, width 4096 and rule for "
    "stopping. Commands, tables and scores are in `docs/results/lfw`. Sets of other things, "
    "sparsity and classes were run with a light U-Net and the modern recipe "
    "(`docs/results/eight`, `sparsity`, `classes`), six networks on LFW with that recipe, too "
    "(`docs/results/architectures`). No claim about FCResNet is judged: there are "
    "no pretrained weights of it here."
)


def found_section(claims: list[Claim]) -> Section:
    """Each claim with the tables' evidence and ours beside it, and a figure of all set-ups."""
    found = read_found()
    text = resources.files("vesica.paper").joinpath("found.toml").read_text(encoding="utf-8")
    known = {claim.quote: claim for claim in claims}
    values = facts(found)
    rows = [
        [claim.section, f"“{claim.quote}”", claim.figures, entry["figures"].format(**values)]
        for entry in tomllib.loads(text)["found"]
        for claim in [known[entry["quote"]]]
    ]
    grid = Grid(["section", "the paper", "its tables", "our runs"], rows, num_words=None)
    caption = (
        "IoU loss minus BCE loss in each set-up and set, in points. Filled: decided; hollow: not. "
        "The line is the interval over seeds and test images, of masks (none of one seed); the "
        "cross is soft IoU."
    )
    drawn = [f for f in found if f.kind != "networks"]  # one of their intervals is all there is
    glance = Pictures([("At a glance", caption, draw(drawn))])
    return Section(TITLE, [WHAT_WAS_RUN, glance, grid, *full_blocks(found)])


def full_blocks(found: list[Found]) -> list[str | Grid]:
    """Our trainings at the paper's size beside what it published."""
    full = [f for f in found if f.kind == "full"]
    averaged = {f.set_up: f for f in found if f.kind == "averaged"}
    rows = [
        [
            f.set_up,
            loss,
            f"{getattr(f.published.accuracy, loss) / 1000:.3f}",
            _share(f, f"accuracy_{loss}"),
            f"{getattr(f.published.iou, loss) / 1000:.3f}",
            *(_share(one, f"{of}_{loss}") for one in (f, averaged[f.set_up]) for of in READINGS),
        ]
        for f in full
        for loss in LOSSES
    ]
    header = ["set-up", "loss", "accuracy, published", "ours", "IoU, published"]
    header += ["ours, masks", "soft", "averaged, masks", "soft"]
    near = [
        f"{words} in {say_list([f.set_up for f in full if f.is_near(of)]) or 'none'}"
        for of, words in READINGS.items()
    ]
    return [
        f"At the paper's size both losses come within {NEAR / 100:.2f} of the published IoU, read "
        f"{' and '.join(near)}.",
        Grid(header, rows, num_words=2),
    ]


def _share(found: Found, name: str) -> str:
    return f"{getattr(found, name) / 100:.3f}"


def draw(found: list[Found]) -> Markup:
    """A line for each set-up: masks with their interval, and soft IoU."""
    ends = [value for f in found for value in (f.mean, f.low, f.high, f.soft) if value is not None]
    scale = svg.scale_for([0.0, *ends], NAME_WIDTH, WIDTH - RIGHT)
    foot = TOP + ROW_HEIGHT * len(found)
    parts = [svg.line(scale(0), TOP, scale(0), foot, "zero")]
    for number, row in enumerate(found):
        y = TOP + ROW_HEIGHT * (number + 0.5)
        parts += [svg.text(row.label, 0, y + 4)]
        if row.low is not None and row.high is not None:
            parts += [svg.line(scale(row.low), y, scale(row.high), y, f"interval {row.verdict}")]
        said = f"{row.label}: masks {row.mean:+.1f}, {row.verdict}; soft IoU {row.soft:+.1f}"
        parts += [svg.marker(2, scale(row.mean), y, f"point {row.verdict}", said)]
        parts += [svg.cross(scale(row.soft), y, title=said)]
    parts += [svg.x_axis(scale, foot, "IoU loss minus BCE loss, points", svg.signed)]
    alt = "; ".join(f"{f.label} {f.mean:+.1f}, soft {f.soft:+.1f}" for f in found)
    return svg.drawing(alt, WIDTH, foot + BOTTOM, *parts, class_="plot forest")
