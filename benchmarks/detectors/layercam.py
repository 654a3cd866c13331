"""Ultralytics' own LayerCAM of a trained YOLOv8 that came as an ONNX file: python layercam.py MODEL.onnx OUT PICTURE...

The file's initialisers go into Ultralytics' fused module, whose outputs are then held against ONNX Runtime's. Writes
OUT/NAME.npz of each picture with a detection:

- x [1, 3, H, W], letterboxed on grey 114; output [1, 4 + K, N] of the file;
- rows: the candidates above the threshold that class-wise NMS leaves, best first; their labels, scores and boxes
  (left, top, right, bottom in the input's pixels);
- cam, uint8 [rows, H, W]: Ultralytics' map of each row alone; all, uint8 [H, W]: its map of everything above its
  threshold, up to 16 candidates, as ``visualize=True`` draws it; seconds: the processor's, of ``all`` on one thread.

With ``--compare`` onnxsal explains each detection beside it, in the same process on one thread: the correlation of the
two maps, and the processor's milliseconds of each.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

os.environ |= {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}
os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp())

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import plotting

LEAST, OVERLAP, ROWS = 0.25, 0.5, 6


class Backend:
    """What Ultralytics' function takes for its backend: a network below ``model``, called on pictures."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def __call__(self, x: torch.Tensor) -> Any:
        """Return predictions and raw outputs."""
        return self.model(x)


def network(path: Path, yaml: str) -> torch.nn.Module:
    """Return Ultralytics' fused network with the file's weights. Raises: KeyError: a weight is not in the file."""
    held = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}
    classes = max(len(v) for name, v in held.items() if name.endswith("cv3.0.2.bias"))
    model = DetectionModel(yaml, ch=3, nc=classes, verbose=False).eval().fuse(verbose=False)
    state = {name: torch.from_numpy(held[name].copy()) for name in model.state_dict() if name in held}
    missing = [name for name in model.state_dict() if name not in held and "dfl" not in name]
    if missing:
        raise KeyError(f"{path} has no {missing[:5]}")
    model.load_state_dict(state, strict=False)
    return model.requires_grad_(False)


def letterboxed(path: Path, size: int) -> np.ndarray:
    """Return a picture [1, 3, size, size] in [0, 1], whole, in the middle of grey."""
    image = Image.open(path).convert("RGB")
    scale = size / max(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    whole = Image.new("RGB", (size, size), (114, 114, 114))
    whole.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
    return np.asarray(whole, np.float32).transpose(2, 0, 1)[None] / 255


def kept(output: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, labels, scores and boxes above the threshold that class-wise NMS leaves, best first."""
    boxes, scores = output[0, :4].T, output[0, 4:].T
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
    labels, best, chosen = scores.argmax(1), scores.max(1), []
    for row in np.argsort(-best, kind="stable"):
        others = [one for one in chosen if labels[one] == labels[row]]
        if best[row] >= LEAST and all(overlap(corners[row], corners[one]) <= OVERLAP for one in others):
            chosen.append(int(row))
    rows = np.array(chosen[:ROWS], int)
    return rows, labels[rows], best[rows], corners[rows]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the IoU of two boxes."""
    both = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return float(both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both))


@contextmanager
def caught(maps: list[np.ndarray]) -> Iterator[None]:
    """Have the maps that Ultralytics would colour and write as pictures."""

    def colour(cam: np.ndarray, _: int) -> np.ndarray:
        maps.append(cam.copy())
        return np.zeros((*cam.shape, 3), np.uint8)

    with mock.patch.object(plotting.cv2, "applyColorMap", colour), mock.patch.object(plotting.cv2, "imwrite"):
        yield


def cam(model: torch.nn.Module, x: torch.Tensor, *, row: int | None = None) -> np.ndarray:
    """Return Ultralytics' map, uint8 [H, W]: of everything above its threshold, or of one row's best class alone."""
    maps: list[np.ndarray] = []
    gather = torch.Tensor.argsort

    def first(scores: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
        return gather(scores, *rest, **options) if row is None else torch.full_like(scores, row, dtype=torch.int64)

    with caught(maps), tempfile.TemporaryDirectory() as folder, mock.patch.object(torch.Tensor, "argsort", first):
        plotting.class_activation_map(
            Backend(model), x, ["picture.jpg"], Path(folder), topk=1 if row is not None else 16
        )
    return maps[0]


class Beside:
    """onnxsal's maps of the same detections, and how long both take."""

    def __init__(self, path: Path, size: int) -> None:
        import onnxsal

        self.explain = onnxsal.explain
        self.model = onnxsal.load(path, size=(size, size), preprocess="unit", threads=1, threshold=LEAST, iou=OVERLAP)
        self.rows: list[tuple[float, float, float]] = []

    def add(self, model: torch.nn.Module, x: np.ndarray) -> str:
        """Hold every detection of a picture against Ultralytics' map of its candidate; return the correlations."""
        each = []
        for number in range(1, len(self.model.predict(x[0], top=ROWS)) + 1):
            start = time.process_time()
            ours = self.explain(self.model, x[0], method="layercam", target=f"#{number}")
            middle = time.process_time()
            theirs = cam(model, torch.from_numpy(x), row=int(ours.detection["candidate"]))
            each.append(float(np.corrcoef(ours.saliency.ravel(), theirs.ravel())[0, 1]))
            self.rows.append((each[-1], middle - start, time.process_time() - middle))
        return ", ".join(f"{value:.4f}" for value in each)

    def summary(self) -> str:
        """Return medians over the detections, without the first, which opens sessions."""
        alike, ours, theirs = np.array(self.rows[1:]).T
        return (f"{len(alike)} detections: correlation median {np.median(alike):.4f}, least {alike.min():.4f}; onnxsal "
                f"{1e3 * np.median(ours):.0f} ms, Ultralytics {1e3 * np.median(theirs):.0f} ms, ratio "
                f"{np.median(ours / theirs):.2f}")  # fmt: skip


def main() -> None:
    """Write the maps of each picture that has a detection."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--yaml", default="yolov8n.yaml")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--compare", action="store_true", help="with onnxsal")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    model, session = network(options.model, options.yaml), onnxruntime.InferenceSession(str(options.model))
    beside = Beside(options.model, options.size) if options.compare else None
    for path in options.pictures:
        x = letterboxed(path, options.size)
        (output,) = session.run(None, {session.get_inputs()[0].name: x})
        found = kept(output)
        if len(found[0]):
            ours = model(torch.from_numpy(x))[0].numpy()
            print(f"{path.name}: {write(options.out / path.stem, model, x, output, found)}, "
                  f"off by {np.abs(ours - output).max() / np.abs(output).max():.1e}"
                  f"{'' if beside is None else f', correlation {beside.add(model, x)}'}", flush=True)  # fmt: skip
    if beside is not None:
        print(beside.summary())


def write(path: Path, model: torch.nn.Module, x: np.ndarray, output: np.ndarray, found: tuple[np.ndarray, ...]) -> str:
    """Write one picture's maps, and return what was found."""
    rows, labels, scores, boxes = found
    picture = torch.from_numpy(x)
    each = np.stack([cam(model, picture, row=int(row)) for row in rows])
    start = time.process_time()
    whole = cam(model, picture)
    seconds = time.process_time() - start
    named = {"x": x, "output": output, "rows": rows, "labels": labels, "scores": scores, "boxes": boxes, "cam": each}
    np.savez_compressed(path.with_suffix(".npz"), all=whole, seconds=seconds, **named)
    shown = ", ".join(f"{label} {score:.2f}" for label, score in zip(labels, scores, strict=True))
    return f"{shown}, {seconds:.2f} s"


if __name__ == "__main__":
    main()
