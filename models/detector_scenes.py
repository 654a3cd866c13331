"""What the detector is trained on: scenes of one to three objects, and the right answer of every position."""

from __future__ import annotations

from dataclasses import dataclass, fields
from multiprocessing import get_context

import numpy as np
from detector_network import CLASSES, GRIDS, SIZE
from numpy.typing import NDArray
from scenes import LABELS, Scene, draw_objects

KINDS = tuple(LABELS.index(name) for name in CLASSES)
FORK = (26.0, 32.0)
"""Objects up to the second side, in pixels, belong to the fine grid, and from the first one on to the coarse one."""
SURE, NEAR = 0.75, 1.5
"""How far round an object's middle, in strides, positions answer for it, and how far they are asked nothing."""

Floats = NDArray[np.float32]
Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Answers:
    """Scenes and what is right at each of the positions of both grids, P in all.

    Shapes: images uint8 [N, H, W, 3]; classes [N, K, P], 1 for an object's class; asked [N, 1, P], 0 where a class may
    be anything; boxes [N, 4, P], the ways to left, top, right and bottom in pixels; held [N, 1, P], 1 where a box is
    asked for; foreground [N, 1, H / 4, W / 4], the share of the objects' pixels.
    """

    images: Images
    classes: Floats
    asked: Floats
    boxes: Floats
    held: Floats
    foreground: Floats

    def rows(self, chosen: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
        """Return these scenes by the fields' names."""
        return {field.name: getattr(self, field.name)[chosen] for field in fields(self)}


def objects(seed: int, *, size: int = SIZE, noise: float = 0.0) -> Scene:
    """Return the scene of a seed: one to three objects of any of the detector's classes."""
    choice = np.random.Generator(np.random.PCG64([seed, 5]))
    count = int(choice.integers(1, 4))
    return draw_objects(seed, tuple(KINDS[k] for k in choice.integers(0, len(KINDS), count)), size=size, noise=noise)


def known(scene: Scene) -> NDArray[np.int64]:
    """Return the detector's classes of a scene's objects, [n]."""
    return np.array([KINDS.index(label) for label in scene.labels], np.int64)


def positions() -> tuple[Floats, Floats]:
    """Return the middles of all positions, fine ones first, [P, 2] as x and y in pixels, and their strides [P]."""
    middles = [
        (np.stack(np.meshgrid(*[np.arange(SIZE // stride)] * 2), axis=-1).reshape(-1, 2) + 0.5) * stride
        for stride in GRIDS
    ]
    strides = [np.full(len(each), stride) for each, stride in zip(middles, GRIDS, strict=True)]
    return np.concatenate(middles).astype(np.float32), np.concatenate(strides).astype(np.float32)


def drawn(first: int, count: int) -> Answers:
    """Return the scenes of consecutive seeds with their answers."""
    with get_context("spawn").Pool() as pool:
        found = pool.map(_answered, range(first, first + count), chunksize=100)
    return Answers(*(np.stack(column) for column in zip(*found, strict=True)))


def _answered(seed: int) -> tuple[NDArray[np.generic], ...]:
    scene = objects(seed)
    share = scene.mask.reshape(SIZE // 4, 4, SIZE // 4, 4).mean((1, 3), dtype=np.float32)[None]
    return (scene.image, *assigned(scene.boxes, known(scene)), share)


def assigned(boxes: Floats, classes: NDArray[np.int64]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return ``classes``, ``asked``, ``boxes`` and ``held`` of one scene, as :class:`Answers` has them.

    Args: boxes: [n, 4] in pixels. classes: [n].
    """
    (middles, strides), count = positions(), len(CLASSES)
    away = np.abs(middles[:, None] - (boxes[:, :2] + boxes[:, 2:]) / 2).max(2) / strides[:, None]  # [P, n]
    away = np.where(_belongs(boxes, strides), away, np.inf)
    nearest, distance = away.argmin(1), away.min(1)
    sure, near = distance <= SURE, distance <= NEAR
    right = np.where(sure, np.eye(count, dtype=np.float32)[:, classes[nearest]], 0)
    mine = boxes[nearest]
    ways = np.concatenate([middles - mine[:, :2], mine[:, 2:] - middles], 1).T
    held = near & (ways > 0).all(0)
    asked = sure | ~near
    return tuple(np.float32(a) for a in (right, asked[None], np.where(held, ways, 0), held[None]))  # type: ignore[return-value]


def _belongs(boxes: Floats, strides: Floats) -> NDArray[np.bool_]:
    """Return which objects are answered for on which grid, [P, n]."""
    side = (boxes[:, 2:] - boxes[:, :2]).max(1)
    fine = (strides == GRIDS[0])[:, None]
    return np.where(fine, side <= FORK[1], side >= FORK[0])
