"""torchvision's detectors with small backbones, NonMaxSuppression and RoiAlign inside, and in front of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import export as zoo  # of tests/data/zoo
import torch
from forms import Form, best_listed, best_of_pair
from torch import nn

SIZE, CLASSES = 160, 8
LISTED = ("boxes", "labels", "scores")


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Return the kept rows, best first: each drops the later ones that overlap it by more than the threshold."""
    order = torch.argsort(scores, descending=True, stable=True)
    sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while len(order):
        first, rest = order[0], order[1:]
        kept.append(first)
        low, high = torch.maximum(boxes[first, :2], boxes[rest, :2]), torch.minimum(boxes[first, 2:], boxes[rest, 2:])
        shared = (high - low).clamp(min=0).prod(1)
        order = rest[shared / (sizes[first] + sizes[rest] - shared) <= iou_threshold]
    return torch.stack(kept) if kept else order


def roi_align(
    x: torch.Tensor, rois: torch.Tensor, scale: float, height: int, width: int, ratio: int, aligned: bool
) -> Any:
    """Return torchvision's own differentiable version, whose gradient also flows to the regions."""
    written = importlib.import_module("torchvision.ops.roi_align")._roi_align
    return getattr(written, "__wrapped__", written)(x, rois, scale, height, width, ratio, aligned)


def has_operators() -> bool:
    """Return True: a name of its own, since TorchScript compiles it."""
    return True


def with_operators() -> Any:
    """torchvision.models.detection where the package's compiled operators are absent: they are written in Python."""
    zoo.torchvision_models()
    extension = importlib.import_module("torchvision.extension")
    if not extension._has_ops():
        regions = "float spatial_scale, SymInt pooled_height, SymInt pooled_width, int sampling_ratio, bool aligned"
        torch.library.define("torchvision::roi_align", f"(Tensor input, Tensor rois, {regions}) -> Tensor")
        torch.library.impl("torchvision::nms", "CompositeImplicitAutograd", nms)
        torch.library.impl("torchvision::roi_align", "CompositeImplicitAutograd", roi_align)
        extension._has_ops = importlib.import_module("torchvision.ops.roi_align")._has_ops = has_operators
    importlib.import_module("torchvision.ops")._register_custom_op()
    return importlib.import_module("torchvision.models.detection")


class Listed(nn.Module):
    """A detector whose file takes [1, 3, H, W] and puts out one picture's boxes, labels and scores."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return boxes [N, 4], labels [N], scores [N]."""
        (found,) = self.model([x[0]])
        return tuple(found[name] for name in LISTED)


class Unbatched(Listed):
    """The same as most people export it: a picture [3, H, W], without a batch axis."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return boxes [N, 4], labels [N], scores [N]."""
        return super().forward(x[None])


class Raw(nn.Module):
    """A one-stage detector in front of its thresholds: decoded boxes [1, N, 4] and class scores [1, N, K]."""

    def __init__(self, model: nn.Module, scores: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.model, self.scores = model, scores

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return boxes in pixels, corners, and scores."""
        images, _ = self.model.transform([x[0]])
        features = list(self.model.backbone(images.tensors).values())
        found = self.model.head(features)
        (anchors,) = self.model.anchor_generator(images, features)
        deltas = found["bbox_regression"][0]
        decode = getattr(self.model.box_coder, "decode_single", None) or self.model.box_coder.decode
        return decode(deltas, anchors)[None], self.scores(found["cls_logits"])


def _pyramid() -> nn.Module:
    backbones = importlib.import_module("torchvision.models.detection.backbone_utils")
    return backbones.resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5)


def _make(kind: str, seed: int) -> nn.Module:
    detection = with_operators()
    torch.manual_seed(seed)
    small = {"min_size": SIZE, "max_size": SIZE}
    few: dict[str, Any] = {"detections_per_img": 30, "score_thresh": 0.1}
    makers = {
        "ssdlite": lambda: detection.ssdlite320_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=CLASSES, **few
        ),
        "retinanet": lambda: detection.RetinaNet(_pyramid(), CLASSES, **small, **few),
        "fcos": lambda: detection.FCOS(_pyramid(), CLASSES, **small, **few),
        "fasterrcnn": lambda: detection.FasterRCNN(
            _pyramid(), CLASSES, **small, box_score_thresh=0.1, box_detections_per_img=30,
            rpn_pre_nms_top_n_test=200, rpn_post_nms_top_n_test=60,
        ),
        "maskrcnn": lambda: detection.MaskRCNN(
            _pyramid(), CLASSES, **small, box_score_thresh=0.1, box_detections_per_img=20,
            rpn_pre_nms_top_n_test=200, rpn_post_nms_top_n_test=40,
        ),
    }  # fmt: skip
    return makers[kind]()


def _settled(kind: str, seed: int) -> tuple[nn.Module, torch.Tensor]:
    size = 320 if kind == "ssdlite" else SIZE
    model = _make(kind, seed)
    x = torch.sigmoid(zoo.inputs((1, 3, size, size), seed))
    zoo.settle(model, torch.cat([x, x.flip(-1)]))  # of one picture, a map of one cell has no variance
    if kind == "fcos":
        with torch.no_grad():
            model.head.regression_head.bbox_reg.bias.add_(2)  # a rectifier makes its sides: boxes without area else
    return model.eval(), x


FACTS = {
    "input": {"layout": "RGB, 0 to 1; normalised inside", "fit": "any", "boxes in": "pixels of the input"},
    "boxes": "left, top, right, bottom", "labels": "class of each row, 0 is the background", "batch": "none",
}  # fmt: skip


def _listed(name: str, kind: str, seed: int, *, wrap: type[Listed] = Listed, dynamo: bool = False) -> Form:
    model, x = _settled(kind, seed)
    if wrap is Unbatched:
        x = x[0]
    scores = {"fcos": "root of sigmoid x sigmoid of centre-ness", "retinanet": "sigmoid"}.get(kind, "softmax")
    facts = {**FACTS, "scores": f"score of each row, {scores}", "inside": "thresholds, NonMaxSuppression by class"}
    return Form(name, wrap(model), x, LISTED, facts, best_listed, dynamo=dynamo, opset=18 if dynamo else 17)


def _raw(name: str, kind: str, seed: int) -> Form:
    model, x = _settled(kind, seed)
    softmax = kind == "ssdlite"
    raw = Raw(model, partial(torch.softmax, dim=-1) if softmax else torch.sigmoid)
    best = best_of_pair("scores", "boxes", (x.shape[-1], x.shape[-2]), first=int(softmax), relative=False)
    facts = {**FACTS, "labels": "columns of scores, " + ("0 is the background" if softmax else "no background"),
             "scores": "softmax" if softmax else "sigmoid", "inside": "nothing", "batch": 1}  # fmt: skip
    return Form(name, raw, x, ("boxes", "scores"), facts, best)


def forms() -> Iterator[tuple[str, Callable[[int], Form]]]:
    """Names of forms, and what makes each from a seed."""
    for kind in ("ssdlite", "retinanet", "fcos", "fasterrcnn"):
        yield f"tv-{kind}", partial(lambda kind, seed: _listed(f"tv-{kind}", kind, seed), kind)
    for kind in ("ssdlite", "retinanet"):
        yield f"tv-{kind}-raw", partial(lambda kind, seed: _raw(f"tv-{kind}-raw", kind, seed), kind)
    yield "tv-fasterrcnn-nobatch", lambda seed: _listed("tv-fasterrcnn-nobatch", "fasterrcnn", seed, wrap=Unbatched)
