"""Detection transformers of Hugging Face at a few layers: logits [1, N, K], boxes [1, N, 4] in shares."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import export as zoo  # of tests/data/zoo
import torch
from forms import Form, best_of_pair
from torch import nn

SIZE, CLASSES = 160, 8
PAIR = ("logits", "pred_boxes")
RESNET = {"embedding_size": 16, "hidden_sizes": [16, 32, 64, 64], "depths": [1, 1, 1, 1], "layer_type": "basic"}
LABELS = {"id2label": {k: f"thing {k}" for k in range(CLASSES)}, "label2id": {f"thing {k}": k for k in range(CLASSES)}}
MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]


class Pair(nn.Module):
    """A model of transformers, its pixels in, its logits and boxes out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits [1, N, K] and boxes [1, N, 4]."""
        found = self.model(pixel_values=x)
        return found.logits, found.pred_boxes


def _backbone(kind: str, **options: Any) -> Any:
    transformers = importlib.import_module("transformers")
    return getattr(transformers, kind)(**RESNET, **options)


def _rt_detr(kind: str) -> nn.Module:
    """RT-DETR, its second version or D-FINE: top-k of the encoder's places, deformable attention, boxes refined."""
    transformers = importlib.import_module("transformers")
    backbone = _backbone("RTDetrResNetConfig", out_features=["stage2", "stage3", "stage4"])
    wide = {"d_model": 32, "encoder_hidden_dim": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    config = getattr(transformers, f"{kind}Config")(
        backbone_config=backbone, encoder_in_channels=[32, 64, 64], decoder_in_channels=[32] * 3, num_queries=40,
        encoder_attention_heads=4, decoder_attention_heads=4, decoder_layers=3, **wide, **LABELS,
    )  # fmt: skip
    return getattr(transformers, f"{kind}ForObjectDetection")(config)


def _detr(kind: str) -> nn.Module:
    """DETR and its kin with learned queries, a backbone of one level."""
    transformers = importlib.import_module("transformers")
    config = getattr(transformers, f"{kind}Config")(
        backbone_config=_backbone("ResNetConfig", out_features=["stage4"]), use_timm_backbone=False, d_model=32,
        num_queries=20, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=64, decoder_ffn_dim=64, **LABELS,
    )  # fmt: skip
    return getattr(transformers, f"{kind}ForObjectDetection")(config)


def _deformable() -> nn.Module:
    transformers = importlib.import_module("transformers")
    config = transformers.DeformableDetrConfig(
        backbone_config=_backbone("ResNetConfig", out_features=["stage2", "stage3", "stage4"]),
        use_timm_backbone=False, d_model=32, num_queries=40, encoder_layers=2, decoder_layers=3, two_stage=True,
        with_box_refine=True, num_feature_levels=3, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=64, decoder_ffn_dim=64, **LABELS,
    )  # fmt: skip
    return transformers.DeformableDetrForObjectDetection(config)


def _yolos() -> nn.Module:
    transformers = importlib.import_module("transformers")
    config = transformers.YolosConfig(
        hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96, image_size=[SIZE, SIZE],
        num_detection_tokens=20, **LABELS,
    )  # fmt: skip
    return transformers.YolosForObjectDetection(config)


SOFTMAX, SIGMOID = "logits; softmax, the last class is none", "logits; sigmoid"
MAKERS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "hf-detr": (lambda: _detr("Detr"), SOFTMAX),
    "hf-conditional-detr": (lambda: _detr("ConditionalDetr"), SIGMOID),
    "hf-deformable-detr": (_deformable, SIGMOID),
    "hf-rtdetr": (lambda: _rt_detr("RTDetr"), SIGMOID),
    "hf-rtdetr-v2": (lambda: _rt_detr("RTDetrV2"), SIGMOID),
    "hf-d-fine": (lambda: _rt_detr("DFine"), SIGMOID),
    "hf-yolos": (_yolos, SOFTMAX),
}


def _form(name: str, seed: int, *, dynamo: bool = False) -> Form:
    zoo.torchvision_models()
    torch.manual_seed(seed)
    make, scores = MAKERS[name.removesuffix("-dynamo")]
    # Drawn as they come, weights of 0.02 leave attention uniform, and a score that hardly hangs on the picture.
    model = zoo.enliven(make().eval())
    x = (torch.sigmoid(zoo.inputs((1, 3, SIZE, SIZE), seed)) - MEAN) / DEVIATION
    zoo.settle(model, x)
    facts = {
        "input": {"layout": "RGB, ImageNet's mean and deviation", "fit": "squash", "boxes in": "shares of the input"},
        "boxes": "centre x, centre y, width, height, in shares", "scores": scores, "inside": "nothing", "batch": 1,
        "labels": "columns of logits",
    }  # fmt: skip
    best = best_of_pair("logits", "pred_boxes", (SIZE, SIZE), last=-1 if scores == SOFTMAX else None)
    return Form(name, Pair(model), x, PAIR, facts, best, dynamo=dynamo, opset=18 if dynamo else 17)


def forms() -> Iterator[tuple[str, Callable[[int], Form]]]:
    """Names of forms, and what makes each from a seed."""
    for name in MAKERS:
        yield name, lambda seed, name=name: _form(name, seed)  # type: ignore[misc]
    for name in ("hf-detr", "hf-rtdetr"):
        yield f"{name}-dynamo", lambda seed, name=name: _form(f"{name}-dynamo", seed, dynamo=True)  # type: ignore[misc]
