"""Depths, byte orders and photometric readings of PNG and TIFF, against files written by hand."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rasters import write_png, write_tiff

from vesica.data.pixels import read_image
from vesica.data.stored import read_stored
from vesica.errors import DataError

HEIGHT, WIDTH = 5, 21
"""Neither a multiple of what is packed together, nor of strips and tiles."""

UNSIGNED = {8: np.uint8, 16: np.uint16, 32: np.uint32}
SIGNED = {8: np.int8, 16: np.int16, 32: np.int32}
FLOATS = {16: np.float16, 32: np.float32, 64: np.float64}
ORDERS, COMPRESSIONS = "<>", {"plain": 1, "deflate": 8, "packbits": 32773}


def draw(bits: int, depth: int = 1, seed: int = 0) -> NDArray[Any]:
    """Random numbers of so many bits, with the smallest and the largest."""
    rng = np.random.default_rng([seed, bits, depth])
    shape = (HEIGHT, WIDTH) if depth == 1 else (HEIGHT, WIDTH, depth)
    samples = rng.integers(0, 2**bits, shape, np.uint64).astype(UNSIGNED.get(bits, np.uint8))
    samples.flat[:6] = [0, 0, 0, *[2**bits - 1] * 3]
    return samples


def save(tmp_path: Path, suffix: str, content: bytes) -> Path:
    file = tmp_path / f"it.{suffix}"
    file.write_bytes(content)
    return file


def as_grey(samples: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """What is shown of grey samples: their share of the largest, of 255, rounded."""
    share = samples.astype(np.float64) * 255 / (2**bits - 1)
    return np.repeat(np.floor(share + 0.5).astype(np.uint8)[..., np.newaxis], 3, axis=2)


def numbers(samples: NDArray[Any], bits: int) -> NDArray[Any]:
    """What a mask's reader gives: of one bit black and white."""
    return samples * 255 if bits == 1 else samples


def palette_of(bits: int) -> list[tuple[int, int, int]]:
    return [(255 - i, i // 2, (7 * i) % 256) for i in range(2**bits)]


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png(bits: int, tmp_path: Path) -> None:
    samples = draw(bits)
    file = save(tmp_path, "png", write_png(samples, bits, "grey"))
    stored = read_stored(tmp_path, file)
    assert (stored.kind, stored.alpha) == ("grey", None)
    assert (stored.values == numbers(samples, bits)).all()
    assert stored.values.max() == stored.white
    assert (read_image(tmp_path, file) == as_grey(samples, bits)).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_palettes(suffix: str, bits: int, tmp_path: Path) -> None:
    samples, palette = draw(bits), palette_of(bits)
    content = {
        "png": lambda: write_png(samples, bits, "palette", palette),
        "tif": lambda: write_tiff(samples, bits, 3, palette=palette),
    }[suffix]()
    file = save(tmp_path, suffix, content)
    stored = read_stored(tmp_path, file)
    assert stored.kind == "palette"
    assert (stored.values == samples).all()
    colours = np.array(palette, np.uint8)[samples]
    packed = colours.astype(int) @ [65536, 256, 1]
    found = stored.colours_of(stored.values)
    assert found is not None
    assert (found == packed).all()
    assert (read_image(tmp_path, file) == colours).all()


@pytest.mark.parametrize("kind", ["rgb", "rgb+alpha", "grey+alpha"])
@pytest.mark.parametrize("bits", [8, 16])
def test_colours_and_alpha_of_png(bits: int, kind: str, tmp_path: Path) -> None:
    depth = {"rgb": 3, "rgb+alpha": 4, "grey+alpha": 2}[kind]
    samples = draw(bits, depth)
    file = save(tmp_path, "png", write_png(samples, bits, kind))
    shown = (samples >> bits - 8).astype(np.uint8)
    colours = shown[..., :3] if depth > 2 else np.repeat(shown[..., :1], 3, axis=2)
    assert (read_image(tmp_path, file) == colours).all()
    stored = read_stored(tmp_path, file)
    if depth > 2:
        assert (stored.values == colours.astype(int) @ [65536, 256, 1]).all()
    else:
        assert (stored.values == colours[..., 0]).all()
    assert (stored.alpha is None) == (kind == "rgb")
    if stored.alpha is not None:
        assert (stored.alpha == shown[..., -1]).all()


TIFFS = [
    pytest.param(
        {"order": order, "compression": number, "is_tiled": is_tiled},
        id=f"{order}{name}{'-tiled' * is_tiled}",
    )
    for order, (name, number), is_tiled in itertools.product(
        ORDERS, COMPRESSIONS.items(), (False, True)
    )
]
"""Every order, compression and arrangement."""

READABLE = {(1, 32, "<"), *itertools.product((2,), SIGNED, ORDERS), (3, 32, "<"), (3, 32, ">")}
"""Kinds of numbers, bits and orders that Pillow reads where 0 is black; it knows no other."""


@pytest.mark.parametrize("options", TIFFS)
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("photometric", [0, 1])
def test_grey_tiff(options: dict[str, Any], bits: int, photometric: int, tmp_path: Path) -> None:
    samples = draw(bits)
    file = save(tmp_path, "tif", write_tiff(samples, bits, photometric, **options))
    shown = samples if photometric else (2**bits - 1 - samples).astype(samples.dtype)
    if photometric == 0 and bits == 16 and options["order"] == ">":
        with pytest.raises(DataError, match="a TIFF of numbers that Pillow does not read"):
            read_stored(tmp_path, file)
        return
    assert (read_stored(tmp_path, file).values == numbers(shown, bits)).all()
    assert (read_image(tmp_path, file) == as_grey(shown, bits)).all()


@pytest.mark.parametrize("options", TIFFS)
@pytest.mark.parametrize("is_planar", [False, True])
@pytest.mark.parametrize("depth", [3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_colours_of_tiff(
    options: dict[str, Any], is_planar: bool, depth: int, bits: int, tmp_path: Path
) -> None:
    samples = draw(bits, depth)
    file = save(tmp_path, "tif", write_tiff(samples, bits, 2, is_planar=is_planar, **options))
    if is_planar and bits == 16 and options["compression"] == 1:
        for read in (read_image, read_stored):
            with pytest.raises(DataError, match="Pillow misreads 16 bits in a plane for each"):
                read(tmp_path, file)
        return
    colours = (samples[..., :3] >> bits - 8).astype(np.uint8)
    assert (read_image(tmp_path, file) == colours).all()
    assert (read_stored(tmp_path, file).values == colours.astype(int) @ [65536, 256, 1]).all()


@pytest.mark.parametrize("options", TIFFS)
@pytest.mark.parametrize(
    ("kind", "bits"), [(1, 32), *((2, bits) for bits in SIGNED), *((3, bits) for bits in FLOATS)]
)
@pytest.mark.parametrize("photometric", [0, 1])
def test_wide_tiff_is_read_as_it_is_or_refused(
    options: dict[str, Any], kind: int, bits: int, photometric: int, tmp_path: Path
) -> None:
    if kind == 3:
        samples = np.linspace(0, 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(FLOATS[bits])
    else:
        samples = draw(bits) if kind == 1 else draw(bits).view(SIGNED[bits])
    file = save(tmp_path, "tif", write_tiff(samples, bits, photometric, kind=kind, **options))
    is_swapped = bits > 8 and options["order"] == ">" and options["compression"] > 1
    if photometric == 1 and (kind, bits, options["order"]) in READABLE and not is_swapped:
        assert (read_stored(tmp_path, file).values == samples).all()
    else:
        with pytest.raises(DataError, match=r"^it\.tif: cannot be read as an image \("):
            read_stored(tmp_path, file)


def test_the_lower_bits_of_colours_are_not_lost_without_a_word(tmp_path: Path) -> None:
    samples = np.zeros((HEIGHT, WIDTH, 3), np.uint16)
    samples[2:, 3:] = 1
    for suffix, content in (
        ("png", write_png(samples, 16, "rgb")),
        ("tif", write_tiff(samples, 16, 2)),
    ):
        with pytest.raises(DataError, match="16 bits for each colour, of which the upper 8 are"):
            read_stored(tmp_path, save(tmp_path, suffix, content))
