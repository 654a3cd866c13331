"""Scores of perturbed detections by xaitk-saliency, for tests of the match score: python recipe.py

Writes drise.npz beside it. Needs xaitk-saliency 0.15.0 with smqtk-detection and typing_extensions (which it imports and
does not declare); no test imports this.

- masks: float64 [M, H, W], shares of the picture that are kept.
- found: float64 [D, 4 + 1 + K], what is explained: left, top, right, bottom, objectness, class scores.
- perturbed: float64 [M, N, 4 + 1 + K], what a detector found behind each mask; rows of zeros where it found fewer.
- objectness: float64 [M, D], the largest of IoU x objectness x cosine of the class scores.
- class: float64 [M, D], the largest of IoU x score of the class that is highest in ``found``.
- saliency: float64 [D, H, W], the mean of the masks weighted with ``objectness``, its largest number 1.

xaitk's boxes hold their last pixel: a width is right - left + 1. Ours end where the pixel does, so it is given
right - 1 and bottom - 1, with which its IoU is that of areas, to the last digit.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from unittest import mock

import numpy as np
from xaitk_saliency.impls.gen_detector_prop_sal import drise_scoring

M, D, N, K, H, W = 16, 3, 6, 5, 12, 16


def boxes(rng: np.random.Generator, near: np.ndarray | None, count: int) -> np.ndarray:
    """Return boxes in pixels, [count, 4], moved away from others or anywhere."""
    if near is not None:
        moved = near + rng.normal(0, 1.5, near.shape)
    else:
        corner, size = rng.uniform(0, [W - 6, H - 5], (count, 2)), rng.uniform(2, 6, (count, 2))
        moved = np.concatenate([corner, corner + size], axis=1)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 0.5)
    return moved


def detections(rng: np.random.Generator, near: np.ndarray | None, count: int) -> np.ndarray:
    """Return rows of a box, its objectness and its class scores."""
    parts = [boxes(rng, near, count), rng.uniform(0.05, 1, (count, 1)), rng.dirichlet([0.4] * K, count)]
    return np.concatenate(parts, axis=1)


def scored(found: np.ndarray, perturbed: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return xaitk's scores [M, D] and its maps [D, H, W]."""
    inclusive = np.array([0, 0, 1, 1] + [0] * (1 + K))
    seen: list[np.ndarray] = []
    plain = drise_scoring.weight_regions_by_scalar

    def weigh(scores: np.ndarray, *rest: object, **options: object) -> np.ndarray:
        seen.append(scores)
        return plain(scores, *rest, **options)

    with mock.patch.object(drise_scoring, "weight_regions_by_scalar", weigh):
        maps = drise_scoring.DRISEScoring().generate(found - inclusive, perturbed - inclusive, masks)
    return seen[0], maps


def of_class(row: np.ndarray, perturbed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a detection and the perturbed ones with nothing but the score of its class."""
    label = int(row[5:].argmax())
    one, others = row.copy(), perturbed.copy()
    others[..., 4] = perturbed[..., 5 + label]
    one[5:], others[..., 5:] = np.eye(K)[label], np.eye(K)[label]
    return one[None], others


def main() -> None:
    """Draw detections, ask xaitk, and write its answers."""
    rng = np.random.default_rng(18)
    masks = np.clip(rng.normal(0.5, 0.5, (M, H, W)), 0, 1).round(1)
    found = detections(rng, None, D)
    perturbed = np.stack(
        [np.concatenate([detections(rng, found[:, :4], D), detections(rng, None, N - D)]) for _ in range(M)]
    )
    perturbed[::4, 1:, 4] = 0  # what nothing was found for
    objectness, saliency = scored(found, perturbed, masks)
    by_class = np.concatenate([scored(*of_class(row, perturbed), masks)[0] for row in found], axis=1)
    packages = ("xaitk-saliency", "smqtk-detection", "numpy", "scipy", "scikit-learn")
    np.savez_compressed(
        Path(__file__).with_name("drise.npz"), masks=masks, found=found, perturbed=perturbed, objectness=objectness,
        saliency=saliency, versions=str({name: version(name) for name in packages}), **{"class": by_class},
    )  # fmt: skip


if __name__ == "__main__":
    main()
