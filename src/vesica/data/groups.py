"""Groups of samples, such as patients or slides, by a regular expression on their names."""

from dataclasses import replace

from vesica.data.match import match_names
from vesica.data.sample import Sample
from vesica.errors import DataError
from vesica.words import count_of, say_first


def with_groups(samples: list[Sample], group: str | None) -> list[Sample]:
    """The samples, each in the group that an expression finds in its name.

    Args:
        samples: Of a data set.
        group: Regular expression; its first capturing group, or else its whole match, is a
            sample's group. None: groups stay as they are.

    Raises:
        DataError: If it is no expression that can be used, or does not match every name.
    """
    if group is None:
        return samples
    try:
        groups = match_names(group, [sample.name for sample in samples])
    except ValueError as problem:
        raise DataError(
            rf"--group {group[:80]}: {problem}. Mend it, for example --group '^(patient\d+)_'."
        ) from None
    unmatched = [s.name for s, name in zip(samples, groups, strict=True) if not name]
    if unmatched:
        have = "has" if len(unmatched) == 1 else "have"
        raise DataError(
            f"{len(unmatched)} of {count_of(len(samples), 'image')} {have} no match for --group"
            f" {group}: {say_first(unmatched)}. Change the expression, or the names."
        )
    return [replace(sample, group=str(name)) for sample, name in zip(samples, groups, strict=True)]
