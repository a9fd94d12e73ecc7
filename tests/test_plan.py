"""Cells, and what makes two of them the same: every field but the paths."""

from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from vesica import plan
from vesica.optim import OPTIMIZERS
from vesica.plan import SHORTHANDS, Cell, Recipe, Source, across, field_names, replace
from vesica.recipes import RATES, cell_of
from vesica.spelling import options_of

RESOLVED = Cell(data=Source(path="faces", fingerprint="f" * 64), weights_digest="d" * 64)

OTHER: dict[str, Any] = {
    # Cell
    "model": "fcresnet",
    "size": 96,
    "score_at": "original",
    "absent": "skip",
    "long_side": 448,
    "weights": "hed",
    "weights_digest": "e" * 64,
    "loss": "bce",
    "seed": 1,
    # Source
    "path": "elsewhere",
    "format": "folder",
    "target": "face+hair",
    "foreground": "255",
    "ignore": "254",
    "classes": True,
    "fit_masks": True,
    "as_stored": True,
    "depth": 12,
    "group": "(.*)_",
    "images": "scans/{}.jpg",
    "masks": "labels/{}_seg.png",
    "skip_unpaired": True,
    "split": "small",
    "train": 5,
    "val": 6,
    "split_seed": 2,
    "division": "exact",
    "folds": 5,
    "fold": 3,
    "class_names": ("skin", "hair"),
    "fingerprint": "a" * 64,
    # Recipe
    "optimizer": "adamw",
    "schedule": "cosine:warmup=1",
    "average": "ema",
    "beside": "ema:decay=0.9",
    "steps": 300,
    "augment": "flip",
    "max_epochs": 3,
    "batch": 4,
    "patience": 7,
    "reduction": "sum",
    "monitor": "val_iou",
    "keep": "last",
    "precision": "bf16",
}
"""A valid value of every field that is not its default."""

FIELDS = [name for name in field_names() if name not in SHORTHANDS]
every_field = pytest.mark.parametrize("name", FIELDS)


def place(cell: Cell, name: str) -> BaseModel:
    """The part of a cell that has the field."""
    parts: list[BaseModel] = [cell, cell.data, cell.recipe]
    (part,) = (part for part in parts if name in type(part).model_fields)
    return part


# Fields


def test_fields_have_one_place_each() -> None:
    names = field_names()
    assert len(set(names)) == len(names)
    assert set(FIELDS) == set(OTHER)
    fields = {*Cell.model_fields, *Source.model_fields, *Recipe.model_fields}
    assert set(FIELDS) == fields - {"data", "recipe", "folder"}


def test_defaults_are_table_2_of_the_paper() -> None:
    recipe = Recipe()
    assert (recipe.max_epochs, recipe.batch, recipe.patience) == (1000, 100, 20)
    assert recipe.optimizer == "rmsprop"
    assert options_of(OPTIMIZERS["rmsprop"])["lr"].default == 1e-4


@every_field
def test_replace_changes_that_field_only(name: str) -> None:
    changed = replace(RESOLVED, **{name: OTHER[name]})
    assert getattr(place(changed, name), name) == OTHER[name]
    for other in set(FIELDS) - {name}:
        assert getattr(place(changed, other), other) == getattr(place(RESOLVED, other), other)
    assert replace(changed, **{name: getattr(place(RESOLVED, name), name)}) == RESOLVED


def test_replace_leaves_the_original() -> None:
    before = RESOLVED.model_dump()
    replace(RESOLVED, batch=1, path="there", seed=9)
    assert RESOLVED.model_dump() == before


@every_field
def test_cells_are_frozen(name: str) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(place(RESOLVED, name), name, OTHER[name])


def test_equal_cells_are_one_in_a_set() -> None:
    assert len({RESOLVED, replace(RESOLVED), replace(RESOLVED, seed=1)}) == 2


# Options that may be named without their owner


@pytest.mark.parametrize(
    ("name", "value", "spelled"),
    [
        ("lr", 1e-3, "rmsprop:lr=0.001"),
        ("width", 64, "bfcn32s:width=64"),
        ("init", "keras", "bfcn32s:init=keras"),
        ("dropout", 0.5, "bfcn32s:dropout=0.5"),
        ("freeze", "none", "bfcn32s:freeze=none"),
    ],
)
def test_a_shorthand_sets_its_owners_option(name: str, value: Any, spelled: str) -> None:
    owner = SHORTHANDS[name].owner
    once = replace(RESOLVED, **{name: value})
    assert getattr(place(once, owner), owner) == spelled
    assert replace(once, **{name: value}) == once
    with pytest.raises(ValidationError, match=f"option of the {owner}: write {owner}='NAME:{name}"):
        Cell.model_validate({"data": {"path": "x"}, name: value})


def test_shorthands_come_after_their_owners() -> None:
    changed = replace(RESOLVED, lr=0.5, optimizer="adamw:lr=2", width=3, model="fcresnet")
    assert (changed.recipe.optimizer, changed.model) == ("adamw:lr=0.5", "fcresnet:width=3")


@pytest.mark.parametrize(
    ("fields", "rate"),
    [
        ({"model": "unet"}, "unet"),
        ({"model": "unet:freeze=none"}, "unet:freeze=none"),
        ({"model": "unet", "freeze": "none"}, "unet:freeze=none"),
        ({"model": "bfcn32s:width=8", "freeze": "none"}, "bfcn32s"),
    ],
)
def test_a_network_has_a_rate_of_its_own_frozen_or_not(fields: dict[str, str], rate: str) -> None:
    assert cell_of("", fields, "modern").recipe.optimizer.endswith(f":lr={RATES[rate]:g}")
    assert cell_of("", fields | {"lr": 0.5}, "modern").recipe.optimizer.endswith(":lr=0.5")
    assert cell_of("", fields).recipe.optimizer == "rmsprop"  # the paper's knows one rate


def test_steps_and_epochs_are_not_asked_for_together() -> None:
    for name in ("epochs", "max_epochs"):
        with pytest.raises(ValueError, match="leave one of them out"):
            cell_of("", {"steps": 5, name: 2})
        for fields in ({"steps": 0, name: 2}, {"steps": None, name: 2}):
            recipe = cell_of("", fields, "modern").recipe
            assert (recipe.steps, recipe.max_epochs) == (0, 2)
    assert cell_of("", {"steps": 5}).recipe.steps == 5


def test_every_shorthand_has_one_owner() -> None:
    assert set(SHORTHANDS) == {"lr", "width", "init", "dropout", "freeze"}
    assert not set(SHORTHANDS) & set(FIELDS)


# Across


def test_last_field_varies_fastest() -> None:
    cells = across(RESOLVED, loss=["bce", "iou"], seed=range(3))
    assert [(cell.loss, cell.seed) for cell in cells] == [
        ("bce", 0),
        ("bce", 1),
        ("bce", 2),
        ("iou", 0),
        ("iou", 1),
        ("iou", 2),
    ]


def test_across_names_fields_of_data_and_recipe() -> None:
    cells = across(RESOLVED, target=["face", "face+hair"], batch=[4, 8])
    assert [(cell.data.target, cell.recipe.batch) for cell in cells] == [
        ("face", 4),
        ("face", 8),
        ("face+hair", 4),
        ("face+hair", 8),
    ]


def test_across_of_several_cells_keeps_their_order() -> None:
    first = across(RESOLVED, loss=["bce", "iou"])
    assert across(first, seed=[0, 1]) == across(RESOLVED, loss=["bce", "iou"], seed=[0, 1])
    assert across(iter(first), seed=[0, 1]) == across(first, seed=[0, 1])


def test_across_of_nothing() -> None:
    assert across(RESOLVED) == [RESOLVED]
    assert across(RESOLVED, seed=[]) == []
    assert across([], seed=[0]) == []


@pytest.mark.parametrize("name", ["sed", "data", "recipe", "learning_rate", "key"])
def test_unknown_field_lists_the_valid_ones(name: str) -> None:
    with pytest.raises(ValueError, match=f"no field '{name}'") as caught:
        across(RESOLVED, **{name: [1]})
    assert all(field in str(caught.value) for field in field_names())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 15),
        ("size", 4097),
        ("size", "big"),
        ("seed", -1),
        ("seed", 2**31),
        ("split", "medium"),
        ("train", 0),
        ("val", 0),
        ("split_seed", -1),
        ("max_epochs", 0),
        ("batch", 0),
        ("patience", -1),
        ("reduction", "max"),
        ("monitor", "val_dice"),
        ("keep", "first"),
        ("precision", "fp16"),
        ("loss", None),
    ],
)
def test_invalid_value_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        replace(RESOLVED, **{name: value})


@pytest.mark.parametrize(("model", "values"), [(Cell, {"data": {"path": "x"}}), (Recipe, {})])
def test_misspelt_field_is_refused(model: type[BaseModel], values: dict[str, Any]) -> None:
    model.model_validate(values)
    with pytest.raises(ValidationError, match="epochs"):
        model.model_validate({**values, "epochs": 3})


# Identity


def test_unresolved_cell_has_no_key() -> None:
    with pytest.raises(ValueError, match="resolve"):
        _ = Cell(data=Source(path="faces")).key


def test_key_is_short_and_fit_for_a_folder() -> None:
    assert len(RESOLVED.key) == 12
    assert set(RESOLVED.key) <= set("0123456789abcdef")
    assert RESOLVED.key == replace(RESOLVED).key


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"path", "class_names"}))
def test_every_field_is_part_of_the_key(name: str) -> None:
    assert replace(RESOLVED, **{name: OTHER[name]}).key != RESOLVED.key


def test_keys_of_all_variants_differ() -> None:
    keys = [
        replace(RESOLVED, **{name: OTHER[name]}).key
        for name in set(OTHER) - {"path", "class_names"}
    ]
    assert len({RESOLVED.key, *keys}) == len(keys) + 1


@pytest.mark.parametrize("name", ["split", "reduction", "monitor", "keep", "precision"])
def test_every_choice_has_its_own_key(name: str) -> None:
    choices = get_args(type(place(RESOLVED, name)).model_fields[name].annotation)
    assert len({replace(RESOLVED, **{name: choice}).key for choice in choices}) == len(choices) > 1


def test_a_later_field_renames_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field of a later version, whose default is not what the schema froze as neutral."""

    class LaterRecipe(Recipe):
        polish: float = 0.97

    class LaterCell(Cell):
        recipe: LaterRecipe = LaterRecipe()

    monkeypatch.setitem(plan.LATER, "recipe.polish", 0.0)
    fields = RESOLVED.model_dump()
    fields["recipe"]["polish"] = 0.0
    assert LaterCell.model_validate(fields).key == RESOLVED.key
    assert LaterCell.model_validate(RESOLVED.model_dump()).key != RESOLVED.key
    assert LaterCell.model_validate(RESOLVED.model_dump()).identity()["recipe"]["polish"] == 0.97


def test_a_key_has_its_schema() -> None:
    assert RESOLVED.identity()["schema"] == plan.SCHEMA == 2
    assert "schema" not in RESOLVED.setting()
    assert RESOLVED.model_copy(update={"folder": "0" * 12}).key == RESOLVED.key


def test_paths_are_no_part_of_the_key() -> None:
    assert replace(RESOLVED, path="/mnt/copy").key == RESOLVED.key
    here, there = (replace(RESOLVED, weights=f"hed:{path}") for path in ("/a/w.h5", "/b/w.h5"))
    assert here.key == there.key == replace(RESOLVED, weights="hed").key
    assert replace(here, weights_digest="other").key != here.key


@every_field
def test_setting_is_all_but_loss_seed_fold_and_paths(name: str) -> None:
    is_same = replace(RESOLVED, **{name: OTHER[name]}).setting() == RESOLVED.setting()
    assert is_same == (name in ("loss", "seed", "fold", "path", "class_names"))


@pytest.mark.parametrize("cell", [RESOLVED, Cell.model_validate({"data": {"path": "x"}})])
def test_json_round_trip(cell: Cell) -> None:
    assert Cell.model_validate_json(cell.model_dump_json()) == cell


def test_json_round_trip_of_every_field() -> None:
    cell = replace(RESOLVED, **OTHER)
    again = Cell.model_validate_json(cell.model_dump_json())
    assert again == cell
    assert again.key == cell.key
    assert all(getattr(place(again, name), name) == value for name, value in OTHER.items())
