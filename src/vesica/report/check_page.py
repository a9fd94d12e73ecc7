"""A checked data set as sections: for the terminal, and as a page with a contact sheet."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup

from vesica.check import Check, Gathered, Remark, Spread
from vesica.data.facts import Facts
from vesica.data.sample import Dataset
from vesica.files import write_text
from vesica.report.photos import draw_outline, draw_photo
from vesica.report.sections import Grid, Pictures, Section, to_html
from vesica.words import MISSING, count_of

NUM_PICTURES = 40
SIDE_PX = 220

LEVELS = {"stop": "Must be mended", "warning": "Look at this", "note": "Good to know"}


def check_sections(check: Check) -> list[Section]:
    """What was found, in the order in which a user should read it."""
    found = [
        f"{count_of(check.num_images, 'image')} read as `{check.format}`, target "
        f"`{check.target}`; files are {_say_modes(check.modes)}."
    ]
    if check.num_groups < check.num_images:
        found.append(f"They belong to {count_of(check.num_groups, 'group')}, which stay together.")
    is_said = check.measure and not check.classes
    beside = [Section("Beside IoU", [f"Look at {check.measure}."])] if is_said else []
    return [
        Section("What was found", [*found, *_numbers(check)]),
        Section("How it would be divided", list(_division(check))),
        *_remarks(check.remarks),
        *beside,
        Section("Next", [_next(check)]),
    ]


def write_check(check: Check, gathered: Gathered, target: Path) -> None:
    """Write the page: one file that needs no other."""
    pictures = Pictures([_draw(gathered.dataset, fact) for fact in _chosen(gathered.facts)])
    said = (
        "From the smallest share of foreground to the largest, with the outline of the mask; a "
        "mask without foreground has none."
    )
    if check.classes:
        said = f"Outlined is all that is not {check.classes[0].name}, the first class."
    sections = [*check_sections(check), Section("Images and masks", [said, pictures])]
    write_text(target, to_html(f"{check.name}: images and masks", sections), has_sum=False)


def _say_modes(modes: dict[str, int]) -> str:
    return ", ".join(f"{mode} ({num})" for mode, num in modes.items())


def _numbers(check: Check) -> list[Grid]:
    rows = [_row("width, px", check.widths), _row("height, px", check.heights)]
    header = "per image", "least", "quarter", "median", "three quarters", "most"
    if check.classes:
        shares = [
            (one.name, f"{100 * one.share:.2g} %", str(one.images))
            for one in sorted(check.classes, key=lambda one: -one.share)
        ]
        return [Grid(header, rows), Grid(("class", "pixels", "images that have it"), shares)]
    rows += [
        _row("foreground, %", check.density, 100, ".2f"),
        _row("objects in an image", check.objects),
        _row("object, px across", check.object_px, 1, ".1f"),
        _row("width of the foreground, px", check.thickness_px, 1, ".1f"),
    ]
    return [Grid(header, rows)]


def _row(name: str, spread: Spread | None, factor: float = 1, form: str = ".0f") -> Sequence[str]:
    if spread is None:
        return name, *(MISSING,) * len(Spread.model_fields)
    return name, *(format(factor * value, form) for value in dict(spread).values())


def _division(check: Check) -> Iterator[str | Grid]:
    if not check.parts:
        yield "It cannot be divided, see below."
        return
    if check.folds:
        yield (
            f"In {check.folds} folds, so that every image is tested once; the first one of them:"
        )
    header = "part", "images", "groups", "without foreground", "all foreground"
    num = 2 if check.classes else 4
    rows = [
        (name, *(str(number) for number in list(dict(part).values())[:num]))
        for name, part in check.parts.items()
    ]
    yield Grid(header[: num + 1], rows)


def _remarks(remarks: Sequence[Remark]) -> Iterator[Section]:
    for level, title in LEVELS.items():
        blocks = [
            f"{remark.text}{_say_names(remark)}" for remark in remarks if remark.level == level
        ]
        if blocks:
            yield Section(title, blocks)


def _say_names(remark: Remark) -> str:
    names = [*remark.names, *([f"and {remark.more:,} more"] if remark.more else [])]
    return f" ({'; '.join(names)})" if names else ""


def _next(check: Check) -> str:
    if not check.is_fit:
        return "Mend what must be mended, then run the same command again."
    return "`vesica compare` with the same data and options asks which loss to train with."


def _chosen(facts: Sequence[Facts]) -> list[Facts]:
    """Evenly over the shares of foreground."""
    ordered = sorted(facts, key=lambda fact: (fact.density, fact.row))
    places = np.unique(np.linspace(0, len(ordered) - 1, NUM_PICTURES).round().astype(int))
    return [ordered[place] for place in places]


def _draw(dataset: Dataset, fact: Facts) -> tuple[str, str, Markup]:
    sample = dataset.samples[fact.row]
    image, masks, _ = dataset.load(sample)
    said = f"{fact.width}x{fact.height}, {fact.density:.2%} foreground"
    outline = draw_outline(np.asarray(dataset.things(masks).any(axis=0)), "truth", "mask", SIDE_PX)
    return sample.name, said, draw_photo(f"{sample.name}: {said}", image, [outline], SIDE_PX)
