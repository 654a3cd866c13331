"""Make the int8 miniatures: ``python tests/data/zoo/quantise.py``, after ``recipe.py``.

ONNX Runtime's static quantiser turns two committed float models into QDQ graphs (per-channel int8 weights, activations
calibrated on random pictures). Their examples come from a float64 walk of the QDQ graph in PyTorch: QuantizeLinear
rounds half to even and saturates, and its gradient is g where low < q < high, else 0 (straight through, read from the
quantised value). Rounding happens at every step, so float32 arithmetic may land one step beside it here and there.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import export as tool
import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnxruntime import quantization as ort

HERE = Path(__file__).resolve().parent
RANGES = {torch.uint8: (0, 255), torch.int8: (-128, 127)}


class Images(ort.CalibrationDataReader):
    """Random pictures of the model's input shape, one a batch."""

    def __init__(self, shape: tuple[int, ...], count: int = 32) -> None:
        self._batches = iter([{"x": tool.inputs((1, *shape), seed).numpy()} for seed in range(100, 100 + count)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


class Quantise(torch.autograd.Function):
    """QuantizeLinear then DequantizeLinear in float64, straight through inside the range."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
        low, high = RANGES[zero.dtype]
        q = torch.clamp(torch.round(x / scale) + zero.double(), low, high)
        ctx.save_for_backward((q > low) & (q < high))
        return (q - zero.double()) * scale

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return g * inside, None, None


def _column(v: torch.Tensor, like: torch.Tensor, axis: int) -> torch.Tensor:
    return v.reshape([-1 if d == axis else 1 for d in range(like.dim())]) if v.numel() > 1 else v


def _dequantise(x: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor, axis: int = 1) -> torch.Tensor:
    if x.dtype == torch.float64:  # Quantise has come back to real numbers already
        return x
    return (x.double() - _column(zero, x, axis).double()) * _column(scale, x, axis).double()


def _conv(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None, **a: Any) -> torch.Tensor:
    pads = a.get("pads", [0, 0, 0, 0])
    x = F.pad(x, (pads[1], pads[3], pads[0], pads[2]))
    return F.conv2d(x, w, b, stride=a.get("strides", 1), dilation=a.get("dilations", 1), groups=a.get("group", 1))


def _gemm(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, **a: Any) -> torch.Tensor:
    return x @ (w.T if a.get("transB") else w) + b


def _max_pool(x: torch.Tensor, **a: Any) -> torch.Tensor:
    return F.max_pool2d(x, a["kernel_shape"], a["strides"], a["pads"][:2])


OPERATORS: dict[str, Callable[..., torch.Tensor]] = {
    "QuantizeLinear": lambda x, scale, zero, axis=1: Quantise.apply(x, scale.double(), zero),
    "DequantizeLinear": _dequantise,
    "Conv": _conv,
    "Gemm": _gemm,
    "MaxPool": _max_pool,
    "Relu": torch.relu,
    "Clip": lambda x, low, high: torch.clamp(x, float(low), float(high)),
    "Add": torch.add,
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
    "ReduceMean": lambda x, axes=None, keepdims=1: x.mean(tuple(axes), keepdim=bool(keepdims)),
    "Flatten": lambda x, axis=1: x.flatten(axis),
    "Identity": lambda x: x,
}


def walk(model: onnx.ModelProto, x: torch.Tensor) -> torch.Tensor:
    """The model's output for float64 ``x``, with PyTorch's own autograd behind every operator but QuantizeLinear."""
    values = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in model.graph.initializer}
    values["x"] = x
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant":
            values[node.output[0]] = torch.from_numpy(onnx.numpy_helper.to_array(attributes["value"]).copy())
            continue
        args = [values[name] if name else None for name in node.input]
        values[node.output[0]] = OPERATORS[node.op_type](*args, **attributes)
    return values[model.graph.output[0].name]


def make(source: str) -> None:
    """Write ``SOURCE_int8.onnx`` and its example."""
    example, path = np.load(HERE / f"{source}.npz"), HERE / f"{source}_int8.onnx"
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        ort.quant_pre_process(str(HERE / f"{source}.onnx"), str(ready), skip_symbolic_shape=True)
        options = {"quant_format": ort.QuantFormat.QDQ, "per_channel": True, "activation_type": ort.QuantType.QUInt8}
        ort.quantize_static(str(ready), str(path), Images(example["x"].shape[1:]), **options)
    tool.strip(path)
    x, target = torch.from_numpy(example["x"]).double().requires_grad_(True), example["target"]
    logits = walk(onnx.load(path), x)
    (grad,) = torch.autograd.grad(logits[torch.arange(len(x)), torch.from_numpy(target)].sum(), x)
    made = tool.Example(example["x"], target, logits.detach().numpy(), grad.numpy())
    made.save(path.with_suffix(".npz"), source=source, float_recipe=json.loads(str(example["recipe"])))
    similar = float((made.grad * example["grad"]).sum() / np.linalg.norm(made.grad) / np.linalg.norm(example["grad"]))
    print(
        f"{path.name}: {path.stat().st_size >> 10} kB, logits off by {tool.check(path, made):.1e}, cosine {similar:.4f}"
    )


if __name__ == "__main__":
    for name in ("resnet_basic", "mobilenet_v2"):
        make(name)
