"""Cosine between onnxsal's maps and float64 references, photograph by photograph.

    python benchmarks/fidelity.py [--shared ../shared] [--photos 10] [--converged 0]

The model is ``squeezenet1.0_fp32.onnx`` of the reference material, the references are the NumPy twin in
``tests/reference/squeezenet64.py`` at the same picture and class. The last row is the least of each column; the exit
status is 1 if one is below what the project promises. ``--converged N`` adds integrated gradients with N graded
steps, which says how far the 50 steps themselves are from the integral.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

import onnxsal

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "reference"))
from squeezenet64 import METHODS, Array, SqueezeNet64, converged_integrated_gradients  # noqa: E402

PHOTOS = (
    "0015_robin",
    "0090_lorikeet",
    "0130_flamingo",
    "0155_Shih-Tzu",
    "0207_golden_retriever",
    "0281_tabby",
    "0404_airliner",
    "0547_electric_locomotive",
    "0820_steam_locomotive",
    "0950_orange",
)
CONVERGED = "converged"
PROMISED = dict.fromkeys(METHODS, 0.9999) | {"integrated-gradients": 0.995, CONVERGED: 0.0}
BGR_MEAN = np.array([103.94, 116.78, 123.68])
Reference = Callable[[SqueezeNet64, Array, int], Array]


def prepared(image: Array) -> Array:
    """The uint8 picture [224, 224, 3] that the model saw, as the file wants it: BGR minus the mean, [3, 224, 224]."""
    return np.ascontiguousarray((image[..., ::-1].astype(np.float64) - BGR_MEAN).transpose(2, 0, 1))


def cosine(a: Array, b: Array) -> float:
    """Of the two maps as vectors."""
    a, b = a.astype(np.float64).ravel(), b.ravel()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def row(net: SqueezeNet64, model: onnxsal.Model, photo: Path, references: dict[str, Reference]) -> Iterator[float]:
    """One cosine per reference; the picture and the class are those that onnxsal reports."""
    for name, reference in references.items():
        method = "integrated-gradients" if name == CONVERGED else name
        ours = onnxsal.explain(model, photo, method=method)
        theirs = reference(net, prepared(np.asarray(ours.image)), ours.target)
        yield cosine(np.asarray(ours.raw), theirs)


def table(net: SqueezeNet64, model: onnxsal.Model, photos: list[Path], references: dict[str, Reference]) -> Array:
    """Print the cosines as they come and return their least per column."""
    print(f"{'1 - cosine':26}" + "".join(f"{name:>22}" for name in references))
    rows = []
    for photo in photos:
        rows.append(list(row(net, model, photo, references)))
        print(f"{photo.stem:26}" + "".join(f"{1 - c:22.1e}" for c in rows[-1]), flush=True)
    least = np.min(rows, axis=0)
    print(f"{'least cosine':26}" + "".join(f"{c:22.9f}" for c in least))
    return least


def main() -> int:
    """Parse the command line, print the table and compare it with what is promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
    parser.add_argument("--shared", type=Path, default=shared, help="folder of the reference material")
    parser.add_argument("--photos", type=int, default=len(PHOTOS), help="how many of the fixed ten")
    parser.add_argument("--converged", type=int, default=0, help="steps of a converged integral, 0 to leave it out")
    args = parser.parse_args()
    path = args.shared / "models" / "squeezenet1.0_fp32.onnx"
    references: dict[str, Reference] = dict(METHODS)
    if args.converged:
        references[CONVERGED] = partial(converged_integrated_gradients, steps=args.converged)
    photos = [args.shared / "images" / "imagenet" / f"{name}.jpg" for name in PHOTOS[: args.photos]]
    least = table(SqueezeNet64(path), onnxsal.load(path, preprocess="caffe"), photos, references)
    return int(any(c < PROMISED[name] for name, c in zip(references, least, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
