"""Paint a generated face: background, distractors of skin colour, clothes, head, light."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vesica.data.heads import (
    SKIN_AREA,
    Classes,
    Frame,
    Head,
    Parts,
    Plane,
    draw_head,
    ellipse,
    fit_scale,
    glow,
    lay_out,
    make_frame,
    make_frames,
    radius,
    stroke,
    texture,
)
from vesica.data.sample import Pixels

Colour = NDArray[np.floating[Any]]
"""Red, green and blue in [0, 1], shape (3, 1, 1), or (3, height, width) where it is shaded."""


def _rgb(red: float, green: float, blue: float) -> Colour:
    return np.array([red, green, blue], np.float32).reshape(3, 1, 1)


def _ramp(*codes: str) -> tuple[Colour, ...]:
    return tuple(_rgb(*(level / 255 for level in bytes.fromhex(code))) for code in codes)


BLACK, WHITE = _ramp("0f0d0d", "f2f0eb")
SKINS = _ramp("f7d4bd", "ebbd9e", "d6a17d", "b5805c", "8c5e42", "63402e")
HAIRS = _ramp("120f0f", "331f14", "5c381f", "8c421f", "c79957", "adaba8")
IRISES = _ramp("331f14", "405c80", "476138")


class Look(NamedTuple):
    """What decides the colours of a picture. `light` points to the lamp, `v` down."""

    skin: Colour
    hair: Colour
    light: tuple[float, float, float]

    def shade(self, u: Plane, v: Plane) -> Plane:
        """Brightness of an ellipsoid that fills the unit circle."""
        depth = np.sqrt(np.clip(1 - u * u - v * v, 0.02, 1))
        towards = u * self.light[0] + v * self.light[1] + depth * self.light[2]
        return 0.60 + 0.52 * np.clip(towards, 0, 1)


class Canvas(NamedTuple):
    """A picture in the making, (3, size, size), and the chance that makes it."""

    image: NDArray[np.float32]
    rng: Generator

    def paint(self, frame: Frame, cover: Plane, colour: Colour) -> None:
        """Lay a colour over a window of the picture."""
        part = self.image[:, *frame.window]
        part += cover * (colour - part)

    def mix(self, ramp: tuple[Colour, ...], jitter: float = 0.013) -> Colour:
        """A colour between two neighbours of a ramp."""
        place = self.rng.uniform(0, len(ramp) - 1)
        index = int(place)
        return self.vary(ramp[index] + (place - index) * (ramp[index + 1] - ramp[index]), jitter)

    def vary(self, colour: Colour, jitter: float) -> Colour:
        """A colour like this one."""
        noise = jitter * self.rng.standard_normal((3, 1, 1), np.float32)
        varied: Colour = np.clip(colour + noise, 0.03, 1)
        return varied

    def dye(self) -> Colour:
        """Any colour, seldom a garish one."""
        colour = self.rng.random((3, 1, 1), np.float32)
        muted: Colour = 0.05 + 0.8 * (colour + 0.4 * (colour.mean() - colour))
        return muted


def _paint_background(canvas: Canvas) -> None:
    rng, size_px = canvas.rng, canvas.image.shape[1]
    has_skin_colour = rng.random() < 0.3
    start, end = (canvas.mix(SKINS, 0.04) if has_skin_colour else canvas.dye() for _ in range(2))
    frame = make_frame(size_px, (0.5, 0.5), 1.0, rng.uniform(-np.pi, np.pi))
    blend = np.clip(0.5 + frame.v + 0.2 * texture(rng, size_px, 5), 0, 1)
    canvas.image[:] = (start + blend * (end - start)) * (1 + 0.1 * texture(rng, size_px, 11))


def _paint_distractors(canvas: Canvas, look: Look, size: float) -> None:
    """Panels, then balls, then arms before them, in the colours of faces."""
    rng, size_px = canvas.rng, canvas.image.shape[1]
    kinds = np.sort(rng.choice(3, rng.integers(3, 8), p=(0.3, 0.45, 0.25)))
    for kind in kinds:
        colour = canvas.mix(SKINS) if rng.random() < 0.5 else canvas.vary(look.skin, 0.02)
        frame = make_frame(size_px, (rng.random(), rng.random()), size, rng.uniform(-0.5, 0.5))
        paint = (_paint_panel, _paint_ball, _paint_arm)[kind]
        paint(canvas, frame, look._replace(skin=colour))


def _paint_panel(canvas: Canvas, frame: Frame, look: Look) -> None:
    """A board of wood or a piece of a brick wall."""
    rng = canvas.rng
    a, b, waves = rng.uniform(0.5, 1.6), rng.uniform(0.5, 1.6), rng.uniform(6, 14)
    frame = frame.near(0, 0, 1.4 * max(a, b))
    u, v = frame.u, frame.v
    if rng.random() < 0.5:
        grain = 0.9 + 0.1 * np.sin(waves * (u + 0.15 * np.sin(3 * v + waves)) + 2 * np.sin(v))
    else:
        down, along = v * waves / 3, u * waves / 6
        gap = np.abs((along + 0.5 * np.floor(down)) % 1 - 0.5)
        grain = 0.7 + 0.3 * np.clip(8 * np.minimum(np.abs(down % 1 - 0.5), 2 * gap), 0, 1)
    edge = np.maximum(np.abs(u) - a, np.abs(v) - b)
    canvas.paint(frame, frame.cover(edge, rng.uniform(1, 3)), look.skin * grain)


def _paint_ball(canvas: Canvas, frame: Frame, look: Look) -> None:
    """An oval or a lump, shaded like a head."""
    rng = canvas.rng
    a, b = rng.uniform(0.4, 1.1), rng.uniform(0.4, 1.1)
    frame = frame.near(0, 0, 1.3 * max(a, b))
    lumps, phase = int(rng.integers(2, 6)), rng.uniform(0, 2 * np.pi)
    edge = ellipse(frame.u, frame.v, a, b)
    if rng.random() < 0.5:
        edge = edge + 0.1 * min(a, b) * np.sin(lumps * np.arctan2(frame.u, frame.v) + phase)
    shaded = look.skin * look.shade(0.92 * frame.u / a, 0.92 * frame.v / b)
    canvas.paint(frame, frame.cover(edge, rng.uniform(1, 3)), shaded)


def _paint_arm(canvas: Canvas, frame: Frame, look: Look) -> None:
    """A forearm with a fist, that reaches in from somewhere."""
    rng = canvas.rng
    width, far = rng.uniform(0.2, 0.38), rng.uniform(0, 2 * np.pi)
    ends = (0.0, 0.0, 6 * math.cos(far), 6 * math.sin(far))
    edge = stroke(frame.u, frame.v, ends, width)
    edge = np.minimum(edge, ellipse(frame.u, frame.v, 1.45 * width, 1.3 * width))
    across = np.clip(1 + edge / (1.4 * width), 0, 1)
    canvas.paint(frame, frame.cover(edge, rng.uniform(1, 3)), look.skin * (1.08 - 0.4 * across**2))


def _paint_clothes(canvas: Canvas, body: Frame, parts: Parts) -> None:
    rng, u, v = canvas.rng, body.u, body.v
    cloth = canvas.mix(SKINS) if rng.random() < 0.2 else canvas.dye()
    print_colour = canvas.dye()
    along, across = ((14, 0), (0, 14), (13, 13), (0, 0))[rng.integers(4)]
    pattern = np.clip(3 * np.cos(along * u) * np.cos(across * v) - 1, 0, 0.6)
    if along or across:
        cloth = cloth + pattern * (print_colour - cloth)
    folds = 0.1 * np.sin(5 * u + 2 * v) * np.cos(3 * u - v)
    sleeves = 0.12 * np.clip(np.abs(u) - 0.9, 0, 1)
    canvas.paint(body, parts.clothes, cloth * (1 + folds - sleeves))


def _paint_skin(
    canvas: Canvas, head: Head, face: Frame, body: Frame, parts: Parts, look: Look
) -> None:
    """The neck in the shadow of the jaw, then the head."""
    under_jaw = glow(body.u - 0.1 * head.yaw, body.v - 0.3, 0.5, 0.22)
    side = np.clip(look.light[0] * body.u, -0.5, 0.5)
    canvas.paint(body, parts.neck, look.skin * (0.8 - 0.22 * under_jaw + 0.35 * side))
    shade = look.shade(0.92 * face.u / head.width, 0.9 * face.v)
    canvas.paint(face, parts.skull, look.skin * shade)


def _paint_hair(canvas: Canvas, face: Frame, cover: Plane, look: Look) -> None:
    if not cover.any():
        return
    u, v = face.u, face.v
    angle = np.arctan2(u, 1.4 - v)
    strands = np.sin(70 * angle + 3 * np.sin(9 * angle)) + np.sin(39 * angle + 4 * v)
    gloss = glow(u - 0.5 * look.light[0], v + 0.85, 0.5, 0.18)
    shine = 0.8 + 0.09 * strands + 0.5 * gloss + np.clip(0.25 * look.light[0] * u, -0.3, 0.3)
    canvas.paint(face, cover, look.hair * shine + 0.05 * gloss)


def _paint_features(canvas: Canvas, head: Head, face: Frame, parts: Parts, look: Look) -> None:
    """All by which a head is told from a ball."""
    rng = canvas.rng
    face = face._replace(u=face.u - 0.2 * head.yaw)
    for side in (-1, 1):
        socket = face.near(side * 0.32, 0.1, 0.6)
        u, v = socket.u - side * 0.29, socket.v
        hollow = 0.35 * glow(u, v + 0.07, 0.2, 0.13)
        canvas.paint(socket, hollow, look.skin * _rgb(0.52, 0.42, 0.40))
        blush = 0.22 * glow(u - side * 0.07, v - 0.32, 0.18, 0.16)
        canvas.paint(socket, blush, look.skin * _rgb(1.0, 0.6, 0.55))
    if rng.random() < 0.25:
        _paint_beard(canvas, face, parts.skull, look)
    _paint_eyes(canvas, face, look)
    _paint_nose(canvas, face.near(0.1 * head.yaw, 0.2, 0.5), head.yaw, look)
    _paint_mouth(canvas, face.near(0, 0.62, 0.4), look)
    if rng.random() < 0.25:
        _paint_glasses(canvas, face.near(0, 0, 0.8))


def _paint_eyes(canvas: Canvas, face: Frame, look: Look) -> None:
    rng = canvas.rng
    iris = canvas.vary(IRISES[rng.integers(3)], 0.03)
    gaze, opened = rng.uniform(-0.04, 0.04), rng.uniform(0.05, 0.085)
    arch, heavy = rng.uniform(0, 0.35), rng.uniform(0.022, 0.045)
    for side in (-1, 1):
        eye = face.near(side * 0.29, -0.12, 0.25)
        u, v = eye.u - side * 0.29, eye.v + 0.06
        ball, centre = eye.cover(ellipse(u, v, 0.145, opened)), radius(u - gaze, v)
        canvas.paint(eye, ball, WHITE)
        canvas.paint(eye, ball * eye.cover(centre - 0.075), iris)
        canvas.paint(eye, ball * eye.cover(centre - 0.035), BLACK)
        canvas.paint(eye, ball * eye.cover(radius(u - gaze - 0.02, v + 0.025) - 0.015), WHITE)
        lid = np.maximum(np.abs(ellipse(u, v, 0.15, opened + 0.01)) - 0.014, v)
        canvas.paint(eye, 0.8 * eye.cover(lid), BLACK)
        brow = stroke(u, v + 0.19 + arch * (0.2 - 5 * u * u), (-0.16, 0.0, 0.16, 0.0), heavy)
        canvas.paint(eye, 0.85 * eye.cover(brow), 0.75 * look.hair)


def _paint_nose(canvas: Canvas, face: Frame, yaw: float, look: Look) -> None:
    u, v = face.u - 0.08 * yaw * np.clip(face.v + 0.1, 0, 0.5), face.v
    dark = look.skin * _rgb(0.52, 0.42, 0.40)
    side = -0.09 if look.light[0] > 0 else 0.09
    canvas.paint(face, 0.45 * glow(u - side, v - 0.17, 0.05, 0.24), dark)
    canvas.paint(face, 0.5 * glow(u, v - 0.2, 0.045, 0.2), np.minimum(1.18 * look.skin + 0.03, 1))
    canvas.paint(face, 0.55 * glow(u, v - 0.4, 0.14, 0.035), dark)
    nostrils = ellipse(np.abs(u) - 0.07, v - 0.37, 0.035, 0.02)
    canvas.paint(face, 0.8 * face.cover(nostrils), 0.5 * dark)


def _paint_mouth(canvas: Canvas, face: Frame, look: Look) -> None:
    rng = canvas.rng
    smile, width, parted = rng.uniform(-0.1, 0.7), rng.uniform(0.2, 0.3), rng.uniform(-0.05, 0.07)
    lips = look.skin * _rgb(0.85, 0.52, 0.50) * rng.uniform(0.75, 1.05)
    u, v = face.u, face.v - 0.60 + smile * (face.u**2 - 0.02)
    canvas.paint(face, 0.9 * face.cover(ellipse(u, v, width, 0.065 + max(parted, 0) / 2)), lips)
    if parted > 0.02:
        canvas.paint(face, face.cover(ellipse(u, v, 0.8 * width, parted)), BLACK)
        teeth = ellipse(u, v + 0.3 * parted, 0.7 * width, 0.6 * parted)
        canvas.paint(face, face.cover(teeth), WHITE)
    else:
        line = np.maximum(np.abs(v) - 0.012, np.abs(u) - width)
        canvas.paint(face, 0.8 * face.cover(line), 0.4 * lips)
    canvas.paint(face, 0.25 * glow(face.u, face.v - 0.73, 0.16, 0.035), 0.55 * look.skin)


def _paint_beard(canvas: Canvas, face: Frame, skull: Plane, look: Look) -> None:
    strength = 0.8 if canvas.rng.random() < 0.5 else canvas.rng.uniform(0.15, 0.5)
    face = face.near(0, 0.6, 0.9)
    u, v = face.u, face.v
    beard = np.clip(7 * (v - 0.5 + 0.44 * np.abs(u)), 0, 1)
    moustache = face.cover(ellipse(u, v - 0.49 - 0.8 * u * u, 0.27, 0.05), 3)
    cover = strength * np.maximum(beard, moustache) * skull[face.window]
    canvas.paint(face, cover, 0.9 * look.hair)


def _paint_glasses(canvas: Canvas, face: Frame) -> None:
    rng, u, v = canvas.rng, face.u, face.v
    rim = BLACK if rng.random() < 0.6 else canvas.dye()
    tint = 0.85 if rng.random() < 0.3 else 0.08
    lenses = ellipse(np.abs(u) - 0.29, v + 0.05, rng.uniform(0.2, 0.24), rng.uniform(0.14, 0.2))
    bridge = stroke(u, v, (-0.09, -0.08, 0.09, -0.08), 0.02)
    temples = stroke(np.abs(u), v, (0.5, -0.07, 0.72, -0.1), 0.018)
    canvas.paint(face, tint * face.cover(lenses), BLACK)
    frame = np.minimum(np.abs(lenses) - 0.022, np.minimum(bridge, temples))
    canvas.paint(face, face.cover(frame), rim)


def _paint_hat(canvas: Canvas, face: Frame, cover: Plane, look: Look) -> None:
    band = 1 - 0.25 * glow(0 * face.u, face.v + 0.62, 1, 0.06)
    shade = look.shade(0.8 * face.u, 0.7 * (face.v + 0.1)) * band
    canvas.paint(face, cover, canvas.dye() * shade)


def _develop(canvas: Canvas, look: Look) -> Pixels:
    """Light that falls off across the room, a tinted lamp, exposure and the sensor's noise."""
    rng, image = canvas.rng, canvas.image
    frame = make_frame(image.shape[1], (0.5, 0.5), 1.0, 0.0)
    fall = 1 + 0.25 * look.light[0] * frame.u + 0.25 * look.light[1] * frame.v
    exposure = canvas.vary(_rgb(1, 1, 1) * rng.uniform(0.78, 1.12), 0.025)
    noise = rng.uniform(0.004, 0.025) * rng.standard_normal(image.shape, np.float32)
    levels = np.clip(255 * (image * (fall * exposure) + noise) + 0.5, 0, 255)
    return np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0))


def draw_face(rng: Generator, size_px: int, density: float = 0.2) -> tuple[Pixels, Classes]:
    """Draw one picture of one head.

    Args:
        rng: Decides everything; the same state gives the same scene at every size.
        size_px: Height and width.
        density: Expected fraction of the pixels that are face.

    Returns:
        The image, and the class of each pixel: `HAIR`, `FACE` or `BACKGROUND`.
    """
    head = draw_head(rng)
    scale = fit_scale(head, min(density * rng.uniform(0.45, 1.55), 0.8))
    face, body = make_frames(head, size_px, scale)
    parts = lay_out(head, face, body)
    lamp = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-0.7, 0.1), 0.75])
    x, y, z = (lamp / np.linalg.norm(lamp)).tolist()
    canvas = Canvas(np.empty((3, size_px, size_px), np.float32), rng)
    look = Look(canvas.mix(SKINS), canvas.mix(HAIRS), light=(x, y, z))
    _paint_background(canvas)
    _paint_distractors(canvas, look, math.sqrt(density / SKIN_AREA))
    _paint_clothes(canvas, body, parts)
    _paint_hair(canvas, face, parts.back_hair, look._replace(hair=0.7 * look.hair))
    _paint_skin(canvas, head, face, body, parts, look)
    _paint_features(canvas, head, face, parts, look)
    _paint_hair(canvas, face, parts.front_hair, look)
    if head.has_hat:
        _paint_hat(canvas, face, parts.hat, look)
    return _develop(canvas, look), parts.classify()
