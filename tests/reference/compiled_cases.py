"""Every built-in method with the options that change what a compiled file computes, on the bundled model.

The tests hold each of these to ``explain``; ``compiled_runtimes`` runs the first of each method elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import onnxsal

MODELS = Path(__file__).resolve().parents[2] / "models"
BUNDLED = MODELS / "shapes.onnx"

QUICK: dict[str, dict[str, Any]] = {
    "integrated-gradients": {"steps": 8},
    "smoothgrad": {"samples": 10},
    "smoothgrad-squared": {"samples": 6},
    "vargrad": {"samples": 6},
    "smooth-grad-cam++": {"samples": 8},
    "ss-cam": {"samples": 2, "top_k": 12},
    "is-cam": {"samples": 3, "top_k": 12},
    "occlusion": {"patch": 24, "stride": 16},
    "rise": {"samples": 20},
    "temporal-saliency-rescaling": {"windows": 6, "groups": 3},
}
"""Options that keep a method short; the rest run with their defaults."""

MORE: list[tuple[str, dict[str, Any]]] = [
    ("gradient", {"sign": "signed"}),
    ("gradient", {"sign": "positive", "percentile": 100.0}),
    ("input-x-gradient", {"sign": "negative", "percentile": 90.0}),
    ("gradient", {"target": 2}),
    ("gradient", {"target": (3, 5), "score": "probability"}),
    ("integrated-gradients", {"steps": 4, "rule": "trapezoid", "baseline": "black"}),
    ("integrated-gradients", {"steps": 3, "baseline": "blur"}),
    ("integrated-gradients", {"steps": 3, "baseline": "uniform", "seed": 5}),
    ("integrated-gradients", {"steps": 3, "baseline": (0.1, -0.2, 0.3), "target": "ring"}),
    ("smoothgrad", {"samples": 5, "noise": 0.3, "seed": 2**32 - 1}),
    ("smoothgrad", {"samples": 3, "inner": "grad-cam++"}),
    ("smoothgrad", {"samples": 3, "inner": "guided-backprop", "batch_size": 2}),
    ("vargrad", {"samples": 3, "inner": "layercam", "layer": "deepen/relu"}),
    ("grad-cam", {"layer": "block2/relu", "target": "heart"}),
    ("grad-cam++", {"target": (0, 6)}),
    ("layercam", {"layer": ["deepen/relu", "block3/relu"]}),
    ("layercam", {"layer": ["deepen/relu", "block3/relu"], "fuse": "max"}),
    ("score-cam", {"layer": ["stem/relu", "block3/relu"], "top_k": 6}),
    ("smooth-grad-cam++", {"samples": 4, "preset": "product", "seed": 9}),
    ("smooth-grad-cam++", {"samples": 4, "preset": "printed", "maps": tuple(range(0, 48, 2)), "neurons": "2:22,4:20"}),
    ("score-cam", {"preset": "paper", "top_k": 10}),
    ("score-cam", {"preset": "torchcam", "top_k": 10, "target": 4}),
    ("score-cam", {"preset": "pytorch-grad-cam", "top_k": 10, "batch_size": 3}),
    ("score-cam", {"preset": "tf-keras-vis", "top_k": 10, "score": "logit"}),
    ("ss-cam", {"samples": 2, "top_k": 6, "variant": 1, "seed": 3}),
    ("ss-cam", {"samples": 2, "top_k": 6, "variant": 1, "preset": "paper"}),
    ("ss-cam", {"samples": 2, "top_k": 6, "variant": 1, "preset": "authors"}),
    ("ss-cam", {"samples": 2, "top_k": 6, "variant": 2, "preset": "authors"}),
    ("ss-cam", {"samples": 2, "top_k": 9, "variant": 1, "estimator": "independent"}),
    ("ss-cam", {"samples": 1, "variant": 2, "estimator": "independent", "seed": 4}),
    ("ablation-cam", {"layer": "block2/relu"}),
    ("recipro-cam", {"target": (1, 2)}),
    ("occlusion", {"patch": 40, "stride": 30, "baseline": "black"}),
    ("rise", {"samples": 11, "grid": 5, "p": 0.3, "seed": 2**32 - 1, "score": "logit", "target": (1, 2)}),
]


def cases() -> list[tuple[str, dict[str, Any]]]:
    """Return every method once, and the others of ``MORE``."""
    return [*((name, QUICK.get(name, {})) for name in built_in()), *MORE]


def built_in() -> list[str]:
    """Return the names of the methods that come with onnxsal."""
    own = [name for name, method in onnxsal.methods().items() if method.origin.startswith("onnxsal ")]
    return [name for name in own if name not in {"similarity-map", "shapley"}]  # for embeddings, and for rows of tables


@dataclass(frozen=True)
class Photos:
    """Three pictures as bytes [B, H, W, 3], and as the bundled model takes them."""

    pixels: np.ndarray

    def feed(self, count: int) -> np.ndarray:
        """Return the first ``count`` as the model's input."""
        return (self.pixels[:count].transpose(0, 3, 1, 2) * (2 / 255) - 1).astype(np.float32)


def photos() -> Photos:
    """Return the bundled picture, turned, and mirrored with its channels exchanged."""
    with Image.open(MODELS / "demo.png") as image:
        pixels = np.asarray(image.convert("RGB").resize((96, 96)))
    return Photos(np.stack([pixels, np.rot90(pixels), pixels[::-1, :, ::-1]]))


def expected(model: onnxsal.Model, pixels: np.ndarray, method: str, options: dict[str, Any]) -> np.ndarray:
    """Return the saliencies [B, H, W] that ``explain`` gives."""
    return np.stack([onnxsal.explain(model, one, method=method, **options).saliency for one in pixels])
