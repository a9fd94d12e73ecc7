"""Groups of samples, such as patients or slides, by a regular expression on their names."""

from dataclasses import replace

from vesica.data.match import match_names
from vesica.data.sample import Sample
from vesica.errors import DataError, join_lines


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
    unmatched = [
        f"{sample.name}: no match for --group {group}."
        for sample, name in zip(samples, groups, strict=True)
        if not name
    ]
    if unmatched:
        raise DataError(join_lines(unmatched) + "\nChange the expression, or the names.")
    return [replace(sample, group=str(name)) for sample, name in zip(samples, groups, strict=True)]
