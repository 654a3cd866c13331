#!/usr/bin/env bash
# Ultralytics exports RT-DETR and YOLO26 with outputs of one shape, [1, 300, 6]: the one's boxes are middles and sizes in
# shares of the picture, the other's corners in pixels.
#
# Versions: ultralytics 8.4.190, torch 2.13.0 (CPU), torchvision 0.28.0, onnx 1.23.2, onnxruntime 1.32.0, onnxscript 0.7.2,
# numpy 2.4.6.
#
# Guess: files that pick their boxes themselves, without NonMaxSuppression behind them, put out left, top, right, bottom in
# pixels, score and class, as YOLOv10 and YOLO26 do (nms=False); who reads one of them reads the other.
#
# Seen: of fresh networks exported for 160 x 160, on grey noise; the rows are [a, b, c, d, score, class]:
#   network    metadata end2end   metadata head     largest of a, b, c, d   rows whose c is below a or d below b
#   RT-DETR    False              RTDETRDecoder     0.975                   99 %
#   YOLO26     True               Detect            176                     none
# RT-DETR's are centre x, centre y, width, height, from 0 to 1: read as YOLO26's they are specks in the picture's corner;
# shape and task ("detect") are the same, and "head" alone of the metadata tells.
set -euo pipefail
export YOLO_AUTOINSTALL=false YOLO_OFFLINE=true YOLO_VERBOSE=false CI=true ORT_DISABLE_TELEMETRY=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export YOLO_CONFIG_DIR="$folder"
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'ultralytics==8.4.190' 'torch==2.13.0' 'torchvision==0.28.0' 'onnx==1.23.2' 'onnxruntime==1.32.0' 'onnxscript==0.7.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys

import numpy as np
import onnxruntime
import torch

try:
    import torchvision  # noqa: F401
except RuntimeError:  # a wheel without its compiled operators, which nothing here runs
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import ultralytics

SIZE = 160


def exported(kind: str, network: str) -> onnxruntime.InferenceSession:
    torch.manual_seed(0)
    model = getattr(ultralytics, kind)(network)
    path = model.export(format="onnx", imgsz=SIZE, simplify=False, opset=17, nms=False)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


noise = np.random.default_rng(0).uniform(0, 1, (1, 3, SIZE, SIZE)).astype(np.float32)
seen = {}
for kind, network in (("RTDETR", "rtdetr-l.yaml"), ("YOLO", "yolo26n.yaml")):
    session = exported(kind, network)
    (rows,) = session.run(None, {"images": noise})
    said = session.get_modelmeta().custom_metadata_map
    a, b, c, d = rows[0, :, :4].T
    turned = float(((c < a) | (d < b)).mean())
    seen[network] = (rows.shape, said["task"], said["end2end"], said["head"], rows[0, :, :4].max() <= 1, turned > 0.5)
    print(f"{network}: {rows.shape}, {said['task']}, end2end {said['end2end']}, head {said['head']}; largest "
          f"{rows[0, :, :4].max():.4g}, least {rows[0, :, :4].min():.4g}, {turned:.0%} of the rows turned over")
expected = {
    "rtdetr-l.yaml": ((1, 300, 6), "detect", "False", "RTDETRDecoder", True, True),
    "yolo26n.yaml": ((1, 300, 6), "detect", "True", "Detect", False, False),
}
if seen != expected:
    sys.exit("no longer so: the shapes differ, or the boxes are of one kind")
PROGRAM
