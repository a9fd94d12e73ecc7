"""Several classes, each judged by itself."""

from collections.abc import Sequence

from vesica.judge.pairs import adjust, judge_pair
from vesica.judge.setting import Setting
from vesica.results import ClassFindings, Comparison, Unjudged
from vesica.spelling import shown

NOWHERE = "not tested"
ORDER = ("better", "worse", "equivalent", "undecided", NOWHERE)


def judge_classes(
    setting: Setting,
    pairs: Sequence[tuple[str, str]],
    margin: float,
    earlier: Sequence[Sequence[int] | None],
) -> tuple[ClassFindings, ...]:
    """The verdicts on every class; none where there is one class alone, or no scores.

    Args:
        setting: Of several classes.
        pairs: Baseline and challenger each.
        margin: As for all classes together.
        earlier: Of each pair, as `judge_pair` takes it.
    """
    names = setting.cells[0].data.class_names
    if setting.scores is None or len(names) < 2:
        return ()
    single = [setting.of_class(number) for number in range(len(names))]
    num_tested = sum(one.num_images > 0 for one in single)  # of which all intervals hold together
    judged = []
    for pair, before in zip(pairs, earlier, strict=True):
        found = [judge_pair(one, pair, margin, len(pairs) * num_tested, before) for one in single]
        judged.append(adjust(found))
    rows = [
        ClassFindings(
            name=name,
            share=float(setting.scores.shares[number]),
            num_images=one.num_images,
            iou={
                loss: one.mean_iou(loss, seeds)
                for loss in setting.losses
                if (seeds := setting.seeds_of(loss)) and one.num_images
            },
            comparisons=tuple(of_pair[number] for of_pair in judged),
        )
        for number, (name, one) in enumerate(zip(names, single, strict=True))
    ]
    return tuple(sorted(rows, key=lambda row: -row.share))


def say_classes(classes: Sequence[ClassFindings]) -> tuple[str, ...]:
    """For each comparison, of which classes the same can be said."""
    if not classes:
        return ()
    return tuple(
        _say_pair([row.comparisons[place] for row in classes], classes)
        for place in range(len(classes[0].comparisons))
    )


def _say_pair(
    comparisons: Sequence[Comparison | Unjudged], classes: Sequence[ClassFindings]
) -> str:
    names: dict[str, list[str]] = {}
    for row, found in zip(classes, comparisons, strict=True):
        names.setdefault(found.verdict if row.num_images else NOWHERE, []).append(row.name)
    first = comparisons[0]
    said = ", ".join(f"{v} on {_list(names[v])}" for v in ORDER if v in names)
    return f"Class by class, {shown(first.challenger)} against {shown(first.baseline)}: {said}."


def _list(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names)})"
