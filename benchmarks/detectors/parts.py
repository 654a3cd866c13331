"""Masks, keypoints and turned boxes of Ultralytics' exports against its own post-processing and float64 autograd.

    python benchmarks/detectors/parts.py FOLDER [yolo11-segment ...] [--seed 0] [--markdown FILE]

needs what from_ultralytics.py imports. Of each form: onnxsal's detections of the exported file beside what Ultralytics'
own functions make of the file's outputs in ONNX Runtime, at the same thresholds; and the gradient of a part of the best
one in float32 on ONNX Runtime beside PyTorch's of the same number in float64.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

HERE = Path(__file__).resolve().parent
sys.path[:1] = [str(HERE), str(HERE.parents[1] / "tests" / "data" / "zoo")]

import from_ultralytics as family  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from reference import attached, cosine  # noqa: E402
from ultralytics.utils import nms, ops  # noqa: E402

import onnxsal  # noqa: E402
from onnxsal.explanation.target import resolve_target  # noqa: E402

NAMES = [name for name in family.KINDS if any(kind in name for kind in ("segment", "pose", "obb"))]
LEAST, OVERLAP, CLASSES = 0.25, 0.5, 80
PARTS = {"segment": ("mask",), "pose": ("keypoint 5", "keypoint 5 x", "keypoint 5 y"), "obb": ("angle", "left")}


def what(name: str) -> str:
    """Return which of ``PARTS`` a form has."""
    return next(kind for kind in PARTS if kind in name)


def theirs(name: str, outputs: Sequence[np.ndarray]) -> torch.Tensor:
    """Return Ultralytics' detections, [D, 6 + ...]: boxes (of turned ones middle and size), score, class, the rest."""
    picked = family.KINDS[name].nms is not None
    with mock.patch.object(nms.TorchNMS, "fast_nms", greedy):
        found: list[torch.Tensor] = nms.non_max_suppression(
            torch.from_numpy(outputs[0]), LEAST, OVERLAP, nc=CLASSES, rotated=what(name) == "obb", end2end=picked
        )
    return found[0]


def greedy(
    boxes: torch.Tensor, scores: torch.Tensor, most: float, iou_func: Callable[..., torch.Tensor], **_: Any
) -> torch.Tensor:
    """Return which turned boxes are left by Ultralytics' overlap: its Fast NMS lets those strike that are struck."""
    order, shares, left = scores.argsort(descending=True), iou_func(boxes, boxes), list[int]()
    for at in order.tolist():
        if all(shares[at, one] <= most for one in left):
            left.append(at)
    return torch.tensor(left, dtype=torch.int64)


def told(name: str, theirs: torch.Tensor, ours: Sequence[Any], outputs: Sequence[np.ndarray]) -> str:
    """Return how far detections that both have are apart, and how many only one has."""
    mine = np.array([[p.index, p.probability] for p in ours])
    same = [(i, int(k)) for i, row in enumerate(theirs.numpy()) for k in [_nearest(row, mine)] if k >= 0]
    alone = f"{len(ours) - len(same)} of ours and {len(theirs) - len(same)} of theirs alone"
    pairs = [(theirs[i], ours[k]) for i, k in same]
    return f"{len(same)} detections ({alone}), {_APART[what(name)](pairs, outputs)}"


def _nearest(row: np.ndarray, mine: np.ndarray) -> int:
    """Return which of ours has a row's class and score; -1 where none has."""
    off = np.abs(mine[:, 1] - row[4]) + (mine[:, 0] != row[5])
    return int(off.argmin()) if len(off) and off.min() < 1e-5 else -1


def _boxes(pairs: Sequence[Any]) -> float:
    return max(float(np.abs(row[:4].numpy() - p.box).max()) for row, p in pairs)


def _masks(pairs: Sequence[Any], outputs: Sequence[np.ndarray]) -> str:
    rows = torch.stack([row for row, _ in pairs])
    off, size = _boxes(pairs), (family.SIZE, family.SIZE)
    masks = ops.process_mask(torch.from_numpy(outputs[1][0]), rows[:, 6:], rows[:, :4], size, upsample=True)
    pairs = [(mask.numpy() > 0, p) for mask, (_, p) in zip(masks, pairs, strict=True)]
    shares = [_iou(mask, p.mask.pixels()) for mask, p in pairs]
    inner = sum(int(((mask ^ p.mask.pixels()) & _off_edge(p.box, mask.shape)).sum()) for mask, p in pairs)
    told = f"IoU of masks {np.min(shares):.4f} to {np.max(shares):.4f}, median {np.median(shares):.4f}"
    return f"boxes {off:.1e} px, {told}, {inner} pixels apart that no box's edge goes through"


def _off_edge(box: Sequence[float], shape: tuple[int, ...]) -> np.ndarray:
    """Return the pixels that lie further than one from a box's sides: Ultralytics cuts at their left and upper edges,
    onnxsal at their middles."""
    y, x = np.indices(shape) + 0.5
    near = [np.abs(x - box[0]) < 1, np.abs(y - box[1]) < 1, np.abs(x - box[2]) < 1, np.abs(y - box[3]) < 1]
    return np.asarray(~np.any(near, axis=0))


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    either = float((a | b).sum())
    return float((a & b).sum()) / either if either else 1.0


def _keypoints(pairs: Sequence[Any], outputs: Sequence[np.ndarray]) -> str:
    off = [np.abs(row[6:].numpy().reshape(-1, 3) - np.array(p.keypoints)) for row, p in pairs]
    places, sure = max(float(o[:, :2].max()) for o in off), max(float(o[:, 2].max()) for o in off)
    return f"boxes {_boxes(pairs):.1e} px, keypoints {places:.1e} px, visibility {sure:.1e}"


def _corners(pairs: Sequence[Any], outputs: Sequence[np.ndarray]) -> str:
    off, turn = [], []
    for row, p in pairs:
        wanted = ops.xywhr2xyxyxyxy(torch.cat([row[:4], row[-1:]])[None])[0].numpy()
        mine = np.array(p.corners)
        off.append(np.abs(mine[:, None] - wanted[None]).max(2).min(1).max())
        turn.append(abs((p.angle - float(row[-1]) + np.pi) % (2 * np.pi) - np.pi))
    return f"corners {max(off):.1e} px, angles {max(turn):.1e}"


_APART: dict[str, Callable[[Sequence[Any], Sequence[np.ndarray]], str]] = {
    "segment": _masks, "pose": _keypoints, "obb": _corners,
}  # fmt: skip


def number(name: str, part: str, own: torch.Tensor, more: Sequence[torch.Tensor], held: dict[str, Any]) -> torch.Tensor:
    """Return the number that is explained, out of a candidate's own ones, boxes and scores first."""
    rest = own[-1:] if what(name) == "obb" else own[-51:] if what(name) == "pose" else own[-32:]
    if part == "mask":
        return ((rest @ more[0][0].flatten(1)) * held["mask"].flatten()).sum()
    if part == "angle":
        return rest[0]
    if part == "left":
        return own[0] - (own[2] * torch.cos(rest[0]).abs() + own[3] * torch.sin(rest[0]).abs()) / 2
    point = rest.reshape(-1, 3)[5]
    if part == "keypoint 5":
        return torch.logit(point[2]) if held["logits"] else point[2]
    return point["xy".index(part[-1])]


def reference(form: Any, part: str, held: dict[str, Any]) -> tuple[float, np.ndarray]:
    """Return that number of the best candidate and its gradient, by float64 autograd."""
    picked, wide = family.KINDS[form.name].nms is not None, copy.deepcopy(form.module).to(torch.float64)
    leaf = form.x.to(torch.float64).requires_grad_(True)
    with attached():
        first, *more = wide(leaf)
        rows = first[0] if picked else first[0].T
        scores = rows[:, 4] if picked else rows[:, 4 : 4 + CLASSES].max(1).values
        value = number(form.name, part, rows[int(scores.argmax())], more, held)
        (grad,) = torch.autograd.grad(value, leaf)
    return value.item(), grad.numpy()


def compared(form: Any, path: Path) -> list[str]:
    """Return a form's rows of the table."""
    x, model = form.x.numpy(), onnxsal.load(path, threshold=LEAST)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: x})
    model = model if family.KINDS[form.name].nms is not None else onnxsal.load(path, threshold=LEAST, iou=OVERLAP)
    rows = [
        f"| {form.name} | {told(form.name, theirs(form.name, outputs), model.predict(x, top=300), outputs)} | | | |"
    ]
    points = model.task.candidates.keypoints
    for part in PARTS[what(form.name)]:
        target = resolve_target(model, f"#1 {part}", model.outputs(x[0]))
        mask = target.fed.get("sal/mask")
        held = {"logits": points is not None and points.logits is not None,
                "mask": None if mask is None else torch.from_numpy(mask[0]).double()}  # fmt: skip
        value, grad = reference(form, part, held)
        found = onnxsal.explain(model, x, method="gradient", target=f"#1 {part}")
        mine = found.score if np.isnan(found.logit) else found.logit
        off = abs(mine - value) / max(abs(value), 1e-9)
        rows.append(f"| | | `#1 {part}` | {off:.1e} | {cosine(found.raw, grad):.7f} |")
    return rows


def main() -> None:
    """Export, compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = ["| form | beside Ultralytics' | part | number off | cosine |", "| --- | --- | --- | ---: | ---: |"]
    for name in options.names:
        form, path = family._form(name, options.seed), options.folder / f"{name}.onnx"
        form.export(path)
        rows += compared(form, path)
        print("\n".join(rows[-1 - len(PARTS[what(name)]) :]), flush=True)
    if options.markdown:
        options.markdown.write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
