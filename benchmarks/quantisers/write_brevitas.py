"""Forms of Brevitas, which has networks of its own: python write_brevitas.py cnn|vit FOLDER."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.export import export_onnx_qcdq
from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat
from torch import nn
from writing import images, write


class Block(nn.Module):
    """A residual block with a depthwise convolution and SiLU between quantisers."""

    def __init__(self, bits: int, weights: Any) -> None:
        super().__init__()
        own = {"weight_bit_width": bits, "weight_quant": weights, "padding": 1}
        self.depthwise = qnn.QuantConv2d(12, 12, 3, groups=12, **own)
        self.before, self.after = qnn.QuantIdentity(bit_width=bits), qnn.QuantIdentity(bit_width=bits)
        self.point = qnn.QuantConv2d(12, 12, 1, weight_bit_width=bits, weight_quant=weights)
        self.total = qnn.QuantIdentity(bit_width=bits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.before(self.depthwise(x))
        return self.total(x + self.point(self.after(y * torch.sigmoid(y))))


def network(bits: int, weights: Any) -> nn.Module:
    torch.manual_seed(0)
    first = qnn.QuantConv2d(3, 12, 3, stride=2, padding=1, weight_bit_width=bits, weight_quant=weights)
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=8), first, qnn.QuantReLU(bit_width=bits), Block(bits, weights),
        Block(bits, weights), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 7),
    )  # fmt: skip


def quantised(bits: int, weights: Any = Int8WeightPerTensorFloat) -> Any:
    def make(path: Path) -> None:
        model = network(bits, weights).train()
        for image in images():
            model(torch.from_numpy(image["x"]))
        how = {"input_names": ["x"], "opset_version": 13, "dynamo": False}
        export_onnx_qcdq(model.eval(), torch.zeros(1, 3, 32, 32), export_path=str(path), **how)

    return make


write({f"{bits}-bits": quantised(bits) for bits in (8, 6, 4, 3, 2)}
      | {"4-bits-channels": quantised(4, Int8WeightPerChannelFloat)})  # fmt: skip
