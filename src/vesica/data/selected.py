"""Some images of a set: those that pass a look at their pixels."""

from collections import Counter
from collections.abc import Callable

from vesica.data.sample import Dataset, Loaded, Sample
from vesica.errors import DataError, join_lines
from vesica.words import count_of

_selected: dict[tuple[object, ...], tuple[tuple[Sample, ...], tuple[str, ...]]] = {}
"""What this process has selected before: every image of a set is read for it."""


def select(
    inner: Dataset, what: str, why_not: Callable[[Loaded], str], num: int = 0
) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """The samples that pass, and a sentence about the others.

    Args:
        inner: All of them.
        what: They are selected for; the same name, the same question.
        why_not: Why an image is left out, as "without ..."; "" if it is not.
        num: At most so many, the first by their names; 0: all.

    Raises:
        DataError: If images cannot be read (one error lists all), or none is left.
    """
    key = (what, num, inner.fingerprint, inner.target)
    if key not in _selected:
        _selected[key] = _look(inner, why_not, num)
    return _selected[key]


def _look(
    inner: Dataset, why_not: Callable[[Loaded], str], num: int
) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    kept: list[Sample] = []
    reasons: Counter[str] = Counter()
    problems = []
    for sample in inner.samples:
        if num and len(kept) == num:
            break
        try:
            reason = why_not(inner.load(sample))
        except DataError as error:
            problems.append(str(error))
            continue
        if reason:
            reasons[reason] += 1
        else:
            kept.append(sample)
    if problems:
        raise DataError(join_lines(problems))
    said = ", ".join(f"{count_of(count, 'image')} {reason}" for reason, count in reasons.items())
    if not kept:
        raise DataError(f"No image is left: left out {said}. Pass a set with other objects.")
    return tuple(kept), (f"Left out: {said}.",) if said else ()
