"""Scenes of coloured blocks, as arrays and as folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": (230, 20, 20), "green": (20, 220, 20), "blue": (20, 30, 230)}
Blocks = list[tuple[str, tuple[int, int, int, int]]]


def blocks(objects: Blocks, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Return a dark picture with coloured blocks (top, bottom, left, right), and the blocks' numbers."""
    image, numbers = np.full((side, side, 3), 10, np.uint8), np.zeros((side, side), np.uint8)
    for k, (colour, (top, bottom, left, right)) in enumerate(objects):
        image[top:bottom, left:right] = COLOURS[colour]
        numbers[top:bottom, left:right] = k + 1
    return image, numbers


def write_scenes(folder: Path, scenes: list[Blocks]) -> Path:
    """Write a folder of scenes of blocks and return it."""
    folder.mkdir(exist_ok=True)
    entries = []
    for at, objects in enumerate(scenes):
        image, numbers = blocks(objects)
        Image.fromarray(image).save(folder / f"{at}.png")
        Image.fromarray(numbers).save(folder / f"{at}.masks.png")
        labels = [colour for colour, _ in objects]
        entries.append({"picture": f"{at}.png", "masks": f"{at}.masks.png", "labels": labels})
    (folder / "scenes.json").write_text(json.dumps({"format": "onnxsal scenes 1", "scenes": entries}))
    return folder
