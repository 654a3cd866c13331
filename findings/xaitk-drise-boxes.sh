#!/usr/bin/env bash
# xaitk-saliency's D-RISE takes boxes whose last pixel is inside: of boxes in shares of the picture two in opposite
# corners overlap, and two that only touch have an IoU of five sixths.
#
# Versions: xaitk-saliency 0.15.0, smqtk-detection 0.24.0, scikit-learn 1.9.1, numpy 2.4.6, typing_extensions 4.16.0
# (which xaitk imports, and does not declare).
#
# Guess: IoU of boxes has no unit. Boxes of a detector that gives them in shares of the picture, as DETR, RT-DETR and
# TensorFlow's do, are scored as those in pixels are.
#
# Seen: the largest IoU x score over perturbed detections, here of one, score 1, same class:
#   in pixels of 100 x 100, [10, 10, 20, 20] and [80, 80, 90, 90]         0.0000
#   the same in shares, [0.1, 0.1, 0.2, 0.2] and [0.8, 0.8, 0.9, 0.9]     0.0708
#   [0.3, 0.3, 0.4, 0.4] beside [0.4, 0.3, 0.5, 0.4], which only touch    0.8333
#   in pixels, [0, 0, 10, 10] and [5, 0, 15, 10], a third of which is shared   0.3750 (6 x 11 of 2 x 11 x 11 - 66)
#   the same with right and bottom lowered by one                         0.3333
# A width is right - left + 1 in it, as in Pascal VOC. With shares every picture has detections that match everything,
# and the map fades; to compare with a detector's own corners, hand over right - 1 and bottom - 1, in pixels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'xaitk-saliency==0.15.0' 'smqtk-detection==0.24.0' 'scikit-learn==1.9.1' 'numpy==2.4.6' 'typing_extensions==4.16.0'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys
from unittest import mock

import numpy as np
from xaitk_saliency.impls.gen_detector_prop_sal import drise_scoring

CASES = {
    "far apart, in pixels": ([10, 10, 20, 20], [80, 80, 90, 90], 0.0),
    "far apart, in shares": ([0.1, 0.1, 0.2, 0.2], [0.8, 0.8, 0.9, 0.9], 0.0708),
    "side by side, in shares": ([0.3, 0.3, 0.4, 0.4], [0.4, 0.3, 0.5, 0.4], 0.8333),
    "half on one another, in pixels": ([0, 0, 10, 10], [5, 0, 15, 10], 0.375),
    "the same, lowered by one": ([0, 0, 9, 9], [5, 0, 14, 9], 0.3333),
}


def score(a: list[float], b: list[float]) -> float:
    row = lambda box: np.array([[*box, 1.0, 1.0, 0.0]])  # noqa: E731
    with mock.patch.object(drise_scoring, "weight_regions_by_scalar", return_value=np.ones((1, 1, 1))) as weigh:
        drise_scoring.DRISEScoring().generate(row(a), row(b)[None], np.ones((1, 4, 4)))
    return float(weigh.call_args.args[0][0, 0])


seen = {name: score(a, b) for name, (a, b, _) in CASES.items()}
for name, value in seen.items():
    print(f"{name}: {value:.4f}")
if any(abs(seen[name] - wanted) > 1e-3 for name, (_, _, wanted) in CASES.items()):
    sys.exit("no longer so: boxes are taken as areas")
PROGRAM
