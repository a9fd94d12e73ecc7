"""What is chosen for a user: tables of numbers and sizes, the reasons, and runs that go on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_library import write_slides

from vesica.data import Dataset
from vesica.data.library import Library
from vesica.data.measure import NUM_MEASURED, Measured, measure, ridge_widths
from vesica.data.sample import Mask, Pixels
from vesica.errors import DataError
from vesica.plans.defaults import CHEAPER, QUICK, Defaults, choose, size_for
from vesica.results import RunPlan, write_model

SETS = """
import numpy as np

from vesica.data import Dataset


def images(
    num: int = 60, side: int = 200, bar: int = 40, groups: int = 0, test: int = 0
) -> Dataset:
    def read(name):
        image = np.zeros((side, side, 3), np.uint8)
        mask = np.zeros((side, side), bool)
        mask[4 : 4 + bar, 4:-4] = True
        return image, mask

    names = [f"i{index:05}" for index in range(num)]
    group = [str(i % groups) for i in range(num)] if groups else None
    parts = ["test" if i < test else "train" for i in range(num)] if test else None
    return Dataset.of(names, read, groups=group, parts=parts, files=[__file__] * num)
"""


@pytest.fixture
def sets(tmp_path: Path) -> str:
    return f"{write_slides(tmp_path, SETS)}:images"


def chosen_for(sets: str, tmp_path: Path, recipe: str = "modern", **given: Any) -> Defaults:
    quick, fields = given.pop("quick", False), given.pop("fields", {})
    options = "".join(f":{name}={value}" for name, value in given.items())
    library = Library(tmp_path / "cache")
    return choose(sets + options, fields, recipe, library, tmp_path / "run", quick=quick)


# Sizes


@pytest.mark.parametrize("thickness", range(1, 21))
def test_the_width_of_a_bar(thickness: int) -> None:
    mask = np.zeros((100, 300), bool)
    mask[40 : 40 + thickness, 20:-20] = True
    assert np.median(ridge_widths(mask)) == pytest.approx(thickness, abs=0.5)
    assert np.median(ridge_widths(mask.T)) == pytest.approx(thickness, abs=0.5)


def test_the_width_of_a_disc_and_of_a_slanted_line() -> None:
    rows, columns = np.mgrid[:200, :200]
    disc = np.hypot(rows - 90, columns - 110) <= 40
    assert ridge_widths(disc).max() == pytest.approx(81, abs=2)
    line = np.abs(rows - columns) <= 6
    assert np.median(ridge_widths(line)) == pytest.approx(13 / np.sqrt(2), abs=1.5)


def test_the_width_of_what_fills_the_image_and_of_nothing() -> None:
    assert ridge_widths(np.ones((20, 20), bool)).max() == pytest.approx(20, abs=0.5)
    assert ridge_widths(np.zeros((5, 5), bool)).size == 0


def test_half_of_the_foreground_is_wider() -> None:
    mask = np.zeros((100, 100), bool)
    mask[10:14, 10:90] = True  # 320 pixels, 4 across
    mask[40:60, 40:60] = True  # 400 pixels, 20 across
    dataset = Dataset.of(["a"], lambda name: (np.zeros((100, 100, 3), np.uint8), mask))
    measured = measure(dataset)
    assert measured is not None
    assert measured.across is not None
    assert 0.035 <= measured.across <= 0.2


@pytest.mark.parametrize(
    ("side", "across", "stride", "size", "words"),
    [
        (500, 40.0, 2, 128, "half of the foreground is at least 10 pixels across there"),
        (500, None, 2, 128, "the usual one."),
        (48, 20.0, 2, 64, "the images are 48 pixels across, and 128 would only enlarge them"),
        (20, 10.0, 2, 32, "the images are 20 pixels across"),
        (500, 6.0, 2, 192, "less than 1.5 pixels across at 128, and unet draws at every second"),
        (500, 6.0, 2, 192, "it takes 2.2 times as long as --size 128"),
        (2000, 6.0, 2, 256, "4.0 times as long"),
        (500, 6.0, 0, 128, "at least 2 pixels across"),  # of another network
        (64, 1.0, 2, 128, "less than 1.0 pixels across at 64"),
        (48, 0.5, 2, 128, "less than 0.7 pixels across at 64"),
    ],
)
def test_size_follows_the_images(
    side: int, across: float | None, stride: int, size: int, words: str
) -> None:
    measured = Measured(side, None if across is None else across / side)
    found, reason = size_for(measured, stride, 128)
    assert found == size
    assert reason.startswith(f"--size {size}: ")
    assert words in reason


def test_a_few_images_are_measured() -> None:
    read_names = []

    def read(name: str) -> tuple[Pixels, Mask]:
        read_names.append(name)
        if name == "00000":
            raise DataError("broken")
        return np.zeros((30, 120, 3), np.uint8), np.zeros((30, 120), bool)

    names = [f"{index:05}" for index in range(200)]
    parts = ["test" if index % 2 else "train" for index in range(200)]
    files = [__file__] * 200
    measured = measure(Dataset.of(names, read, parts=parts, files=files))
    assert measured == Measured(60, None)
    assert len(read_names) <= NUM_MEASURED
    assert not any(int(name) % 2 for name in read_names)
    assert measure(Dataset.of(names[:1], read, files=files[:1])) is None


# Numbers


@pytest.mark.parametrize(
    ("num", "folds", "division"),
    [(8, 0, "exact"), (60, 5, "exact"), (490, 5, "exact"), (500, 0, "exact")],
)
def test_small_sets_are_tested_in_folds(
    num: int, folds: int, division: str, sets: str, tmp_path: Path
) -> None:
    chosen = chosen_for(sets, tmp_path, num=num)
    assert (chosen.base.data.folds, chosen.base.data.division) == (folds, division)
    assert any("every image is tested once" in line for line in chosen.reasons) == bool(folds)
    assert chosen_for(sets, tmp_path, num=num, fields={"folds": 0}).base.data.folds == 0


def test_few_groups_are_tested_in_folds(sets: str, tmp_path: Path) -> None:
    assert chosen_for(sets, tmp_path, num=800, groups=40).base.data.folds == 5
    assert chosen_for(sets, tmp_path, num=800, groups=60).base.data.folds == 0


@pytest.mark.parametrize(
    ("num", "batch"), [(30, 2), (60, 3), (200, 16), (1000, 80), (1250, 100), (5000, 100)]
)
def test_the_papers_recipe_takes_ten_steps_an_epoch(
    num: int, batch: int, sets: str, tmp_path: Path
) -> None:
    chosen = chosen_for(sets, tmp_path, "paper", num=num)
    assert chosen.base.recipe.batch == batch
    num_train = len(Library(tmp_path).split(chosen.base.data).train)
    steps = -(-num_train // batch)
    assert batch == 2 or steps >= 10
    assert len(chosen.reasons) == (batch < 100)
    assert all(f"--batch {batch}: {steps} steps an epoch" in line for line in chosen.reasons)
    kept = chosen_for(sets, tmp_path, "paper", num=num, fields={"batch": 100})
    assert kept.base.recipe.batch == 100


def test_sets_whose_number_is_known_stay_as_they_are(tmp_path: Path) -> None:
    from test_split import numbered

    library = Library(tmp_path)
    library.dataset = lambda source: numbered(100, 2927)  # type: ignore[method-assign]
    chosen = choose("lfw", {}, "paper", library, tmp_path / "run")
    assert chosen.base.recipe.batch == 100
    assert chosen.reasons == []


def test_epochs_that_are_asked_for_have_ten_steps_too(sets: str, tmp_path: Path) -> None:
    chosen = chosen_for(sets, tmp_path, num=60, fields={"epochs": 3, "folds": 0})
    assert (chosen.base.recipe.max_epochs, chosen.base.recipe.batch) == (3, 3)


def test_steps_are_whole_passes(sets: str, tmp_path: Path) -> None:
    few, many = (chosen_for(sets, tmp_path, num=num).reasons[-1] for num in (500, 30_000))
    assert few == "400 steps of 16 images: 16 passes over 400 training images."
    assert many == "1500 steps of 16 images: one pass over 24000 training images."


# A first look, and a budget


def test_a_first_look(sets: str, tmp_path: Path) -> None:
    chosen = chosen_for(sets, tmp_path, num=600, quick=True)
    assert (chosen.base.size, chosen.base.recipe.steps) == (QUICK["size"], QUICK["steps"])
    assert chosen.reasons[0] == "A first look: --size 96, --steps 150, 3 seeds."
    assert chosen.whole == pytest.approx((128 / 96) ** 2 * 400 / 150)
    assert chosen.lines(1.0)[-1] == "The whole comparison, without quick, takes about 4.7 h."
    assert chosen.lines(0.0) == chosen.reasons
    large = chosen_for(sets, tmp_path, num=30_000, quick=True)
    assert large.base.data.train == 2400
    given = chosen_for(sets, tmp_path, num=600, quick=True, fields={"size": 64, "epochs": 2})
    assert (given.base.size, given.base.recipe.max_epochs) == (64, 2)
    with pytest.raises(ValueError, match="a first look is the modern recipe's"):
        chosen_for(sets, tmp_path, "paper", quick=True)


@pytest.mark.parametrize(
    ("budget", "size", "steps"), [(0.6, 128, 200), (0.4, 96, 200), (0.12, 64, 150), (0.01, 64, 75)]
)
def test_a_budget_is_kept(budget: float, size: int, steps: int, sets: str, tmp_path: Path) -> None:
    chosen = chosen_for(sets, tmp_path, num=600)
    assert chosen.fit(1.0, budget)
    assert (chosen.base.size, chosen.base.recipe.steps) == (size, steps)
    assert chosen.choices["steps"] == steps
    assert "the first verdict takes about 60 min, more than --budget" in chosen.reasons[-1]


def test_a_budget_changes_nothing_that_is_given(sets: str, tmp_path: Path) -> None:
    chosen = chosen_for(sets, tmp_path, num=600, fields={"size": 128})
    assert chosen.fit(1.0, 0.01)
    assert (chosen.base.size, chosen.base.recipe.steps) == (128, CHEAPER[-1]["steps"])
    both = chosen_for(sets, tmp_path, num=600, fields={"size": 128, "steps": 400})
    assert not both.fit(1.0, 0.01)
    assert not chosen_for(sets, tmp_path, "paper", num=600).fit(1.0, 0.01)


# Runs that are there


def begin(run: Path, chosen: Defaults, choices: dict[str, Any] | None) -> None:
    data = chosen.base.data
    division = None if data.division == "drawn" else data.division  # as it is resolved
    data = data.model_copy(update={"fingerprint": "f" * 64, "division": division})
    cell = chosen.base.model_copy(update={"data": data})
    write_model(run / "plan.json", RunPlan(cells=(cell,), choices=choices))


def test_a_run_goes_on_with_what_it_chose(sets: str, tmp_path: Path) -> None:
    first = chosen_for(sets, tmp_path, num=600)
    first.fit(1.0, 0.4)
    begin(tmp_path / "run", first, first.choices)
    again = chosen_for(sets, tmp_path, num=600)
    assert again.base == first.base
    assert again.choices == first.choices
    assert again.reasons == ["As the run was begun: --division exact, --size 96, --steps 200."]
    assert not again.fit(1.0, 0.01)
    assert chosen_for(sets, tmp_path, num=600, fields={"size": 64}).base.size == 64
    assert chosen_for(sets, tmp_path, num=600, quick=True).base.recipe.steps == 150


def test_a_run_of_an_earlier_version_chose_the_folds_alone(sets: str, tmp_path: Path) -> None:
    fields = {"size": 128, "division": "drawn", "folds": 5}
    begin(tmp_path / "run", chosen_for(sets, tmp_path, num=600, side=40, fields=fields), None)
    again = chosen_for(sets, tmp_path, num=600, side=40)
    assert (again.base.size, again.base.data.folds, again.base.data.division) == (128, 5, None)
    assert again.reasons == ["As the run was begun: --folds 5."]


def test_a_strangers_choices_say_no_path(sets: str, tmp_path: Path) -> None:
    begin(tmp_path / "run", chosen_for(sets, tmp_path, num=600), {"path": "/", "size": 64})
    again = chosen_for(sets, tmp_path, num=600)
    assert (again.base.data.path, again.base.size) == (f"{sets}:num=600", 64)


# What is said before training


@pytest.mark.parametrize(
    ("options", "fields", "words"),
    [
        (
            {"num": 66, "test": 6},
            {},
            "Warning: 6 test images, and a verdict needs 15: pass --division pooled to divide all "
            "66 images anew.",
        ),
        (
            {"num": 30},
            {"folds": 0},
            "Warning: 10 test images, and a verdict needs 15: pass --folds 5 to test every image "
            "once.",
        ),
        (
            {"num": 12},
            {},
            "Warning: 12 test images, and a verdict needs 15: add images (there are 12).",
        ),
        (
            {"num": 100, "groups": 10},
            {},
            "Warning: 10 tested groups, and a verdict needs 15: tell more groups apart with "
            "--group (there are 10).",
        ),
        ({"num": 66}, {}, ""),
        ({"num": 66, "test": 6}, {"division": "pooled"}, ""),
    ],
)
def test_too_few_for_a_verdict_is_said_with_the_way_out(
    options: dict[str, Any], fields: dict[str, Any], words: str, sets: str, tmp_path: Path
) -> None:
    source = chosen_for(sets, tmp_path, side=32, bar=8, fields=fields, **options).base.data
    source = source.model_copy(update={"fold": 0} if source.folds else {})
    said = Library(tmp_path / "cache").describe(source, 32, 2)
    assert [line for line in said if "verdict" in line] == [words] * bool(words)
