"""The geometry of a generated head: where its parts are, as signed distances in a tilted frame."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Classes = NDArray[np.uint8]
"""The class of each pixel, shape (size, size)."""

HAIR, FACE, BACKGROUND = 0, 1, 2
"""As in LFW Part Labels. Face is the skin of head, ears and neck, with the beard and the glasses on
it. Background is all else: hats, clothes and arms too."""

Plane = NDArray[np.floating[Any]]
"""One number per pixel, shape (height, width) of the frame or of a window in it."""

SKIN_AREA = 2.3
"""Usual visible skin of a head and its neck, in squared half heads."""


class HairStyle(NamedTuple):
    """Lengths in half heads, down from the middle: the skull reaches from -1 to the chin at 1."""

    volume: float
    hairline: float
    end: float
    curl: float = 0.0
    has_bun: bool = False


HAIR_STYLES = (
    HairStyle(volume=0.05, hairline=-0.68, end=-0.10),
    HairStyle(volume=0.11, hairline=-0.52, end=0.05),
    HairStyle(volume=0.16, hairline=-0.45, end=0.15, curl=0.03),
    HairStyle(volume=0.34, hairline=-0.50, end=0.45, curl=0.05),
    HairStyle(volume=0.15, hairline=-0.46, end=1.10),
    HairStyle(volume=0.17, hairline=-0.55, end=1.80),
    HairStyle(volume=0.22, hairline=-0.50, end=1.60, curl=0.04),
    HairStyle(volume=0.07, hairline=-0.58, end=0.00, has_bun=True),
)


# --- Shapes ---------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """Pixels of a window in the picture, in the coordinates of one object; `v` points down."""

    u: Plane
    v: Plane
    pixel: float
    window: tuple[slice, slice] = (slice(None), slice(None))

    def cover(self, distance: Plane, soft_px: float = 1.0) -> Plane:
        """Share of each pixel that a shape covers, from the distance to it, negative inside."""
        cover: Plane = np.clip(0.5 - distance / (self.pixel * soft_px), 0, 1)
        return cover

    def near(self, u: float, v: float, reach: float) -> "Frame":
        """The window about a point of a whole frame; saves time, as most parts are small."""
        cos = (self.u[0, 1] - self.u[0, 0]) / self.pixel
        sin = (self.u[1, 0] - self.u[0, 0]) / self.pixel
        du, dv = (u - self.u[0, 0]) / self.pixel, (v - self.v[0, 0]) / self.pixel
        row, col, span = du * sin + dv * cos, du * cos - dv * sin, reach / self.pixel + 1
        window = (
            slice(max(0, int(row - span)), max(0, int(row + span) + 2)),
            slice(max(0, int(col - span)), max(0, int(col + span) + 2)),
        )
        return Frame(self.u[window], self.v[window], self.pixel, window)


def make_frame(size_px: int, centre: tuple[float, float], scale: float, tilt: float) -> Frame:
    """Coordinates in half heads around a centre, turned by `tilt` (radians)."""
    line = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px
    dx, dy = (line - centre[0]) / scale, ((line - centre[1]) / scale)[:, None]
    cos, sin = math.cos(tilt), math.sin(tilt)
    return Frame(cos * dx + sin * dy, cos * dy - sin * dx, 1 / (size_px * scale))


def radius(u: Plane, v: Plane) -> Plane:
    """Distance from the frame's centre."""
    distance: Plane = np.sqrt(u * u + v * v)
    return distance


def ellipse(u: Plane, v: Plane, a: float, b: float) -> Plane:
    """Distance to an ellipse, to first order."""
    u, v = u / a, v / b
    level = radius(u, v) + 1e-4
    distance: Plane = level * (level - 1) / (radius(u / a, v / b) + 1e-4)
    return distance


def stroke(u: Plane, v: Plane, ends: tuple[float, float, float, float], width: float) -> Plane:
    """Distance to a line with round ends, from (u0, v0) to (u1, v1)."""
    u0, v0, du, dv = ends[0], ends[1], ends[2] - ends[0], ends[3] - ends[1]
    along = np.clip(((u - u0) * du + (v - v0) * dv) / (du * du + dv * dv), 0, 1)
    return radius(u - u0 - along * du, v - v0 - along * dv) - width


def glow(u: Plane, v: Plane, a: float, b: float) -> Plane:
    """A soft spot of half axes a and b, 1 in its middle."""
    spot: Plane = np.exp(-((u / a) ** 2) - (v / b) ** 2)
    return spot


def texture(rng: Generator, size_px: int, num_knots: int) -> Plane:
    """Smooth noise about 0, a cubic spline: the same pattern at every size."""
    knots = rng.standard_normal((num_knots + 3, num_knots + 3), np.float32)
    place = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px * num_knots
    offset = np.abs(place[:, None] - np.arange(num_knots + 3, dtype=np.float32) + 1)
    spline = np.where(offset < 1, 4 - 6 * offset**2 + 3 * offset**3, np.clip(2 - offset, 0, 2) ** 3)
    noise: Plane = spline @ knots @ spline.T / 36
    return noise


# --- Geometry of a head ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Head:
    """Where a head is and how it is built: angles in radians, lengths in half heads."""

    centre: tuple[float, float]
    tilt: float
    yaw: float
    width: float
    jaw: float
    neck_width: float
    neckline: float
    style: HairStyle | None
    has_hat: bool
    phase: float


class Parts(NamedTuple):
    """Coverage by each part, in the order in which they lie over each other."""

    clothes: Plane
    back_hair: Plane
    neck: Plane
    skull: Plane
    front_hair: Plane
    hat: Plane

    def classify(self) -> Classes:
        """The class of what lies on top in the middle of each pixel."""
        classes = np.full(self.skull.shape, BACKGROUND, np.uint8)
        labels = (BACKGROUND, HAIR, FACE, FACE, HAIR, BACKGROUND)
        for cover, label in zip(self, labels, strict=True):
            classes[cover >= 0.5] = label
        return classes

    def face_fraction(self) -> float:
        """Fraction of the frame that is visible skin of the head."""
        skin = np.maximum(self.neck, self.skull) * (1 - self.front_hair) * (1 - self.hat)
        return float(skin.mean())


def draw_head(rng: Generator) -> Head:
    """Draw one person's shape, place and dress."""
    spread = 0.30 if rng.random() < 0.15 else 0.19
    return Head(
        centre=(0.5 + rng.uniform(-spread, spread), 0.45 + rng.uniform(-spread, spread)),
        tilt=min(max(rng.normal(0, 0.17), -0.5), 0.5),
        yaw=rng.uniform(-1, 1),
        width=rng.uniform(0.67, 0.78),
        jaw=rng.uniform(0.05, 0.3),
        neck_width=rng.uniform(0.34, 0.46),
        neckline=rng.uniform(0.15, 0.55),
        style=None if rng.random() < 0.1 else HAIR_STYLES[rng.integers(len(HAIR_STYLES))],
        has_hat=rng.random() < 0.15,
        phase=rng.uniform(0, 2 * np.pi),
    )


def make_frames(head: Head, size_px: int, scale: float) -> tuple[Frame, Frame]:
    """Frames about the middle of the head, and about the nape, where the body tilts less."""
    x, y = head.centre
    nape = (x - 0.7 * scale * math.sin(head.tilt), y + 0.7 * scale * math.cos(head.tilt))
    return (
        make_frame(size_px, head.centre, scale, head.tilt),
        make_frame(size_px, nape, scale, 0.25 * head.tilt),
    )


def lay_out(head: Head, face: Frame, body: Frame) -> Parts:
    """Place every part of a head in its frames."""
    u, v = face.u, face.v
    skull = ellipse(u * (1 + head.jaw * np.clip(v, 0, 1.2) ** 2), v, head.width, 1.0)
    for side in (-1, 1):
        ear = ellipse(u - side * head.width - 0.08 * head.yaw, v - 0.05, 0.11, 0.2)
        skull = np.minimum(skull, ear)
    flare = head.neck_width + 0.12 * np.clip(2.5 * body.v - 0.75, 0, 1) ** 2
    neck = np.maximum(np.abs(body.u) - flare, np.abs(body.v - 0.25) - 0.47)
    collar = ellipse(body.u, body.v - 0.7, head.neck_width + 0.12, head.neckline)
    shoulders = ellipse(body.u, np.minimum(body.v - 3.1, 0), 1.9, 2.55)
    back = front = hat = np.ones_like(u)
    if head.style is not None:
        back, opening = _hair(head, head.style, face)
        front = np.maximum(back, -opening)
    if head.has_hat:
        hat = _hat(head, face)
    return Parts(
        clothes=body.cover(shoulders),
        back_hair=face.cover(back),
        neck=body.cover(np.minimum(neck, np.maximum(collar, 0.7 - body.v))),
        skull=face.cover(skull),
        front_hair=face.cover(front),
        hat=face.cover(hat),
    )


def _hair(head: Head, style: HairStyle, face: Frame) -> tuple[Plane, Plane]:
    """Distances to all the hair, and to the opening in it that shows the face."""
    u, v = face.u, face.v
    angle = np.arctan2(u, -v) if style.curl else u
    curls = style.curl * (np.sin(11 * angle + head.phase) + np.sin(17 * angle))
    reach = head.width + style.volume
    hair = ellipse(u, v, reach, 1 + style.volume) + curls
    if style.end > 0.5:
        strands = np.maximum(np.abs(u) - reach * (1.02 + 0.08 * np.sin(2 * v)), -v)
        hair = np.minimum(hair, strands + curls)
    lift = 0.6 if style.end < 0.3 else 0.25
    hair = np.maximum(hair, v - style.end + lift * u * u)
    if head.has_hat:
        hair = np.maximum(hair, _hat_edge(head, face) - 0.02)
    elif style.has_bun:
        hair = np.minimum(hair, ellipse(u - 0.3 * head.yaw, v + 1.2, 0.4, 0.33))
    hairline = style.hairline + (0.25 * math.sin(head.phase) + 0.35 * u) * u
    opening = ellipse(u - 0.1 * head.yaw, v - 0.4, head.width * 0.86, 1.0)
    throat = np.maximum(np.abs(u) - head.neck_width, -v)
    return hair, np.maximum(np.minimum(opening, throat), hairline - v)


def _hat_edge(head: Head, face: Frame) -> Plane:
    """How far a pixel lies above the lower edge of the hat; negative below it."""
    return -face.v - 0.52 - 0.1 * math.sin(head.phase) * face.u


def _hat(head: Head, face: Frame) -> Plane:
    """Distance to a cap, with a peak to one side or without one."""
    u, v = face.u, face.v
    volume = 0.14 if head.style is None else head.style.volume + 0.06
    crown = ellipse(u, v + 0.05, head.width + volume, 1.05 + volume)
    hat = np.maximum(crown, -_hat_edge(head, face))
    if head.phase > np.pi:
        return hat
    side = 1.25 if head.yaw > 0 else -1.25
    level = v + 0.1 * math.sin(head.phase) * u
    return np.minimum(hat, stroke(u, level, (-0.35 * side, -0.52, side, -0.48), 0.07))


def fit_scale(head: Head, wanted: float) -> float:
    """The half head, in frames, at which visible skin fills the wanted fraction of the frame."""
    scale = math.sqrt(wanted / SKIN_AREA)
    for _ in range(3):
        found = lay_out(head, *make_frames(head, 32, scale)).face_fraction()
        scale *= min(max(wanted / max(found, 1e-3), 0.5), 2.0) ** 0.6
    return scale
