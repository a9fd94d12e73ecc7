"""Reader of a user's own folder: images and masks, paired by folders, by names or by a list."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vesica.data.groups import with_groups
from vesica.data.listed import find_lists, read_lists, say_unused
from vesica.data.pairs import Pair, Pairing, explain, find_pairs
from vesica.data.pixels import read_image, show
from vesica.data.reading import choose_reading
from vesica.data.sample import Dataset, Mask, Pixels, Sample, fingerprint_files
from vesica.data.stored import read_stored
from vesica.errors import DataError, join_lines


def recognise(path: Path) -> bool:
    """Whether images with masks are found in a folder, or a list of them."""
    try:
        return find_pairs(path) is not None or bool(find_lists(path))
    except DataError:  # a question about what was found
        return True


def open_folder(
    path: Path,
    target: str,
    *,
    group: str | None = None,
    images: str | None = None,
    masks: str | None = None,
    skip_unpaired: bool = False,
    **options: Any,
) -> Dataset:
    """A folder with images and masks, or a list of them, as people have it.

    Args:
        path: The folder, or a CSV, TSV or TXT file with an image and its mask in each line.
        target: "foreground".
        group: Regular expression; its first capturing group, or else its whole match, on a
            sample's name is the sample's group.
        images: A glob for the images, where they are not found; `{}` in it pairs them.
        masks: The same for the masks.
        skip_unpaired: Leave out and count what has no partner.
        options: Of `choose_reading`.

    Raises:
        DataError: If files do not pair up, or an option cannot be used; one error lists all files.
    """
    pairing = _find(path, images, masks, skip_unpaired)
    root = path.parent if path.is_file() else path
    samples = [_sample(pair) for pair in pairing.pairs]
    problems = pairing.problems + [
        f"{show(root, file)}: a link to nothing. Remove or mend it."
        for sample in samples
        for file in sample.files
        if not file.exists()
    ]
    if problems:  # name the files that cannot be read too: all bad files in one message
        raise DataError(join_lines(problems + _unreadable(root, samples)))
    samples = with_groups(sorted(samples, key=lambda sample: sample.name), group)
    reading = choose_reading(root, [(s.files[0], s.files[1]) for s in samples], **options)

    def read(sample: Sample) -> tuple[Pixels, Mask] | tuple[Pixels, Mask, Mask]:
        return reading.read(root, *sample.files)

    return Dataset(
        format="folder",
        # The rule decides the pixels, so what is kept on disk must differ with it.
        target=reading.target(target),
        samples=tuple(samples),
        read=read,
        fingerprint=reading.fingerprint(fingerprint_files(samples)),
        notes=(*pairing.notes, *reading.notes),
        classes=reading.class_names,
        has_void=reading.ignore is not None,
        is_exclusive=bool(reading.class_names),
        settled=reading.settled,
    )


def _find(path: Path, images: str | None, masks: str | None, skip_unpaired: bool) -> Pairing:
    is_asked = images is not None or masks is not None
    if path.is_file():
        if is_asked:
            raise DataError(f"--images and --masks choose in a folder, and {path} is a list.")
        return read_lists([path], skip_unpaired)
    found = find_pairs(path, images, masks, skip_unpaired)
    if found is None and (lists := find_lists(path)):
        damaged, left_out = say_unused(path, lists)
        if damaged:
            raise DataError(join_lines(damaged))
        found = read_lists(lists, skip_unpaired)
        return replace(found, notes=[*found.notes, *(f"Left out: {why}" for why in left_out)])
    if found is None:
        raise DataError(f"{path}: {explain(path)}")
    return found


def _sample(pair: Pair) -> Sample:
    return Sample(pair.name, pair.group or pair.name, (pair.image, pair.mask), pair.part)


def _unreadable(root: Path, samples: Sequence[Sample]) -> list[str]:
    problems = []
    for sample in samples:
        try:
            if all(file.exists() for file in sample.files):
                read_image(root, sample.files[0])
                read_stored(root, sample.files[1])
        except DataError as error:
            problems.append(str(error))
    return problems
