import pickle
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from vesica.data import synthetic
from vesica.data.faces import draw_face
from vesica.data.heads import BACKGROUND, FACE, HAIR
from vesica.data.sample import Dataset, Mask, Pixels
from vesica.data.synthetic import open_faces

SIZE_PX = 48
NUM_TRAIN, NUM_TEST = 150, 100


def read_all(dataset: Dataset) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    pairs = [dataset.read(sample) for sample in dataset.samples]
    return np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs])


def mean_iou(pred: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """Mean over the images of their IoU."""
    union = (pred | mask).sum((1, 2))
    return float(((pred & mask).sum((1, 2)) / union).mean())


@pytest.fixture(scope="module")
def faces() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    return read_all(open_faces(NUM_TRAIN + NUM_TEST, size_px=SIZE_PX))


def draw_classes(num_images: int, density: float = 0.2) -> Iterator[NDArray[np.uint8]]:
    for index in range(num_images):
        yield draw_face(np.random.default_rng([7, index]), SIZE_PX, density)[1]


def read_first(**parameters: float) -> tuple[Pixels, Mask]:
    dataset = open_faces(3, **{"size_px": SIZE_PX, **parameters})  # type: ignore[arg-type]
    return dataset.read(dataset.samples[0])


# --- Reading --------------------------------------------------------------------------------------


def test_dataset_is_complete() -> None:
    dataset = open_faces(12, size_px=32, seed=3)
    names = [sample.name for sample in dataset.samples]
    assert names == sorted(set(names))
    assert names[0] == "face_000000"
    assert names[-1] == "face_000011"
    assert all(sample.group == sample.name and not sample.files for sample in dataset.samples)
    assert (dataset.format, dataset.target, dataset.full_size) == ("faces", "face", None)
    image, mask = dataset.read(dataset.samples[0])
    assert image.shape == (32, 32, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert mask.shape == (32, 32)
    assert mask.dtype == np.bool_


def test_same_seed_same_images_in_any_order_and_number() -> None:
    few, many = open_faces(4, size_px=SIZE_PX), open_faces(2000, size_px=SIZE_PX)
    assert few.samples == many.samples[:4]
    backwards = [many.read(sample) for sample in reversed(few.samples)]
    for sample, (image, mask) in zip(few.samples, reversed(backwards), strict=True):
        np.testing.assert_array_equal(few.read(sample)[0], image)
        np.testing.assert_array_equal(few.read(sample)[1], mask)


def test_dataset_survives_the_way_to_another_process() -> None:
    dataset = open_faces(2, size_px=SIZE_PX)
    copy = pickle.loads(pickle.dumps(dataset))
    sample = dataset.samples[1]
    np.testing.assert_array_equal(copy.read(sample)[0], dataset.read(sample)[0])


@pytest.mark.parametrize("changed", [{"seed": 1}, {"density": 0.3}, {"size_px": 40}])
def test_every_parameter_changes_the_image(changed: dict[str, float]) -> None:
    image, _ = read_first()
    other, _ = read_first(**changed)
    assert image.shape != other.shape or (image != other).mean() > 0.3


def test_targets_are_nested() -> None:
    face = open_faces(20, size_px=SIZE_PX)
    head = open_faces(20, size_px=SIZE_PX, target="face+hair")
    images, faces = read_all(face)
    same_images, heads = read_all(head)
    np.testing.assert_array_equal(images, same_images)
    assert (heads >= faces).all()
    assert heads.sum() > 1.2 * faces.sum()


def test_fingerprint_changes_with_each_parameter() -> None:
    prints = {
        open_faces(9).fingerprint,
        open_faces(10).fingerprint,
        open_faces(9, size_px=64).fingerprint,
        open_faces(9, seed=1).fingerprint,
        open_faces(9, density=0.21).fingerprint,
    }
    assert len(prints) == 5
    assert open_faces(9).fingerprint in prints
    # The target is a choice among the same images, not another set of them.
    assert open_faces(9, target="face+hair").fingerprint in prints


def test_fingerprint_sees_that_numpy_draws_other_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_faces(9).fingerprint
    stream = np.random.default_rng
    monkeypatch.setattr(synthetic.np.random, "default_rng", lambda _: stream(99))
    assert open_faces(9).fingerprint != before


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"num_images": 0}, "num_images is 0"),
        ({"num_images": 1_000_001}, "1 to 1000000"),
        ({"size_px": 15}, "16 to 8192"),
        ({"size_px": 8193}, "16 to 8192"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"density": 0.01}, "from 0.02 to 0.6"),
        ({"density": 0.7}, "density is 0.7"),
        ({"density": float("nan")}, "density is nan"),
        ({"target": "nose"}, "choose one of face, face.hair"),
    ],
)
def test_bad_arguments_say_what_to_do(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_faces(**parameters)  # type: ignore[arg-type]


# --- The pictures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("density", [0.02, 0.1, 0.2, 0.35, 0.6])
def test_density_is_the_mean_fraction_of_face(density: float) -> None:
    fractions = [(classes == FACE).mean() for classes in draw_classes(80, density)]
    assert np.mean(fractions) == pytest.approx(density, rel=0.15)
    assert np.std(fractions) > 0.15 * density


def test_images_are_spread_and_independent(
    faces: tuple[NDArray[np.uint8], NDArray[np.bool_]],
) -> None:
    images, masks = faces
    line = (np.arange(SIZE_PX) + 0.5) / SIZE_PX
    areas = masks.mean((1, 2))
    across = (masks.mean(1) * line).mean(1) / areas
    down = (masks.mean(2) * line).mean(1) / areas
    skin = np.array([image[mask].mean() for image, mask in zip(images, masks, strict=True)])
    scene = np.array([image[~mask].mean() for image, mask in zip(images, masks, strict=True)])
    for values, least in ((areas, 0.05), (across, 0.09), (down, 0.09), (skin, 25), (scene, 12)):
        assert values.std() > least
        # Neighbours are strangers: beyond 0.25 lies one correlation of 250 pairs in 10,000.
        assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.25
    assert len({image.tobytes() for image in images}) == len(images)


def test_most_images_have_hair_and_a_neck() -> None:
    many = list(draw_classes(60))
    assert all(set(np.unique(classes)) <= {HAIR, FACE, BACKGROUND} for classes in many)
    assert all((classes == BACKGROUND).mean() > 0.05 for classes in many)
    assert np.mean([(classes == HAIR).mean() > 0.01 for classes in many]) > 0.75
    # Below a head comes its neck, narrower than the face: the last rows of the mask.
    has_neck = []
    for classes in many:
        widths = (classes == FACE).sum(1)
        rows = np.flatnonzero(widths)
        has_neck.append(widths[rows[-len(rows) // 4] :].mean() < 0.85 * widths.max())
    assert np.mean(has_neck) > 0.6


def test_every_face_is_one_piece(
    faces: tuple[NDArray[np.uint8], NDArray[np.bool_]],
) -> None:
    for mask in faces[1]:
        pieces, _ = ndimage.label(mask)
        sizes = np.bincount(pieces.ravel())[1:]
        assert sizes.max() >= 0.9 * sizes.sum() > 0


def test_smallest_pictures_hold_a_face() -> None:
    for index in range(60):
        image, classes = draw_face(np.random.default_rng([0, index]), 16, 0.02)
        assert image.shape == (16, 16, 3)
        assert (classes == FACE).any()


def test_same_scene_at_every_size() -> None:
    for index in range(10):
        small, few = draw_face(np.random.default_rng([0, index]), 32)
        large, many = draw_face(np.random.default_rng([0, index]), 64)
        shrunk = large.reshape(32, 2, 32, 2, 3).mean((1, 3))
        assert np.abs(shrunk - small).mean() < 8
        assert (many[::2, ::2] == few).mean() > 0.93


# --- Difficulty -----------------------------------------------------------------------------------


def test_colour_does_not_find_the_faces(
    faces: tuple[NDArray[np.uint8], NDArray[np.bool_]],
) -> None:
    images, masks = faces
    colours = (images // 32).astype(int) @ np.array([64, 8, 1])
    train, test = slice(NUM_TRAIN), slice(NUM_TRAIN, None)
    num_face = np.bincount(colours[train][masks[train]], minlength=512)
    num_all = np.bincount(colours[train].ravel(), minlength=512)
    probs = (num_face / np.maximum(num_all, 1))[colours]
    _, best = max(
        (mean_iou(probs[train] > threshold, masks[train]), threshold)
        for threshold in np.arange(0.05, 0.8, 0.05)
    )
    assert 0.15 < mean_iou(probs[test] > best, masks[test]) < 0.5


def test_the_mean_mask_does_not_find_the_faces(
    faces: tuple[NDArray[np.uint8], NDArray[np.bool_]],
) -> None:
    _, masks = faces
    average = masks[:NUM_TRAIN].mean(0)
    others = masks[NUM_TRAIN:]
    for threshold in (0.2, 0.3, 0.4, 0.5):
        assert mean_iou(np.broadcast_to(average > threshold, others.shape), others) < 0.5
