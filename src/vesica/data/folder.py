"""Reader of a user's own folder: images and masks, paired by folders, by names or by a list."""

from collections.abc import Callable, Sequence
from pathlib import Path

from vesica.data.groups import with_groups
from vesica.data.listed import find_lists, read_lists
from vesica.data.pairs import Pair, Pairing, explain, find_pairs
from vesica.data.pixels import Foreground, check_sizes, read_image, read_values, select_plain, show
from vesica.data.sample import Dataset, Mask, Pixels, Sample, fingerprint_files
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
    foreground: str | None = None,
    group: str | None = None,
    images: str | None = None,
    masks: str | None = None,
    skip_unpaired: bool = False,
) -> Dataset:
    """A folder with images and masks, or a list of them, as people have it.

    Args:
        path: The folder, or a CSV, TSV or TXT file with an image and its mask in each line.
        target: "foreground".
        foreground: "255" keeps that value only; ">127", ">=128", "<128", "<=127" are thresholds.
            None: masks hold 0 with 1, with 255 or with 65535.
        group: Regular expression; its first capturing group, or else its whole match, on a
            sample's name is the sample's group.
        images: A glob for the images, where they are not found; `{}` in it pairs them.
        masks: The same for the masks.
        skip_unpaired: Leave out and count what has no partner.

    Raises:
        DataError: If files do not pair up, or an option cannot be used; one error lists all files.
    """
    rule = None if foreground is None else Foreground.parse(foreground)
    pairing = _find(path, images, masks, skip_unpaired)
    root = path.parent if path.is_file() else path
    samples = [_sample(pair) for pair in pairing.pairs]

    def read(sample: Sample) -> tuple[Pixels, Mask]:
        image_file, mask_file = sample.files
        image = read_image(root, image_file)
        values = read_values(root, mask_file)
        check_sizes(root, image_file, image, mask_file, values)
        return image, rule.select(values) if rule else select_plain(show(root, mask_file), values)

    problems = pairing.problems + [
        f"{show(root, file)}: a link to nothing. Remove or mend it."
        for sample in samples
        for file in sample.files
        if not file.exists()
    ]
    if problems:  # name the files that cannot be read too: all bad files in one message
        raise DataError(join_lines(problems + _unreadable(samples, read)))
    samples = with_groups(sorted(samples, key=lambda sample: sample.name), group)
    return Dataset(
        format="folder",
        # The rule decides the pixels, so what is kept on disk must differ with it.
        target=f"{target}{rule}" if rule else target,
        samples=tuple(samples),
        read=read,
        fingerprint=fingerprint_files(samples),
        notes=tuple(pairing.notes),
    )


def _find(path: Path, images: str | None, masks: str | None, skip_unpaired: bool) -> Pairing:
    is_asked = images is not None or masks is not None
    if path.is_file():
        if is_asked:
            raise DataError(f"--images and --masks choose in a folder, and {path} is a list.")
        return read_lists([path], skip_unpaired)
    found = find_pairs(path, images, masks, skip_unpaired)
    if found is None and (lists := find_lists(path)):
        return read_lists(lists, skip_unpaired)
    if found is None:
        raise DataError(f"{path}: {explain(path)}")
    return found


def _sample(pair: Pair) -> Sample:
    return Sample(pair.name, pair.group or pair.name, (pair.image, pair.mask), pair.part)


def _unreadable(
    samples: Sequence[Sample], read: Callable[[Sample], tuple[Pixels, Mask]]
) -> list[str]:
    problems = []
    for sample in samples:
        try:
            if all(file.exists() for file in sample.files):
                read(sample)
        except DataError as error:
            problems.append(str(error))
    return problems
