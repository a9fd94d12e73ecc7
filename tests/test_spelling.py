"""The spelling of losses: read, written in one way only, and refused with what would do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_losses import NAMES, SHAPE, draw, every_loss, parameters

from vesica.losses import (
    LOSSES,
    Loss,
    Term,
    bce_loss,
    dice_loss,
    iou_loss,
    parse_loss,
    split_losses,
    tversky_loss,
)
from vesica.spelling import Spelled, options_of


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("iou", "iou"),
        ("1iou", "iou"),
        ("1.0iou", "iou"),
        (".5bce", "0.5bce"),
        ("0.30bce", "0.3bce"),
        ("1e-3bce", "0.001bce"),
        ("2e3bce", "2000bce"),
        ("iou+bce", "bce+iou"),
        ("0.7iou + 0.3bce", "0.3bce+0.7iou"),
        (" iou ", "iou"),
        ("iou:smooth=0", "iou"),
        ("iou:smooth=0.0", "iou"),
        ("iou:smooth=.5", "iou:smooth=0.5"),
        ("iou:smooth=1e-3", "iou:smooth=0.001"),
        ("iou:smooth=1.50", "iou:smooth=1.5"),
        ("tversky:beta=0.7:alpha=0.30", "tversky:alpha=0.3:beta=0.7"),
        ("tversky:beta=0.7:alpha=0.5", "tversky:beta=0.7"),
        ("iou:smooth=1+iou", "iou+iou:smooth=1"),
        ("iou:empty=background", "iou"),
        ("iou:smooth=1:empty=skip", "iou:empty=skip:smooth=1"),
        ("lovasz_hinge:bits=16", "lovasz_hinge:bits=16"),
    ],
)
def test_canonical_spelling(spelling: str, canonical: str) -> None:
    assert str(parse_loss(spelling)) == canonical
    assert parse_loss(canonical) == parse_loss(spelling)


@every_loss
def test_plain_name_is_the_function_itself(name: str) -> None:
    logits, target = draw()
    assert str(parse_loss(name)) == name
    assert torch.equal(parse_loss(name)(logits, target), LOSSES[name](logits, target))


def test_parameters_reach_the_function() -> None:
    logits, target = draw()
    loss = parse_loss("tversky:alpha=0.3:beta=0.7:smooth=2")
    expected = tversky_loss(logits, target, alpha=0.3, beta=0.7, smooth=2)
    assert torch.equal(loss(logits, target), expected)


def test_weighted_sum() -> None:
    logits, target = draw()
    value = parse_loss("0.7iou:smooth=1+0.3bce+2dice")(logits, target)
    expected = (
        0.7 * iou_loss(logits, target, smooth=1)
        + 0.3 * bce_loss(logits, target)
        + 2 * dice_loss(logits, target)
    )
    assert value.shape == (SHAPE[0],)
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("number", [1e-9, 0.123456789, 1 / 3, 999999.5, 1e6, 1234567.0, 1e9])
def test_numbers_survive_the_canonical_spelling(number: float) -> None:
    text = repr(number).replace("e+", "e")
    for spelling in (f"{text}bce", f"iou:smooth={text}"):
        loss = parse_loss(spelling)
        (term,) = loss.terms
        assert number in (term.weight, *dict(term.spelled.options).values())
        assert parse_loss(str(loss)) == loss


def numbers(most: float = 1e9) -> st.SearchStrategy[float]:
    return st.floats(0, most, exclude_min=True)


@st.composite
def terms(draw_: st.DrawFn) -> Term:
    name = draw_(st.sampled_from(NAMES))
    keys = sorted(draw_(st.sets(st.sampled_from([*parameters(name), ""]))) - {""})
    limits = {("focal", "alpha"): 1.0, ("topk", "share"): 1.0}
    params = {key: draw_(numbers(limits.get((name, key), 1e9))) for key in keys}
    kept = tuple((k, v) for k, v in params.items() if v != parameters(name)[k])
    return Term(Spelled(name, kept), draw_(numbers()))


@settings(deadline=None)
@given(st.lists(terms(), min_size=1, max_size=4, unique_by=lambda term: term.spelled))
def test_canonical_spelling_round_trip(drawn: list[Term]) -> None:
    loss = Loss(tuple(sorted(drawn)))
    assert parse_loss(str(loss)) == loss


@settings(deadline=None)
@given(st.permutations(["0.5bce", "iou", "2dice:smooth=1", "tversky:alpha=0.3", "3iou:smooth=2"]))
def test_order_of_terms_does_not_matter(parts: list[str]) -> None:
    assert parse_loss("+".join(parts)) == parse_loss("+".join(sorted(parts)))


@pytest.mark.parametrize("spelling", ["io", "bce+io", "0.5io", "io:smooth=1"])
def test_unknown_name_lists_the_valid_ones(spelling: str) -> None:
    with pytest.raises(ValueError, match="'io'") as caught:
        parse_loss(spelling)
    assert all(name in str(caught.value) for name in NAMES)


@every_loss
def test_unknown_key_lists_the_valid_ones(name: str) -> None:
    with pytest.raises(ValueError, match="'smoth'") as caught:
        parse_loss(f"{name}:smoth=1")
    assert all(key in str(caught.value) for key in options_of(LOSSES[name]) or ["none"])


@pytest.mark.parametrize(
    "spelling",
    ["", " ", "bce,iou", "bce iou", "bce+", "+bce", "bce++iou", "0.5", "IoU", "0.5 * bce", "-1bce"],
)
def test_what_cannot_be_read_is_told_how_to_write_it(spelling: str) -> None:
    with pytest.raises(ValueError, match="cannot read") as caught:
        parse_loss(spelling)
    assert repr(spelling) in str(caught.value)
    assert all(name in str(caught.value) for name in NAMES)


@pytest.mark.parametrize("spelling", ["bce+bce", "bce+0.5bce", "iou+iou:smooth=0"])
def test_same_term_twice_is_refused(spelling: str) -> None:
    with pytest.raises(ValueError, match="twice"):
        parse_loss(spelling)


def test_same_key_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'smooth' twice"):
        parse_loss("iou:smooth=1:smooth=2")


@pytest.mark.parametrize("weight", ["0", "0.0", "1e-999", "1e999"])
def test_weight_is_above_zero_and_finite(weight: str) -> None:
    with pytest.raises(ValueError, match="weight of 'bce'"):
        parse_loss(f"iou+{weight}bce")


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "-1", "1e999", "abc", ""])
def test_parameter_is_a_number_of_at_least_zero(number: str) -> None:
    with pytest.raises(ValueError, match=f"smooth={number}: expected a number"):
        parse_loss(f"iou:smooth={number}")


def test_unknown_policy_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="empty=ignore: expected one of: formula, skip, backgr"):
        parse_loss("iou:empty=ignore")


@pytest.mark.parametrize("bits", ["5", "16.5", "30"])
def test_bits_are_checked_before_anything_trains(bits: str) -> None:
    with pytest.raises(ValueError, match=f"bits is {bits}|bits={bits}: expected a whole number"):
        parse_loss(f"lovasz_hinge:bits={bits}")


@pytest.mark.parametrize("name", ["valid", "channels", "pool"])
def test_what_a_loss_is_taken_over_is_no_part_of_its_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"no parameter '{name}'"):
        parse_loss(f"iou:{name}=1")


OTHER_DIGITS = ["\N{ARABIC-INDIC DIGIT THREE}", "\N{FULLWIDTH DIGIT ONE}"]
NUMBERS = [(name, key) for name in NAMES for key in options_of(LOSSES[name]) if key != "empty"]


@pytest.mark.parametrize(("name", "key"), NUMBERS)
@pytest.mark.parametrize(
    "number",
    [
        "1e308",
        "1e10",
        "-1e-9",
        "1" * 21,
        "9" * 900,
        "9" * 10_000,
        "1_0",
        " 1",
        "0x1",
        "+",
        *OTHER_DIGITS,
    ],
)
def test_numbers_that_no_parameter_takes_are_one_sentence(name: str, key: str, number: str) -> None:
    with pytest.raises(ValueError, match=r"expected a|characters|bits is") as caught:
        parse_loss(f"{name}:{key}={number}")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "weight",
    ["1e308", "1e10", "1" * 21, "9" * 900, "9" * 10_000, "1.2.3", *OTHER_DIGITS, "0x1", "1e"],
)
def test_weights_that_no_loss_takes_are_one_sentence(weight: str) -> None:
    with pytest.raises(ValueError, match=r"weight|cannot read|characters|unknown loss") as caught:
        parse_loss(f"iou+{weight}bce")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2200


def test_losses_are_separated_by_commas() -> None:
    assert split_losses("bce, iou:smooth=1+dice ,mine.py:f") == [
        "bce",
        "iou:smooth=1+dice",
        "mine.py:f",
    ]
    assert split_losses("") == []
