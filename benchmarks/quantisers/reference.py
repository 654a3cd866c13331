"""Straight-through maps of quantised files by PyTorch's autograd: python reference.py MODEL JOB.npz OUT.npz ...

Independent of onnxsal: every operator is PyTorch's, in float64. QuantizeLinear rounds half to even and passes what it
did not clip, as torch.fake_quantize does; integers are numbers that stand for themselves. As onnxsal explains a model,
the quantiser of the picture and that of the scores pass everything. Needs torch and onnx.

JOB holds x, target and layer (a value's name); OUT gets gradient [C, H, W] and, of the layer, its activations and their
gradient, as the numbers that its integers stand for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper

Tensor = torch.Tensor
RANGES = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767), "int4": (-8, 7),
          "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3), "int32": (-(2**31), 2**31 - 1)}  # fmt: skip


class Walk:
    """One pass over a graph; ``values`` by name, ``kinds`` the numpy type names of integers."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.values, self.kinds = model, {}, {}
        self.scales: dict[str, tuple[Tensor, Tensor]] = {}
        makers = {o: n for n in model.graph.node for o in n.output}
        last = makers[model.graph.output[0].name]
        self.open = {n.output[0] for n in model.graph.node if n.input and n.input[0] == model.graph.input[0].name}
        self.open |= {model.graph.output[0].name, *last.input[:1]}
        for t in model.graph.initializer:
            self.hold(t.name, numpy_helper.to_array(t))

    def hold(self, name: str, array: np.ndarray) -> None:
        self.kinds[name] = array.dtype.name
        wide = array.astype(np.int64 if array.dtype.name in ("int64", "int32", "bool") else np.float64)
        self.values[name] = torch.from_numpy(np.array(wide))

    def run(self, x: Tensor, keep: str = "") -> Tensor:
        self.values[self.model.graph.input[0].name] = x
        for node in self.model.graph.node:
            self.visit(node)
            if keep in node.output and self.values[keep].requires_grad:
                self.values[keep].retain_grad()
        return self.values[self.model.graph.output[0].name]

    def visit(self, node: onnx.NodeProto) -> None:
        a = {x.name: helper.get_attribute_value(x) for x in node.attribute}
        given = [self.values[i] if i else None for i in node.input]
        found = OPERATORS[node.op_type](self, node, a, *given)
        for name, value in zip(node.output, found if isinstance(found, tuple) else (found,), strict=False):
            self.values[name] = value


def passing(value: Tensor, rounded: Tensor, ends: tuple[float, float]) -> Tensor:
    """Clipped numbers, with the gradient of ``value`` where nothing was clipped."""
    mask = ((rounded >= ends[0]) & (rounded <= ends[1])).to(value.dtype)
    return value * mask + (rounded.clamp(*ends) - value * mask).detach()


def along(v: Tensor, x: Tensor, axis: int, block: int = 0) -> Tensor:
    if v.numel() == 1:
        return v.reshape(())
    if block:
        return v.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    return v.reshape([-1 if d == axis % x.dim() else 1 for d in range(x.dim())])


def quantise(w: Walk, node: Any, a: Any, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    axis, block = a.get("axis", 1), a.get("block_size", 0)
    kind = w.kinds[node.input[2]] if len(node.input) > 2 else "uint8"
    if kind.startswith("float8"):
        raise NotImplementedError(f"QuantizeLinear to {kind}")
    s = along(scale, x, axis, block)
    z = torch.zeros(()) if zero is None else along(zero, x, axis, block)
    w.kinds[node.output[0]], w.scales[node.output[0]] = kind, (s, z)
    rounded, ends = torch.round((x.detach().float() / s.float()).double()) + z, RANGES[kind]
    if node.output[0] in w.open:
        return x / s + (rounded.clamp(*ends) - x / s).detach()
    return passing(x / s + z, rounded, ends)


def dequantise(w: Walk, node: Any, a: Any, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    axis, block = a.get("axis", 1), a.get("block_size", 0)
    return (x - (0 if zero is None else along(zero, x, axis, block))) * along(scale, x, axis, block)


def dynamic(w: Walk, node: Any, a: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        low, high = x.min().clamp(max=0), x.max().clamp(min=0)
        s = ((high - low) / 255).float().double()
        z = torch.round(-low / s).clamp(0, 255)
    return passing(x / s + z, torch.round(x.detach() / s) + z, (0, 255)), s, z


def conv(w: Walk, node: Any, a: Any, x: Tensor, k: Tensor, b: Tensor | None = None) -> Tensor:
    n = x.dim() - 2
    pads = a.get("pads", [0] * 2 * n)
    x = F.pad(x, [p for i in reversed(range(n)) for p in (pads[i], pads[n + i])])
    call = [F.conv1d, F.conv2d][n - 1]
    return call(x, k, b, stride=a.get("strides", 1), dilation=a.get("dilations", 1), groups=a.get("group", 1))


def integer_conv(w: Walk, node: Any, a: Any, x: Tensor, k: Tensor, xz: Any = 0, kz: Any = 0) -> Tensor:
    return conv(w, node, a, x - xz, k - (kz if isinstance(kz, int) else along(kz, k, 0)))


def integer_matmul(w: Walk, node: Any, a: Any, x: Tensor, k: Tensor, xz: Any = 0, kz: Any = 0) -> Tensor:
    return (x - (0 if xz is None else xz)) @ (k - (0 if kz is None else kz))


def requantised(real: Callable[..., Tensor], count: int, at: int) -> Any:
    """An integer operator: its operands dequantised, the operator, quantised again."""

    def apply(w: Walk, node: Any, a: Any, *v: Any) -> Tensor:
        axis = 0 if node.op_type == "QLinearConv" or a.get("transB") else -1
        start = 2 if node.op_type == "QLinearConcat" else 0
        count_ = (len(v) - 2) // 3 if node.op_type == "QLinearConcat" else count
        parts = [dequantise(w, node, {"axis": axis if i else 1}, *v[start + 3 * i : start + 3 * i + 3])
                 for i in range(count_)]  # fmt: skip
        if node.op_type in ("QLinearConv", "QGemm") and len(v) > (8 if node.op_type == "QLinearConv" else 6):
            b = v[8] if node.op_type == "QLinearConv" else v[6]
            parts.append(None if b is None else b * (v[1] * v[4]))
        y = real(w, node, a, *parts)
        if len(v) <= at or v[at] is None:
            return y
        kind = w.kinds[node.input[at + 1]]
        w.kinds[node.output[0]], w.scales[node.output[0]] = kind, (v[at], v[at + 1])
        return passing(y / v[at] + v[at + 1], torch.round(y.detach() / v[at]) + v[at + 1], RANGES[kind])

    return apply


def gemm(w: Walk, node: Any, a: Any, x: Tensor, k: Tensor, b: Tensor | None = None) -> Tensor:
    y = (x.T if a.get("transA") else x) @ (k.T if a.get("transB") else k) * a.get("alpha", 1.0)
    return y if b is None else y + b * (a.get("beta", 1.0) if node.op_type == "Gemm" else 1)


def reshape(w: Walk, node: Any, a: Any, x: Tensor, shape: Tensor) -> Tensor:
    sizes = [int(d) if d else x.shape[i] for i, d in enumerate(shape)]
    return kept(w, node, x.reshape(sizes))


def kept(w: Walk, node: Any, y: Tensor) -> Tensor:
    """Numbers that were only moved stand for what they stood for."""
    source, to = node.input[0], node.output[0]
    if source in w.kinds:
        w.kinds[to] = w.kinds[source]
    if source in w.scales:
        w.scales[to] = w.scales[source]
    return y


def sliced(
    w: Walk, node: Any, a: Any, x: Tensor, starts: Tensor, ends: Tensor, axes: Any = None, steps: Any = None
) -> Tensor:
    axes = range(len(starts)) if axes is None else axes.tolist()
    steps = [1] * len(starts) if steps is None else steps.tolist()
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), axes, steps, strict=True):
        start, end, _ = slice(start, end, step).indices(x.shape[axis])
        x = x.index_select(axis, torch.arange(start, end, step))
    return kept(w, node, x)


def gathered(w: Walk, node: Any, a: Any, x: Tensor, at: Tensor) -> Tensor:
    axis = a.get("axis", 0)
    picked = x.index_select(axis, at.reshape(-1).long() % x.shape[axis])
    return kept(w, node, picked.reshape([*x.shape[:axis], *at.shape, *x.shape[axis % x.dim() + 1 :]]))


def constant(w: Walk, node: Any, a: Any) -> Tensor:
    ((name, value),) = a.items()
    array = numpy_helper.to_array(value) if name == "value" else np.array(value)
    w.hold(node.output[0], array)
    return w.values[node.output[0]]


def axes_of(a: Any, axes: Any) -> list[int]:
    return list(a["axes"]) if "axes" in a else axes.reshape(-1).tolist()


def squeezed(w: Walk, node: Any, a: Any, x: Tensor, axes: Any = None) -> Tensor:
    gone = {d % x.dim() for d in axes_of(a, axes)}
    return kept(w, node, x.reshape([d for i, d in enumerate(x.shape) if i not in gone]))


def unsqueezed(w: Walk, node: Any, a: Any, x: Tensor, axes: Any = None) -> Tensor:
    for d in sorted(axes_of(a, axes)):
        x = x.unsqueeze(d)
    return kept(w, node, x)


def normalised(w: Walk, node: Any, a: Any, x: Tensor, scale: Tensor, bias: Any = None) -> Tensor:
    return F.layer_norm(x, scale.shape, scale, bias, a.get("epsilon", 1e-5))


def nbits(w: Walk, node: Any, a: Any, x: Tensor, packed: Tensor, scales: Tensor, zeros: Any = None, *_: Any) -> Tensor:
    rows, columns, bits, block = a["N"], a["K"], a.get("bits", 4), a["block_size"]
    per, b = 8 // bits, packed.reshape(rows, -1).long()
    numbers = torch.stack([(b >> (bits * i)) & (2**bits - 1) for i in range(per)], -1).reshape(rows, -1, block).double()
    blocks = numbers.shape[1]
    z: Any = 2 ** (bits - 1)
    if zeros is not None:
        z = zeros.reshape(rows, -1).long()
        z = torch.stack([(z >> (bits * i)) & (2**bits - 1) for i in range(per)], -1).reshape(rows, -1)[:, :blocks, None]
    weight = ((numbers - z) * scales.reshape(rows, blocks, 1)).reshape(rows, -1)[:, :columns]
    return x @ weight.T


def clipped(w: Walk, node: Any, a: Any, x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    low, high = a.get("min", low), a.get("max", high)
    ends = (-np.inf if low is None else float(low), np.inf if high is None else float(high))
    if w.kinds.get(node.input[0]) in RANGES:
        return kept(w, node, passing(x, x.detach(), ends))
    return x.clamp(*ends) if low is not None or high is not None else x


def plain(function: Callable[..., Tensor]) -> Any:
    return lambda w, node, a, *v: function(*v)


def mean(w: Walk, node: Any, a: Any, x: Tensor, axes: Any = None) -> Tensor:
    return x.mean(tuple(axes_of(a, axes)), keepdim=bool(a.get("keepdims", 1)))


def cast(w: Walk, node: Any, a: Any, x: Tensor) -> Tensor:
    name = helper.tensor_dtype_to_np_dtype(a["to"]).name
    w.kinds[node.output[0]] = name
    return x.long() if name in ("int64", "int32") else x.double()


def pooled(x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.dim())), keepdim=True)


OPERATORS: dict[str, Any] = {
    "QuantizeLinear": quantise, "DequantizeLinear": dequantise, "DynamicQuantizeLinear": dynamic, "Conv": conv,
    "ConvInteger": integer_conv, "MatMulInteger": integer_matmul, "Gemm": gemm, "Reshape": reshape, "Slice": sliced,
    "Gather": gathered, "Constant": constant, "Squeeze": squeezed, "Unsqueeze": unsqueezed, "Clip": clipped,
    "LayerNormalization": normalised, "MatMulNBits": nbits, "ReduceMean": mean, "Cast": cast,
    "QLinearConv": requantised(conv, 2, 6), "QLinearMatMul": requantised(lambda w, n, a, x, y: x @ y, 2, 6),
    "QGemm": requantised(gemm, 2, 7), "QLinearAdd": requantised(lambda w, n, a, x, y: x + y, 2, 6),
    "QLinearMul": requantised(lambda w, n, a, x, y: x * y, 2, 6),
    "QLinearSigmoid": requantised(lambda w, n, a, x: torch.sigmoid(x), 1, 3),
    "QLinearSoftmax": requantised(lambda w, n, a, x: torch.softmax(x, a.get("axis", -1)), 1, 3),
    "QLinearGlobalAveragePool": requantised(lambda w, n, a, x: pooled(x), 1, 3),
    "QLinearConcat": requantised(lambda w, n, a, *v: torch.cat(v, a["axis"]), 0, 0),
    "Relu": plain(torch.relu), "Add": plain(torch.add), "Mul": plain(torch.mul), "Sub": plain(torch.sub),
    "Div": lambda w, n, a, x, y: x // y if w.kinds.get(n.input[0]) == "int64" else x / y,
    "MatMul": plain(torch.matmul), "Sigmoid": plain(torch.sigmoid), "Tanh": plain(torch.tanh), "Erf": plain(torch.erf),
    "Sqrt": plain(torch.sqrt), "Pow": plain(torch.pow), "GlobalAveragePool": plain(pooled),
    "Identity": plain(lambda x: x), "HardSwish": plain(F.hardswish),
    "HardSigmoid": lambda w, n, a, x: (a.get("alpha", 0.2) * x + a.get("beta", 0.5)).clamp(0, 1),
    "Gelu": lambda w, n, a, x: F.gelu(x, approximate=(a.get("approximate", b"none")).decode()),
    "Softmax": lambda w, n, a, x: torch.softmax(x, a.get("axis", -1)),
    "Transpose": lambda w, n, a, x: kept(w, n, x.permute(*a.get("perm", range(x.dim())[::-1]))),
    "Flatten": lambda w, n, a, x: kept(w, n, x.flatten(a.get("axis", 1))),
    "Concat": lambda w, n, a, *v: kept(w, n, torch.cat(v, a["axis"])),
    "Shape": lambda w, n, a, x: torch.tensor(x.shape[a.get("start", 0) : a.get("end")]),
    "Expand": lambda w, n, a, x, shape: x.expand(torch.broadcast_shapes(x.shape, tuple(shape.tolist()))),
}  # fmt: skip


def main(path: str, job: str, out: str) -> None:
    given, walk = np.load(job), Walk(onnx.load(path))
    layer = str(given["layer"])
    x = torch.from_numpy(given["x"].astype(np.float64)).requires_grad_(True)
    scores = walk.run(x, layer)
    scores[0, int(given["target"])].backward()
    found = {"scores": scores.detach().numpy(), "gradient": x.grad.numpy()[0]}
    value = walk.values.get(layer)
    if value is not None and value.grad is not None:
        scale, zero = walk.scales.get(layer, (torch.ones(()), torch.zeros(())))
        found |= {"activations": ((value.detach() - zero) * scale).numpy(), "slopes": (value.grad / scale).numpy()}
    np.savez(out, **found)


if __name__ == "__main__":
    for i in range(1, len(sys.argv), 3):
        try:
            main(*sys.argv[i : i + 3])
        except Exception as error:  # noqa: BLE001 - what one file cannot be is said, and the next one is tried
            Path(sys.argv[i + 2]).with_suffix(".txt").write_text(f"{type(error).__name__}: {error}")
