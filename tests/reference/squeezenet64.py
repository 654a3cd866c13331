"""A slow twin of ``squeezenet1.0_fp32.onnx`` in NumPy float64: forward, backward and the methods' formulas.

It shares no code with onnxsal: weights are read with onnx, every operator is written out below, and the graph is walked
as the file lists it. One picture at a time; ``x`` is [3, 224, 224], preprocessed, and the score is the logit, the value
in front of the Softmax. At a kink it takes PyTorch's side: Relu passes nothing at 0, a maximum belongs to its first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray
LAYER = "fire9/concat_1"


@dataclass(frozen=True)
class Node:
    """One node of the file, with its attributes read."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


def _windows(x: Array, size: int, stride: int) -> Array:
    """[C, h, w, size, size], a view."""
    return sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]


def _scatter(g: Array, shape: tuple[int, ...], stride: int) -> Array:
    """The adjoint of ``_windows``: add g [C, h, w, size, size] back into an array of ``shape``."""
    x, (h, w, size) = np.zeros(shape), g.shape[1:4]
    for i in range(size):
        for j in range(size):
            x[:, i : i + stride * h : stride, j : j + stride * w : stride] += g[:, :, :, i, j]
    return x


def conv(x: Array, w: Array, b: Array, stride: int, pad: int) -> Array:
    """Correlation of x [C, H, W] with w [K, C, s, s], as one matrix product of the windows."""
    columns = _windows(np.pad(x, ((0, 0), (pad, pad), (pad, pad))), w.shape[2], stride)
    y = np.tensordot(w, columns, axes=([1, 2, 3], [0, 3, 4]))
    return y + b[:, None, None]


def conv_backward(g: Array, x: Array, w: Array, stride: int, pad: int) -> Array:
    """The gradient of ``conv`` with respect to x."""
    columns = np.tensordot(w, g, axes=([0], [0])).transpose(0, 3, 4, 1, 2)
    whole = _scatter(columns, (x.shape[0], x.shape[1] + 2 * pad, x.shape[2] + 2 * pad), stride)
    return whole[:, pad : pad + x.shape[1], pad : pad + x.shape[2]]


def max_pool(x: Array, size: int, stride: int) -> Array:
    """The largest of each window."""
    return _windows(x, size, stride).max((3, 4))


def max_pool_backward(g: Array, x: Array, size: int, stride: int) -> Array:
    """g at the first maximum of each window, in row order."""
    windows = _windows(x, size, stride)
    flat = windows.reshape(*windows.shape[:3], size * size)
    first = np.arange(size * size) == flat.argmax(3)[..., None]
    return _scatter((first * g[..., None]).reshape(windows.shape), x.shape, stride)


class SqueezeNet64:
    """The network of one file; ``forward`` gives all values by name, ``backward`` all gradients by name."""

    def __init__(self, path: Path) -> None:
        graph = onnx.load(path).graph
        self.weights = {t.name: onnx.numpy_helper.to_array(t).astype(np.float64) for t in graph.initializer}
        read = onnx.helper.get_attribute_value
        self.nodes = [
            Node(n.op_type, tuple(n.input), n.output[0], {a.name: read(a) for a in n.attribute}) for n in graph.node
        ]
        assert self.nodes.pop().kind == "Softmax", "the score is read in front of the file's Softmax"
        self.logit_name = self.nodes[-1].output

    def forward(self, x: Array) -> dict[str, Array]:
        """Every value by its name in the file, the picture as ``data_0``; the logits are ``values[net.logit_name]``."""
        values = {"data_0": x.astype(np.float64)}
        for node in self.nodes:
            args = [values.get(name, self.weights.get(name)) for name in node.inputs]
            values[node.output] = _FORWARD[node.kind](node.attributes, *args)
        return values

    def backward(self, values: dict[str, Array], target: int, rules: str = "plain") -> dict[str, Array]:
        """The gradient of ``logit[target]`` with respect to every value; ``rules`` is ``plain`` or ``guided``."""
        grads = {name: np.zeros_like(v) for name, v in values.items()}
        grads[self.logit_name].reshape(-1)[target] = 1.0
        for node in reversed(self.nodes):
            args = [values.get(name, self.weights.get(name)) for name in node.inputs]
            kind = f"{node.kind}/{rules}" if f"{node.kind}/{rules}" in _BACKWARD else node.kind
            pieces = _BACKWARD[kind](node.attributes, grads[node.output], *args)
            for name, piece in zip(node.inputs, pieces, strict=False):
                grads[name] = grads[name] + piece
        return grads

    def logits(self, x: Array) -> Array:
        """[1000]."""
        return self.forward(x)[self.logit_name].reshape(-1)


def _stride(a: dict[str, Any]) -> int:
    return int(a["strides"][0])


def _split(a: dict[str, Any], g: Array, *parts: Array) -> list[Array]:
    return np.split(g, np.cumsum([p.shape[0] for p in parts])[:-1])


_FORWARD: dict[str, Callable[..., Array]] = {
    "Conv": lambda a, x, w, b: conv(x, w, b, _stride(a), a["pads"][0]),
    "Relu": lambda a, x: np.maximum(x, 0.0),
    "MaxPool": lambda a, x: max_pool(x, a["kernel_shape"][0], _stride(a)),
    "Concat": lambda a, *parts: np.concatenate(parts),
    "Dropout": lambda a, x: x,
    "GlobalAveragePool": lambda a, x: x.mean((1, 2), keepdims=True),
}
_BACKWARD: dict[str, Callable[..., list[Array]]] = {
    "Conv": lambda a, g, x, w, b: [conv_backward(g, x, w, _stride(a), a["pads"][0])],
    "Relu": lambda a, g, x: [(x > 0) * g],
    "Relu/guided": lambda a, g, x: [(x > 0) * (g > 0) * g],
    "MaxPool": lambda a, g, x: [max_pool_backward(g, x, a["kernel_shape"][0], _stride(a))],
    "Concat": _split,
    "Dropout": lambda a, g, x: [g],
    "GlobalAveragePool": lambda a, g, x: [np.broadcast_to(g / (x.shape[1] * x.shape[2]), x.shape)],
}


def gradient(net: SqueezeNet64, x: Array, target: int) -> Array:
    """dS/dx, [3, 224, 224]."""
    return net.backward(net.forward(x), target)["data_0"]


def guided_backprop(net: SqueezeNet64, x: Array, target: int) -> Array:
    """dS/dx under 1[x > 0] 1[g > 0] g at every Relu, [3, 224, 224]."""
    return net.backward(net.forward(x), target, "guided")["data_0"]


def integrated_gradients(net: SqueezeNet64, x: Array, target: int, *, steps: int = 50) -> Array:
    """x times the mean gradient on the way from zero, by Gauss-Legendre quadrature, [3, 224, 224]."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    total = sum(w / 2 * gradient(net, (t + 1) / 2 * x, target) for t, w in zip(nodes, weights, strict=True))
    return np.asarray(total) * x


def converged_integrated_gradients(net: SqueezeNet64, x: Array, target: int, *, steps: int = 400) -> Array:
    """The same by the midpoint rule in u, t = u^3: the gradient jumps along the way, and most often near the baseline.

    400 steps leave 1e-4 of the completeness gap on a photograph, even steps in t leave 7e-3.
    """
    u = (np.arange(steps) + 0.5) / steps
    total = sum(3 * v**2 / steps * gradient(net, v**3 * x, target) for v in u)
    return np.asarray(total) * x


def _layer(net: SqueezeNet64, x: Array, target: int) -> tuple[Array, Array]:
    values = net.forward(x)
    return values[LAYER], net.backward(values, target)[LAYER]


def grad_cam(net: SqueezeNet64, x: Array, target: int) -> Array:
    """ReLU(sum_k w_k A_k), w_k the mean of g, [13, 13]."""
    a, g = _layer(net, x, target)
    return np.maximum((g.mean((1, 2), keepdims=True) * a).sum(0), 0.0)


def grad_cam_pp(net: SqueezeNet64, x: Array, target: int) -> Array:
    """ReLU(sum_k w_k A_k), w_k = sum alpha ReLU(g), alpha = g^2 / (2 g^2 + (sum A) g^3), 0 where g = 0, [13, 13]."""
    a, g = _layer(net, x, target)
    below = 2.0 * g**2 + a.sum((1, 2), keepdims=True) * g**3
    alpha = np.divide(g**2, below, out=np.zeros_like(g), where=(g != 0) & (below != 0))
    w = (alpha * np.maximum(g, 0.0)).sum((1, 2), keepdims=True)
    return np.maximum((w * a).sum(0), 0.0)


def layercam(net: SqueezeNet64, x: Array, target: int) -> Array:
    """ReLU(sum_k ReLU(g) A), [13, 13]."""
    a, g = _layer(net, x, target)
    return np.maximum((np.maximum(g, 0.0) * a).sum(0), 0.0)


def hirescam(net: SqueezeNet64, x: Array, target: int) -> Array:
    """ReLU(sum_k g A), [13, 13]."""
    a, g = _layer(net, x, target)
    return np.maximum((g * a).sum(0), 0.0)


METHODS: dict[str, Callable[[SqueezeNet64, Array, int], Array]] = {
    "gradient": gradient,
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_pp,
    "layercam": layercam,
    "hirescam": hirescam,
    "integrated-gradients": integrated_gradients,
    "guided-backprop": guided_backprop,
}
