"""Make the committed miniatures: ``python tests/data/zoo/recipe.py [NAME...]`` writes them beside this file.

Each is an ordinary architecture with random weights, few channels and small pictures, so that the exported graph has
the operator patterns of the real export. ``NAME.onnx`` has input ``x`` [batch, 3, S, S] and output ``logits``;
``NAME.npz`` has x [2, 3, S, S], target [2], logits [2, 7], grad (float64 autograd's d logits[b, target[b]] / dx, stored
in float32) and the recipe as JSON (seed, exporter, opset, float32_error, versions). Needs torch, torchvision, timm and
onnxscript; ``quantise.py`` makes the int8 ones.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import export as tool
import torch
from torch import nn

CLASSES = 7
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Specimen:
    """One file: what builds the model, the picture's side, and how it is exported."""

    build: Callable[[], nn.Module]
    side: int
    exporter: str
    opset: int
    half: bool = False


def resnet(block: str, layers: tuple[int, ...]) -> nn.Module:
    """A ResNet of widths 8 to 24."""
    family = tool.timm_package().models.resnet
    return family.ResNet(getattr(family, block), layers, CLASSES, channels=(4, 6, 8, 10), stem_width=8, base_width=64)


def vgg() -> nn.Module:
    """A VGG with its adaptive pooling and three linear layers."""
    family = tool.torchvision_models().vgg
    model = family.VGG(family.make_layers([4, "M", 6, "M", 8, 8, "M"]), num_classes=CLASSES, init_weights=False)
    model.avgpool = nn.AdaptiveAvgPool2d((2, 2))
    hidden = (nn.Linear(32, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 16), nn.ReLU(True), nn.Dropout())
    model.classifier = nn.Sequential(*hidden, nn.Linear(16, CLASSES))
    return model


def densenet() -> nn.Module:
    """A DenseNet with three blocks of two layers."""
    return tool.torchvision_models().DenseNet(4, (2, 2, 2), 8, num_classes=CLASSES)


def inception() -> nn.Module:
    """Inception v3 at a thirty-second of its width, with the colour transform of the pretrained one."""
    family = tool.torchvision_models().inception

    class Narrow(family.BasicConv2d):
        def __init__(self, before: int, after: int, **options: int) -> None:
            super().__init__(before if before == 3 else before // 32, after // 32, **options)

    parts = (family.InceptionA, family.InceptionB, family.InceptionC, family.InceptionD, family.InceptionE)
    blocks = [Narrow, *(partial(part, conv_block=Narrow) for part in parts), family.InceptionAux]
    model = family.Inception3(CLASSES, False, transform_input=True, inception_blocks=blocks, init_weights=False)
    model.fc = nn.Linear(64, CLASSES)
    return model


def mobilenet_v2() -> nn.Module:
    """MobileNetV2 of five inverted residuals."""
    models = tool.torchvision_models()
    setting = [[1, 8, 1, 1], [4, 8, 2, 2], [4, 12, 2, 2]]
    model = models.MobileNetV2(CLASSES, width_mult=0.25, inverted_residual_setting=setting, round_nearest=4)
    model.features[-1] = models.mobilenetv2.Conv2dNormActivation(4, 24, kernel_size=1, activation_layer=nn.ReLU6)
    model.classifier[1] = nn.Linear(24, CLASSES)
    return model


def mobilenet_v3() -> nn.Module:
    """MobileNetV3 with both activations, squeeze-excitation and both kernel sizes."""
    family = tool.torchvision_models().mobilenetv3
    row = partial(family.InvertedResidualConfig, dilation=1, width_mult=1.0)
    setting = [row(8, 3, 8, 8, True, "RE", 2), row(8, 3, 16, 8, False, "RE", 1), row(8, 5, 24, 16, True, "HS", 2)]
    return family.MobileNetV3(setting, 24, num_classes=CLASSES)


def efficientnet() -> nn.Module:
    """EfficientNet of four MBConv blocks."""
    family = tool.torchvision_models().efficientnet
    setting = [family.MBConvConfig(1, 3, 1, 8, 8, 1), family.MBConvConfig(4, 3, 2, 8, 16, 2)]
    setting.append(family.MBConvConfig(4, 5, 2, 16, 16, 1))
    return family.EfficientNet(setting, 0.2, num_classes=CLASSES, last_channel=32)


def convnext() -> nn.Module:
    """ConvNeXt of three stages."""
    family = tool.torchvision_models().convnext
    setting = [family.CNBlockConfig(8, 12, 1), family.CNBlockConfig(12, 16, 2), family.CNBlockConfig(16, None, 1)]
    return family.ConvNeXt(setting, num_classes=CLASSES)


def vit() -> nn.Module:
    """torchvision's ViT: class token, two blocks of two heads."""
    models = tool.torchvision_models()
    return models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=CLASSES)


def vit_timm() -> nn.Module:
    """timm's ViT: class token, three blocks, attention written out."""
    family = tool.timm_package().models.vision_transformer
    return family.VisionTransformer(32, 8, num_classes=CLASSES, embed_dim=16, depth=3, num_heads=2, mlp_ratio=2)


def swin() -> nn.Module:
    """torchvision's Swin: two stages of two blocks, so that one of each pair is shifted."""
    models = tool.torchvision_models()
    return models.SwinTransformer([4, 4], 8, [2, 2], [2, 2], [4, 4], mlp_ratio=2.0, num_classes=CLASSES)


BASIC = partial(resnet, "BasicBlock", (1, 1, 1, 2))
BOTTLENECK = partial(resnet, "Bottleneck", (1, 1, 1, 1))
ZOO = {
    "resnet_basic": Specimen(BASIC, 48, "torchscript", 13),
    "resnet_basic_float16": Specimen(BASIC, 48, "torchscript", 17, half=True),
    "resnet_bottleneck": Specimen(BOTTLENECK, 48, "dynamo", 18),
    "vgg": Specimen(vgg, 32, "torchscript", 11),
    "vgg_dynamo": Specimen(vgg, 16, "dynamo", 20),
    "densenet": Specimen(densenet, 40, "torchscript", 13),
    "densenet_dynamo": Specimen(densenet, 40, "dynamo", 18),
    "inception": Specimen(inception, 107, "torchscript", 17),
    "inception_dynamo": Specimen(inception, 107, "dynamo", 18),
    "mobilenet_v2": Specimen(mobilenet_v2, 32, "torchscript", 13),
    "mobilenet_v2_dynamo": Specimen(mobilenet_v2, 32, "dynamo", 20),
    "mobilenet_v3": Specimen(mobilenet_v3, 32, "torchscript", 17),
    "mobilenet_v3_old": Specimen(mobilenet_v3, 32, "torchscript", 11),
    "mobilenet_v3_dynamo": Specimen(mobilenet_v3, 32, "dynamo", 18),
    "efficientnet": Specimen(efficientnet, 32, "torchscript", 13),
    "efficientnet_dynamo": Specimen(efficientnet, 32, "dynamo", 20),
    "convnext": Specimen(convnext, 32, "torchscript", 17),
    "convnext_old": Specimen(convnext, 32, "torchscript", 13),
    "convnext_dynamo": Specimen(convnext, 32, "dynamo", 20),
    "vit": Specimen(vit, 32, "torchscript", 17),
    "vit_dynamo": Specimen(vit, 32, "dynamo", 18),
    "vit_timm": Specimen(vit_timm, 32, "torchscript", 17),
    "vit_timm_dynamo": Specimen(vit_timm, 32, "dynamo", 20),
    "vit_timm_float16": Specimen(vit_timm, 32, "dynamo", 18, half=True),
    "swin": Specimen(swin, 32, "torchscript", 17),
    "swin_dynamo": Specimen(swin, 32, "dynamo", 18),
}


def make(name: str, seed: int = 0) -> None:
    """Write one model and its example; ONNX Runtime's logits must agree with autograd's."""
    specimen = ZOO[name]
    torch.manual_seed(seed)
    x = tool.inputs((2, 3, specimen.side, specimen.side), seed).mul(32).round().div(32)  # float16 holds these exactly
    model = tool.settle(tool.enliven(specimen.build()), tool.inputs((64, *x.shape[1:]), seed + 1))
    if specimen.half:
        model, x = model.half(), x.half()
    example, path = tool.record(model, x, seed), HERE / f"{name}.onnx"
    facts = {"seed": seed, "exporter": specimen.exporter, "opset": specimen.opset}
    facts["float32_error"] = tool.float32_error(model, example)
    tool.export(model, x, path, exporter=specimen.exporter, opset=specimen.opset)
    tool.strip(path)
    error = tool.check(path, example)
    example.save(path.with_suffix(".npz"), **facts)
    print(f"{path.name}: {path.stat().st_size >> 10} kB, logits off by {error:.1e}, {facts}", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for chosen in sys.argv[1:] or ZOO:
        make(chosen)
