"""Procedural scenes of shapes with exact object masks: what the bundled model is trained, tested and shown on.

A scene has one to four objects of one class among things that belong to no class: a textured background, soft
blobs, lines and foreign shapes. Objects and foreign shapes share colours, sizes and rotations, so that outline is
the only evidence. Lengths are shares of the picture's side: one seed is the same scene at every size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from layout import Spot, place
from numpy.typing import NDArray

Field = NDArray[np.float64]
Outline = Callable[[Field, Field], Field]

CONTRAST = 0.27  # least difference in brightness between a shape and the ground, from 0 to 1


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    Shape: picture uint8 [H, W, 3]; masks bool [n, H, W], disjoint, one per object; labels n class indices.
    """

    image: NDArray[np.uint8]
    labels: tuple[int, ...]
    masks: NDArray[np.bool_]

    @property
    def label(self) -> int:
        """Return the class of the first object, which is every object's unless the scene is a pair."""
        return self.labels[0]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Return the union of all objects, bool [H, W]."""
        union: NDArray[np.bool_] = np.logical_or.reduce(self.masks)
        return union

    @property
    def boxes(self) -> NDArray[np.float32]:
        """Return the objects' boxes, float32 [n, 4]: left, top, right, bottom in pixels, the pixels' outer edges."""
        found = [(c.min(), r.min(), c.max() + 1, r.max() + 1) for r, c in map(np.nonzero, self.masks)]
        return np.array(found, np.float32).reshape(-1, 4)


# Outlines: the signed distance (negative inside) of points in a shape's own frame, where it fits a circle of radius 1.


def _disc(x: Field, y: Field, radius: float = 0.85) -> Field:
    return np.hypot(x, y) - radius


def _box(x: Field, y: Field, width: float, height: float) -> Field:
    return np.maximum(np.abs(x) - width, np.abs(y) - height)


def _triangle(x: Field, y: Field) -> Field:
    return np.maximum(np.abs(x) * 0.866 + y * 0.5, -y) - 0.5


def _star(x: Field, y: Field) -> Field:
    """Return the distance to the line from a tip (1, 0) to a notch, in one tenth of the star."""
    tenth = np.abs((np.arctan2(x, y) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
    radius = np.hypot(x, y)
    return (radius * np.cos(tenth) - 1) * 0.373 + radius * np.sin(tenth) * 0.928


def _heart(x: Field, y: Field) -> Field:
    u, v = (y + x + 0.15) * 0.707, (y - x + 0.15) * 0.707
    lobes = np.minimum(_disc(u, v - 0.54, 0.54), _disc(u - 0.54, v, 0.54))
    return np.minimum(lobes, _box(u, v, 0.54, 0.54))


def _crescent(x: Field, y: Field) -> Field:
    return np.maximum(_disc(x - 0.13, y, 0.87), -_disc(x - 0.53, y, 0.69))


def _arrow(x: Field, y: Field) -> Field:
    head = np.maximum((x - 1) * 0.66 + np.abs(y) * 0.75, 0.05 - x)
    return np.minimum(head, _box(x + 0.37, y, 0.6, 0.22))


def _drop(x: Field, y: Field) -> Field:
    cone = np.maximum(np.abs(x) * 0.904 + (y - 1) * 0.427, -(y + 0.146))
    return np.minimum(_disc(x, y + 0.4, 0.598), cone)


def _zigzag(x: Field, y: Field) -> Field:
    wave = np.abs((x + 0.3) % 1.2 - 0.6) - 0.3
    return np.maximum(np.abs(y - 1.2 * wave) * 0.64 - 0.15, np.abs(x) - 0.8)


CLASSES: dict[str, Outline] = {
    "disc": _disc,
    "square": lambda x, y: _box(x, y, 0.7, 0.7),
    "triangle": _triangle,
    "star": _star,
    "cross": lambda x, y: np.minimum(_box(x, y, 0.95, 0.3), _box(x, y, 0.3, 0.95)),
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.7) - 0.23,
    "heart": _heart,
    "crescent": _crescent,
    "arrow": _arrow,
    "drop": _drop,
}
FOREIGN: dict[str, Outline] = {
    "bar": lambda x, y: _box(x, y, 0.97, 0.17),
    "lens": lambda x, y: np.maximum(_disc(x, y - 0.85, 1.25), _disc(x, y + 0.85, 1.25)),
    "corner": lambda x, y: np.minimum(_box(x, y + 0.5, 0.69, 0.19), _box(x + 0.5, y, 0.19, 0.69)),
    "chevron": lambda x, y: np.maximum(np.abs(x + np.abs(y) - 0.4) * 0.707 - 0.2, np.abs(y) - 0.74),
    "zigzag": _zigzag,
    "trefoil": lambda x, y: (np.hypot(x, y) - 0.62 - 0.3 * np.cos(3 * np.arctan2(y, x))) * 0.7,
    "slab": lambda x, y: _box((x - 0.5 * y) * 0.9, y, 0.6, 0.3),
}
LABELS = tuple(CLASSES)


def draw_scene(
    seed: int, *, size: int = 96, label: int | None = None, objects: int | None = None, noise: float = 0.0
) -> Scene:
    """Return a scene with one to four objects of one class.

    Args: seed: decides everything that is not given; a given label or count leaves the background as it was.
        objects: 0 leaves the scenery and the foreign shapes alone.
        noise: standard deviation of the pixel noise as a share of the range; the masks don't feel it.
    """
    choice = np.random.Generator(np.random.PCG64([seed, 0]))
    drawn_label, drawn_count = int(choice.integers(len(LABELS))), int(choice.integers(1, 5))
    kind = drawn_label if label is None else label
    return _draw(seed, (kind,) * (drawn_count if objects is None else objects), size, noise)


def draw_pair(seed: int, *, size: int = 96, labels: tuple[int, int] | None = None, noise: float = 0.0) -> Scene:
    """Return a scene with two objects of different classes, in the order of its ``labels``."""
    choice = np.random.Generator(np.random.PCG64([seed, 0]))
    first, second = choice.choice(len(LABELS), size=2, replace=False)
    return _draw(seed, (int(first), int(second)) if labels is None else labels, size, noise)


def draw_objects(seed: int, labels: tuple[int, ...], *, size: int = 96, noise: float = 0.0) -> Scene:
    """Return a scene with an object of each of these classes."""
    return _draw(seed, labels, size, noise)


def _draw(seed: int, labels: tuple[int, ...], size: int, noise: float) -> Scene:
    layout, scenery, paint, grain = (np.random.Generator(np.random.PCG64([seed, part])) for part in (1, 2, 3, 4))
    spots = place(layout, len(labels) + int(layout.integers(0, 4)))
    ground = _colour(scenery)
    canvas = _background(scenery, ground, size)
    outlines = [CLASSES[LABELS[k]] for k in labels]
    outlines += [FOREIGN[name] for name in layout.choice(list(FOREIGN), size=len(spots) - len(labels))]
    masks = [_paint(canvas, spot, outline, paint, ground) for spot, outline in zip(spots, outlines, strict=True)]
    objects = np.array(masks[: len(labels)], dtype=bool).reshape(-1, size, size)
    canvas += noise * grain.standard_normal(canvas.shape)
    return Scene(np.rint(canvas.clip(0, 1) * 255).astype(np.uint8), labels, objects)


def _background(rng: np.random.Generator, ground: Field, size: int) -> Field:
    """Return the scenery, [H, W, 3] in 0 to 1: two related tones mixed by waves, blobs, stripes and lines."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    other = (ground + rng.normal(0, 0.09, size=3)).clip(0, 1)
    canvas = ground + _waves(rng, x, y)[..., None] * (other - ground)
    for _ in range(rng.integers(0, 5)):
        _blob(canvas, rng, x, y)
    for _ in range(rng.integers(0, 7)):
        _line(canvas, rng, x, y)
    return canvas


def _waves(rng: np.random.Generator, x: Field, y: Field) -> Field:
    """Return a texture in 0 to 1: some slow waves for a cloudy ground, some quick ones for a grain."""
    total = np.zeros_like(x)
    for frequency in (*rng.uniform(0.5, 4, size=4), *rng.uniform(8, 24, size=3)):
        angle, phase = rng.uniform(0, 2 * np.pi, size=2)
        total += np.cos(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    return (0.5 + total / 7).clip(0, 1)


def _blob(canvas: Field, rng: np.random.Generator, x: Field, y: Field) -> None:
    centre, spread, colour = rng.uniform(0, 1, size=2), rng.uniform(0.05, 0.2), rng.uniform(0, 1, size=3)
    strength = 0.35 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * spread**2))
    canvas += strength[..., None] * (colour - canvas)


def _line(canvas: Field, rng: np.random.Generator, x: Field, y: Field) -> None:
    """Draw an arc of a wide circle across the whole picture."""
    through, angle, radius = rng.uniform(0, 1, size=2), rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 5)
    away = np.hypot(x - through[0] - radius * np.cos(angle), y - through[1] - radius * np.sin(angle)) - radius
    cover = (0.5 - (np.abs(away) - rng.uniform(0.003, 0.009)) * len(x)).clip(0, 0.6)
    canvas += cover[..., None] * (rng.uniform(0, 1, size=3) - canvas)


def _paint(canvas: Field, spot: Spot, outline: Outline, rng: np.random.Generator, ground: Field) -> NDArray[np.bool_]:
    """Paint a shape in a colour that stands out, and return the pixels whose centre lies in it."""
    size = len(canvas)
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    x, y = (x - spot.x) / spot.radius, (y - spot.y) / spot.radius
    cos, sin = np.cos(spot.angle), np.sin(spot.angle)
    depth = -outline(x * cos + y * sin, y * cos - x * sin)
    cover = (0.5 + depth * spot.radius * size).clip(0, 1)
    canvas += cover[..., None] * (_fill(_colour(rng, ground), ground, x - y, depth) - canvas)
    return depth >= 0


def _fill(colour: Field, ground: Field, light: Field, depth: Field) -> Field:
    """Return a shape's inside: lit from the upper right, with a rim that leads away from the ground's brightness."""
    shaded = colour * (1 + 0.12 * light.clip(-1.5, 1.5))[..., None]
    edge = 1.0 if _luma(colour) > _luma(ground) else 0.0
    rim = 0.45 * (1 - depth / 0.1).clip(0, 1)
    return shaded + rim[..., None] * (edge - shaded)


def _colour(rng: np.random.Generator, ground: Field | None = None) -> Field:
    """Return a random colour, RGB in 0 to 1, that differs plainly from the ground's."""
    while True:
        hue, saturation, value = rng.uniform(0, 1), rng.uniform(0.1, 0.95), rng.uniform(0.08, 1)
        ramp = (np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1).clip(0, 1)
        colour = value * (1 - saturation * (1 - ramp))
        if ground is None or abs(_luma(colour) - _luma(ground)) > CONTRAST:
            return np.asarray(colour)


def _luma(colour: Field) -> float:
    return float(colour @ np.array([0.299, 0.587, 0.114]))
