"""One reading for all masks of a set: what is certain is read, the rest asked with right advice."""

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from vesica.data import open_dataset, reading, stored, survey
from vesica.data.library import Library, open_source
from vesica.data.rules import Rule
from vesica.data.sample import Dataset
from vesica.data.source import Source
from vesica.data.stored import Stored
from vesica.errors import DataError
from vesica.materials import Materials
from vesica.plan import Cell

SIZE, NUM = 64, 6
Write = Callable[[Path, int], object]


def blob(index: int) -> NDArray[np.bool_]:
    """A different object for each index."""
    mask = np.zeros((SIZE, SIZE), bool)
    mask[8 + index : 40, 10 : 44 - 2 * index] = True
    return mask


def line(index: int) -> NDArray[np.bool_]:
    """A second thing, thin, with background on both sides of it."""
    mask = np.zeros((SIZE, SIZE), bool)
    mask[52:54, 5 + index : 60] = True
    return mask


def make(root: Path, masks: Sequence[Any], suffix: str = "png", **options: Any) -> Path:
    """A folder whose masks are these arrays or images, in files of one kind."""
    for index, mask in enumerate(masks):
        image = mask if isinstance(mask, Image.Image) else Image.fromarray(np.asarray(mask))
        for folder in ("images", "masks"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", image.size).save(root / "images" / f"{index}.png")
        image.save(root / "masks" / f"{index}.{suffix}", **options)
    return root


def numbers(**values: int) -> list[NDArray[np.uint8]]:
    """Masks with these numbers for what they are named after."""
    drawn = []
    for index in range(NUM):
        mask = np.full((SIZE, SIZE), values.get("ground", 0), np.uint8)
        mask[blob(index)] = values.get("blob", 0)
        mask[line(index)] = values.get("line", values.get("ground", 0))
        if "frame" in values:
            mask[:2], mask[-2:], mask[:, :2], mask[:, -2:] = (values["frame"],) * 4
        drawn.append(mask)
    return drawn


def colours(ground: str, **of: str) -> list[NDArray[np.uint8]]:
    """The same in colours."""
    shapes = {"blob": blob, "line": line}
    drawn = []
    for index in range(NUM):
        mask = np.full((SIZE, SIZE, 3), tuple(bytes.fromhex(ground)), np.uint8)
        for name, colour in of.items():
            mask[shapes[name](index)] = tuple(bytes.fromhex(colour))
        drawn.append(mask)
    return drawn


def palettes(masks: Sequence[NDArray[np.uint8]], colours: Sequence[int]) -> list[Image.Image]:
    images = [Image.fromarray(mask, "L") for mask in masks]
    flat = [channel for colour in colours for channel in colour.to_bytes(3, "big")]
    for image in images:
        image.putpalette(flat)
    return images


def masks_of(dataset: Dataset) -> list[NDArray[np.bool_]]:
    return [dataset.read(sample)[1] for sample in dataset.samples]


def assert_masks(dataset: Dataset, *shapes: Callable[[int], NDArray[np.bool_]]) -> None:
    for index, mask in enumerate(masks_of(dataset)):
        assert (mask == np.any([shape(index) for shape in shapes], axis=0)).all()


def refusal(root: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(root, **options)
    return str(caught.value)


def proposals(message: str) -> list[dict[str, Any]]:
    """Every set of options that a message says to pass."""
    found = re.findall(r"(?:--(?:foreground|ignore) (?:'[^']+'|[^\s',.;]+(?:,\w+)*) ?)+", message)
    words = [shlex.split(text) for text in found]
    return [
        {name[2:]: value for name, value in zip(w[::2], w[1::2], strict=True)}
        for w in words
        if w[1] != "leaves"
    ]


# What is certain


@pytest.mark.parametrize("top", [1, 2, 128, 254, 255])
def test_one_number_beside_zero_is_the_object(top: int, tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, numbers(blob=top)))
    assert_masks(dataset, blob)
    assert dataset.settled["foreground"] == (None if top in (1, 255) else str(top))
    assert (dataset.target == "foreground") == (top in (1, 255))
    assert bool(dataset.notes) == (top not in (1, 255))


def test_photographs_are_no_masks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8) for _ in range(NUM)]
    root = make(tmp_path / "photos", photos)
    with pytest.raises(DataError, match="so many colours that none stands out, as photographs do"):
        open_dataset(str(root))


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
def test_jpeg_masks_are_cut_between_their_heaps(quality: int, tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, numbers(blob=255), "jpg", quality=quality))
    assert_masks(dataset, blob)
    assert dataset.settled["foreground"] == ">127"
    assert "what is above 127 is foreground" in dataset.notes[0]


def test_nearly_lossless_masks_are_cut_as_well(tmp_path: Path) -> None:
    masks = numbers(blob=255)
    for mask in masks:
        mask[30, :20] = 254
        mask[50, :20] = 1
        mask[30, :10] = np.where(mask[30, :10] > 1, 254, 1)
    dataset = open_dataset(make(tmp_path, masks))
    assert dataset.settled["foreground"] == ">127"


def test_a_mask_unlike_the_others_is_refused(tmp_path: Path) -> None:
    odd = (np.arange(SIZE * SIZE).reshape(SIZE, SIZE) % 256).astype(np.uint8)
    root = make(tmp_path, [*numbers(blob=255) * 10, odd])
    message = refusal(root)
    assert message.startswith("1 of 61 masks hold mostly values that are neither background nor")
    (options,) = proposals(message)
    assert options == {"foreground": ">127"}
    assert open_dataset(root, **options).settled["foreground"] == ">127"


@pytest.mark.parametrize("quality", [30, 95])
def test_shades_among_plain_masks_are_counted(quality: int, tmp_path: Path) -> None:
    root = make(tmp_path, numbers(blob=255))
    (root / "masks" / "0.png").unlink()
    Image.fromarray(numbers(blob=255)[0]).save(root / "masks" / "0.jpg", quality=quality)
    dataset = open_dataset(root)
    assert "1 of 6 masks are shades in two heaps" in dataset.notes[0]
    assert_masks(dataset, blob)


@pytest.mark.parametrize("scale", [(0.0, 1.0), (0.05, 0.95), (0.1, 0.9)])
def test_floats_are_cut_at_one_half(scale: tuple[float, float], tmp_path: Path) -> None:
    masks = [np.where(blob(i), scale[1], scale[0]).astype(np.float32) for i in range(NUM)]
    dataset = open_dataset(make(tmp_path, masks, "tif"))
    assert_masks(dataset, blob)
    assert dataset.settled["foreground"] == (None if scale == (0.0, 1.0) else ">0.5")


@pytest.mark.parametrize("colour", ["ff0000", "0000c8", "ffffff", "010000"])
def test_what_is_not_black_is_the_object(colour: str, tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, colours("000000", blob=colour)))
    assert_masks(dataset, blob)


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_near_colours_of_jpeg_count_as_their_heap(quality: int, tmp_path: Path) -> None:
    masks = colours("000000", blob="ff0000")
    dataset = open_dataset(make(tmp_path, masks, "jpg", quality=quality, subsampling=0))
    rule = dataset.settled["foreground"]
    assert re.fullmatch(r"#f[0-9a-f]0[0-9a-f]0[0-9a-f]~#0[0-9a-f]0[0-9a-f]0[0-9a-f]", rule)
    for index, mask in enumerate(masks_of(dataset)):
        assert (mask != blob(index)).mean() < 0.01


def test_palettes_that_show_all_alike_are_read_by_index(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, palettes(numbers(blob=1), [0, 0])))
    assert_masks(dataset, blob)
    assert dataset.settled["foreground"] is None


def test_the_void_of_voc_is_left_out_and_said(tmp_path: Path) -> None:
    table = [0] * 256
    table[15], table[255] = 0xC08080, 0xE0E0C0
    dataset = open_dataset(make(tmp_path, palettes(numbers(blob=15, frame=255), table)))
    assert (dataset.settled["ignore"], dataset.settled["foreground"]) == ("#e0e0c0", "#c08080")
    assert dataset.has_void
    assert "#e0e0c0 are left out, as Pascal VOC marks them" in dataset.notes[0]
    for index, sample in enumerate(dataset.samples):
        _, mask, valid = dataset.read(sample)
        assert (valid[2:-2, 2:-2].all(), valid[:2].any(), valid.dtype) == (True, False, np.bool_)
        assert (mask == (blob(index) & valid)).all()


def test_a_palette_whose_255_has_another_colour_has_no_void(tmp_path: Path) -> None:
    table = [0] * 256
    table[15], table[255] = 0xC08080, 0xFFFFFF
    message = refusal(make(tmp_path, palettes(numbers(blob=15, frame=255), table)))
    assert "15 #c08080" in message
    assert "255 #ffffff" in message


# What is asked, and the advice


ASKED: dict[str, tuple[list[Any], list[dict[str, Any]]]] = {
    "void": (
        numbers(blob=1, frame=255),
        [{"ignore": "255"}, {"foreground": "255"}, {"foreground": "1"}],
    ),
    "classes and void": (
        numbers(blob=1, line=2, frame=255),
        [
            {"foreground": "1", "ignore": "255"},
            {"foreground": "2", "ignore": "255"},
            {"foreground": "1,2", "ignore": "255"},
        ],
    ),
    "no background": (numbers(ground=2, blob=1), [{"foreground": "1"}, {"foreground": "2"}]),
    "thin things are no borders": (
        numbers(blob=1, line=2),
        [{"foreground": "1"}, {"foreground": "2"}, {"foreground": "1,2"}],
    ),
    "levels": (
        numbers(blob=150, line=250),
        [{"foreground": "150"}, {"foreground": "250"}, {"foreground": "150,250"}],
    ),
    "colours": (
        colours("000000", blob="ff0000", line="00ff00"),
        [
            {"foreground": "#00ff00"},
            {"foreground": "#ff0000"},
            {"foreground": "#00ff00,#ff0000"},
        ],
    ),
    "white ground": (
        colours("ffffff", blob="ff0000"),
        [{"foreground": "#ff0000"}, {"foreground": "#ffffff"}],
    ),
    "palette": (
        palettes(numbers(blob=3, line=4), [0, 1, 2, 0xFF0000, 0x00FF00]),
        [{"foreground": "3"}, {"foreground": "4"}, {"foreground": "3,4"}],
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_advice_is_what_it_says(name: str, tmp_path: Path) -> None:
    masks, expected = ASKED[name]
    root = make(tmp_path, masks)
    message = refusal(root)
    assert proposals(message) == expected
    for options in expected:
        dataset = open_dataset(root, **options)
        counted = np.mean([mask.mean() for mask in masks_of(dataset)])
        assert counted > 0
        wanted = options.get("foreground", "1").split(",")
        for mask, drawn in zip(masks_of(dataset), masks, strict=True):
            drawn = np.asarray(drawn)
            if drawn.ndim == 3:
                shown = drawn.astype(int) @ [65536, 256, 1]
                true = np.isin(shown, [int(text[1:], 16) for text in wanted])
            else:
                true = np.isin(drawn, [int(text) for text in wanted])
            assert (mask == true).all()


@pytest.mark.parametrize("kind", ["spread", "instances"])
def test_many_values_ask_for_a_threshold(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, 200, (SIZE, SIZE), np.uint8) for _ in range(NUM)]
    if kind == "instances":
        masks = [(np.arange(SIZE * SIZE).reshape(SIZE, SIZE) // 80).astype(np.uint16)] * NUM
    root = make(tmp_path, masks)
    for options in proposals(refusal(root)):
        assert options["foreground"].startswith(">")
        above = int(options["foreground"][1:])
        for mask, drawn in zip(masks_of(open_dataset(root, **options)), masks, strict=True):
            assert (mask == (drawn > above)).all()


@pytest.mark.parametrize("quality", [75, 95])
def test_classes_of_jpeg_are_asked_and_snapped(quality: int, tmp_path: Path) -> None:
    root = make(tmp_path, numbers(blob=128, line=255), "jpg", quality=quality)
    assert "Which is the object?" in refusal(root)
    dataset = open_dataset(root, foreground="128")
    assert re.fullmatch(r"12\d~[0-9,]+", dataset.settled["foreground"])
    for index, mask in enumerate(masks_of(dataset)):
        assert (mask != blob(index)).mean() < 0.03


def test_a_users_value_of_shades_is_their_heap(tmp_path: Path) -> None:
    root = make(tmp_path, numbers(blob=255), "jpg")
    bright, dark = (open_dataset(root, foreground=value) for value in ("255", "0"))
    assert (bright.settled["foreground"], dark.settled["foreground"]) == (">127", "<=127")
    assert "255 is read as >127" in bright.notes[0]
    assert_masks(bright, blob)
    assert all((m == ~blob(i)).all() for i, m in enumerate(masks_of(dark)))


def test_a_colour_beside_the_one_that_is_there_is_found(tmp_path: Path) -> None:
    root = make(tmp_path, colours("000000", blob="fe0000", line="00ff00"))
    dataset = open_dataset(root, foreground="#ff0000")
    assert dataset.settled["foreground"] == "#fe0000"
    assert "it is the nearest of" in dataset.notes[0]
    assert_masks(dataset, blob)
    assert "--foreground #0000ff is in no mask" in refusal(root, foreground="#0000ff")


# Options that do not fit


@pytest.mark.parametrize("rule", ["255", ">127", ">=128", "1"])
def test_a_rule_that_empties_masks_of_another_kind_is_refused(rule: str, tmp_path: Path) -> None:
    masks = [mask // 255 if i % 3 else mask for i, mask in enumerate(numbers(blob=255))]
    root = make(tmp_path, masks)
    message = refusal(root, foreground=rule)
    wrong = "2 of 6 masks hold 255" if rule == "1" else "4 of 6 masks hold 1"
    assert message.startswith(wrong)
    assert "Leave --foreground out, which reads both" in message
    assert_masks(open_dataset(root), blob)
    assert_masks(open_dataset(root, foreground="1,255"), blob)


def test_a_class_that_some_masks_lack_is_no_mistake(tmp_path: Path) -> None:
    masks = [
        mask if i % 2 else np.minimum(mask, 1) for i, mask in enumerate(numbers(blob=1, line=2))
    ]
    dataset = open_dataset(make(tmp_path, masks), foreground="2")
    assert [mask.any() for mask in masks_of(dataset)] == [False, True] * 3


def test_an_index_of_many_colours_is_refused(tmp_path: Path) -> None:
    mixed = palettes(numbers(blob=1), [0, 0xFFFFFF])[:3]
    mixed += palettes(numbers(blob=1), [0xFFFFFF, 0])[3:]
    message = refusal(make(tmp_path, mixed), foreground="1")
    assert "index 1 of the palettes is #ffffff in 3 masks and #000000 in 3 masks" in message


def test_numbers_of_colours_and_colours_of_numbers_are_refused(tmp_path: Path) -> None:
    coloured = make(tmp_path / "a", colours("000000", blob="ff0000", line="00ff00"))
    assert "hold colours and no numbers. The masks hold 3" in refusal(coloured, foreground="1")
    assert "hold none such. Pass colours" in refusal(coloured, ignore="1")
    both = refusal(coloured, foreground="car=#ff0000", ignore="#FF0000")
    assert both.startswith(
        "--foreground car=#ff0000 and --ignore #ff0000 are the same pixels. Leave"
    )
    deep = make(tmp_path / "b", [m.astype(np.uint16) * 300 for m in numbers(blob=1, line=2)])
    assert "hold numbers and no colours. Pass numbers" in refusal(deep, foreground="#ff0000")
    assert "hold none such. Pass numbers" in refusal(deep, ignore="#ff0000")


def test_alpha_is_asked_for_only_where_there_is_one(tmp_path: Path) -> None:
    root = make(tmp_path, numbers(blob=255))
    assert "no mask has an alpha channel" in refusal(root, foreground="alpha")


def test_an_opaque_alpha_channel_is_dropped(tmp_path: Path) -> None:
    masks = [Image.fromarray(mask).convert("RGBA") for mask in numbers(blob=255)]
    dataset = open_dataset(make(tmp_path, masks))
    assert_masks(dataset, blob)
    assert dataset.settled["foreground"] is None


def test_no_number_is_no_mask(tmp_path: Path) -> None:
    masks = [np.where(blob(i), 1, np.nan).astype(np.float32) for i in range(NUM)]
    assert "pixels that are no number (NaN)" in refusal(make(tmp_path, masks, "tif"))


# Rules


def test_a_named_rule_names_the_target(tmp_path: Path) -> None:
    root = make(tmp_path, numbers(blob=1, line=2))
    dataset = open_dataset(root, foreground="hair line=2")
    assert dataset.target == "hair line=2"
    assert dataset.settled["foreground"] == "hair line=2"
    assert_masks(dataset, line)


ITEMS = st.one_of(
    st.lists(st.integers(0, 65535).map(str), min_size=1, max_size=4),
    st.lists(st.integers(0, 2**24 - 1).map("#{:06x}".format), min_size=1, max_size=4),
).map(",".join)
RULES = st.one_of(
    ITEMS,
    ITEMS.map("!{}".format),
    st.tuples(st.sampled_from([">", ">=", "<", "<="]), st.integers(0, 255)).map(
        lambda pair: f"{pair[0]}{pair[1]}"
    ),
    st.sampled_from(["alpha", "plain", ">0.5", "0.25", "-1"]),
)


@given(RULES, st.sampled_from(["", "crack", "left lung"]))
def test_a_rule_is_spelled_as_it_is_read(text: str, name: str) -> None:
    rule = Rule.parse(f"{name}={text}" if name else text)
    assert rule.spelled == (f"{name}={text}" if name else text)
    assert Rule.parse(rule.spelled) == rule


@given(st.integers(0, 255), st.lists(st.integers(0, 255), min_size=1, max_size=5, unique=True))
def test_each_pixel_counts_as_the_nearest(meant: int, others: list[int]) -> None:
    others = [other for other in others if other != meant]
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    text = f"{meant}~{','.join(map(str, others))}" if others else str(meant)
    found = Rule.parse(text).select("it", Stored("grey", values, 255))
    for value in range(256):
        nearest = min([meant, *others], key=lambda centre: abs(centre - value))
        expected = nearest == meant if others else value == meant
        assert found.flat[value] == expected


# Matrices


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float64])
@pytest.mark.parametrize("kind", ["npy", "mat", "mat 7.3"])
def test_matrices_are_masks(kind: str, dtype: type, tmp_path: Path) -> None:
    root = make(tmp_path, numbers(blob=255))
    for index, file in enumerate(sorted((root / "masks").iterdir())):
        file.unlink()
        mask: NDArray[Any] = blob(index).astype(dtype)
        if kind == "npy":
            np.save(file.with_suffix(".npy"), mask)
        elif kind == "mat":
            scipy.io.savemat(file.with_suffix(".mat"), {"mask": mask, "id": index})
        else:
            with h5py.File(file.with_suffix(".mat"), "w", userblock_size=512) as opened:
                opened["mask"], opened["#refs#"] = mask.T, index
    assert_masks(open_dataset(root), blob)


def test_what_is_no_one_matrix_says_what_it_is(tmp_path: Path) -> None:
    mask = blob(0).astype(np.uint8)
    file = tmp_path / "it.mat"
    scipy.io.savemat(file, {"a": mask, "b": mask})
    with pytest.raises(DataError, match=r"it\.mat: 2 that could be the mask.*a uint8 64 x 64; b"):
        stored.read_stored(tmp_path, file)
    scipy.io.savemat(file, {"groundTruth": np.array([{"Segmentation": mask}] * 5, object)})
    with pytest.raises(DataError, match="groundTruth of 5 people, as in BSDS"):
        stored.read_stored(tmp_path, file)
    np.save(tmp_path / "it.npy", np.array([{"a": 1}], object))
    with pytest.raises(DataError, match=r"it\.npy: cannot be read as an image .*allow_pickle"):
        stored.read_stored(tmp_path, tmp_path / "it.npy")
    np.save(tmp_path / "it.npy", np.zeros(9))
    with pytest.raises(DataError, match=r"no mask, which is one matrix.*float64 9"):
        stored.read_stored(tmp_path, tmp_path / "it.npy")


# Sizes and orientation


def test_masks_of_another_size_are_fitted_if_it_is_asked(tmp_path: Path) -> None:
    root = make(tmp_path, numbers(blob=255))
    for index in (0, 1):
        larger = Image.fromarray(numbers(blob=255)[index]).resize((SIZE + 1, SIZE), 0)
        larger.save(root / "masks" / f"{index}.png")
    message = refusal(root)
    assert message.startswith("2 of 6 masks have another size than their images: masks/0.png 65 x")
    assert "Pass --fit-masks" in message
    dataset = open_dataset(root, fit_masks=True)
    assert dataset.notes == ("2 of 6 masks are resized to their images.",)
    assert all(mask.shape == (SIZE, SIZE) for mask in masks_of(dataset))
    assert (masks_of(dataset)[5] == blob(5)).all()
    Image.new("L", (SIZE, 20)).save(root / "masks" / "2.png")
    assert "1 of 6 masks have other proportions than their images: masks/2.png" in refusal(root)
    assert "are stretched" in open_dataset(root, fit_masks=True).notes[1]


def test_masks_drawn_on_stored_pixels_are_known_by_their_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    root = make(tmp_path, [mask[:40] for mask in numbers(blob=255)])
    for file in (root / "images").iterdir():
        file.unlink()
    for index in range(NUM):
        image = np.full((40, SIZE, 3), 50, np.uint8)
        image[:10] = 200
        Image.fromarray(image).save(root / "images" / f"{index}.jpg", exif=exif)
    dataset = open_dataset(root)
    assert "6 of 6 images would be turned by their EXIF orientation" in dataset.notes[0]
    image, mask = dataset.read(dataset.samples[0])
    assert image.shape[:2] == mask.shape == (40, SIZE)
    assert image[:8].mean() > 150 > image[12:].mean()


def test_square_images_as_stored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    root = make(tmp_path, numbers(blob=255))
    for index in range(NUM):
        image = np.zeros((SIZE, SIZE, 3), np.uint8)
        image[:10] = 200
        (root / "images" / f"{index}.png").unlink()
        Image.fromarray(image).save(root / "images" / f"{index}.jpg", exif=exif)
    upright, as_stored = open_dataset(root), open_dataset(root, as_stored=True)
    assert "pass --as-stored" in upright.notes[0]
    assert as_stored.notes == ()
    shown, kept = (dataset.read(dataset.samples[0])[0] for dataset in (upright, as_stored))
    assert (shown == np.rot90(kept, -1)).all()
    assert upright.fingerprint != as_stored.fingerprint


def test_cmyk_and_deep_images(tmp_path: Path) -> None:
    root = make(tmp_path, numbers(blob=255))
    (root / "images" / "0.png").unlink()
    Image.new("CMYK", (SIZE, SIZE), (0, 255, 255, 0)).save(root / "images" / "0.jpg")
    dataset = open_dataset(root)
    assert np.abs(dataset.read(dataset.samples[0])[0].astype(int) - [255, 0, 0]).max() <= 2


@pytest.mark.parametrize(("top", "depth"), [(255, 8), (1023, 10), (4000, 12), (16000, 14)])
def test_the_depth_is_that_of_the_whole_set(top: int, depth: int, tmp_path: Path) -> None:
    root = make(tmp_path, numbers(blob=255))
    for index in range(NUM):
        values = np.full((SIZE, SIZE), top if index == 3 else 5, np.uint16)
        Image.fromarray(values).save(root / "images" / f"{index}.png")
    dataset = open_dataset(root)
    assert dataset.settled["depth"] == depth
    image = dataset.read(dataset.samples[3])[0]
    assert image.max() == np.floor(top * 255 / (2**depth - 1) + 0.5)
    Image.fromarray(np.full((SIZE, SIZE), 65535, np.uint16)).save(root / "images" / "1.png")
    assert open_dataset(root).settled["depth"] is None


# Once for a set


def test_a_resolved_source_looks_at_no_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(tmp_path / "set", numbers(blob=255), "jpg")
    library = Library(tmp_path / "cache")
    resolved = library.resolve(Source(path=str(root)))
    assert (resolved.foreground, resolved.ignore, resolved.depth) == (">127", None, None)
    assert library.dataset(resolved) is library.dataset(Source(path=str(root)))
    monkeypatch.setattr(reading, "survey", lambda *_: pytest.fail("looked at masks"))
    again = open_source(resolved)
    assert again.fingerprint == resolved.fingerprint
    assert_masks(again, blob)


def test_a_resolved_cell_carries_the_reading(tmp_path: Path) -> None:
    root = make(tmp_path / "set", numbers(blob=255), "jpg")
    cell = Cell(data=Source(path=str(root)), model="bfcn32s:width=8", weights="none", size=32)
    resolved = Materials(tmp_path / "cache").resolve(cell)
    assert resolved.data.foreground == ">127"
    assert resolved.data == Library(tmp_path / "cache").resolve(cell.data)


def test_looking_at_masks_shows_progress(tmp_path: Path) -> None:
    root = make(tmp_path / "set", numbers(blob=255))
    seen: list[tuple[str, int, int]] = []
    Library(tmp_path / "cache", lambda *done: seen.append(done)).dataset(Source(path=str(root)))
    assert seen == [("looking at masks", done, NUM) for done in range(1, NUM + 1)]


def test_a_plain_set_is_the_one_that_it_was(tmp_path: Path) -> None:
    root = make(tmp_path / "set", numbers(blob=255))
    resolved = Library(tmp_path / "cache").resolve(Source(path=str(root)))
    assert (resolved.foreground, resolved.target) == (None, "foreground")


def test_masks_are_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(tmp_path, numbers(blob=255), "jpg")
    first = open_dataset(root)
    monkeypatch.setattr(survey, "read_stored", lambda *_: pytest.fail("read again"))
    assert open_dataset(root).target == first.target
