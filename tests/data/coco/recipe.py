"""What pycocotools says of random boxes, for tests of the matching: python recipe.py

Writes matching.json beside it. Needs pycocotools (made with 2.0.11) and NumPy; no test imports this.

A picture has ``truths`` (category, x y width height, iscrowd), ``found`` (category, x y width height, score), surest
first, and of each of these its verdict: ``true`` with the number of its true box, ``false``, or ``ignored``.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

CATEGORIES, PICTURES = (3, 7, 90), 30


def picture(rng: np.random.Generator, image: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a picture's true boxes and detections: near the true ones, anywhere, and one that overlaps by a half."""
    truths = [_truth(rng, image) for _ in range(int(rng.integers(0, 8)))]
    found = [_found(rng, image, truths) for _ in range(int(rng.integers(0, 9)))]
    if truths:
        x, y, width, height = truths[0]["bbox"]
        half = {"category_id": truths[0]["category_id"], "bbox": [x, y, width, 2 * height]}
        found.append({"image_id": image, "score": _score(rng), **half})
    return truths, found


def _truth(rng: np.random.Generator, image: int) -> dict[str, Any]:
    category, crowd = int(rng.choice(CATEGORIES)), int(rng.random() < 0.2)
    box = [*rng.integers(0, 50, 2).tolist(), *rng.integers(8, 40, 2).tolist()]
    return {"image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": crowd}


def _found(rng: np.random.Generator, image: int, truths: list[dict[str, Any]]) -> dict[str, Any]:
    near = truths[int(rng.integers(len(truths)))] if truths and rng.random() < 0.85 else _truth(rng, image)
    same = rng.random() < 0.9
    moved = np.array(near["bbox"]) + rng.integers(-3, 4, 4)
    category = near["category_id"] if same else int(rng.choice(CATEGORIES))
    return {"image_id": image, "category_id": category, "bbox": moved.tolist(), "score": _score(rng)}


def _score(rng: np.random.Generator) -> float:
    return round(float(rng.random()), 4)


def verdicts(truths: list[dict[str, Any]], found: list[dict[str, Any]]) -> dict[int, tuple[str, int]]:
    """Return what pycocotools says of each detection by its id, and the id of its true box."""
    known = COCO()
    images = [{"id": k} for k in range(1, PICTURES + 1)]
    known.dataset = {"images": images, "annotations": truths, "categories": [{"id": k} for k in CATEGORIES], "info": {}}
    known.createIndex()
    judged = COCOeval(known, known.loadRes([dict(each) for each in found]), "bbox")
    judged.params.iouThrs, judged.params.areaRng = np.array([0.5]), [[0, 1e10]]
    judged.params.areaRngLbl = ["all"]
    judged.evaluate()
    each = [(e["dtIds"], e["dtMatches"][0], e["dtIgnore"][0]) for e in judged.evalImgs if e is not None]
    return {
        int(i): ("ignored" if skip else "true" if match else "false", int(match))
        for three in each
        for i, match, skip in zip(*three, strict=True)
    }


def main() -> None:
    rng = np.random.default_rng(5)
    drawn = [picture(rng, k) for k in range(1, PICTURES + 1)]
    truths = [truth | {"id": k} for k, truth in enumerate((t for ts, _ in drawn for t in ts), 1)]
    found = [each | {"id": k} for k, each in enumerate((f for _, fs in drawn for f in fs), 1)]
    with contextlib.redirect_stdout(io.StringIO()):
        said = verdicts(truths, found)
    lines = []
    for image in range(1, PICTURES + 1):
        mine = [truth for truth in truths if truth["image_id"] == image]
        places = {truth["id"]: at for at, truth in enumerate(mine)}
        surest = sorted((f for f in found if f["image_id"] == image), key=lambda each: -each["score"])
        lines.append({
            "truths": [[t["category_id"], t["bbox"], t["iscrowd"]] for t in mine],
            "found": [[f["category_id"], f["bbox"], f["score"]] for f in surest],
            "verdicts": [[said[f["id"]][0], places.get(said[f["id"]][1])] for f in surest],
        })  # fmt: skip
    text = ",\n".join(json.dumps(line, separators=(",", ":")) for line in lines)
    Path(__file__).with_name("matching.json").write_text(f"[{text}]\n")


if __name__ == "__main__":
    main()
