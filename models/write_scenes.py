"""Write a folder of scenes with their objects' masks and classes: ``python models/write_scenes.py --out DIR``.

It is what ``onnxsal experiment`` takes where objects have to be known: pictures, for each a grey picture of its
objects' numbers (0 is none), and ``scenes.json``. The seeds are far from those of training.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scenes import LABELS, Scene, draw_pair, draw_scene

FIRST = 50_000_000


def drawn(kind: str, number: int, size: int) -> Scene:
    """Return a scene of a kind: two classes, two to four objects of one class in turn, or one object."""
    if kind == "pairs":
        return draw_pair(FIRST + number, size=size)
    objects = 2 + number % 3 if kind == "several" else 1
    return draw_scene(FIRST + number, size=size, label=number // 3 % len(LABELS), objects=objects)


def write(scene: Scene, folder: Path, name: str) -> dict[str, Any]:
    """Write a scene's two pictures and return its entry."""
    numbers = np.zeros(scene.image.shape[:2], np.uint8)
    for k, mask in enumerate(scene.masks):
        numbers[mask] = k + 1
    entry = {"picture": f"{name}.png", "masks": f"{name}.masks.png"}
    Image.fromarray(scene.image).save(folder / entry["picture"])
    Image.fromarray(numbers).save(folder / entry["masks"])
    return {**entry, "labels": [LABELS[k] for k in scene.labels]}


def write_folder(folder: Path, kind: str, count: int, size: int) -> None:
    """Write so many scenes of a kind, and what names them."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [write(drawn(kind, number, size), folder, f"{number:04d}") for number in range(count)]
    document = {"format": "onnxsal scenes 1", "scenes": entries}
    (folder / "scenes.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--kind", choices=["pairs", "several", "one"], default="several")
    parser.add_argument("--count", type=int, default=90)
    parser.add_argument("--size", type=int, default=192, help="side of the pictures, in pixels")
    chosen = parser.parse_args()
    write_folder(chosen.out, chosen.kind, chosen.count, chosen.size)


if __name__ == "__main__":
    main()
