"""How much of each map lies on the object, for the int8 MobileNetV2 and the masked photographs.

    python benchmarks/int8_masks.py [--shared ../shared] [--photos 44] [--methods a,b] [--model FILE]

``inside`` is the share of the map inside the mask, ``over area`` that share over the mask's share of the picture: 1 is
a map that does not know where the object is. Masks go through the crop of their photograph. Means over photographs,
with the standard error of the second. The class is the predicted one. Methods that run many times are cut to what
takes minutes: their options stand in the table, and a full run would sharpen them.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import onnxsal
from onnxsal.metrics.pointing import energy_pointing

ROOT = Path(__file__).resolve().parent.parent
METHODS: dict[str, dict[str, Any]] = {
    "gradient": {}, "input-x-gradient": {}, "integrated-gradients": {"steps": 20}, "guided-backprop": {},
    "deconvnet": {}, "smoothgrad": {"samples": 10}, "smoothgrad-squared": {"samples": 10}, "vargrad": {"samples": 10},
    "cam": {}, "grad-cam": {}, "grad-cam++": {}, "hirescam": {}, "layercam": {}, "xgrad-cam": {}, "eigencam": {},
    "smooth-grad-cam++": {"samples": 10}, "score-cam": {"top_k": 128}, "is-cam": {"top_k": 32, "samples": 10},
    "ss-cam": {"top_k": 32, "samples": 8, "variant": 2},
}  # fmt: skip


def mask_in_view(path: Path, box: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
    """The part of a mask that the model saw, [H, W] of bool; ``box`` is left, top, width, height."""
    left, top, width, height = box
    with Image.open(path) as image:
        view = image.convert("L").resize(size[::-1], Image.Resampling.BILINEAR, (left, top, left + width, top + height))
    return np.asarray(view) > 127


def measure(model: onnxsal.Model, photo: Path, mask: Path, method: str) -> tuple[float, float]:
    """Share of the map inside the mask, and that over the mask's own share."""
    found = onnxsal.explain(model, photo, method=method, **METHODS[method])
    inside = mask_in_view(mask, found.box, found.saliency.shape)
    share = energy_pointing(found.saliency, inside).value
    return share, share / float(inside.mean())


def main() -> None:
    """Parse the command line and print one line a method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
    parser.add_argument("--shared", type=Path, default=shared, help="folder of the reference material")
    parser.add_argument("--photos", type=int, default=44, help="how many of the masked photographs, evenly spread")
    parser.add_argument("--methods", default=",".join(METHODS), help="by commas")
    parser.add_argument("--model", default="mobilenet_v2_int8.onnx", help="a model of the reference material")
    args = parser.parse_args()
    masks = sorted((args.shared / "images" / "masks").glob("*.png"))
    masks = masks[:: -(-len(masks) // args.photos)]
    model = onnxsal.load(args.shared / "models" / args.model)
    print(f"{args.model}, {len(masks)} photographs")
    print(f"{'method':22} {'options':24} {'inside':>7} {'over area':>10} {'error':>6} {'s/photo':>8}")
    for method in args.methods.split(","):
        start = time.perf_counter()
        photos = [args.shared / "images" / "imagenet" / f"{mask.stem}.jpg" for mask in masks]
        found = np.array([measure(model, p, m, method) for p, m in zip(photos, masks, strict=True)])
        inside, ratio = np.nanmean(found, axis=0)
        error = np.nanstd(found[:, 1], ddof=1) / np.sqrt(len(found))
        options = " ".join(f"{k}={v}" for k, v in METHODS[method].items())
        seconds = (time.perf_counter() - start) / len(found)
        print(f"{method:22} {options:24} {inside:7.3f} {ratio:10.2f} {error:6.2f} {seconds:8.2f}", flush=True)


if __name__ == "__main__":
    main()
