"""Ultralytics' own exports of its smallest networks, with the metadata that it writes."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ |= {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}
os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp())

import export as zoo
import from_torchvision
import torch
from forms import Candidate, Form, Outputs, best_column, best_row, corners
from torch import nn

SIZE = 160
MEAN, DEVIATION = -2.0, 1.0
"""Of class logits."""


@dataclass(frozen=True)
class Kind:
    """A network of Ultralytics and how it is exported."""

    yaml: str
    nms: bool | None = None
    family: str = "YOLO"
    size: int = SIZE


KINDS = {
    "yolo5u": Kind("yolov5n.yaml"),
    "yolo8": Kind("yolov8n.yaml"),
    "yolo8-nms": Kind("yolov8n.yaml", nms=True),
    "yolo9": Kind("yolov9t.yaml"),
    "yolo10": Kind("yolov10n.yaml"),
    "yolo10-end2end": Kind("yolov10n.yaml", nms=False),
    "yolo11": Kind("yolo11n.yaml"),
    "yolo11-segment": Kind("yolo11n-seg.yaml"),
    "yolo11-pose": Kind("yolo11n-pose.yaml"),
    "yolo11-obb": Kind("yolo11n-obb.yaml"),
    "yolo11-segment-nms": Kind("yolo11n-seg.yaml", nms=True),
    "yolo12": Kind("yolo12n.yaml"),
    "yolo26": Kind("yolo26n.yaml"),
    "yolo26-end2end": Kind("yolo26n.yaml", nms=False),
    "yolo26-segment-end2end": Kind("yolo26n-seg.yaml", nms=False),
    "yolo26-pose-end2end": Kind("yolo26n-pose.yaml", nms=False),
    "yolo26-obb-end2end": Kind("yolo26n-obb.yaml", nms=False),
    "yolo11-pose-nms": Kind("yolo11n-pose.yaml", nms=True),
    "yolo11-obb-nms": Kind("yolo11n-obb.yaml", nms=True),
    "ul-rtdetr": Kind("rtdetr-l.yaml", family="RTDETR", size=64),  # larger, float32's own gradient meets kinks
}


class Flat(nn.Module):
    """A network that gives its tensors in a row, and makes its anchors anew in whatever precision it is in."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs as the file has them."""
        for module in self.modules():
            for name in ("shape", "shapes"):
                if name in vars(module):
                    setattr(module, name, None)
        return tuple(_flat(self.model(x)))


def _flat(found: Any) -> Iterator[torch.Tensor]:
    if isinstance(found, torch.Tensor):
        yield found
    else:
        for each in found:
            yield from _flat(each)


def _exported(kind: Kind, model: Any, folder: Path) -> tuple[nn.Module, Path]:
    """Return the fused network and its file."""
    from ultralytics.engine.exporter import Exporter, NMSModel

    options = {"format": "onnx", "imgsz": kind.size, "batch": 1, "simplify": False, "opset": 17, "nms": kind.nms}
    exporter = Exporter(overrides=options)
    with chdir(folder), torch.no_grad():
        written = exporter(model=copy.deepcopy(model))
    network = NMSModel(exporter.model, exporter.args) if kind.nms else exporter.model
    return Flat(network), folder / written


def _form(name: str, seed: int) -> Form:
    import ultralytics

    from_torchvision.with_operators()
    kind = KINDS[name]
    torch.manual_seed(seed)
    model = getattr(ultralytics, kind.family)(kind.yaml).model
    x = torch.sigmoid(zoo.inputs((1, 3, kind.size, kind.size), seed))
    zoo.settle(model, x)
    _spread(model, x)
    folder = Path(tempfile.mkdtemp())
    network, file = _exported(kind, model, folder)
    outputs = ("output0", "output1") if "segment" in name else ("output0",)
    classes = model.model[-1].nc
    fit = "squash" if kind.family == "RTDETR" else "pad, grey 114 in the middle"
    facts = {
        "input": {"layout": "RGB, 0 to 1", "fit": fit, "boxes in": "pixels of the input"},
        **_facts(name, kind, classes),
    }
    return Form(
        name, network, x, outputs, facts, _best(name, kind, classes), write=lambda path: shutil.copy(file, path)
    )


@torch.no_grad()
def _spread(model: nn.Module, x: torch.Tensor) -> None:
    """Scale and shift the class layers so that some scores are high and none is 1: fresh ones are anything at all."""
    head = model.model[-1]
    lists = [getattr(head, name, None) for name in ("cv3", "one2one_cv3")]
    seen: dict[nn.Module, torch.Tensor] = {}
    layers = [each[-1] for levels in lists if levels is not None for each in levels]
    layers += list(getattr(head, "dec_score_head", []))[-1:]
    handles = [each.register_forward_hook(lambda layer, _, y: seen.update({layer: y})) for each in layers]
    model(x)
    for handle in handles:
        handle.remove()
    for layer, logits in seen.items():
        scale = DEVIATION / logits.std()
        layer.weight.mul_(scale)
        layer.bias.sub_(logits.mean()).mul_(scale).add_(MEAN)


def _facts(name: str, kind: Kind, classes: int) -> dict[str, Any]:
    rows = kind.nms is not None or kind.family == "RTDETR"
    if kind.family == "RTDETR":
        boxes, inside = "columns 0 to 3: centre x, centre y, width, height, in shares", "top-k"
    elif kind.nms is None:
        boxes, inside = "rows 0 to 3: centre x, centre y, width, height", "nothing"
    else:
        boxes, inside = "columns 0 to 3: left, top, right, bottom", "NonMaxSuppression" if kind.nms else "top-k"
    scores = "column 4, sigmoid" if rows else f"rows 4 to {3 + classes}, sigmoid"
    labels = "column 5" if rows else f"{classes} rows"
    return {"boxes": boxes, "scores": scores, "labels": labels, "inside": inside, "batch": 1, "nms": kind.nms}


def _best(name: str, kind: Kind, classes: int) -> Callable[[Outputs], Candidate]:
    if kind.family == "RTDETR":
        return partial(_best_shares, kind.size)
    return best_column("output0", classes) if kind.nms is None else best_row("output0")


def _best_shares(size: int, outputs: Outputs) -> Candidate:
    """Of rows of centre, width and height in shares, score, class."""
    rows = outputs["output0"][0]
    row = int(rows[:, 4].argmax())
    return Candidate("output0", (0, row, 4), row, int(rows[row, 5]), corners(rows[row, :4], (size, size)))


def forms() -> Iterator[tuple[str, Callable[[int], Form]]]:
    """Names of forms, and what makes each from a seed."""
    for name in KINDS:
        yield name, lambda seed, name=name: _form(name, seed)  # type: ignore[misc]
