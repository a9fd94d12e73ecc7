"""PNG and TIFF files written byte by byte, to prove readers that share no code with it."""

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]
"""What the file stores, shape (height, width) or (height, width, samples)."""

PNG_KINDS = {"grey": 0, "rgb": 2, "palette": 3, "grey+alpha": 4, "rgb+alpha": 6}
STRIP_ROWS, TILE = 2, 16


def write_png(
    samples: Samples, bits: int, kind: str, palette: Sequence[tuple[int, int, int]] = ()
) -> bytes:
    """A PNG whose rows take turns in the five filters."""
    height, width = samples.shape[:2]
    rows = [_pack(row, bits, ">") for row in samples.reshape(height, -1)]
    step = max(1, bits * (samples.size // (height * width)) // 8)
    before = bytes(len(rows[0]))
    filtered = b""
    for number, row in enumerate(rows):
        filtered += bytes([number % 5]) + _filter(number % 5, row, before, step)
        before = row
    header = struct.pack(">IIBBBBB", width, height, bits, PNG_KINDS[kind], 0, 0, 0)
    chunks = [_chunk(b"IHDR", header)]
    if palette:
        chunks.append(_chunk(b"PLTE", bytes(np.array(palette, np.uint8))))
    chunks += [_chunk(b"IDAT", zlib.compress(filtered)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    sum_ = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + sum_


def _filter(kind: int, row: bytes, before: bytes, step: int) -> bytes:
    left = bytes(step) + row
    corner = bytes(step) + before

    def predict(i: int) -> int:
        mean = (left[i] + before[i]) // 2
        return (0, left[i], before[i], mean, _paeth(left[i], before[i], corner[i]))[kind]

    return bytes((value - predict(i)) % 256 for i, value in enumerate(row))


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    return min((left, above, corner), key=lambda value: abs(guess - value))


def write_tiff(
    samples: Samples,
    bits: int,
    photometric: int,
    *,
    order: str = "<",
    kind: int = 1,
    compression: int = 1,
    is_planar: bool = False,
    is_tiled: bool = False,
    palette: Sequence[tuple[int, int, int]] = (),
) -> bytes:
    """A TIFF of one page.

    Args:
        samples: What is stored; it is not inverted where 0 is white.
        bits: Of a sample.
        photometric: 0: 0 is white; 1: 0 is black; 2: RGB; 3: palette.
        order: "<" little-endian, ">" big-endian.
        kind: 1: unsigned; 2: signed; 3: floating point.
        compression: 1: none; 8: Deflate; 32773: PackBits, in literal runs.
        is_planar: Whether each colour is stored by itself.
        is_tiled: In place of strips.
        palette: Colours, 0 to 255.
    """
    cube = samples.reshape(*samples.shape[:2], -1)
    height, width, depth = cube.shape
    planes = [cube[..., c : c + 1] for c in range(depth)] if is_planar else [cube]
    blocks = [
        _compress(b"".join(_pack(row.ravel(), bits, order) for row in block), compression)
        for plane in planes
        for block in (_tiles(plane) if is_tiled else _strips(plane))
    ]
    tags: dict[int, tuple[int, list[int]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * depth),
        259: (3, [compression]),
        262: (3, [photometric]),
        277: (3, [depth]),
        284: (3, [2 if is_planar else 1]),
        339: (3, [kind] * depth),
    }
    if depth in (2, 4):
        tags[338] = (3, [2])
    if palette:
        full = [*palette, *[(0, 0, 0)] * (2**bits - len(palette))]
        tags[320] = (3, [colour[c] * 257 for c in range(3) for colour in full])
    if is_tiled:
        tags |= {322: (3, [TILE]), 323: (3, [TILE])}
    else:
        tags[278] = (3, [STRIP_ROWS])
    at = 8
    places = []
    for block in blocks:
        places.append(at)
        at += len(block)
    tags[324 if is_tiled else 273] = (4, places)
    tags[325 if is_tiled else 279] = (4, [len(block) for block in blocks])
    start = at + at % 2
    content = b"".join(blocks) + bytes(at % 2)
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(order + "HI", 42, start) + content + _directory(tags, order, start)


def _directory(tags: dict[int, tuple[int, list[int]]], order: str, start: int) -> bytes:
    entries, extra = b"", b""
    after = start + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        content = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        entries += struct.pack(order + "HHI", tag, kind, len(values))
        if len(content) <= 4:
            entries += content.ljust(4, b"\0")
        else:
            entries += struct.pack(order + "I", after + len(extra))
            extra += content + bytes(len(content) % 2)
    return struct.pack(order + "H", len(tags)) + entries + bytes(4) + extra


def _strips(plane: Samples) -> Iterable[Samples]:
    return (plane[top : top + STRIP_ROWS] for top in range(0, len(plane), STRIP_ROWS))


def _tiles(plane: Samples) -> Iterable[Samples]:
    height, width = plane.shape[:2]
    padded = np.pad(plane, ((0, -height % TILE), (0, -width % TILE), (0, 0)))
    return (
        padded[top : top + TILE, left : left + TILE]
        for top in range(0, height, TILE)
        for left in range(0, width, TILE)
    )


def _pack(row: Samples, bits: int, order: str) -> bytes:
    if bits >= 8:
        return row.astype(f"{order}{row.dtype.kind}{row.dtype.itemsize}").tobytes()
    text = "".join(f"{int(value):0{bits}b}" for value in row)
    text = text.ljust(-(-len(text) // 8) * 8, "0")
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


def _compress(content: bytes, compression: int) -> bytes:
    if compression == 8:
        return zlib.compress(content)
    if compression == 32773:
        runs = [content[i : i + 128] for i in range(0, len(content), 128)]
        return b"".join(bytes([len(run) - 1]) + run for run in runs)
    return content
