"""Check the NumPy twin against PyTorch's float64 autograd: ``python tests/reference/against_torch.py MODEL PHOTO...``

Prints, per photograph and rule set, the largest difference of the logits and of the gradients at the picture and at the
layer, each as a share of the largest value. Needs torch; no test imports it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from squeezenet64 import LAYER, SqueezeNet64

MEAN = np.array([103.94, 116.78, 123.68])


def load(path: Path) -> np.ndarray:
    """The photograph as the file wants it: 224 x 224 from the middle, BGR minus the mean, [3, 224, 224] float64."""
    photo = Image.open(path).convert("RGB")
    scale = 256 / min(photo.size)
    photo = photo.resize([round(side * scale) for side in photo.size], Image.Resampling.BILINEAR)
    left, top = ((side - 224) // 2 for side in photo.size)
    pixels = np.asarray(photo.crop((left, top, left + 224, top + 224)), np.float64)
    return np.ascontiguousarray((pixels[..., ::-1] - MEAN).transpose(2, 0, 1))


class GuidedRelu(torch.autograd.Function):
    """Relu that passes back positive gradients only."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return g * (x > 0) * (g > 0)


def walk(net: SqueezeNet64, x: torch.Tensor, rules: str) -> dict[str, torch.Tensor]:
    """Every value of the network, computed and recorded by PyTorch."""
    values = {name: torch.from_numpy(w) for name, w in net.weights.items()} | {"data_0": x}
    table: dict[str, Any] = {
        "Conv": lambda a, x, w, b: F.conv2d(x, w, b, a["strides"], a["pads"][:2]),
        "Relu": lambda a, x: GuidedRelu.apply(x) if rules == "guided" else torch.relu(x),
        "MaxPool": lambda a, x: F.max_pool2d(x, a["kernel_shape"], a["strides"]),
        "Concat": lambda a, *parts: torch.cat(parts, 1),
        "Dropout": lambda a, x: x,
        "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdim=True),
    }
    for node in net.nodes:
        values[node.output] = table[node.kind](node.attributes, *(values[name] for name in node.inputs))
    return values


def compare(net: SqueezeNet64, x: np.ndarray, rules: str) -> str:
    """The differences as text."""
    start = time.perf_counter()
    values = net.forward(x)
    target = int(values[net.logit_name].argmax())
    grads = net.backward(values, target, rules)
    seconds = time.perf_counter() - start
    theirs = walk(net, torch.from_numpy(x)[None].requires_grad_(True), rules)
    wanted = torch.autograd.grad(theirs[net.logit_name].reshape(-1)[target], [theirs["data_0"], theirs[LAYER]])
    pairs = [(values[net.logit_name], theirs[net.logit_name].detach())]
    pairs += [(grads[name], g) for name, g in zip(("data_0", LAYER), wanted, strict=True)]
    errors = [np.abs(mine - other.numpy()[0]).max() / np.abs(mine).max() for mine, other in pairs]
    shown = " ".join(f"{name} {e:.1e}" for name, e in zip(("logits", "picture", "layer"), errors, strict=True))
    return f"class {target} {rules:6} {shown} ({seconds:.2f} s)"


if __name__ == "__main__":
    network = SqueezeNet64(Path(sys.argv[1]))
    for photo in map(Path, sys.argv[2:]):
        for rule_set in ("plain", "guided"):
            print(photo.name, compare(network, load(photo), rule_set))
